"""Proves that a run is what its journal says: rows, states and files, with no model asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pygit2

from megaagent import events as ev
from megaagent.events import Revision, Struct
from megaagent.folder import RunFolder
from megaagent.journal import JournalReader, open_reader
from megaagent.organization.digest import StateDigest
from megaagent.organization.state import State


class Replay(Struct, frozen=True):
    """What was proven, and what does not hold.

    Attributes:
        records: facts that were read and are unchanged.
        digests_checked: states that were folded as the live engine had them.
        commits_checked: writes that are in the workspace's history as the journal has them.
    """

    records: int
    digests_checked: int
    commits_checked: int
    problems: tuple[str, ...] = ()


def replay(folder: RunFolder) -> Replay:
    """Fold a journal from nothing and hold it against the digests that the live engine wrote, and against Git.

    A journal with a bad row is not folded: what follows from it would prove nothing.

    Raises:
        RunError: there is no journal that can be opened.
    """
    reader = open_reader(folder.journal)
    try:
        found = reader.verify()
        if found.problem:
            return Replay(found.rows, 0, 0, (f"journal: {found.problem}",))
        states, wrong_states = _states(reader)
        files, wrong_files = check_files(reader, folder.workspace)
        return Replay(found.rows, states, files, (*wrong_states, *wrong_files))
    finally:
        reader.close()


# -- the state --------------------------------------------------------------------------------------------------------


def _states(reader: JournalReader) -> tuple[int, list[str]]:
    """How many of the digests are those of the state folded so far, and what is wrong with the others.

    A digest is written a few facts after the one that it is about, so they are gathered first.
    """
    wanted = {
        record.event.position: record.event.digest
        for record in reader.records(kinds=[ev.StateDigested])
        if isinstance(record.event, ev.StateDigested)
    }
    state = State()
    digest = StateDigest(state)
    right, wrong = 0, list[str]()
    for record in reader.records():
        try:
            state.apply(record)
        except (LookupError, AssertionError, ValueError) as error:
            wrong.append(f"fact {record.position} ({type(record.event).__name__}) cannot be folded: {error!r}")
            return right, wrong
        if record.position not in wanted:
            continue
        value = digest.value()
        if value == wanted[record.position]:
            right += 1
        else:
            wrong.append(f"the state after fact {record.position} is {value}, the run had {wanted[record.position]}")
    return right, wrong


# -- the files --------------------------------------------------------------------------------------------------------


def check_files(reader: JournalReader, path: Path) -> tuple[int, list[str]]:
    """How many of the writes are in the history as the journal has them, and what is wrong with the others."""
    try:
        repository = pygit2.Repository(str(path), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
        head = repository.head.target
        history = {str(commit.id) for commit in repository.walk(head)}
    except (pygit2.GitError, KeyError, ValueError) as error:
        return 0, [f"the workspace {path} cannot be read: {error}"]
    try:
        right, wrong = 0, list[str]()
        ending: ev.RunEnded | None = None
        for record in reader.records(kinds=[ev.FileCommitted, ev.RunEnded, ev.RunResumed]):
            match record.event:
                case ev.FileCommitted() as write:
                    problem = _problem_of(repository, history, write)
                    right += not problem
                    wrong += [f"fact {record.position}: {problem}"] if problem else []
                case ev.RunEnded():
                    ending = record.event
                case _:
                    ending = None
        wrong += _problem_of_head(str(head), ending)
        return right, wrong
    finally:
        repository.free()


def _problem_of(repository: pygit2.Repository, history: set[Revision], write: ev.FileCommitted) -> str:
    if write.revision not in history:
        return f"the commit {write.revision} of {write.path} is not in the workspace's history"
    try:
        data = _content(repository, write.revision, write.path)
    except (pygit2.GitError, KeyError, ValueError) as error:
        return f"{write.path} at {write.revision} cannot be read: {error}"
    digest = None if data is None else hashlib.sha256(data).hexdigest()
    if digest == write.digest:
        return ""
    there = "is absent" if digest is None else f"has the content {digest}"
    return f"{write.path} at {write.revision} {there}, the journal says {write.digest or 'removed'}"


def _content(repository: pygit2.Repository, revision: Revision, path: str) -> bytes | None:
    """A file's content in a commit, or None when it is not there."""
    place: pygit2.Object = repository[revision].peel(pygit2.Tree)
    for name in path.split("/"):
        if not isinstance(place, pygit2.Tree) or name not in place:
            return None
        place = place[name]
    return place.data if isinstance(place, pygit2.Blob) else None


def _problem_of_head(head: Revision, ending: ev.RunEnded | None) -> Iterator[str]:
    if ending is not None and ending.revision is not None and ending.revision != head:
        yield f"the workspace is at {head}, the run ended at {ending.revision}"
