"""A batch of new objects as one pack: two files and a few syncs, however many commits it holds.

The format is Git's own (gitformat-pack): a pack appears with its index or not at all, whoever is killed meanwhile, and
Git passes over one without. A folder's next version is stored as the difference from the one before it in the same
pack, so that a large folder costs a few bytes for each write into it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from megaagent.errors import RunError
from megaagent.workspace.trees import Folder, Id

COMMIT, TREE, BLOB, OFFSET_DELTA = 1, 2, 3, 6
NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
CHAIN = 40  # differences upon differences, after which a folder is stored whole again; Git's own limit is 50
LEVEL = 1  # of compression: the packing in the background compresses better
SIGNATURE = b"PACK\0\0\0\2"
INDEX = b"\xfftOc\0\0\0\2"
LARGE = 1 << 31  # offsets beyond this stand in a table of their own


class _Version(NamedTuple):
    """Where the latest version of a folder lies in the pack, and how many differences lead to it."""

    offset: int
    data: bytes
    chain: int


class Pack:
    """New objects on their way into a repository, in memory until `finish`.

    Args:
        objects: the repository's folder of objects.
    """

    def __init__(self, objects: Path):
        self._folder = objects / "pack"
        self._parts: list[bytes] = []
        self._size = 12  # the header's
        self._entries: dict[Id, tuple[int, int]] = {}  # offset, checksum
        self._versions: dict[str, _Version] = {}

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._size

    def add(self, kind: int, data: bytes) -> Id:
        """Take in a commit or a blob; its name."""
        id = sha1(b"%s %d\0" % (NAMES[kind], len(data)) + data, usedforsecurity=False).digest()
        if id not in self._entries:
            self._put(id, _header(kind, len(data)) + zlib.compress(data, LEVEL))
        return id

    def add_folder(self, path: str, folder: Folder) -> None:
        """Take in a folder that now stands at a path."""
        if folder.id in self._entries:
            return
        before = self._versions.get(path)
        offset, chain = self._size, 0
        difference = b""
        if before is not None and before.chain < CHAIN:
            difference = delta(before.data, folder.data)
        if before is not None and difference and len(difference) < len(folder.data) // 2:
            head = _header(OFFSET_DELTA, len(difference)) + _distance(offset - before.offset)
            self._put(folder.id, head + zlib.compress(difference, LEVEL))
            chain = before.chain + 1
        else:
            self._put(folder.id, _header(TREE, len(folder.data)) + zlib.compress(folder.data, LEVEL))
        self._versions[path] = _Version(offset, folder.data, chain)

    def finish(self, durable: bool) -> None:
        """Make the objects part of the repository.

        Args:
            durable: they last through a power cut from now on.
        """
        data = b"".join([SIGNATURE, len(self._entries).to_bytes(4, "big"), *self._parts])
        checksum = sha1(data, usedforsecurity=False)
        self._folder.mkdir(exist_ok=True)
        # Git's own maintenance removes old files whose names begin like this.
        pack, index = (self._folder / f"tmp_{what}_{token_hex(8)}" for what in ("batch", "batch_index"))
        try:
            _write(pack, (data, checksum.digest()), durable)
            _write(index, (self._index(checksum.digest()),), durable)
            name = self._folder / f"pack-{checksum.hexdigest()}"
            # The pack first: an index without one would be an error, a pack without one is nothing yet.
            pack.rename(name.with_suffix(".pack"))
            index.rename(name.with_suffix(".idx"))
        except FileNotFoundError as error:  # who begins to work on a run clears away what its last engine left
            raise RunError(f"{error.filename} was taken from this engine: another one works on the run") from error
        except BaseException:
            pack.unlink(missing_ok=True)
            index.unlink(missing_ok=True)
            raise
        if durable:
            sync(self._folder)

    def _put(self, id: Id, stored: bytes) -> None:
        self._entries[id] = self._size, zlib.crc32(stored)
        self._parts.append(stored)
        self._size += len(stored)

    def _index(self, pack: bytes) -> bytes:
        ids = sorted(self._entries)
        fanout = [0] * 256
        for id in ids:
            fanout[id[0]] += 1
        total = 0
        parts = [INDEX]
        for count in fanout:
            total += count
            parts.append(total.to_bytes(4, "big"))
        parts += ids
        parts += [self._entries[id][1].to_bytes(4, "big") for id in ids]
        large: list[bytes] = []
        for id in ids:
            offset = self._entries[id][0]
            if offset >= LARGE:
                large.append(offset.to_bytes(8, "big"))
                offset = LARGE | (len(large) - 1)
            parts.append(offset.to_bytes(4, "big"))
        data = b"".join([*parts, *large, pack])
        return data + sha1(data, usedforsecurity=False).digest()


def delta(old: bytes, new: bytes) -> bytes:
    """How `new` is made of `old`, for one passage that differs (gitformat-pack, "Deltified representation")."""
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    parts = [_varint(len(old)), _varint(len(new)), *_copies(0, start)]
    middle = new[start : len(new) - end]
    for at in range(0, len(middle), 127):
        piece = middle[at : at + 127]
        parts += [bytes([len(piece)]), piece]
    parts += _copies(len(old) - end, end)
    return b"".join(parts)


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _copies(offset: int, size: int) -> list[bytes]:
    """Instructions to copy from the old bytes, each of 64 KiB less one at most, which every reader takes."""
    parts: list[bytes] = []
    while size:
        length = min(size, 0xFFFF)
        code, values = 0x80, b""
        for bit, byte in enumerate(offset.to_bytes(4, "little") + length.to_bytes(2, "little")):
            if byte:
                code |= 1 << bit
                values += bytes([byte])
        parts.append(bytes([code]) + values)
        offset, size = offset + length, size - length
    return parts


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _header(kind: int, size: int) -> bytes:
    """Kind and size of an entry: four bits of the size, then seven at a time."""
    parts = bytearray([kind << 4 | size & 0x0F])
    size >>= 4
    while size:
        parts[-1] |= 0x80
        parts.append(size & 0x7F)
        size >>= 7
    return bytes(parts)


def _distance(offset: int) -> bytes:
    """How far back the base of a difference lies, most significant first, each further byte counting one more."""
    parts = bytearray([offset & 0x7F])
    offset >>= 7
    while offset:
        offset -= 1
        parts.insert(0, 0x80 | offset & 0x7F)
        offset >>= 7
    return bytes(parts)


def _write(path: Path, parts: Iterable[bytes], durable: bool) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
        file.writelines(parts)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def sync(path: Path) -> None:
    """fsync of a file or of a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
