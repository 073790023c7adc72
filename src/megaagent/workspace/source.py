"""Where a workspace starts from: an existing repository, or a plain folder. Neither is written to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pygit2
from pygit2.enums import FileMode, FileStatus, RepositoryOpenFlag

from megaagent.errors import ConfigurationError, ToolError
from megaagent.workspace import stamps
from megaagent.workspace.batch import commit_bytes
from megaagent.workspace.contract import Stamp, WorkspaceLimits
from megaagent.workspace.packs import BLOB, COMMIT, Pack
from megaagent.workspace.paths import MAX_PATH, clean_path
from megaagent.workspace.store import BRANCH, move_branch, private_settings, size_of
from megaagent.workspace.trees import Folders, Id, Placed

LARGEST_PACK = 64 << 20  # bytes that are held in memory before they are written
DEEPEST = 128  # folders in each other that are taken


def repository_at(source: Path) -> pygit2.Repository | None:
    """The repository whose root `source` is, None for a plain folder or a repository without any commit.

    Raises:
        ConfigurationError: it cannot be read, or is no folder.
    """
    if not source.is_dir():
        raise ConfigurationError(f"{source} is not a folder; give an existing Git repository or a folder")
    bare = (source / "HEAD").is_file() and (source / "objects").is_dir()
    if not bare and not (source / ".git").exists():
        return None
    try:
        with private_settings():
            repo = pygit2.Repository(str(source), RepositoryOpenFlag.NO_SEARCH)
        if repo.is_shallow:
            raise ConfigurationError(f"{source} is a shallow clone; complete it with `git fetch --unshallow`")
        return None if repo.head_is_unborn else repo
    except pygit2.GitError as error:
        raise ConfigurationError(
            f"the repository {source} cannot be read: {error}. Give a copy of its files without .git instead"
        ) from error


def is_dirty(source: pygit2.Repository) -> bool:
    """Whether the work tree holds anything that its HEAD does not, files that it ignores aside."""
    return not source.is_bare and any(
        status not in (FileStatus.CURRENT, FileStatus.IGNORED) for status in source.status("normal").values()
    )


def take_history(repo: pygit2.Repository, source: Path) -> None:
    """Copy the source's HEAD with its history into `repo`, as the branch.

    Raises:
        ConfigurationError: its objects cannot be read.
    """
    try:
        with private_settings():
            repo.remotes.create_anonymous(str(source.resolve())).fetch([f"+HEAD:{BRANCH}"])
    except (pygit2.GitError, OSError, KeyError, ValueError) as error:
        raise ConfigurationError(f"the history of {source} cannot be copied: {error}; try `git fsck` there") from error
    (Path(repo.path) / "FETCH_HEAD").unlink(missing_ok=True)  # it names the user's folder


def begin(repo: pygit2.Repository, source: Path | None, stamp: Stamp, limits: WorkspaceLimits) -> tuple[str, ...]:
    """Make the first commit, empty or of a folder's files; says what was left out, each with its reason.

    Raises:
        ConfigurationError: the files are more than the limits allow.
    """
    store = _Store(Path(repo.path) / "objects")
    placed, left_out = ({}, []) if source is None else take_files(store.add, source, limits)
    root, fresh = Folders(lambda id: repo[pygit2.Oid(raw=id)].read_raw()).changed(None, placed, twins=True)
    subject = "Start empty" if source is None else f"Start from a folder of {len(placed)} files"
    text = stamps.message(subject, stamp)
    for path, folder in fresh.items():
        store.pack.add_folder(path, folder)
    first = store.pack.add(COMMIT, commit_bytes(root.id, [], stamps.signature(stamp), text))
    store.pack.finish(durable=False)
    move_branch(repo, None, pygit2.Oid(raw=first), durable=False)
    return tuple(left_out)


class _Store:
    """Packs of limited size, one after the other."""

    def __init__(self, objects: Path):
        self._objects = objects
        self.pack = Pack(objects)

    def add(self, data: bytes) -> Id:
        if self.pack.size > LARGEST_PACK:
            self.pack.finish(durable=False)
            self.pack = Pack(self._objects)
        return self.pack.add(BLOB, data)


def take_files(
    store: Callable[[bytes], Id], source: Path, limits: WorkspaceLimits
) -> tuple[dict[str, Placed], list[str]]:
    """Store the regular files of a folder; also say what was left out, each with its reason.

    Raises:
        ConfigurationError: they are more than the limits allow.
    """
    placed: dict[str, Placed] = {}
    left_out: list[str] = []
    total = 0
    for found in _walk(os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), "", 1):
        reason = found.reason or _unfit(found, limits)
        name = "" if reason else clean_path(found.path)
        if name in placed:
            reason = "spelled like another, but for the form of its letters"
        data = None if reason else _read(found, limits.file_bytes)
        if data is None:
            shown = found.path.encode(errors="backslashreplace").decode()
            left_out.append(f"{shown[:MAX_PATH]}: {reason or 'cannot be read'}")
        else:
            total += len(data)
            executable = found.mode & 0o100
            placed[name] = (store(data), FileMode.BLOB_EXECUTABLE if executable else FileMode.BLOB)
        if len(placed) + len(left_out) > limits.source_files or total > limits.source_bytes:
            raise ConfigurationError(_too_much(source, limits))
    return placed, left_out


def measure(origin: pygit2.Repository, source: Path, limits: WorkspaceLimits) -> None:
    """Refuse a repository whose newest files are more than the limits allow.

    A folder that occurs many times is looked at once, since a few objects can stand for any number of files.

    Raises:
        ConfigurationError: they are too many, too large, or too deep, or cannot be read.
    """
    known: dict[pygit2.Oid, tuple[int, int]] = {}

    def size(tree: pygit2.Tree, depth: int) -> tuple[int, int]:
        """Entries, and bytes of the files among them."""
        if depth > DEEPEST:
            raise ConfigurationError(f"{source} has more than {DEEPEST} folders in each other; give a simpler one")
        if tree.id not in known:
            entries = total = 0
            before = b""
            for entry in tree:
                name = entry.raw_name or b""
                key = name + b"/" if isinstance(entry, pygit2.Tree) else name
                if b"/" in name or key <= before:
                    raise ConfigurationError(f"{source} has a folder that Git would not make; try `git fsck` there")
                before = key
                more = 0, 0
                if isinstance(entry, pygit2.Tree):
                    more = size(entry, depth + 1)
                elif isinstance(entry, pygit2.Blob):
                    more = 0, size_of(origin, entry)
                entries, total = entries + more[0] + 1, total + more[1]
            known[tree.id] = entries, total
        return known[tree.id]

    try:
        entries, total = size(origin.head.peel(pygit2.Tree), 1)
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise ConfigurationError(f"the files of {source} cannot be read: {error}; try `git fsck` there") from error
    if entries > limits.source_files or total > limits.source_bytes:
        raise ConfigurationError(_too_much(source, limits))


def _too_much(source: Path, limits: WorkspaceLimits) -> str:
    return (
        f"{source} holds more than {limits.source_files} files or {limits.source_bytes} bytes; "
        "give a smaller folder, or raise the workspace's limits"
    )


# -- walking a folder that may be changed meanwhile --------------------------------------------------------------------


class _Found(NamedTuple):
    parent: int  # an open folder
    name: str
    path: str
    mode: int
    size: int
    reason: str = ""  # why it cannot be looked at


def _walk(parent: int, prefix: str, depth: int) -> Iterator[_Found]:
    """All below an open folder but folders themselves, by name, never through a link; closes it."""
    try:
        with os.scandir(parent) as listing:
            names = sorted(entry.name for entry in listing)
        for name in names:
            if name == ".git":
                continue
            try:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except OSError as error:
                yield _Found(parent, name, prefix + name, 0, 0, error.strerror or "cannot be read")
                continue
            found = _Found(parent, name, prefix + name, status.st_mode, status.st_size)
            if not stat.S_ISDIR(status.st_mode):
                yield found
            elif depth >= DEEPEST:
                yield found._replace(reason=f"more than {DEEPEST} folders deep")
            else:
                try:
                    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
                except OSError:
                    yield found._replace(reason="a folder that cannot be read")
                    continue
                yield from _walk(child, f"{prefix}{name}/", depth + 1)
    finally:
        os.close(parent)


def _unfit(found: _Found, limits: WorkspaceLimits) -> str:
    """Why an entry cannot be taken; empty when it can."""
    if stat.S_ISLNK(found.mode):
        return "a symbolic link"
    if not stat.S_ISREG(found.mode):
        return "not a regular file"
    if found.size > limits.file_bytes:
        return f"larger than {limits.file_bytes} bytes"
    try:
        clean_path(found.path)
    except ToolError:
        return "a name that cannot be used"
    return ""


def _read(found: _Found, limit: int) -> bytes | None:
    """The content of a regular file; None if it is none (any more), has grown past the limit, or may not be read."""
    try:
        # Not blocking, not following: somebody may have put a fifo or a link in its place since it was looked at.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(found.name, flags, dir_fd=found.parent)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        data = file.read(limit + 1)
    return data if len(data) <= limit else None
