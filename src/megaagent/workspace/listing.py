"""What files there are, told without reading again the folders that have not changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import pygit2

from megaagent.workspace.contract import FileEntry
from megaagent.workspace.paths import MAX_PATH, is_clean
from megaagent.workspace.store import size_of
from megaagent.workspace.trees import REGULAR

KEPT = 200_000  # names that are remembered


class _Listed(NamedTuple):
    """What stands in one folder, in Git's order: a name and a size, or a name and the folder's id."""

    entries: tuple[tuple[str, int | pygit2.Oid], ...]


class Listing:
    """The folders that were listed of late, by what they hold; for any thread."""

    def __init__(self) -> None:
        self._kept: dict[pygit2.Oid, _Listed] = {}
        self._names = 0

    def files(self, repo: pygit2.Repository, tree: pygit2.Oid) -> Iterator[FileEntry]:
        """All regular files below a tree whose names agents can use, in Git's order."""
        yield from self._below(repo, tree, "")

    def _below(self, repo: pygit2.Repository, tree: pygit2.Oid, prefix: str) -> Iterator[FileEntry]:
        for name, what in self._of(repo, tree).entries:
            path = prefix + name
            if isinstance(what, pygit2.Oid):
                yield from self._below(repo, what, path + "/")
            # What concerns the whole path and not one of its names: how it begins, and its length.
            elif (prefix and 4 * len(path) <= MAX_PATH and path[1] != ":") or is_clean(path):
                yield FileEntry(path, what)

    def _of(self, repo: pygit2.Repository, id: pygit2.Oid) -> _Listed:
        listed = self._kept.get(id)
        if listed is None:
            listed = self._kept[id] = _Listed(tuple(_entries(repo, cast(pygit2.Tree, repo[id]))))
            self._names += len(listed.entries) + 1
            if self._names > KEPT:
                # All at once, so that no lock is needed among threads: they would read again, and no more.
                self._kept, self._names = {id: listed}, len(listed.entries) + 1
        return listed


def _entries(repo: pygit2.Repository, tree: pygit2.Tree) -> Iterator[tuple[str, int | pygit2.Oid]]:
    for entry in tree:
        name = entry.name or ""
        if not is_clean(f"below/{name}"):
            continue
        if isinstance(entry, pygit2.Tree):
            yield name, entry.id
        elif isinstance(entry, pygit2.Blob) and entry.filemode in REGULAR:
            yield name, size_of(repo, entry)
