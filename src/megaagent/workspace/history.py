"""Readings of the branch: who wrote what, when, and in which step."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import cast

import pygit2
from pygit2.enums import DeltaStatus, DiffOption

from megaagent.errors import ToolError
from megaagent.events import AgentId, Revision
from megaagent.workspace import stamps
from megaagent.workspace.contract import BlameLine, Committed, LogEntry, Stamp
from megaagent.workspace.merge import text_of
from megaagent.workspace.store import file_at, find, head_of


def log(repo: pygit2.Repository, path: str | None, limit: int) -> list[LogEntry]:
    """The newest commits first; with a path, those that changed what is there."""
    entries: list[LogEntry] = []
    for commit in repo.walk(head_of(repo).id):
        if len(entries) >= limit:
            break
        if path is None or _changed(commit, path):
            entries.append(_entry(commit))
    return entries


def _changed(commit: pygit2.Commit, path: str) -> bool:
    """Whether a commit differs from all its parents at a path."""
    here = _id_at(commit, path)
    return all(_id_at(parent, path) != here for parent in commit.parents) if commit.parents else here is not None


def _id_at(commit: pygit2.Commit, path: str) -> pygit2.Oid | None:
    found = find(commit.tree, path)
    return found and found.id


def _entry(commit: pygit2.Commit) -> LogEntry:
    agent, step = _writer(commit)
    return LogEntry(
        revision=str(commit.id),
        agent=agent,
        author=commit.author.name,
        step=step,
        time=float(commit.author.time),
        subject=commit.message.partition("\n")[0],
    )


def _writer(commit: pygit2.Commit) -> tuple[AgentId | None, int]:
    found = stamps.trailers(commit.message)
    step = found.get(stamps.STEP, ["0"])[0]
    return found.get(stamps.AGENT, [None])[0], int(step) if step.isdecimal() else 0


def blame(repo: pygit2.Repository, path: str, commit: pygit2.Commit) -> list[BlameLine]:
    """Each line of a text file with the commit that it came with.

    Raises:
        ToolError: there is no such text file.
    """
    file = file_at(commit.tree, path)
    text = None if file is None else text_of(file.data)
    if text is None:
        raise ToolError(f"there is no text file {path} at {str(commit.id)[:12]}.")
    lines = text.removesuffix("\n").split("\n") if text else []
    blamed: list[BlameLine] = []
    writers: dict[Revision, tuple[AgentId | None, str]] = {}
    for hunk in repo.blame(path, newest_commit=commit.id):
        revision = str(hunk.final_commit_id)
        if revision not in writers:
            origin = cast(pygit2.Commit, repo[hunk.final_commit_id])
            writers[revision] = _writer(origin)[0], origin.author.name
        agent, author = writers[revision]
        first = hunk.final_start_line_number
        for number in range(first, first + hunk.lines_in_hunk):
            blamed.append(BlameLine(number, agent, author, revision, lines[number - 1]))
    return blamed


class Stamped:
    """Which commits carry which run, agent, step and call; the history is read once, then only what is new of it."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._commits: dict[tuple[str, ...], list[Revision]] = {}  # newest first
        self._read_to: pygit2.Oid | None = None

    def adopted(self, repo: pygit2.Repository, stamp: Stamp) -> dict[str, Committed]:
        """What commits that carry exactly this stamp's run, agent, step and call did, by path."""
        with self._reading:
            self._read_on(repo)
            revisions = self._commits.get(stamps.key(stamp), [])
        found: dict[str, Committed] = {}
        for revision in revisions:
            # Newest first: what a later commit of the same call did to a path stands.
            found = done_in(cast(pygit2.Commit, repo[revision])) | found
        return found

    def _read_on(self, repo: pygit2.Repository) -> None:
        head = head_of(repo).id
        if head == self._read_to:
            return
        walk = repo.walk(head)
        if self._read_to is not None:
            walk.hide(self._read_to)
        fresh: dict[tuple[str, ...], list[Revision]] = {}
        for commit in walk:
            if commit.parents and (carried := stamps.key_of(stamps.trailers(commit.message))):
                fresh.setdefault(carried, []).append(str(commit.id))
        for carried, revisions in fresh.items():
            self._commits[carried] = revisions + self._commits.get(carried, [])
        self._read_to = head


def done_in(commit: pygit2.Commit) -> dict[str, Committed]:
    """What one commit did, by path."""
    return dict(_done(commit, set(stamps.trailers(commit.message).get(stamps.MERGED, ()))))


def _done(commit: pygit2.Commit, merged: set[str]) -> Iterator[tuple[str, Committed]]:
    revision = str(commit.id)
    for delta in commit.parents[0].tree.diff_to_tree(commit.tree).deltas:
        path = delta.new_file.path
        if delta.status == DeltaStatus.DELETED:
            yield path, Committed(revision, None, 0, merged=False)
        elif (file := file_at(commit.tree, path)) is not None:
            data = file.data
            yield path, Committed(revision, hashlib.sha256(data).hexdigest(), len(data), path in merged)


def diff(old: pygit2.Commit, new: pygit2.Commit) -> str:
    """A unified patch that `git apply` takes; files that are not UTF-8 text as Git's binary patches."""
    shown = old.tree.diff_to_tree(new.tree, flags=DiffOption.SHOW_BINARY)
    binary = old.tree.diff_to_tree(new.tree, flags=DiffOption.SHOW_BINARY | DiffOption.FORCE_BINARY)
    parts: list[str] = []
    for index in range(len(shown)):  # both hold the same files in the same order
        patch = shown[index]
        text = None if patch is None else text_of(patch.data)
        if text is None:
            forced = binary[index]
            text = "" if forced is None else forced.data.decode()
        parts.append(text)
    return "".join(parts)
