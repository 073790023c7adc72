"""Messages between two processes over pipes: each behind its length."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Final

_LENGTH: Final = 8  # bytes that tell the length of a message
_CHUNK: Final = 1 << 20


class Frames:
    """Both directions, for one event loop. What is said within one turn of the loop is sent together."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer
        self._unsent: list[bytes] = []
        self._reading: asyncio.BaseTransport | None = None

    @classmethod
    async def over(cls, readable: int, writable: int) -> Frames:
        """Over two file descriptors, which it takes over."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_CHUNK)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(readable, "rb", 0)
        )
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(writable, "wb", 0)
        )
        frames = cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))
        frames._reading = reading
        return frames

    def say(self, message: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent += (len(message).to_bytes(_LENGTH), message)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent and not self._writer.is_closing():
            self._writer.writelines(unsent)

    async def close(self) -> None:
        """Send what is left, and hear no more."""
        self._send()
        if self._reading is not None:
            self._reading.close()
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # nobody reads it any more

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH))
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            raise StopAsyncIteration from None
