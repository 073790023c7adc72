"""A program's folder: given to it, and read back without trusting anything in it."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from megaagent.sandboxes.contract import Harvest, Limits

MOST_NEW = 5_000  # files and folders beyond those given, looked at in one harvest
DEEPEST = 64  # levels of folders that are read
MOST_NOTES = 50
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def digest(content: bytes) -> str:
    """The name by which `harvest` compares contents: SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def prepare(folder: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write `files` (by path relative to the folder) into a new private folder; their digests, for `harvest`.

    Raises:
        ValueError: a path would lie outside the folder.
        FileExistsError: the folder is there already.
    """
    folder.mkdir(mode=0o700, parents=True)
    for name, content in files.items():
        if name.startswith("/") or not name or any(part in ("", ".", "..") for part in name.split("/")):
            raise ValueError(f"not a path inside a folder: {name!r}")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: digest(content) for name, content in files.items()}


def give(folder: Path, uid: int) -> None:
    """Make the user `uid` the owner of the folder and all in it, links themselves and not what they name."""
    for entry in _walk(folder):
        if not entry.several_names and not entry.note:
            os.chown(entry.name, uid, uid, dir_fd=entry.parent, follow_symlinks=False)
    os.chown(folder, uid, uid, follow_symlinks=False)


def harvest(folder: Path, before: Mapping[str, str], limits: Limits | None = None) -> Harvest:
    """Read what changed in `folder` since `prepare`; call it when no process of the program is left.

    Only regular files with one name and no special rights are taken; links, pipes, devices, sockets, caches and Git
    folders are not. Size and number are bounded.

    Args:
        before: path to digest of what the folder held.
        limits: `file_size` for one file, `disk` for all together.
    """
    limits = limits or Limits()
    reading = _Reading(before, limits)
    unseen: list[str] = []
    for looked, entry in enumerate(_walk(folder)):
        if looked >= len(before) + MOST_NEW:
            reading.refuse(f"more than {MOST_NEW} new files and folders: the rest was not looked at")
            unseen.append("")
            break
        if entry.note:
            reading.refuse(entry.note)
            unseen.append(entry.path + "/")
            reading.met.add(entry.path)
        elif not entry.is_folder:
            reading.take(entry)
    gone = (path for path in before if path not in reading.met and not any(map(ignored, path.split("/"))))
    removed = sorted(path for path in gone if not path.startswith(tuple(unseen)))
    return Harvest(reading.written, tuple(removed), tuple(reading.refused))


class _Reading:
    def __init__(self, before: Mapping[str, str], limits: Limits):
        self.before = before
        self.limits = limits
        self.written: dict[str, bytes] = {}
        self.met: set[str] = set()
        self.refused: list[str] = []
        self.room = limits.disk

    def refuse(self, note: str) -> None:
        if len(self.refused) < MOST_NOTES:
            self.refused.append(note)
        elif len(self.refused) == MOST_NOTES:
            self.refused.append("and more")

    def take(self, entry: _Entry) -> None:
        shown = entry.path.encode(errors="replace").decode()
        self.met.add(entry.path)
        if shown != entry.path:
            self.refuse(f"{shown}: its name is not UTF-8")
            return
        if not stat.S_ISREG(entry.mode):
            self.refuse(f"{shown}: {_kind(entry.mode)}, not a regular file")
            return
        try:
            descriptor = os.open(entry.name, _FILE, dir_fd=entry.parent)
        except OSError as error:
            self.refuse(f"{shown}: {error.strerror}")
            return
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if reason := self._objection(found):
                self.refuse(f"{shown}: {reason}")
                return
            content = file.read(self.limits.file_size)
        if self.before.get(entry.path) != digest(content):
            self.room -= len(content)
            self.written[entry.path] = content

    def _objection(self, found: os.stat_result) -> str | None:
        if not stat.S_ISREG(found.st_mode):
            return "not a regular file"
        if found.st_nlink > 1:
            return "a file with several names (hard links)"
        if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
            return "carries set-user or set-group rights"
        if found.st_size > self.limits.file_size:
            return f"{found.st_size} bytes, more than {self.limits.file_size}"
        if found.st_size > self.room:
            return f"the files together pass {self.limits.disk} bytes"
        return None


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def ignored(name: str) -> bool:
    """Whether a file or folder of this name is never taken: caches, and Git's own folder in any spelling.

    File systems that fold case or drop characters take `.GIT`, `.git.`, `.g\\u200cit` or `git~1` for `.git`.
    """
    if name in ("__pycache__", ".pytest_cache") or name.endswith(".pyc"):
        return True
    plain = "".join(letter for letter in name.casefold() if letter.isascii() and letter.isprintable())
    return plain.split(":")[0].rstrip(". ") in (".git", "git~1")


# -- walking a folder that somebody else has built --------------------------------------------------------------------


class _Entry(NamedTuple):
    parent: int  # an open folder
    name: str
    path: str
    mode: int
    several_names: bool
    note: str = ""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


def _walk(folder: Path) -> Iterator[_Entry]:
    """All below `folder`, a folder before what it holds, never through a link; at most `DEEPEST` levels."""
    yield from _walk_open(os.open(folder, _FOLDER), "", 1)


def _walk_open(parent: int, prefix: str, depth: int) -> Iterator[_Entry]:
    try:
        with os.scandir(parent) as listing:
            for listed in listing:
                if ignored(listed.name):
                    continue
                path = prefix + listed.name
                try:
                    found = os.stat(listed.name, dir_fd=parent, follow_symlinks=False)
                except OSError as error:
                    yield _Entry(parent, listed.name, path, 0, False, f"{path}: {error.strerror}")
                    continue
                several = found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)
                entry = _Entry(parent, listed.name, path, found.st_mode, several)
                yield entry
                if not entry.is_folder:
                    continue
                if depth >= DEEPEST:
                    yield entry._replace(note=f"{path[:80]}...: more than {DEEPEST} folders deep")
                    continue
                try:
                    child = _open_folder(parent, listed.name)
                except OSError as error:
                    yield entry._replace(note=f"{path}: {error.strerror}")
                    continue
                yield from _walk_open(child, path + "/", depth + 1)
    finally:
        os.close(parent)


def _open_folder(parent: int, name: str) -> int:
    # The program may have shut its own folder, or left it to be listed and not entered.
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if found.st_mode & 0o500 != 0o500 and stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
        os.chmod(name, 0o700, dir_fd=parent)  # nobody is left who could put a link there
    return os.open(name, _FOLDER, dir_fd=parent)


def discard(folder: Path) -> None:
    """Remove a program's folder, however deep it is and whatever rights were left in it."""
    if not folder.exists():
        return
    # What lies deep is first moved up, so that the way to it stays short.
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        current.chmod(0o700)
        waiting += _empty(current, folder.parent)
        current.rmdir()


def _empty(current: Path, aside: Path) -> list[Path]:
    """Remove the files of one folder and move its folders to `aside`; where they are now."""
    moved: list[Path] = []
    with os.scandir(current) as listing:
        for entry in listing:
            if not entry.is_dir(follow_symlinks=False):
                Path(entry.path).unlink()
                continue
            Path(entry.path).chmod(0o700)
            moved.append(Path(entry.path).rename(aside / f".discarded-{uuid.uuid4().hex}"))
    return moved
