"""The bare repository beneath: opened without anybody's configuration, trees built, the branch moved.

libgit2 keeps some settings for the whole process. The first workspace that is opened empties its search paths for
system, global, XDG and ProgramData configuration (which are also where it looks for attributes and ignore rules of
the user), for the rest of the process: a host application that uses pygit2 beside MegaAgent and wants the user's Git
configuration has to set `pygit2.settings.search_path` again, and then shares it with our repositories. The check of
who owns a repository's folder is off only while one of ours, or the source that the operator named, is being opened.
libgit2 itself runs no hooks, signs nothing, and runs no filter commands; templates are not used.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias, cast

import pygit2
from pygit2.enums import ConfigLevel, FileMode, ObjectType, RepositoryInitFlag, RepositoryOpenFlag

from megaagent.errors import RunError, ToolError
from megaagent.events import Revision
from megaagent.workspace.paths import folded, is_clean

BRANCH = "refs/heads/main"
STALE = 10.0  # seconds after which a lock on the branch, which is held for milliseconds, is a dead process's
REGULAR = frozenset({FileMode.BLOB, FileMode.BLOB_EXECUTABLE})

Placed: TypeAlias = "tuple[pygit2.Oid, FileMode | None]"  # a blob and its mode; None keeps the mode that the path has
_Level: TypeAlias = "dict[str, Placed | _Level]"

# Not state of ours: it guards settings that libgit2 has once per process.
_SETTINGS = threading.Lock()


class BranchMovedError(Exception):
    """Somebody else moved the branch, or is about to."""


@contextmanager
def private_settings() -> Generator[None]:
    """libgit2 without the user's configuration, and not asking who owns the folder, while repositories are opened."""
    with _SETTINGS:
        for level in (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
            if pygit2.settings.search_path[level]:
                pygit2.settings.search_path[level] = ""
        validation = pygit2.settings.owner_validation
        pygit2.settings.owner_validation = False
        try:
            yield
        finally:
            pygit2.settings.owner_validation = validation


def create_repository(path: Path) -> pygit2.Repository:
    """Make a bare repository whose HEAD is the branch.

    Raises:
        RunError: there is something at `path` already, or the folder cannot be made.
    """
    if path.exists() or path.is_symlink():
        raise RunError(f"{path} exists already; open it, or choose another folder")
    flags = RepositoryInitFlag.BARE | RepositoryInitFlag.NO_REINIT | RepositoryInitFlag.MKPATH
    try:
        with private_settings():
            return pygit2.init_repository(str(path), flags=flags, initial_head="main")
    except (pygit2.GitError, OSError) as error:
        raise RunError(f"the workspace {path} cannot be created: {error}") from error


def open_repository(path: Path) -> pygit2.Repository:
    """A handle of its own on the bare repository.

    Raises:
        RunError: there is none at `path`, or it is damaged.
    """
    try:
        with private_settings():
            repo = pygit2.Repository(str(path), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)
        repo.lookup_reference(BRANCH)
    except (pygit2.GitError, KeyError, OSError, ValueError) as error:
        raise RunError(f"{path} is not a workspace that can be opened: {error}") from error
    return repo


def head_of(repo: pygit2.Repository) -> pygit2.Commit:
    """The commit at the tip of the branch."""
    return cast(pygit2.Commit, repo[repo.lookup_reference(BRANCH).target])


def commit_at(repo: pygit2.Repository, revision: Revision) -> pygit2.Commit:
    """The commit that a revision, or the first 7 or more digits of one, names.

    Raises:
        ToolError: there is no such commit.
    """
    if re.fullmatch("[0-9a-f]{7,40}", revision):
        with suppress(KeyError, ValueError):  # absent, or an ambiguous beginning
            found = repo[revision]
            if found.type == ObjectType.COMMIT:
                return cast(pygit2.Commit, found)
    raise ToolError(
        f"there is no revision {revision[:50]!r}. Read the file again and use the revision that comes with it."
    )


def find(tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    """What a tree holds at a path."""
    try:
        return tree[path]
    except KeyError:
        return None


def file_at(tree: pygit2.Tree, path: str) -> pygit2.Blob | None:
    """The regular file at a path, None if there is nothing.

    Raises:
        ToolError: it is a folder, a symbolic link or a submodule.
    """
    found = find(tree, path)
    if found is None:
        return None
    if isinstance(found, pygit2.Blob) and found.filemode in REGULAR:
        return found
    if isinstance(found, pygit2.Tree):
        raise ToolError(f"{path} is a folder. Name a file in it; list_files('{path}/') shows them.")
    raise ToolError(f"{path} is a symbolic link or a submodule, which agents do not use. Name a regular file.")


def files_of(tree: pygit2.Tree, folder: str = "") -> Iterator[tuple[str, pygit2.Blob]]:
    """All regular files below a tree whose names agents can use, in Git's order."""
    for entry in tree:
        path = f"{folder}{entry.name}"
        if isinstance(entry, pygit2.Tree):
            yield from files_of(entry, path + "/")
        elif isinstance(entry, pygit2.Blob) and entry.filemode in REGULAR and is_clean(path):
            yield path, entry


def size_of(repo: pygit2.Repository, blob: pygit2.Blob) -> int:
    """A file's size in bytes, without reading its content."""
    return repo.odb.read_header(blob.id)[1]


# -- trees ----------------------------------------------------------------------------------------------------------


def changed_tree(
    repo: pygit2.Repository,
    tree: pygit2.Tree | None,
    placed: Mapping[str, Placed],
    removed: Iterable[str] = (),
    twins: bool = False,
) -> tuple[pygit2.Oid, list[pygit2.Oid]]:
    """A tree with files removed, then others placed; also every tree object that was written for it.

    Args:
        twins: names that differ only in case or Unicode form may stand side by side.

    Raises:
        ToolError: a file would stand where a folder is or the other way round, or two names are twins.
    """
    written: list[pygit2.Oid] = []
    for path in removed:
        assert tree is not None, "nothing can be removed from nothing"
        tree = _without(repo, tree, path.split("/"), written)
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
    if tree is not None and not levels:
        return tree.id, written
    return _with(repo, tree, levels, "", written, twins), written


def _without(repo: pygit2.Repository, tree: pygit2.Tree, names: list[str], written: list[pygit2.Oid]) -> pygit2.Tree:
    builder = repo.TreeBuilder(tree)
    inner = _without(repo, cast(pygit2.Tree, tree[names[0]]), names[1:], written) if len(names) > 1 else None
    if inner is None or len(inner) == 0:
        builder.remove(names[0])  # Git knows no empty folders
    else:
        builder.insert(names[0], inner.id, FileMode.TREE)
    written.append(builder.write())
    return cast(pygit2.Tree, repo[written[-1]])


def _with(
    repo: pygit2.Repository,
    tree: pygit2.Tree | None,
    level: _Level,
    folder: str,
    written: list[pygit2.Oid],
    twins: bool,
) -> pygit2.Oid:
    builder = repo.TreeBuilder() if tree is None else repo.TreeBuilder(tree)
    there = {name: found for name in level if tree is not None and (found := find(tree, name)) is not None}
    if len(there) < len(level) and not twins:
        _refuse_twins(folder, [entry.name or "" for entry in tree or ()], [name for name in level if name not in there])
    for name, change in level.items():
        old = there.get(name)
        if isinstance(change, dict):
            if old is not None and not isinstance(old, pygit2.Tree):
                raise ToolError(f"{folder}{name} is a file, so nothing can be written below it. Choose another folder.")
            builder.insert(name, _with(repo, old, change, f"{folder}{name}/", written, twins), FileMode.TREE)
        else:
            blob, mode = change
            builder.insert(name, blob, mode or (FileMode(old.filemode) if old is not None else FileMode.BLOB))
    written.append(builder.write())
    return written[-1]


def _refuse_twins(folder: str, old: list[str], new: list[str]) -> None:
    names = {folded(name): name for name in old}
    for name in new:
        twin = names.setdefault(folded(name), name)
        if twin != name:
            raise ToolError(
                f"{folder}{name} differs from the existing {folder}{twin} only in upper and lower case or in the form "
                f"of its letters, which some computers cannot tell apart. Use {folder}{twin}, or another name."
            )


# -- the branch -----------------------------------------------------------------------------------------------------


def move_branch(repo: pygit2.Repository, old: pygit2.Oid | None, new: pygit2.Oid, durable: bool) -> None:
    """Compare-and-swap of the branch, by Git's own protocol of a lock file that becomes the branch.

    Done here and not by libgit2, which either leaves the file unsynced or syncs with the interpreter's lock held.

    Raises:
        BranchMovedError: it is no longer at `old`, or another process holds its lock.
    """
    branch = Path(repo.path) / BRANCH
    lock = branch.with_name(branch.name + ".lock")
    try:
        handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        _break_stale(lock)
        raise BranchMovedError(f"{lock} is held by another process") from None
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            if old is not None and repo.lookup_reference(BRANCH).target != old:
                raise BranchMovedError(f"{BRANCH} is no longer at {old}")
            file.write(f"{new}\n")
            file.flush()
            if durable:
                os.fsync(handle)
        lock.replace(branch)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise
    if durable:
        sync(branch.parent)


def _break_stale(lock: Path) -> None:
    """Remove the lock that a killed process left behind."""
    with suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > STALE:
            lock.unlink()


def sync_objects(repo: pygit2.Repository, ids: Iterable[pygit2.Oid]) -> None:
    """Make loose objects last through a power cut; those that are in a pack already do."""
    objects = Path(repo.path) / "objects"
    folders = {objects}
    for name in {str(oid) for oid in ids}:
        path = objects / name[:2] / name[2:]
        if path.exists():
            sync(path)
            folders.add(path.parent)
    for folder in folders:
        sync(folder)


def sync_all(folder: Path) -> None:
    """Make a whole folder last through a power cut."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    """fsync of a file or of a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
