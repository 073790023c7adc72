"""A program under way, seen from the engine: its pipes, its supervisor, and its end."""

from __future__ import annotations

import asyncio
import marshal
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from megaagent.errors import SandboxError
from megaagent.sandboxes.contract import Execution
from megaagent.sandboxes.output import BoundedText

_BURST = 1 << 20  # bytes after which a flood has to wait
_REST = 0.01  # seconds that it waits: at most 100 MB/s are looked at, and the loop stays free
_LAST_RESORT = 15.0  # seconds beyond the program's own after which a supervisor that hangs is killed itself
_LONGEST_PLAN = 60_000  # bytes that a pipe takes at once
_MOST_STATUS = 16 << 10


async def launch(
    command: Sequence[str], plan: dict[str, Any], stdin: str | None, output: int, leave: Callable[[], None]
) -> SandboxedProcess:
    """Start the launcher with `command` and wait until its program runs.

    Args:
        plan: what the launcher is to do, of plain values.
        stdin: text for the program, or None to keep its input open.
        output: bytes of output that are kept.
        leave: called (in a thread) when nothing of the program is left, also when it could not be started.

    Raises:
        SandboxError: the program was not started; the text is the launcher's.
    """
    process = SandboxedProcess(output)
    try:
        await process.open(command, plan, leave)
        process.feed(stdin)
    except BaseException:
        await process.stop()
        raise
    return process


class _Lines(asyncio.Protocol):
    """Gathers what the launcher says."""

    def __init__(self) -> None:
        self.data = b""
        self.spoken = asyncio.Event()
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data = (self.data + data)[:_MOST_STATUS]
        self.spoken.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.spoken.set()
        self.closed.set()


class _Output(asyncio.Protocol):
    """Gathers the program's output within bounds, and slows down who floods it."""

    def __init__(self, limit: int):
        self.whole = BoundedText(limit)
        self.unread = BoundedText(limit)
        self.came = asyncio.Event()
        self.closed = asyncio.Event()
        self._burst = 0
        self._transport: asyncio.ReadTransport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.ReadTransport", transport)  # another event loop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self.whole.add(data)
        self.unread.add(data)
        self.came.set()
        self._burst += len(data)
        if self._burst >= _BURST and self._transport:
            self._burst = 0
            self._transport.pause_reading()
            self._loop.call_later(_REST, self._go_on)

    def _go_on(self) -> None:
        if self._transport and not self.closed.is_set():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.came.set()


