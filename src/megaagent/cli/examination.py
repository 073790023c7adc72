"""What a run needs, looked at one by one; by trying where that can be tried."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from megaagent.checkup import ask_all, known_models
from megaagent.errors import ConfigurationError
from megaagent.events import Struct
from megaagent.folder import runs_folder
from megaagent.sandboxes import probe
from megaagent.sandboxes.contract import Level
from megaagent.settings import Settings

LEAST_DISK: Final = 100 << 20  # bytes
ENOUGH_DISK: Final = 1 << 30
LEAST_GIT: Final = (2, 32)
NARROW: Final = 60  # cells
EXTRAS: Final = {
    "mcp": "mcp",
    "providers": "pydantic_ai",
    "postgres": "psycopg",
    "ray": "ray",
    "otel": "opentelemetry.sdk",
}


class Finding(Struct, frozen=True):
    """One thing that was looked at; `fix` says what to do when it is not as it should be."""

    what: str
    status: Literal["ok", "warn", "fail"]
    told: str
    fix: str = ""


async def examine(
    settings: Settings, environ: Mapping[str, str], runs: Path | None, *, ask_models: bool
) -> list[Finding]:
    """Everything, in the order in which a run would need it."""
    return [
        _python(),
        *await _models(settings, environ, ask_models=ask_models),
        await _sandbox(settings),
        _git(),
        _journal(),
        _disk(runs_folder(runs, environ)),
        _terminal(environ),
        _browser(environ),
        _extras(),
    ]


def _python() -> Finding:
    return Finding("python", "ok", f"{'.'.join(map(str, sys.version_info[:3]))} on {sys.platform}")


async def _models(settings: Settings, environ: Mapping[str, str], *, ask_models: bool) -> list[Finding]:
    try:
        known = known_models(settings, environ)
    except ConfigurationError as error:
        return [Finding("model", "fail", str(error))]
    if not known:
        fix = (
            "name one to have it looked at: megaagent doctor --model P:M; or rehearse: megaagent run --scenario gobang"
        )
        return [Finding("model", "warn", "none is named, so no key was looked for", fix)]
    found = [_key(each.name, each.key, each.key_variable, each.problem) for each in known]
    priced = [each.name for each in known if each.price is None]
    if priced and settings.budget.tokens is None:
        fix = "give --max-tokens N, or --price IN:OUT in dollars per million tokens"
        found.append(Finding("price", "fail", f"that of {', '.join(priced)} is not known, so no money cap holds", fix))
    openable = [each.name for each in known if not each.problem]
    for answer in await ask_all(openable, settings, environ) if ask_models else ():
        fix = "see megaagent models --check" if answer.status != "ok" else ""
        found.append(Finding("model", answer.status, f"{answer.name}: {answer.told} ({answer.seconds:.1f} s)", fix))
    return found


def _key(name: str, key: str, variable: str | None, problem: str) -> Finding:
    if problem:
        return Finding("key", "fail", f"{name} cannot be opened", problem)
    return Finding("key", "ok", f"{name} needs none" if key == "not needed" else f"{name}: {variable} is set")


async def _sandbox(settings: Settings) -> Finding:
    wanted = Level[settings.sandbox.level.upper()]
    found = await probe(wanted)
    if found.sandbox is None:
        return Finding("sandbox", "fail", f"none of level {settings.sandbox.level} holds here", "; ".join(found.notes))
    if found.level == Level.NONE:
        fix = "set sandbox.level to landlock or bubblewrap"
        return Finding("sandbox", "warn", "none: programs of agents run without walls, as the settings ask", fix)
    return Finding("sandbox", "ok", f"{found.level.name.lower()} holds: it was tried from inside")


def _git() -> Finding:
    try:
        import_module("pygit2")
    except ImportError as error:
        return Finding("git", "fail", f"the library of the workspace cannot be loaded: {error}", "pip install pygit2")
    path = shutil.which("git")
    library = f"pygit2 {version('pygit2')}"
    if path is None:
        fix = "install git 2.32 or newer for megaagent fetch; without it the workspace is not packed"
        return Finding("git", "warn", f"{library}; there is no git command", fix)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=10)
    number = re.search(r"(\d+)\.(\d+)", done.stdout)
    if number is None or (int(number[1]), int(number[2])) < LEAST_GIT:
        fix = "install git 2.32 or newer for megaagent fetch; without it the workspace is not packed"
        return Finding("git", "warn", f"{library}; {done.stdout.strip() or path} is too old", fix)
    return Finding("git", "ok", f"{library}, {done.stdout.strip()}")


def _journal() -> Finding:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    except sqlite3.OperationalError as error:
        fix = "use a Python whose sqlite3 has FTS5, such as those of python.org or uv"
        return Finding("sqlite", "fail", f"SQLite {sqlite3.sqlite_version}: {error}", fix)
    finally:
        connection.close()
    return Finding("sqlite", "ok", f"SQLite {sqlite3.sqlite_version} with FTS5")


def _disk(folder: Path) -> Finding:
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    fix = "run where there is room and you may write, or name another place: --runs DIR"
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"megaagent")
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding("disk", "fail", f"{there} cannot be written: {error.strerror}", fix)
    told = f"{free / (1 << 30):.1f} GiB free at {there}"
    if free < LEAST_DISK:
        return Finding("disk", "fail", told, fix)
    return Finding("disk", "ok", told) if free >= ENOUGH_DISK else Finding("disk", "warn", told, fix)


def _terminal(environ: Mapping[str, str]) -> Finding:
    if not sys.stdout.isatty():
        return Finding("terminal", "ok", "the output is not a terminal, so a run prints lines")
    width, height = shutil.get_terminal_size()
    encoding = (sys.stdout.encoding or "ascii").lower()
    told = f"{width} x {height}, {encoding}, {environ.get('TERM', 'no TERM')}"
    if not encoding.startswith("utf"):
        return Finding(
            "terminal", "warn", told, "set LANG=C.UTF-8 for the full live view; until then it is drawn in ASCII"
        )
    if environ.get("TERM", "dumb") == "dumb":
        return Finding("terminal", "warn", told, "set TERM for the live view; until then a run prints lines")
    if width < NARROW:
        return Finding("terminal", "warn", told, f"make it at least {NARROW} wide for the live view")
    return Finding("terminal", "ok", told)


def _browser(environ: Mapping[str, str]) -> Finding:
    import webbrowser

    screen = sys.platform != "linux" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    try:
        name = webbrowser.get().__class__.__name__ if screen else ""
    except webbrowser.Error:
        name = ""
    if name:
        return Finding("browser", "ok", "there is one for the link that megaagent serve prints")
    fix = "open the link of megaagent serve elsewhere: ssh -L 8642:127.0.0.1:8642 HOST"
    return Finding("browser", "warn", "there is none on this machine's screen", fix)


def _extras() -> Finding:
    return Finding("extras", "ok", ", ".join(_installed()) or "none is installed; none is needed")


def _installed() -> Iterator[str]:
    for extra, module in EXTRAS.items():
        try:
            there = find_spec(module) is not None
        except ImportError:
            there = False
        yield f"{extra} {'is' if there else 'is not'} installed"
