"""Saves what can be saved of a damaged run: a new run of its longest consistent part, beside the old one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import closing
from itertools import takewhile
from pathlib import Path

import pygit2

from megaagent import events as ev
from megaagent.adoption import is_of_open_step
from megaagent.clock import Clock, WallClock
from megaagent.errors import RunError
from megaagent.events import BOSS, ENGINE, Fact, Revision, Struct
from megaagent.folder import RunFolder, new_folder
from megaagent.fork import FIRST, commits_in, title_of
from megaagent.journal import open_journal, open_reader
from megaagent.journal.homes import FOLDER, home_of, settle
from megaagent.journal.prefix import Prefix, copy_files, take_good, told_of
from megaagent.launch import nothing_left_behind
from megaagent.organization.state import State
from megaagent.past import read_past
from megaagent.proof import check_files
from megaagent.workspace import Stamp, Workspace
from megaagent.workspace.store import head_of, move_branch, open_repository


class Checked(Struct, frozen=True):
    """What a look at a run's journal found.

    Attributes:
        rows: that are good, from the first on.
        writes: that are in the workspace as the journal has them.
        problems: what is wrong; the first bad row first.
        ended: the last fact is the run's end.
    """

    rows: int
    writes: int = 0
    problems: tuple[str, ...] = ()
    ended: bool = False


class Repaired(Struct, frozen=True):
    """What was saved.

    Attributes:
        folder: of the new run.
        rows: that it has of the old one; `lost` is the number of those that it has not.
        problem: what is wrong with the old one.
        adopted: commits of steps that were answered but not recorded, which the resumed steps take over.
        dropped: commits that no saved fact speaks of; the old run keeps them.
    """

    folder: RunFolder
    rows: int
    lost: int
    problem: str
    adopted: tuple[Revision, ...] = ()
    dropped: tuple[Revision, ...] = ()


def check(folder: RunFolder) -> Checked:
    """Walk a run's journal and hold it against the workspace, of a run that is going on too.

    Raises:
        RunError: there is no journal that can be opened.
    """
    with closing(open_reader(folder.journal)) as reader:
        found = reader.verify()
        if found.problem:
            return Checked(found.rows, 0, (found.problem,))
        last = reader.record(reader.last())
        writes, wrong = check_files(reader, folder.workspace)
        return Checked(found.rows, writes, tuple(wrong), last is not None and isinstance(last.event, ev.RunEnded))


async def repair(folder: RunFolder, *, clock: Clock | None = None) -> Repaired:
    """Make a new run of what is consistent in a damaged one, which is only read; the new one can be resumed.

    It has the rows before the first that is bad, lacks a content or names a commit that the workspace has not, without
    a torn transaction at their end; and the shared files as those rows have them, with the commits of steps that were
    answered but not recorded.

    Raises:
        RunError: the run is going on, nothing is wrong with it, or nothing of it can be saved; nothing was made.
        ConfigurationError: its workspace cannot be read; nothing was made.
    """
    if not (folder.workspace / "HEAD").is_file():
        raise RunError(
            f"{folder.workspace} is gone, and repair does not make files anew: put it back from a copy of the run's "
            "folder; journal and report can still be read (megaagent show, logs, report)"
        )
    clock = clock or WallClock()
    new = new_folder(folder.path.parent, f"{title_of(folder)} repaired", clock.now())
    with nothing_left_behind(new):
        stamp = Stamp(BOSS, new.id, 0, 0, clock.now())
        with tempfile.TemporaryDirectory(dir=new.path) as scratch:
            copy = RunFolder(Path(scratch))
            copy_files(folder.journal, copy.path)
            Workspace.create(copy.workspace, folder.workspace, stamp=stamp).close()
            with told_of(folder.path, copy.path):
                found = check(copy)
            if not found.problems:
                raise RunError(
                    f"nothing is wrong with run {folder.id}: go on with megaagent resume, if it has not ended"
                )
            copy.workspace.rename(new.workspace)
            home = home_of(folder.journal)
            settle(new.path, home.address if home else FOLDER, new.id)  # beside the old one
            prefix = _take_rows(copy, new)
        if prefix.last < FIRST:
            raise RunError(f"nothing of run {folder.id} can be saved: {prefix.problem or found.problems[0]}")
        adopted, dropped = _move_to_newest(new, read_past(new).state)
        problem = prefix.problem or found.problems[0]
        journal = open_journal(new.journal, clock)
        try:
            lost = ev.RunRepaired(folder.id, prefix.bad, problem, prefix.lost, dropped)
            await journal.append([Fact(ENGINE, 0, lost)])
        finally:
            await journal.close()
        return Repaired(new, prefix.last, prefix.lost, problem, adopted, dropped)


def _take_rows(copy: RunFolder, new: RunFolder) -> Prefix:
    repository = open_repository(new.workspace)
    try:
        history = {str(commit.id) for commit in repository.walk(head_of(repository).id)}
    finally:
        repository.free()

    def refuse(event: ev.AnyEvent) -> str:
        if not isinstance(event, ev.FileCommitted | ev.RunStarted) or event.revision in (None, *history):
            return ""
        return f"the commit {event.revision} is not in the workspace's history"

    return take_good(copy.journal, new.journal, refuse)


def _move_to_newest(new: RunFolder, state: State) -> tuple[tuple[Revision, ...], tuple[Revision, ...]]:
    """Set the branch to the newest commit that the saved facts vouch for; what was adopted and what was dropped."""
    known = set(commits_in(new))
    repository = open_repository(new.workspace)
    try:
        head = head_of(repository)
        beyond = list(takewhile(lambda commit: str(commit.id) not in known, repository.walk(head.id)))[::-1]
        adopted = list(takewhile(lambda commit: is_of_open_step(commit, state), beyond))
        wanted = adopted[-1].id if adopted else beyond[0].parent_ids[0] if beyond else head.id
        if wanted != head.id:
            move_branch(repository, head.id, wanted, durable=True)
        return _names(adopted), _names(beyond[len(adopted) :])
    finally:
        repository.free()


def _names(commits: Iterable[pygit2.Commit]) -> tuple[Revision, ...]:
    return tuple(str(commit.id) for commit in commits)
