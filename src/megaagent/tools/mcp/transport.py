"""How bytes go to a server that is a program: bounded, so that a flood slows the server and not the engine.

The SDK's own transport over pipes keeps a line of any length in memory and reads as fast as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from megaagent.models.answers import clean_all
from megaagent.tools.mcp.config import ServerConfig

LONGEST: Final = 16 << 20  # bytes of one message
MOST_PARTS: Final = 20_000  # objects in one answer, each of which the SDK holds against its schema
BURST: Final = 200  # messages, or lines that are none, that are read without a pause
PAUSE: Final = 0.1  # seconds, so that no more than 2,000 are read in a second
KEPT_LINES: Final = 30  # of what it says on standard error
GRACE: Final = 2.0  # seconds that it has to leave by itself, and again to heed SIGTERM

Streams = tuple[Any, Any]


class Pipe:
    """A server that is a program of ours; one use.

    Attributes:
        said: the last lines on its standard error.
        broken: why nothing more is read from it, if that is its fault.
        ended: nothing more comes from it.
    """

    def __init__(self, config: ServerConfig):
        self._config = config
        self.said: deque[str] = deque(maxlen=KEPT_LINES)
        self.broken = ""
        self.ended = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Streams]:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        config = self._config
        assert config.command is not None
        process = await asyncio.create_subprocess_exec(
            config.command,
            *config.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=get_default_environment() | config.env,
            cwd=config.cwd,
            start_new_session=True,
            limit=LONGEST,
        )
        incoming: MemoryObjectSendStream[SessionMessage | Exception]
        to_read: MemoryObjectReceiveStream[SessionMessage | Exception]
        incoming, to_read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        to_write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, process, incoming)
                group.start_soon(self._write, process, outgoing, incoming)
                group.start_soon(self._listen, process)
                try:
                    yield to_read, to_write
                finally:
                    group.cancel_scope.cancel()
        finally:
            for stream in (incoming, to_read, to_write, outgoing):
                stream.close()
            await asyncio.shield(_stopped(process))

    async def _read(
        self, process: asyncio.subprocess.Process, incoming: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        try:
            async with incoming:
                await self._take_in(process, incoming)
        finally:
            self.ended = True

    async def _take_in(
        self, process: asyncio.subprocess.Process, incoming: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        assert process.stdout is not None
        count = strange = 0
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self.broken = f"it sent a message of more than {LONGEST:,} bytes"
                return
            if not line:
                return
            count += 1
            message = message_of(line)
            if message is None:
                strange += 1  # many print what is no message; nobody waits for it
                if strange > 50 * BURST:
                    self.broken = f"it wrote {strange:,} lines that are no messages"
                    return
            else:
                try:
                    await incoming.send(SessionMessage(message))
                except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                    return
            if count % BURST == 0:
                await asyncio.sleep(PAUSE)

    async def _write(
        self,
        process: asyncio.subprocess.Process,
        outgoing: MemoryObjectReceiveStream[SessionMessage],
        incoming: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        assert process.stdin is not None
        try:
            async with outgoing:
                async for message in outgoing:
                    text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                    process.stdin.write(text.encode() + b"\n")
                    await process.stdin.drain()
        except OSError:
            incoming.close()  # it reads no more: who waits for an answer is told so

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        rest = ""
        while data := await process.stderr.read(1 << 16):
            *lines, rest = (rest + data.decode(errors="replace"))[-(1 << 16) :].split("\n")
            self.said.extend(line.strip()[:500] for line in lines if line.strip())
            await asyncio.sleep(PAUSE / 10)
        if rest.strip():
            self.said.append(rest.strip()[:500])


def message_of(line: bytes) -> mcp_types.JSONRPCMessage | None:
    """The message in a line; None when there is none in it."""
    try:
        return _bounded(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False), line)
    except ValueError:
        if not line.lstrip().startswith(b"{"):
            return None
    # Who cuts a text in the middle of a character writes "\\ud83d", which the fast reader refuses: without a second
    # attempt nothing would be heard of that call.
    try:
        document = clean_all(json.loads(line.decode("utf-8", "replace")))
        return _bounded(mcp_types.jsonrpc_message_adapter.validate_python(document, by_name=False), line)
    except (ValueError, RecursionError):
        return None


def _bounded(message: mcp_types.JSONRPCMessage, line: bytes) -> mcp_types.JSONRPCMessage:
    """The message, or an error in the place of an answer whose parts would keep the engine busy for seconds."""
    if not isinstance(message, mcp_types.JSONRPCResponse) or line.count(b"{") <= MOST_PARTS:
        return message
    if _objects_in(message.result) <= MOST_PARTS:  # the others stand in texts
        return message
    told = mcp_types.ErrorData(code=mcp_types.INTERNAL_ERROR, message=f"its answer has more than {MOST_PARTS:,} parts")
    return mcp_types.JSONRPCError(jsonrpc="2.0", id=message.id, error=told)


def _objects_in(document: Any) -> int:
    count, left = 0, [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            count += 1
            left += cast("dict[str, Any]", value).values()
        elif isinstance(value, list):
            left += cast("list[Any]", value)
    return count


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """See to it that the server, and whatever it has started, is gone."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _kill(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await process.wait()
                break
    _kill(process.pid, signal.SIGKILL)  # those that it has left behind
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()  # a descendant that is no longer in the group may hold a pipe open


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
