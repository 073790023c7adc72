"""The process beside an engine that is connected to Ray: hands jobs to the cluster, and their results back.

    python -m megaagent.runtimes.ray_driver

It is a process of its own because Ray ends the process that it is connected from when the cluster is lost for a minute,
and because its threads then compete with nobody for Python's lock. It holds nothing that cannot be asked for again, and
it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from typing import Any, Final

import msgspec

from megaagent.errors import ConfigurationError, RunError
from megaagent.runtimes.ray_callers import Callers
from megaagent.runtimes.ray_cluster import address_of, connect, nodes
from megaagent.runtimes.ray_frames import Frames
from megaagent.runtimes.ray_places import Places
from megaagent.runtimes.ray_wire import Act, Begin, Complete, Done, Off, Order, Ready, Refused, Reply, Wanted, encode

LOOK: Final = 1.0  # seconds between two looks at which nodes there are; Ray tells nobody
_WANTED: Final = msgspec.msgpack.Decoder(Wanted)


class Driver:
    """Both pools of one run."""

    def __init__(self, ray: Any, order: Order, frames: Frames):
        self._ray = ray
        self._frames = frames
        self._callers = Callers(ray, order, self._tell)
        self._places = Places(ray, order, self._tell)

    async def open(self) -> Ready:
        """
        Raises:
            ConfigurationError: no node can ask the models.
        """
        there = nodes(self._ray)
        level, _ = await asyncio.gather(self._places.survey(there), self._callers.survey(there))
        if not self._callers.usable:
            words = "; ".join(dict.fromkeys(self._callers.problems.values())) or "there is no node that may"
            raise ConfigurationError(f"no node of the cluster can ask the models: {words}")
        unused = [f"models are not asked from {problem}" for problem in self._callers.problems.values()]
        unused += [f"programs are refused on {problem}" for problem in self._places.problems.values()]
        count = "1 node" if len(there) == 1 else f"{len(there)} nodes"
        return Ready(level, (f"Ray: {count} at {self._ray.get_runtime_context().gcs_address}", *unused))

    async def serve(self) -> None:
        """Do what is wanted until nobody is there who could want anything."""
        following = asyncio.create_task(self._follow())
        try:
            async for frame in self._frames:
                self._take(_WANTED.decode(frame))
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def close(self) -> None:
        await asyncio.gather(self._callers.close(), self._places.close())

    def _take(self, wanted: Wanted) -> None:
        match wanted:
            case Complete():
                self._callers.call(wanted)
            case Begin():
                self._places.begin(wanted)
            case Act():
                self._places.act(wanted)
            case Off(id):
                self._callers.call_off(id)
                self._places.call_off(id)

    def _tell(self, id: int, reply: Reply) -> None:
        self._frames.say(encode(Done(id, reply)))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                there = await asyncio.to_thread(nodes, self._ray)  # it waits while the cluster's head is away
                self._places.follow(there)
                await self._callers.follow(there)
            except Exception as error:
                # Workers need no head of the cluster to go on; when it stays away, Ray ends this process.
                print(f"the nodes are not known now: {error!r}", file=sys.stderr)  # noqa: T201  # for who begins us


async def main() -> None:
    # What libraries print to standard output must not come between the frames.
    output = os.dup(1)
    os.dup2(2, 1)
    frames = await Frames.over(0, output)
    order = msgspec.msgpack.decode(await anext(frames), type=Order)
    ray: Any = None
    try:
        ray = connect(address_of(order.runtime.address, os.environ))
        driver = Driver(ray, order, frames)
        ready = await driver.open()
    except (ConfigurationError, RunError) as error:
        frames.say(encode(Refused(str(error))))
    else:
        frames.say(encode(ready))
        try:
            await driver.serve()
        finally:
            await driver.close()
    await frames.close()
    if ray is not None:
        ray.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
