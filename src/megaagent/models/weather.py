"""Bad weather on request: a model that fails as often as it is told to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from random import Random
from typing import Final, get_args

import msgspec

from megaagent.errors import ConfigurationError, Fault, ModelError
from megaagent.models.contract import Model, ModelRequest, ModelResponse

_REMEMBERED: Final = 1 << 14


class StormyModel:
    """Raises faults in front of a model.

    Whether an attempt fails follows from the seed, the request and how often that request was made, so the same run
    meets the same weather whatever the order of its calls, and asking again may help.

    Args:
        rates: of each fault, the share of attempts that it meets; together at most 1.
        retry_after: seconds that a rate limit asks to wait.

    Raises:
        ConfigurationError: an unknown fault, or shares that are no shares.
    """

    def __init__(self, model: Model, rates: Mapping[Fault, float], *, seed: int = 0, retry_after: float | None = None):
        if unknown := set(rates) - set(get_args(Fault)):
            raise ConfigurationError(f"unknown fault {min(unknown)!r}; known are {', '.join(get_args(Fault))}")
        if min(rates.values(), default=0.0) < 0 or sum(rates.values()) > 1:
            raise ConfigurationError("rates of faults are shares of all attempts, together at most 1")
        self._model = model
        self._rates = dict(rates)
        self._seed = seed
        self._retry_after = retry_after
        self._attempts: OrderedDict[bytes, int] = OrderedDict()

    async def complete(self, request: ModelRequest) -> ModelResponse:
        draw = self._draw(request)
        for fault, rate in self._rates.items():
            draw -= rate
            if draw < 0:
                after = self._retry_after if fault == "rate_limit" else None
                raise ModelError(fault, "simulated, as asked for", retry_after=after)
        return await self._model.complete(request)

    async def close(self) -> None:
        await self._model.close()

    def _draw(self, request: ModelRequest) -> float:
        digest = blake2b(msgspec.json.encode((self._seed, request.messages)), digest_size=16).digest()
        attempt = self._attempts.pop(digest, 0) + 1
        self._attempts[digest] = attempt
        if len(self._attempts) > _REMEMBERED:
            self._attempts.popitem(last=False)
        return Random(digest + attempt.to_bytes(8)).random()
