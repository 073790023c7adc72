"""The way of each attempt of a call: past the endpoint's breaker and through its gate, to the runtime's adapter."""

from __future__ import annotations

import asyncio

from megaagent.errors import ModelError
from megaagent.models.breaker import Breaker, Pass
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.gate import Gate, Place, too_long
from megaagent.runtimes.contract import Runtime


class Passage:
    """A `Model` whose attempts wait their turn; between two attempts the place at the gate is left to others.

    Args:
        name: the runtime's, of the adapter.
        place: entered already or not.
        patience: seconds from now after which waiting for an endpoint that is out of order is given up; a provider that
            asks to be left alone for longer is not waited for.
        parks: wait while the endpoint is out of order; otherwise say so at once, because there is another to ask.

    Attributes:
        under_way: an attempt has begun and has not ended.
    """

    def __init__(
        self, runtime: Runtime, name: str, gate: Gate, breaker: Breaker, place: Place, patience: float, *, parks: bool
    ):
        self._runtime = runtime
        self._name = name
        self._gate = gate
        self._breaker = breaker
        self._place = place
        self._patience = patience
        self._until = asyncio.get_running_loop().time() + patience
        self._parks = parks
        self.under_way = False

    async def wait(self) -> None:
        """Enter the place as soon as the endpoint may be asked.

        Raises:
            ModelError: it will not be within the patience.
        """
        if not self._breaker.available and not self._parks:
            raise self._breaker.refusal()
        await self._breaker.passable(self._until)
        cool = self._gate.cooled_at - asyncio.get_running_loop().time()
        if cool > self._patience:
            raise too_long(cool)
        self._place.patience = self._patience
        await self._gate.enter(self._place)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        passed = await self._enter()
        self.under_way = True
        try:
            response = await self._runtime.complete(self._name, request)
        except ModelError as error:
            self.under_way = False
            if error.on_our_side:
                self._breaker.called_off(passed)
            else:
                self._breaker.failed(passed, error)
            if error.fault == "rate_limit" or error.retry_after:
                self._gate.refused(error.retry_after, self._place)
            self._gate.leave(self._place)
            raise
        except BaseException:
            self._breaker.called_off(passed)
            raise
        self.under_way = False
        self._breaker.succeeded(passed)
        self._gate.answered(response.usage, self._place)
        return response

    async def close(self) -> None: ...

    async def _enter(self) -> Pass:
        while True:
            if self._place.held:
                # Another call may have been refused since the place was given, while this one's intent was recorded.
                cooled = asyncio.get_running_loop().time() >= self._gate.cooled_at
                passed = self._breaker.passes() if cooled else None
                if passed is not None:
                    return passed
                self._gate.leave(self._place)
            await self.wait()
