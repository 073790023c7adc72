"""The values that the workspace takes and gives."""

from __future__ import annotations

from collections.abc import Mapping

from megaagent.events import AgentId, Revision, Struct


class WorkspaceLimits(Struct, frozen=True):
    """How much a workspace takes in.

    Attributes:
        file_bytes: the largest file that may be written, read as text, or taken from a source folder.
        source_bytes: all files together that may be taken from a source folder.
        source_files: how many files may be taken from a source folder.
    """

    file_bytes: int = 10_000_000
    source_bytes: int = 1 << 30
    source_files: int = 100_000


class Stamp(Struct, frozen=True):
    """Who writes, and in which call of which step: it becomes the author and the trailers of a commit.

    Attributes:
        call: index of the tool call within the step.
        time: seconds since 1970, of the run's clock.
    """

    agent: AgentId
    run: str
    step: int
    call: int
    time: float


class Write(Struct, frozen=True):
    """What one call wants to be committed.

    Attributes:
        changes: what files are to hold, by path; None removes a file.
        base: the revision at which the writer last saw them, None if it never did.
    """

    changes: Mapping[str, bytes | None]
    base: Revision | None
    stamp: Stamp


class FileText(Struct, frozen=True):
    """A text file and the revision it was read at."""

    path: str
    text: str
    revision: Revision


class FileEntry(Struct, frozen=True):
    """A file's name and its size in bytes."""

    path: str
    size: int


class Hit(Struct, frozen=True):
    """A line that contains what was searched for; lines count from 1, long ones are cut around the find."""

    path: str
    line: int
    text: str


class Committed(Struct, frozen=True):
    """A write that is on the branch.

    Attributes:
        revision: the commit that holds it; the head as it was when nothing had to change.
        digest: SHA-256 of the content now stored, in hex; None when the file is gone.
        size: bytes of that content.
        merged: changes of others to the same file were merged in, so the content is not what was given.
    """

    revision: Revision
    digest: str | None
    size: int
    merged: bool


class Conflict(Struct, frozen=True):
    """A write that could not be merged; nothing was changed.

    A text is empty where the file did not exist or was to be removed, and says so in brackets when it is binary.

    Attributes:
        base: the revision that the writer last saw.
        base_text: the file there, None if it did not exist.
        theirs_revision: where `theirs` was read; a new write with this as its base settles the conflict.
        marked: both texts in one, with Git's conflict markers; empty when one of them is binary.
    """

    path: str
    base: Revision | None
    base_text: str | None
    mine: str
    theirs: str
    theirs_revision: Revision
    marked: str


class Done(Struct, frozen=True):
    """What became of a `Write`: everything that merges is in one commit."""

    committed: tuple[tuple[str, Committed], ...] = ()
    conflicts: tuple[Conflict, ...] = ()


class LogEntry(Struct, frozen=True):
    """One commit.

    Attributes:
        agent: None when no agent made it, such as the history of the repository that the run started from.
        author: name of the author.
        step: 0 when no agent made it.
        time: seconds since 1970.
    """

    revision: Revision
    agent: AgentId | None
    author: str
    step: int
    time: float
    subject: str


class BlameLine(Struct, frozen=True):
    """One line of a file and who last wrote it; `agent` and `author` as in `LogEntry`."""

    line: int
    agent: AgentId | None
    author: str
    revision: Revision
    text: str
