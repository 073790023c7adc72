"""Folders as Git stores them, changed in memory: only those along a written path are made anew.

libgit2's own builder reads and sorts a whole folder for every change, holds the interpreter's lock meanwhile, and
keeps no large one in its cache.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha1
from typing import TypeAlias

from pygit2.enums import FileMode

from megaagent.errors import ToolError
from megaagent.workspace.paths import folded

Id: TypeAlias = bytes  # the 20 bytes of an object's name
Placed: TypeAlias = "tuple[Id, FileMode | None]"  # a blob and its mode; None keeps the mode that the path has
_Level: TypeAlias = "dict[str, Placed | _Level]"

KEPT = 200_000  # entries of folders that are remembered
REGULAR = frozenset({FileMode.BLOB, FileMode.BLOB_EXECUTABLE})


class Folder:
    """One tree object; never changed, a change gives another.

    Args:
        keys: the names in Git's order, in which that of a folder ends with a slash.
        entries: each as Git writes it: mode, name, and the object's 20 bytes.
    """

    __slots__ = ("_names", "data", "entries", "id", "keys")

    def __init__(self, keys: list[bytes], entries: list[bytes]):
        self.keys = keys
        self.entries = entries
        self.data = b"".join(entries)
        self.id: Id = sha1(b"tree %d\0" % len(self.data) + self.data, usedforsecurity=False).digest()
        self._names: dict[str, str] | None = None

    def get(self, name: str) -> tuple[FileMode, Id] | None:
        """What stands under a name."""
        place = self._place(name.encode())
        if place is None:
            return None
        entry = self.entries[place]
        return FileMode(int(entry[: entry.index(b" ")], 8)), entry[-20:]

    def placed(self, name: str, mode: FileMode, id: Id) -> Folder:
        """With something under a name, which may be taken."""
        raw = name.encode()
        keys, entries = list(self.keys), list(self.entries)
        old = self._place(raw)
        key = raw + b"/" if mode == FileMode.TREE else raw
        if old is not None and keys[old] != key:
            del keys[old], entries[old]
            old = None
        entry = b"%o %s\0%s" % (mode, raw, id)
        if old is None:
            at = bisect_left(keys, key)
            keys.insert(at, key)
            entries.insert(at, entry)
        else:
            entries[old] = entry
        return self._next(keys, entries, name)

    def without(self, name: str) -> Folder:
        """Without what stands under a name."""
        place = self._place(name.encode())
        assert place is not None, f"{name} cannot be removed from where it is not"
        keys, entries = list(self.keys), list(self.entries)
        del keys[place], entries[place]
        return Folder(keys, entries)

    def twin(self, name: str) -> str:
        """The name that is there already and that some file systems cannot tell from `name`; else `name` itself."""
        if self._names is None:
            self._names = {folded(there): there for there in map(_decoded, self.keys)}
        return self._names.get(folded(name), name)

    def _next(self, keys: list[bytes], entries: list[bytes], name: str) -> Folder:
        after = Folder(keys, entries)
        if self._names is not None:
            # Handed on, because the next name is looked up in the next version; this one would look again.
            after._names, self._names = self._names, None
            after._names.setdefault(folded(name), name)
        return after

    def _place(self, name: bytes) -> int | None:
        for key in (name, name + b"/"):
            at = bisect_left(self.keys, key)
            if at < len(self.keys) and self.keys[at] == key:
                return at
        return None


def _decoded(key: bytes) -> str:
    return key.removesuffix(b"/").decode(errors="surrogateescape")


def parsed(data: bytes) -> Folder:
    """The folder that a tree object's bytes are."""
    keys: list[bytes] = []
    entries: list[bytes] = []
    start = 0
    while start < len(data):
        space = data.index(b" ", start)
        end = data.index(b"\0", space)
        name = data[space + 1 : end]
        keys.append(name + b"/" if int(data[start:space], 8) == FileMode.TREE else name)
        entries.append(data[start : end + 21])
        start = end + 21
    return Folder(keys, entries)


