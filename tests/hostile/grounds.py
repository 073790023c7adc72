"""Hostile paths and trees, each tried in every way that it can come to us, with a judge of what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hostile.judging import Watch, problems_of
from tests.hostile.outputs import several
from tests.hostile.paths import NAMES, TREES, TWINS, builder
from tests.hostile.trials import UNTOUCHED, play

from megaagent.clock import WallClock
from megaagent.errors import ConfigurationError, MegaAgentError, ToolError
from megaagent.events import storable
from megaagent.runtimes.local import LocalRuntime
from megaagent.sandboxes import probe
from megaagent.sandboxes.contract import Harvest, Level, Limits, Program, Sandbox
from megaagent.sandboxes.harvest import discard, harvest, prepare
from megaagent.testing import Rehearsal
from megaagent.workspace import Stamp, Workspace, clean_path
from megaagent.workspace.paths import is_clean

SECRET = "canary-of-the-outside-7f3a9c"
KEPT = {"kept.txt": b"kept\n", "kept/file.txt": b"kept too\n"}
FIRST = Stamp("boss", "trial", 0, 0, 0.0)
SECONDS = 600.0  # beyond what any of this takes on a busy machine: it hangs


# -- names, through the tools that an agent has ------------------------------------------------------------------------


def problems_with_name(path: str) -> Iterator[str]:
    """What is wrong when an agent uses that path in every tool that takes one."""
    given = {
        "write_file": {"path": path, "content": "x"},
        "edit_file": {"path": path, "old": "a", "new": "b"},
        "read_file": {"path": path},
        "exec_python_file": {"path": path},
        "keep_files": {"paths": [path]},
    }
    run, requests = play(several(*({"name": tool, "arguments": json.dumps(each)} for tool, each in given.items())))
    yield from _went_on(run)
    if storable(path) == path:  # what no text may hold is replaced on its way, which makes an ordinary name of it
        for tool in given.keys() - {"exec_python_file"}:  # the name may be that of a file outside, for a program
            if not run.answers_to(tool, "villain")[0].startswith("Error: "):
                yield f"{tool} was not refused"
        yield from (f"{path!a} was written" for path in run.files.keys() - UNTOUCHED.keys() - {"villain.txt"})
    yield from problems_of(run, requests)


def problems_with_twins(first: str, second: str) -> Iterator[str]:
    """What is wrong when a name is written that some file systems cannot tell from one that is there."""
    written = ({"path": path, "content": "x"} for path in (first, second))
    run, requests = play(several(*({"name": "write_file", "arguments": json.dumps(each)} for each in written)))
    yield from _went_on(run)
    if not run.answers_to("write_file", "villain")[1].startswith("Error: ") or second in run.files:
        yield "the twin was written"
    yield from problems_of(run, requests)


def _went_on(run: Rehearsal) -> Iterator[str]:
    if run.ending.status != "completed":
        yield f"the run ended as {run.ending.status}: {run.ending.reason}"
    if UNTOUCHED.items() - run.files.items():
        yield "the work of others is not as they wrote it"


# -- trees, as a program leaves them -----------------------------------------------------------------------------------


@contextmanager
def _place() -> Iterator[tuple[Path, Path]]:
    """A folder to build in, and one outside with a secret."""
    base = Path(tempfile.mkdtemp(prefix="megaagent-hostile-"))
    try:
        base.chmod(0o711)
        outside = base / "outside"
        outside.mkdir()
        (outside / "secret").write_text(SECRET)
        (outside / "secret").chmod(0o644)
        outside.chmod(0o755)
        yield base, outside
    finally:
        discard(base)


def _outside_is_whole(outside: Path) -> Iterator[str]:
    entries = sorted(path.name for path in outside.iterdir())
    if entries != ["secret"]:
        yield f"outside there is now {entries}: something was executed or written there"
    found = (outside / "secret").stat()
    if (outside / "secret").read_text() != SECRET or stat.S_IMODE(found.st_mode) != 0o644 or found.st_nlink > 2:
        yield "the file outside was changed"


async def best_sandbox() -> Sandbox | None:
    return (await probe(Level.LANDLOCK)).sandbox


def problems_with_tree_left(name: str, sandbox: Sandbox | None) -> Iterator[str]:
    """What is wrong when a program leaves that tree: it is run, harvested, and everything is kept.

    Without a sandbox the tree is built by this process, so that the judge of the harvest has something to judge.
    """
    with _place() as (base, outside):
        workspace = Workspace.create(base / "workspace.git", stamp=FIRST, durable=False)
        try:
            watch = Watch(SECONDS)
            left = asyncio.run(_left(name, sandbox, workspace, base, outside))
            yield from watch.problems()
            yield from _judged(left, workspace, base)
        except MegaAgentError as error:
            yield f"the engine stumbled: {error}"
        finally:
            workspace.close()
        yield from _outside_is_whole(outside)


async def _left(name: str, sandbox: Sandbox | None, workspace: Workspace, base: Path, outside: Path) -> Harvest:
    workspace.write_many(dict(KEPT), workspace.head(), FIRST)
    if sandbox is None:
        folder = base / "folder"
        before = prepare(folder, KEPT)
        build(name, folder, outside)
        found = await asyncio.to_thread(harvest, folder, before, Limits())
        await asyncio.to_thread(discard, folder)
        return found
    scratch = base / "scratch"
    scratch.mkdir(mode=0o711)
    runtime = LocalRuntime({}, workspace, sandbox, scratch, WallClock())
    try:
        program = Program(("python", "-c", builder(name), str(outside)), stdin="")
        handle = await runtime.start(program, workspace.head())
        try:
            await handle.wait()
            return await handle.harvest()
        finally:
            await handle.close()
    finally:
        await runtime.close()


def _judged(left: Harvest, workspace: Workspace, base: Path) -> Iterator[str]:
    if (base / "folder").exists() or (base / "scratch").exists():
        yield "the program's folder is still there"
    if len(left.refused) > 60:
        yield f"{len(left.refused)} notes on what was refused"
    for path, content in left.written.items():
        if SECRET.encode() in content:
            yield f"{path!a} has the secret"
    clean = [path for path in (*left.written, *left.removed) if _usable(path)]
    for path in left.written:
        if not _usable(path):
            try:
                workspace.write_many({path: b"x"}, workspace.head(), FIRST)
                yield f"{path!a} was kept"
            except ToolError:
                pass
    for path in clean[:300]:
        try:
            workspace.write_many({path: left.written.get(path)}, workspace.head(), FIRST)
        except ToolError as error:
            if not str(error):
                yield f"{path!a} is refused without a word"
    yield from _still_good(workspace, base)


def _usable(path: str) -> bool:
    try:
        return bool(clean_path(path))
    except ToolError:
        return False


def _still_good(workspace: Workspace, base: Path) -> Iterator[str]:
    """Whether others can go on: a write, a listing, a check-out, and Git's own opinion."""
    workspace.write("sibling.txt", b"mine\n", None, FIRST)
    listed = workspace.list("**")
    yield from (f"{entry.path!a} is listed" for entry in listed if not is_clean(entry.path))
    workspace.checkout(base / "deliverable")
    for folder, names, files in os.walk(base / "deliverable"):
        for entry in (*names, *files):
            mode = Path(folder, entry).lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                yield f"{entry!a} of the deliverable is neither file nor folder"
            if mode & (stat.S_ISUID | stat.S_ISGID):
                yield f"{entry!a} of the deliverable carries rights"
    # A submodule's file may be in a user's own history, so only damage counts, not what fsck would rather not see.
    done = subprocess.run(
        ["git", "-c", "fsck.gitmodulesUrl=ignore", "fsck", "--no-dangling"],
        cwd=workspace.path,
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"},
    )
    if done.returncode != 0:
        yield f"git fsck: {done.stderr.decode(errors='replace')[:300]}"