class _Input(asyncio.Protocol):
    """The program's standard input: whether it takes more, and whether it is still open."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.ready.set()
        self.lost = asyncio.Event()

    def pause_writing(self) -> None:
        self.ready.clear()

    def resume_writing(self) -> None:
        self.ready.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self.ready.set()


class SandboxedProcess:
    """A program under way (the contract's `Process`); made by `launch`."""

    def __init__(self, output: int):
        self._limit = output
        self._control: int | None = None
        self._end: asyncio.Task[Execution] | None = None

    # -- start -----------------------------------------------------------------------------------------------------

    async def open(self, command: Sequence[str], plan: dict[str, Any], leave: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        data = marshal.dumps(plan)
        if len(data) > _LONGEST_PLAN:
            await asyncio.to_thread(leave)
            raise SandboxError(f"the command is too long ({len(data)} bytes): write it into a file and run that")
        (control, self._control), (status, say), (stdin, feed), (output, tell) = (os.pipe() for _ in range(4))
        inner = (control, say, stdin, tell)
        self._status, self._output, self._input = _Lines(), _Output(self._limit), _Input()
        transports: list[asyncio.BaseTransport] = []
        try:
            transports += [
                (await loop.connect_read_pipe(lambda: self._status, os.fdopen(status, "rb", 0)))[0],
                (await loop.connect_read_pipe(lambda: self._output, os.fdopen(output, "rb", 0)))[0],
            ]
            self._feed, _ = await loop.connect_write_pipe(lambda: self._input, os.fdopen(feed, "wb", 0))
            transports.append(self._feed)
            supervisor = await asyncio.create_subprocess_exec(
                *command,
                *map(str, inner),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=say,
                pass_fds=inner,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except BaseException as error:
            for transport in transports:
                transport.close()
            await asyncio.to_thread(leave)
            if isinstance(error, OSError):
                raise SandboxError(f"{command[0]} cannot be started: {error.strerror}") from None
            raise
        finally:
            for descriptor in inner:
                os.close(descriptor)
        patience = plan["seconds"] + _LAST_RESORT
        self._end = asyncio.create_task(self._live(supervisor, patience, transports, leave))
        with suppress(BrokenPipeError):  # it ended already, and its last words say why
            os.write(self._control, len(data).to_bytes(8, "big") + data)
        while b"started\n" not in self._status.data and not self._status.closed.is_set():
            self._status.spoken.clear()
            await self._status.spoken.wait()
        if b"started\n" not in self._status.data:
            await self._end
            raise SandboxError(_reason(self._status.data))

    def feed(self, stdin: str | None) -> None:
        if stdin is not None:
            self._feed.write(stdin.encode(errors="replace"))
            self._feed.close()

    # -- the contract ----------------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """Write to its standard input; returns when the program's pipe has taken it.

        Raises:
            SandboxError: it has ended or has closed its input.
        """
        if self._input.lost.is_set() or self._feed.is_closing():
            raise SandboxError("the program does not take input any more")
        self._feed.write(text.encode(errors="replace"))
        await self._input.ready.wait()
        if self._input.lost.is_set():
            raise SandboxError("the program has ended or closed its input")

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        """Output since the last read, and whether the program still runs.

        Returns when the program ends, when output came and then none for `quiet` seconds, after `patience` seconds
        without any, or when so much came that the next would push it out.
        """
        output = self._output
        while not output.closed.is_set() and output.unread.received < self._limit:
            output.came.clear()
            try:
                async with asyncio.timeout(quiet if output.unread.received else patience):
                    await output.came.wait()
            except TimeoutError:
                break
        ended = output.closed.is_set()
        if ended:
            await asyncio.shield(self._ending)
        return output.unread.take(last=ended), not ended

    async def stop(self) -> None:
        """Kill it and everything that it started; returns when nothing is left."""
        self._let_go()
        if self._end:
            await asyncio.shield(self._end)

    async def wait(self) -> Execution:
        """Wait for its end (its limits bound this). Who cancels the waiting stops the program."""
        try:
            return await asyncio.shield(self._ending)
        except asyncio.CancelledError:
            await self.stop()
            raise

    # -- the end ---------------------------------------------------------------------------------------------------

    @property
    def _ending(self) -> asyncio.Task[Execution]:
        assert self._end is not None, "made by launch"
        return self._end

    def _let_go(self) -> None:
        """Closing the control pipe tells the supervisor to stop, as the death of this process would."""
        if self._control is not None:
            os.close(self._control)
            self._control = None

    async def _live(
        self,
        supervisor: asyncio.subprocess.Process,
        patience: float,
        transports: list[asyncio.BaseTransport],
        leave: Callable[[], None],
    ) -> Execution:
        try:
            try:
                async with asyncio.timeout(patience):
                    await supervisor.wait()
            except TimeoutError:
                supervisor.kill()
                await supervisor.wait()
            self._let_go()
            # Nobody is left who could write; what lies in the pipe comes at once.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_RESORT):
                    await self._output.closed.wait()
                    await self._status.closed.wait()
        finally:
            self._let_go()
            for transport in transports:
                transport.close()
            await asyncio.to_thread(leave)
        words = self._status.data.decode(errors="replace").splitlines()[-1:] or [""]
        verb, _, rest = words[0].partition(" ")
        code, _, rest = rest.partition(" ")
        seconds, _, cut = rest.partition(" ")
        known = verb == "ended"
        cuts = [cut] if known and cut else [] if known else ["lost"]
        if self._output.whole.left_out:
            cuts.append("output")
        return Execution(
            exit_code=int(code) if known else -9,
            output=self._output.whole.text(),
            seconds=float(seconds) if known else 0.0,
            cut=tuple(cuts),
        )


def _reason(status: bytes) -> str:
    text = status.decode(errors="replace").strip().removeprefix("failed ")
    return text[-2000:] or "the launcher ended without a word"
