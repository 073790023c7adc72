"""Batches of a simulated model, in this process. No provider is asked; how long they take is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from megaagent.errors import ModelError
from megaagent.events import Struct
from megaagent.models.batches import Outcome, Progress, not_done
from megaagent.models.contract import ModelRequest, ModelResponse

Answer = Callable[[ModelRequest], Awaitable[ModelResponse]]


class _Batch(Struct, frozen=True):
    key: str
    requests: tuple[ModelRequest, ...]
    ends: float


class SimulatedBatches:
    """Ends each batch after a fixed time; its answers are those that single calls would get.

    Args:
        answer: one request at once, without the time that a single call takes.
        seconds: from handing a batch in to its end.
    """

    requests = 50_000
    bytes = 200_000_000
    finds = True

    def __init__(self, answer: Answer, seconds: float):
        self._answer = answer
        self._seconds = seconds
        self._batches: dict[str, _Batch] = {}

    def size(self, request: ModelRequest) -> int:
        return sum(len(message.text) for message in request.messages)

    async def send(self, key: str, requests: Sequence[ModelRequest]) -> str:
        name = f"simulated-{key}"
        self._batches[name] = _Batch(key, tuple(requests), _now() + self._seconds)
        return name

    async def find(self, key: str) -> str | None:
        return next((name for name, batch in self._batches.items() if batch.key == key), None)

    async def look(self, name: str) -> Progress:
        batch = self._batches.get(name)
        if batch is None:  # it went with the process that simulated it
            return Progress("unknown", reason="no such simulated batch in this process")
        over = _now() >= batch.ends
        return Progress("ended" if over else "under way", len(batch.requests) if over else 0, len(batch.requests))

    async def answers(self, name: str, key: str, requests: Sequence[ModelRequest]) -> list[Outcome]:
        batch = self._batches.get(name)
        if batch is None or batch.key != key:
            return [not_done("no such simulated batch in this process")] * len(requests)
        return [await self._outcome(request) for request in batch.requests]

    async def cancel(self, name: str) -> None:
        self._batches.pop(name, None)

    async def _outcome(self, request: ModelRequest) -> Outcome:
        try:
            return await self._answer(request)
        except ModelError as error:
            return error


def _now() -> float:
    return asyncio.get_running_loop().time()
