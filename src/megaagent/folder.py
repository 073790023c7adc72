"""A run's folder: its name, what lies where in it, and how runs are found.

RUNS/                  "megaagent-runs" in the current folder, or $MEGAAGENT_RUNS
  20261121-0931-gobang-3f9c/
    journal.db         the run; or journal.toml: the database where it is
    workspace.git      the shared files, a bare repository
    deliverable/       the result as plain files
    report.md          what was done, for people
    report.html        the same as a page; by megaagent report
    control.sock       where a running engine listens (mode 0600)
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from megaagent.errors import ConfigurationError, RunError
from megaagent.events import Struct

JOURNAL = "journal.db"
ADDRESS = "journal.toml"  # in its place: says in which database the journal is
IGNORE = ".gitignore"
EVERYTHING = "*\n"  # what a folder of runs made inside somebody's repository asks Git to leave out


class RunFolder(Struct, frozen=True):
    """The places in a run's folder."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        """The file by which the journal is opened: the journal, or the address of its database."""
        address = self.path / ADDRESS
        return address if address.exists() else self.path / JOURNAL

    @property
    def workspace(self) -> Path:
        return self.path / "workspace.git"

    @property
    def deliverable(self) -> Path:
        return self.path / "deliverable"

    @property
    def report(self) -> Path:
        return self.path / "report.md"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    @property
    def socket(self) -> Path:
        return self.path / "control.sock"


def runs_folder(given: Path | None, environ: Mapping[str, str]) -> Path:
    """Where runs are kept."""
    return given or Path(environ.get("MEGAAGENT_RUNS") or "megaagent-runs")


def new_folder(runs: Path, title: str, now: float) -> RunFolder:
    """Make the folder of a new run; never one that is there already.

    Args:
        title: a scenario's name or the goal, for the folder's name.
        now: seconds since 1970.

    Raises:
        ConfigurationError: it cannot be made.
    """
    words = re.findall(r"[a-z0-9]+", title.lower())
    slug = "-".join(words)[:32].strip("-") or "run"
    stamp = datetime.fromtimestamp(now).astimezone().strftime("%Y%m%d-%H%M%S")
    path = runs.absolute() / f"{stamp}-{slug}-{secrets.token_hex(2)}"
    try:
        fresh = not runs.exists()
        runs.mkdir(parents=True, exist_ok=True)
        if fresh:  # a folder that somebody has made may be a repository, whose files must not be hidden
            (runs / IGNORE).write_text(EVERYTHING)
        path.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make a run's folder in {runs}: {error.strerror}. "
            "Choose another place with --runs or MEGAAGENT_RUNS."
        ) from error
    return RunFolder(path)


def forget_runs(runs: Path) -> None:
    """Remove a folder of runs that holds nothing but what `new_folder` has put there."""
    ignore = runs / IGNORE
    if [path.name for path in runs.iterdir()] == [IGNORE] and ignore.read_text() == EVERYTHING:
        ignore.unlink()
        runs.rmdir()


def find_run(runs: Path, name: str | None) -> RunFolder:
    """The run of that name (or path, or beginning of a name); the latest when none is named.

    Raises:
        RunError: there is none, or the name fits several.
    """
    if name is not None and "/" in name:
        return _checked(Path(name).absolute(), name)
    there = sorted(path for path in _children(runs) if is_run(path))
    names = [path.name for path in there]
    if name is not None and not _fitting(names, name) and is_run(Path(name)):
        return RunFolder(Path(name).absolute())
    return RunFolder((runs / pick(names, name, str(runs))).absolute())


def pick(names: Sequence[str], name: str | None, where: str) -> str:
    """The run that a person means by a name, its beginning or a part of it; the last when none is named.

    Args:
        names: of the runs that there are, in order.
        where: they are, for errors.

    Raises:
        RunError: there is none, or the name fits several.
    """
    if name is None:
        if not names:
            raise RunError(f"there is no run in {where} yet; start one with: megaagent run GOAL")
        return names[-1]
    fitting = _fitting(names, name)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RunError(f"{name!r} fits {len(fitting)} runs: {', '.join(fitting[:5])}; say more of it")
    near = get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise RunError(f"there is no run {name!r} in {where}{hint}")


def _fitting(names: Sequence[str], name: str) -> list[str]:
    fitting = [each for each in names if each == name] or [each for each in names if each.startswith(name)]
    return fitting or [each for each in names if name in each]


def all_runs(runs: Path) -> list[RunFolder]:
    """Every run in the folder, oldest first."""
    return [RunFolder(path.absolute()) for path in sorted(_children(runs)) if is_run(path)]


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run."""
    return (path / JOURNAL).exists() or (path / ADDRESS).exists()


def _children(runs: Path) -> list[Path]:
    return [path for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []


def _checked(path: Path, name: str) -> RunFolder:
    if not is_run(path):
        raise RunError(f"{name} is not a run's folder: it has no {JOURNAL}")
    return RunFolder(path)