# -- trees, as a person is given them ----------------------------------------------------------------------------------


def build(name: str, folder: Path, outside: Path) -> None:
    """Build a tree on this machine, in a process of its own."""
    command = [sys.executable, "-c", builder(name), str(outside)]
    subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=SECONDS)


def problems_with_tree_given(name: str) -> Iterator[str]:
    """What is wrong when a run starts `--from` that tree."""
    with _place() as (base, outside):
        source = base / "source"
        prepare(source, KEPT)
        build(name, source, outside)
        yield from _problems_with_source(source, base, "hard link" in name)
        yield from _outside_is_whole(outside)


def _problems_with_source(source: Path, base: Path, may_hold_secret: bool = False) -> Iterator[str]:
    before = fingerprint(source)
    watch = Watch(SECONDS)
    try:
        workspace = Workspace.create(base / "workspace.git", source, stamp=FIRST, durable=False)
    except ConfigurationError as error:
        if not str(error) or len(str(error)) > 2_000:
            yield f"the refusal is not clear: {str(error)[:200]!a}"
        yield from watch.problems()
        return
    try:
        yield from watch.problems()
        if fingerprint(source) != before:
            yield "the source was changed"
        for entry in workspace.list("**"):
            if not may_hold_secret and SECRET.encode() in workspace.read_bytes(entry.path):
                yield f"{entry.path!a} has the secret"
        yield from _still_good(workspace, base)
    finally:
        workspace.close()


