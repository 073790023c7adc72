"""What becomes of one write when others may have changed the file since the writer saw it."""

from __future__ import annotations

from collections.abc import Callable

import pygit2
from pygit2.enums import FileMode

from megaagent.errors import ToolError
from megaagent.events import Revision, Struct
from megaagent.workspace.contract import Conflict
from megaagent.workspace.trees import Id


class Settled(Struct, frozen=True):
    """What the file is to be: its content, None when it is to be gone."""

    content: bytes | None
    merged: bool = False


def text_of(data: bytes) -> str | None:
    """The text, or None when the bytes are none: binary is what holds a NUL or is not UTF-8."""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


class Sides(Struct, frozen=True):
    """Where a file stands when somebody writes it; an id is None where there is no file.

    Attributes:
        base: the revision that the writer saw, and `was` the file there.
        head: the newest revision, and `theirs` the file there.
    """

    base: Revision | None
    was: Id | None
    head: Revision
    theirs: Id | None


def settle(
    repo: pygit2.Repository, path: str, mine: bytes | None, sides: Sides, read: Callable[[Id], bytes]
) -> Settled | Conflict:
    """Three-way merge of one file, line by line: what the writer saw, what it wants, what is there now.

    Args:
        read: the content of a file by its id.

    Raises:
        ToolError: a file is to be removed that never was.
    """
    if mine is None and sides.theirs is None:
        if sides.was is None:
            raise ToolError(f"there is no file {path} to remove.")
        return Settled(None)
    if sides.was == sides.theirs or (mine is not None and pygit2.hash(mine).raw == sides.theirs):
        return Settled(mine)
    return _three_way(repo, path, mine, sides, read)


def _three_way(
    repo: pygit2.Repository, path: str, mine: bytes | None, sides: Sides, read: Callable[[Id], bytes]
) -> Settled | Conflict:
    was, theirs = (None if id is None else read(id) for id in (sides.was, sides.theirs))
    contents = (mine or b"", was or b"", theirs or b"")
    marked = ""
    if all(text_of(content) is not None for content in contents):
        # Against a removal nothing is merged; without a base the markers then show the whole text that is left.
        known = was is not None and mine is not None and theirs is not None
        clean, marked = merge_lines(repo, *contents, labels=("yours", f"at {sides.head[:12]}"), known=known)
        if clean and known:
            return Settled(marked.encode(), merged=True)
    return Conflict(
        path=path,
        base=sides.base,
        base_text=None if was is None else _shown(was),
        mine=_shown(mine or b""),
        theirs=_shown(contents[2]),
        theirs_revision=sides.head,
        marked=marked,
    )


def merge_lines(
    repo: pygit2.Repository, mine: bytes, base: bytes, theirs: bytes, labels: tuple[str, str], known: bool = True
) -> tuple[bool, str]:
    """libgit2's merge of three texts: whether it is clean, and the result, with conflict markers where it is not.

    Args:
        labels: what the markers call mine and theirs; libgit2 leaves out that of an empty text.
        known: there is a common base; without one everything that differs is a conflict.
    """
    if known and base in (mine, theirs):
        return True, (theirs if mine == base else mine).decode()
    # libgit2 merges index entries; their paths serve as the labels of the markers and as nothing else.
    ancestor, ours, others = (
        pygit2.IndexEntry(label, repo.create_blob(data), FileMode.BLOB)
        for label, data in (("base", base), (labels[0], mine), (labels[1], theirs))
    )
    result = repo.merge_file_from_index(ancestor if known else None, ours, others)
    return result.automergeable, result.contents


def _shown(data: bytes) -> str:
    text = text_of(data)
    return f"[binary, {len(data)} bytes]" if text is None else text
