"""The engine's end of the connection to a cluster: a process beside it, begun again when it is lost."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from megaagent.errors import ConfigurationError
from megaagent.models.limits import Limits
from megaagent.runtimes.ray_frames import Frames
from megaagent.runtimes.ray_wire import Done, Off, Order, Ready, Refused, Reply, Said, Wanted, encode

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds until a connection that was lost is tried again
BEGINNING: Final = 300.0  # seconds until a cluster is ready
LEAVING: Final = 15.0  # seconds that the process has to end by itself
_SAID: Final = msgspec.msgpack.Decoder(Said)


class LostError(Exception):
    """What was wanted was handed over, and it is not known what came of it."""


class Link:
    """Asks the process beside this one, one message each way.

    Args:
        learn: told what providers say about their limits.
    """

    def __init__(self, order: Order, learn: Callable[[str, Limits], None], environ: Mapping[str, str]):
        self._order = order
        self._learn = learn
        self._environ = environ
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._count = 0
        self._frames: Frames | None = None
        self._there = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self.trouble: str | None = None  # why nothing can be handed over now

    async def open(self) -> Ready:
        """Connect.

        Raises:
            ConfigurationError: the cluster cannot be used, and what to do about it.
        """
        ready = await self._begin()
        self._keeping = asyncio.create_task(self._keep(), name="Ray")
        return ready

    async def ask(self, wanted: Callable[[int], Wanted]) -> Reply:
        """Hand something over, as soon as there is a connection, and wait for what comes of it.

        Args:
            wanted: makes it, given its id.

        Raises:
            LostError: the connection was lost meanwhile.
        """
        while self._frames is None:
            await self._there.wait()
        self._count += 1
        id = self._count
        future = self._waiting[id] = asyncio.get_running_loop().create_future()
        self._frames.say(encode(wanted(id)))
        try:
            return await future
        except asyncio.CancelledError:
            self.tell(Off(id))
            raise
        finally:
            self._waiting.pop(id, None)

    def tell(self, wanted: Wanted) -> None:
        """Hand something over for which nobody waits."""
        if self._frames is not None:
            self._frames.say(encode(wanted))

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._end()

    # -- within -------------------------------------------------------------------------------------------------

    async def _begin(self) -> Ready:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by _end
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "megaagent.runtimes.ray_driver"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            env=dict(self._environ),
            start_new_session=True,  # Ctrl-C is for the engine, which then ends this one in good order
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        frames = Frames(self._process.stdout, self._process.stdin)
        frames.say(encode(self._order))
        try:
            async with asyncio.timeout(BEGINNING):
                said = _SAID.decode(await anext(frames))
        except TimeoutError:
            await self._end()
            raise ConfigurationError(
                f"the Ray cluster was not ready within {BEGINNING:.0f} s; see ray status"
            ) from None
        except StopAsyncIteration:
            words = self._last_words()
            await self._end()
            raise ConfigurationError(f"the process that connects to Ray ended at once: {words}") from None
        except BaseException:
            await self._end()
            raise
        if not isinstance(said, Ready):
            await self._end()
            raise ConfigurationError(said.problem if isinstance(said, Refused) else "Ray: an unexpected answer")
        self._frames, self.trouble = frames, None
        self._there.set()
        return said

    async def _keep(self) -> None:
        """Read what is said; when the process is lost, begin another."""
        pause = FIRST_PAUSE
        while True:
            assert self._frames is not None
            async for frame in self._frames:
                pause = FIRST_PAUSE
                self._hear(_SAID.decode(frame))
            self._there.clear()
            self._frames = None
            self.trouble = f"the connection to the Ray cluster was lost: {self._last_words()}"
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(LostError(self.trouble))
            await self._end()
            while self._frames is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    await self._begin()
                except ConfigurationError as error:
                    self.trouble = str(error)

    def _hear(self, said: Said) -> None:
        if not isinstance(said, Done):
            return
        for model, limits in said.reply.limits:
            self._learn(model, limits)
        future = self._waiting.get(said.id)
        if future is not None and not future.done():
            future.set_result(said.reply)

    def _last_words(self) -> str:
        self._errors.seek(max(0, os.fstat(self._errors.fileno()).st_size - 4000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "without a word"

    async def _end(self) -> None:
        """Let the process end in good order; what it began ends with it."""
        self._frames = None
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(LEAVING):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        self._errors.close()