def fingerprint(folder: Path) -> list[tuple[str, int, int, int, float]]:
    """What a folder holds, without looking into any file."""
    found: list[tuple[str, int, int, int, float]] = []
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        for entry in os.scandir(here):
            status = entry.stat(follow_symlinks=False)
            found.append((entry.path, status.st_mode, status.st_size, status.st_nlink, status.st_mtime))
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return sorted(found)


# -- repositories that Git's own commands would not make ---------------------------------------------------------------


def _git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environ |= {f"GIT_{role}_NAME": "x", f"GIT_{role}_EMAIL": "x@x"}
    done = subprocess.run(["git", *arguments], cwd=folder, input=given, capture_output=True, check=True, env=environ)
    return done.stdout.decode().strip()


def _entry(mode: str, name: str, id: str) -> bytes:
    return f"{mode} {name}\0".encode(errors="surrogateescape") + bytes.fromhex(id)


def _with_tree(folder: Path, *entries: bytes) -> None:
    tree = _git(folder, "hash-object", "-t", "tree", "-w", "--stdin", "--literally", given=b"".join(entries))
    commit = _git(folder, "commit-tree", tree, "-m", "hostile")
    _git(folder, "update-ref", "refs/heads/main", commit)


def _blob(folder: Path, content: bytes = b"x") -> str:
    return _git(folder, "hash-object", "-w", "--stdin", given=content)


def _subtree(folder: Path, *entries: bytes) -> str:
    return _git(folder, "hash-object", "-t", "tree", "-w", "--stdin", "--literally", given=b"".join(entries))


def _dots(folder: Path) -> None:
    blob = _blob(folder)
    _with_tree(folder, _entry("100644", "..", blob), _entry("100644", ".git", blob), _entry("100644", "good", blob))


def _climbing(folder: Path) -> None:
    inner = _subtree(folder, _entry("100644", "owned", _blob(folder)))
    middle = _subtree(folder, _entry("40000", "..", inner))
    _with_tree(folder, _entry("40000", "..", middle), _entry("100644", "a/../../owned", _blob(folder)))


def _links(folder: Path) -> None:
    target = _blob(folder, b"../outside/secret")
    _with_tree(folder, _entry("120000", "link", target), _entry("100644", "link/file", _blob(folder)))