class Folders:
    """The folders that were used of late, so that a write reads none of them again.

    Args:
        read: the bytes of a tree object.
    """

    def __init__(self, read: Callable[[Id], bytes]):
        self._read = read
        self._kept: OrderedDict[Id, Folder] = OrderedDict()
        self._entries = 0

    def get(self, id: Id) -> Folder:
        folder = self._kept.get(id)
        if folder is None:
            folder = parsed(self._read(id))
            self.keep(folder)
        else:
            self._kept.move_to_end(id)
        return folder

    def keep(self, folder: Folder) -> None:
        """Remember a folder, and forget those that were not used for longest."""
        if folder.id in self._kept:
            return
        self._kept[folder.id] = folder
        self._entries += len(folder.entries) + 1
        while self._entries > KEPT and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._entries -= len(gone.entries) + 1

    def at(self, root: Id, path: str) -> tuple[FileMode, Id] | None:
        """What stands at a path below a folder."""
        *folders, name = path.split("/")
        current = root
        for folder in folders:
            found = self.get(current).get(folder)
            if found is None or found[0] != FileMode.TREE:
                return None
            current = found[1]
        return self.get(current).get(name)

    def file_at(self, root: Id, path: str) -> Id | None:
        """The regular file at a path, None if there is nothing.

        Raises:
            ToolError: it is a folder, a symbolic link or a submodule.
        """
        found = self.at(root, path)
        if found is None:
            return None
        require_file(path, found[0])
        return found[1]

    def changed(
        self, root: Id | None, placed: Mapping[str, Placed], removed: Iterable[str] = (), *, twins: bool = False
    ) -> tuple[Folder, dict[str, Folder]]:
        """A folder with files removed, then others placed; also every folder that is new, by its path.

        Args:
            twins: names that differ only in case or Unicode form may stand side by side.

        Raises:
            ToolError: a file would stand where a folder is or the other way round, or two names are twins.
        """
        fresh: dict[str, Folder] = {}
        folder = Folder([], []) if root is None else self.get(root)
        for path in removed:
            folder = self._without(folder, path.split("/"), "", fresh)
        if placed or root is None:
            folder = self._with(folder, _levels(placed), "", fresh, twins)
        return folder, fresh

    def _inner(self, prefix: str, id: Id, fresh: Mapping[str, Folder]) -> Folder:
        """A folder that this change may have made anew already."""
        made = fresh.get(prefix)
        return made if made is not None and made.id == id else self.get(id)

    def _without(self, folder: Folder, names: list[str], prefix: str, fresh: dict[str, Folder]) -> Folder:
        name, *rest = names
        if rest:
            found = folder.get(name)
            assert found is not None, f"there is no folder {prefix}{name}"
            below = f"{prefix}{name}/"
            inner = self._without(self._inner(below, found[1], fresh), rest, below, fresh)
        else:
            inner = None
        if inner is None or not inner.entries:
            after = folder.without(name)  # Git knows no empty folders
        else:
            after = folder.placed(name, FileMode.TREE, inner.id)
        fresh[prefix] = after
        return after

    def _with(self, folder: Folder, level: _Level, prefix: str, fresh: dict[str, Folder], twins: bool) -> Folder:
        for name, change in level.items():
            old = folder.get(name)
            if old is None and not twins and (twin := folder.twin(name)) != name:
                raise ToolError(
                    f"{prefix}{name} differs from the existing {prefix}{twin} only in upper and lower case or in the "
                    f"form of its letters, which some computers cannot tell apart. Use {prefix}{twin}, or another name."
                )
            if not isinstance(change, dict):
                id, mode = change
                folder = folder.placed(name, mode or (old[0] if old else FileMode.BLOB), id)
                continue
            if old is not None and old[0] != FileMode.TREE:
                raise ToolError(f"{prefix}{name} is a file, so nothing can be written below it. Choose another folder.")
            below = f"{prefix}{name}/"
            inner = Folder([], []) if old is None else self._inner(below, old[1], fresh)
            folder = folder.placed(name, FileMode.TREE, self._with(inner, change, below, fresh, twins).id)
        fresh[prefix] = folder
        return folder


def _levels(placed: Mapping[str, Placed]) -> _Level:
    """What is to be placed, folder by folder.

    Raises:
        ToolError: a path is given both as a file and as a folder.
    """
    levels: _Level = {}
    for path, blob in placed.items():
        *folders, name = path.split("/")
        level = levels
        for folder in folders:
            inner = level.setdefault(folder, {})
            if not isinstance(inner, dict):
                raise ToolError(f"{path} and its folder {folder} are both given as files. Rename one of them.")
            level = inner
        if isinstance(level.setdefault(name, blob), dict):
            raise ToolError(f"{path} is given both as a file and as a folder. Rename one of them.")
    return levels


def require_file(path: str, mode: int) -> None:
    """
    Raises:
        ToolError: the mode is that of a folder, a symbolic link or a submodule.
    """
    if mode == FileMode.TREE:
        raise ToolError(f"{path} is a folder. Name a file in it; list_files('{path}/') shows them.")
    if mode not in REGULAR:
        raise ToolError(f"{path} is a symbolic link or a submodule, which agents do not use. Name a regular file.")
