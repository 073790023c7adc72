"""What becomes of one write when others may have changed the file since the writer saw it."""

from __future__ import annotations

import pygit2
from pygit2.enums import FileMode

from megaagent.errors import ToolError
from megaagent.events import Revision, Struct
from megaagent.workspace.contract import Conflict
from megaagent.workspace.store import file_at


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


def settle(
    repo: pygit2.Repository, path: str, mine: bytes | None, base: pygit2.Commit | None, head: pygit2.Commit
) -> Settled | Conflict:
    """Three-way merge of one file, line by line: what the writer saw at `base`, what it wants, what is at `head`.

    Raises:
        ToolError: a file is to be removed that never was, or the path is a folder or a symbolic link.
    """
    theirs = file_at(head.tree, path)
    was = None if base is None else file_at(base.tree, path)
    if mine is None and theirs is None:
        if was is None:
            raise ToolError(f"there is no file {path} to remove.")
        return Settled(None)
    if mine is not None and theirs is not None and pygit2.hash(mine) == theirs.id:
        return Settled(mine)
    if (was and was.id) == (theirs and theirs.id):
        return Settled(mine)
    return _three_way(repo, path, mine, was, theirs, None if base is None else str(base.id), str(head.id))


def _three_way(
    repo: pygit2.Repository,
    path: str,
    mine: bytes | None,
    was: pygit2.Blob | None,
    theirs: pygit2.Blob | None,
    base: Revision | None,
    head: Revision,
) -> Settled | Conflict:
    contents = (mine or b"", was.data if was else b"", theirs.data if theirs else b"")
    marked = ""
    if all(text_of(content) is not None for content in contents):
        # Against a removal nothing is merged; without a base the markers then show the whole text that is left.
        known = was is not None and mine is not None and theirs is not None
        clean, marked = merge_lines(repo, *contents, labels=("yours", f"at {head[:12]}"), known=known)
        if clean and known:
            return Settled(marked.encode(), merged=True)
    return Conflict(
        path=path,
        base=base,
        base_text=None if was is None else _shown(was.data),
        mine=_shown(mine or b""),
        theirs=_shown(contents[2]),
        theirs_revision=head,
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