def _modules(folder: Path) -> None:
    _with_tree(
        folder,
        _entry("100644", ".gitmodules", _blob(folder, b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')),
        _entry("160000", "x", "1" * 40),
    )


def _modes(folder: Path) -> None:
    blob = _blob(folder)
    _with_tree(folder, *(_entry(mode, f"m{mode}", blob) for mode in ("104755", "100666", "20666", "60666", "10644")))


def _bomb(folder: Path) -> None:
    """10 to the power of 12 files in 13 objects."""
    inner = _blob(folder)
    mode = "100644"
    for _ in range(12):
        inner = _subtree(folder, *(_entry(mode, f"d{n}", inner) for n in range(10)))
        mode = "40000"
    _with_tree(folder, _entry("40000", "bomb", inner))


def _bomb_of_nothing(folder: Path) -> None:
    """As many folders, and no file in any."""
    inner = _subtree(folder)
    for _ in range(12):
        inner = _subtree(folder, *(_entry("40000", f"d{n}", inner) for n in range(10)))
    _with_tree(folder, _entry("40000", "bomb", inner))


def _deep(folder: Path) -> None:
    """400 folders, each in the other."""
    import hashlib
    import zlib

    inner, mode = bytes.fromhex(_blob(folder)), b"100644"
    for _ in range(400):
        body = mode + b" d\0" + inner
        data = b"tree %d\0" % len(body) + body
        inner, mode = hashlib.sha1(data).digest(), b"40000"
        place = folder / ".git/objects" / inner.hex()[:2]
        place.mkdir(exist_ok=True)
        (place / inner.hex()[2:]).write_bytes(zlib.compress(data))
    _with_tree(folder, b"40000 deep\0" + inner)


def _zeros(folder: Path) -> None:
    """2 GB of zeros, which are 2 MB as Git keeps them."""
    zeros = folder / "zeros"
    with zeros.open("wb") as file:
        file.truncate(2 << 30)
    _git(folder, "-c", "core.bigFileThreshold=1m", "-c", "core.compression=1", "add", "zeros")
    _git(folder, "commit", "-q", "-m", "zeros")
    zeros.unlink()


def _settings(folder: Path) -> None:
    (folder / "file").write_text("x")
    (folder / ".gitattributes").write_text("* filter=evil text diff=evil\n")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "settings")
    owned = folder.parent / "outside/owned"
    with (folder / ".git/config").open("a") as file:
        file.write(
            f"[core]\n\tfsmonitor = touch {owned}\n\tsshCommand = touch {owned}\n\tpager = touch {owned}\n"
            f'[filter "evil"]\n\tclean = touch {owned}\n\tsmudge = touch {owned}\n\tprocess = touch {owned}\n'
            f'[diff "evil"]\n\ttextconv = touch {owned}\n\tcommand = touch {owned}\n'
            f"[uploadpack]\n\tpackObjectsHook = touch {owned}\n"
        )
    for hook in ("post-checkout", "pre-commit", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (folder / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {owned}\n")
        (folder / ".git/hooks" / hook).chmod(0o755)
    (folder / "file").write_text("changed")


def _alternates(folder: Path) -> None:
    _with_tree(folder, _entry("100644", "good", _blob(folder)))
    (folder / ".git/objects/info").mkdir(exist_ok=True)
    (folder / ".git/objects/info/alternates").write_text("../../../outside\n/nonexistent\n\n#\n" + "x" * 10_000 + "\n")


def _damaged(folder: Path) -> None:
    _with_tree(folder, _entry("100644", "good", _blob(folder)))
    for path in (folder / ".git/objects").glob("??/*"):
        path.chmod(0o644)
        path.write_bytes(b"garbage")


def _head(folder: Path) -> None:
    _with_tree(folder, _entry("100644", "good", _blob(folder)))
    (folder / ".git/HEAD").write_text("ref: refs/../../../../outside/secret\n")


REPOSITORIES = {
    "a tree with .. and .git": _dots,
    "a tree that climbs": _climbing,
    "a link and a file behind it": _links,
    "submodules": _modules,
    "modes of devices and of set-user files": _modes,
    "10 to the power of 12 files": _bomb,
    "10 to the power of 12 folders": _bomb_of_nothing,
    "400 folders deep in Git": _deep,
    "2 GB of zeros in Git": _zeros,
    "settings, filters and hooks that run programs": _settings,
    "alternates": _alternates,
    "garbage for objects": _damaged,
    "a HEAD that climbs": _head,
}


def problems_with_repository(name: str) -> Iterator[str]:
    """What is wrong when a run starts `--from` that repository."""
    with _place() as (base, outside):
        source = base / "source"
        source.mkdir()
        _git(source, "init", "-q", "-b", "main")
        REPOSITORIES[name](source)
        yield from _problems_with_source(source, base)
        yield from _outside_is_whole(outside)


# -- races -------------------------------------------------------------------------------------------------------------


def problems_with_race(kind: str, rounds: int) -> Iterator[str]:
    """What is wrong when what is looked at is changed into a link in the same moment.

    Args:
        kind: "source", while it is taken; or "harvest", while what a program left is read (none of it lives then, and
            it must hold all the same).
    """
    with _place() as (base, outside):
        folder = base / "folder"
        before = prepare(folder, {f"d{n}/secret": b"harmless" for n in range(20)})
        stop = threading.Event()

        def swap() -> None:
            number = 0
            while not stop.is_set():
                number = (number + 1) % 20
                here, aside = folder / f"d{number}", base / "aside"
                here.rename(aside)
                here.symlink_to(outside)
                here.unlink()
                aside.rename(here)

        swapping = threading.Thread(target=swap)
        swapping.start()
        try:
            for number in range(rounds):
                if kind == "harvest":
                    found = list(harvest(folder, {}, Limits()).written.values())
                else:
                    found = _taken(base / f"taken-{number}.git", folder)
                if any(SECRET.encode() in content for content in found):
                    yield f"{kind}: the secret was read in round {number + 1}"
                    break
        except MegaAgentError as error:
            yield f"{kind}: {error}"
        finally:
            stop.set()
            swapping.join()
        assert before
        yield from _outside_is_whole(outside)


def _taken(path: Path, source: Path) -> list[bytes]:
    try:
        workspace = Workspace.create(path, source, stamp=FIRST, durable=False)
    except ConfigurationError:
        return []  # a clear refusal is as good
    try:
        return [workspace.read_bytes(entry.path) for entry in workspace.list("**")]
    finally:
        workspace.close()


# Of many files or bytes; tried in the large form.
HEAVY = {"100,000 files", "20,000 folders", "many sparse files", "1,500 folders deep", "2 GB of zeros in Git"}


def cases(full: bool, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Everything above: what was tried, and what was wrong.

    Args:
        full: all in every way; otherwise a fourth of the names, and each tree in one way, by turns from the seed on.
    """
    for path in NAMES if full else NAMES[seed % 4 :: 4]:
        yield f"the path {ascii(path)[:60]}", list(problems_with_name(path))
    for first, second in TWINS:
        yield f"the twins {first!a} and {second!a}", list(problems_with_twins(first, second))
    sandbox = asyncio.run(best_sandbox())
    for number, name in enumerate(TREES):
        turn = (number + seed) % 3
        if not full and name in HEAVY:
            continue
        if full or turn == 0:
            yield f"left by a program: {name}", list(problems_with_tree_left(name, sandbox))
        if full or turn == 1:
            yield f"left, built here: {name}", list(problems_with_tree_left(name, None))
        if full or turn == 2:
            yield f"given as a source: {name}", list(problems_with_tree_given(name))
    for name in REPOSITORIES:
        if full or name not in HEAVY:
            yield f"given as a repository: {name}", list(problems_with_repository(name))
    for kind in ("source", "harvest"):
        yield f"a race for the {kind}", list(problems_with_race(kind, 200 if full else 20))
