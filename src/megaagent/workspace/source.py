"""Where a workspace starts from: an existing repository, or a plain folder. Neither is written to."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, FileStatus, RepositoryOpenFlag

from megaagent.errors import ConfigurationError, ToolError
from megaagent.workspace import stamps
from megaagent.workspace.batch import commit_bytes
from megaagent.workspace.contract import Stamp, WorkspaceLimits
from megaagent.workspace.packs import BLOB, COMMIT, Pack
from megaagent.workspace.paths import clean_path
from megaagent.workspace.store import BRANCH, move_branch, private_settings
from megaagent.workspace.trees import Folders, Id, Placed

LARGEST_PACK = 64 << 20  # bytes that are held in memory before they are written


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
    for path, entry in _entries(source, ""):
        reason = _unfit(path, entry, limits)
        name = "" if reason else clean_path(path)
        if name in placed:
            reason = "spelled like another, but for the form of its letters"
        data = None if reason else _read(entry, limits.file_bytes)
        if data is None:
            left_out.append(f"{path.encode(errors='backslashreplace').decode()}: {reason or 'cannot be read'}")
            continue
        total += len(data)
        if len(placed) >= limits.source_files or total > limits.source_bytes:
            raise ConfigurationError(
                f"{source} holds more than {limits.source_files} files or {limits.source_bytes} bytes; "
                "give a smaller folder, or raise the workspace's limits"
            )
        executable = entry.stat(follow_symlinks=False).st_mode & 0o100
        placed[name] = (store(data), FileMode.BLOB_EXECUTABLE if executable else FileMode.BLOB)
    return placed, left_out


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name == ".git":
                continue
            if entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK):
                yield from _entries(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}", entry


def _unfit(path: str, entry: os.DirEntry[str], limits: WorkspaceLimits) -> str:
    """Why an entry cannot be taken; empty when it can."""
    if entry.is_symlink():
        return "a symbolic link"
    if entry.is_dir():
        return "a folder that cannot be read"
    if not entry.is_file():
        return "not a regular file"
    if entry.stat(follow_symlinks=False).st_size > limits.file_bytes:
        return f"larger than {limits.file_bytes} bytes"
    try:
        clean_path(path)
    except ToolError:
        return "a name that cannot be used"
    return ""


def _read(entry: os.DirEntry[str], limit: int) -> bytes | None:
    """The content of a regular file; None if it is none (any more), has grown past the limit, or may not be read."""
    try:
        # Not blocking, not following: somebody may have put a fifo or a link in its place since it was looked at.
        handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        data = file.read(limit + 1)
    return data if len(data) <= limit else None
