"""The bare repository beneath: opened without anybody's configuration, read, its branch moved.

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
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import pygit2
from pygit2.enums import ConfigLevel, ObjectType, RepositoryInitFlag, RepositoryOpenFlag

from megaagent.errors import RunError
from megaagent.events import Revision
from megaagent.workspace.packs import sync
from megaagent.workspace.paths import is_clean
from megaagent.workspace.steady import UnknownRevisionError
from megaagent.workspace.trees import REGULAR, require_file

BRANCH = "refs/heads/main"
STALE = 10.0  # seconds after which a lock on the branch, which is held for milliseconds, is a dead process's

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
        UnknownRevisionError: there is no such commit.
    """
    if re.fullmatch("[0-9a-f]{7,40}", revision):
        with suppress(KeyError, ValueError):  # absent, or an ambiguous beginning
            found = repo[revision]
            if found.type == ObjectType.COMMIT:
                return cast(pygit2.Commit, found)
    raise UnknownRevisionError(
        f"there is no revision {revision[:50]!r}. Read the file again and use the revision that comes with it."
    )


def find(tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    """What a tree holds at a path."""
    found: pygit2.Object = tree
    for name in path.split("/"):
        if not isinstance(found, pygit2.Tree):
            return None
        len(found)  # reads it: if it is the folder that cannot be found, that is an error and no answer
        if name not in found:
            return None
        found = found[name]
    return found


def file_at(tree: pygit2.Tree, path: str) -> pygit2.Blob | None:
    """The regular file at a path, None if there is nothing.

    Raises:
        ToolError: it is a folder, a symbolic link or a submodule.
    """
    found = find(tree, path)
    if found is None:
        return None
    require_file(path, found.filemode)
    return cast(pygit2.Blob, found)


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


# -- the branch -----------------------------------------------------------------------------------------------------


def move_branch(repo: pygit2.Repository, old: pygit2.Oid | None, new: pygit2.Oid, durable: bool) -> None:
    """Compare-and-swap of the branch, by Git's own protocol of a lock file that becomes the branch.

    Done here and not by libgit2, which either leaves the file unsynced or syncs with the interpreter's lock held.

    Raises:
        BranchMovedError: it is no longer at `old`, or another process holds its lock.
        RunError: the lock was taken from this process, which stood still for long.
    """
    branch = Path(repo.path) / BRANCH
    lock = branch.with_name(branch.name + ".lock")
    try:
        handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        _break_stale(lock)
        raise BranchMovedError(f"{lock} is held by another process") from None
    ours = os.fstat(handle)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            if old is not None and repo.lookup_reference(BRANCH).target != old:
                raise BranchMovedError(f"{BRANCH} is no longer at {old}")
            file.write(f"{new}\n")
            file.flush()
            if durable:
                os.fsync(handle)
        if not _is_at(lock, ours):
            raise RunError(f"{lock} was taken from this engine: another one works on the run")
        lock.replace(branch)
    except BaseException:
        if _is_at(lock, ours):
            lock.unlink(missing_ok=True)
        raise
    if durable:
        sync(branch.parent)


def _is_at(path: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), file)
    except FileNotFoundError:
        return False


def _break_stale(lock: Path) -> None:
    """Remove the lock that a killed process left behind."""
    with suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > STALE:
            lock.unlink()


def sync_all(folder: Path) -> None:
    """Make a whole folder last through a power cut."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(folder)
    sync(folder.parent)
