"""What is done about each fault of a model call, and who does it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeAlias

from megaagent.errors import Fault, ModelError
from megaagent.events import Struct
from megaagent.models.breaker import CircuitOpen
from megaagent.models.contract import Model, ModelRequest, ModelResponse


class RetrySettings(Struct, frozen=True):
    """How patient a call is.

    Attributes:
        attempts: at most so many when the provider is busy, away or slow.
        seconds: no attempt is begun that would begin later than this after the first.
        attempt_seconds: after which one attempt is given up; the step's deadline may be nearer.
        mends: at most so many attempts when the answer itself is bad.
        base: seconds; the mean of the first wait is half of it.
        longest: seconds; no wait that is reckoned here is longer, though a provider may ask for more.
    """

    attempts: int = 8
    seconds: float = 600.0
    attempt_seconds: float = 600.0
    mends: int = 3
    base: float = 1.0
    longest: float = 60.0


class Retry(Struct, frozen=True):
    """Ask again after `wait` seconds."""

    wait: float


class GiveUp(Struct, frozen=True):
    """Asking again would not help: the call has failed."""

    reason: str


class Pause(Struct, frozen=True):
    """A person must act before any call can succeed: the run is paused."""

    reason: str


class Compact(Struct, frozen=True):
    """The conversation must become shorter first."""


Decision: TypeAlias = Retry | GiveUp | Pause | Compact

_BUSY: Final[frozenset[Fault]] = frozenset({"connection", "timeout", "rate_limit", "overloaded"})
_BAD_ANSWER: Final[frozenset[Fault]] = frozenset({"refused", "broken", "empty"})
_PERSON: Final[dict[Fault, str]] = {
    "unauthorized": "the provider does not accept the key",
    "no_money": "the provider's account is out of credit or quota",
    "not_found": "the model cannot be asked there",
}


def rule(error: ModelError, attempt: int, elapsed: float, settings: RetrySettings, random: Random) -> Decision:
    """Who must act after attempt number `attempt` (1, 2, ...) failed.

    Waits grow exponentially with full jitter, the wait being drawn evenly from zero to the bound, so that many callers
    who failed together do not come back together (M. Brooker, "Exponential Backoff And Jitter", AWS, 2015). What the
    provider asks for is waited for in full, and the jitter comes on top.

    Args:
        elapsed: seconds since the first attempt began.
        random: where the jitter comes from.
    """
    if isinstance(error, CircuitOpen):
        return GiveUp(error.detail)
    if error.fault in _PERSON:
        return Pause(f"{_PERSON[error.fault]}: {error.detail}")
    if error.fault == "context_overflow":
        return Compact()
    if error.fault not in _BUSY | _BAD_ANSWER:
        return GiveUp(f"the provider refuses the request: {error.detail}")
    allowed = settings.attempts if error.fault in _BUSY else settings.mends
    if attempt >= allowed:
        return GiveUp(f"{attempt} attempts failed, the last with {error}")
    # A bad answer says nothing about load, so its waits stay small.
    bound = settings.base * (2 ** min(attempt - 1, 30) if error.fault in _BUSY else 1)
    wait = (error.retry_after or 0.0) + random.uniform(0.0, min(settings.longest, bound))
    if elapsed + wait > settings.seconds:
        if error.retry_after is not None and error.retry_after > settings.seconds:
            return Pause(f"the provider asks to be left alone for {error.retry_after:,.0f} s: {error.detail}")
        return GiveUp(f"no answer within {settings.seconds:g} s, the last attempt failed with {error}")
    return Retry(wait)


class RetryingModel:
    """Asks again where the rule says so; any other decision raises the last attempt's error.

    The error says whether a person must act (`ModelError.needs_person`).

    Args:
        model: is asked; when it waits in a gate's queue, that time counts as elapsed.
        random: where the jitter comes from.
        on_retry: awaited with the attempt's number, its error and the wait, before each further attempt.
    """

    def __init__(
        self,
        model: Model,
        settings: RetrySettings | None = None,
        *,
        random: Random,
        on_retry: Callable[[int, ModelError, float], Awaitable[object]] | None = None,
    ):
        self._model = model
        self._settings = settings or RetrySettings()
        self._random = random
        self._on_retry = on_retry

    async def complete(self, request: ModelRequest) -> ModelResponse:
        time = asyncio.get_running_loop().time
        began = time()
        attempt = 1
        while True:
            try:
                return await self._model.complete(request)
            except ModelError as error:
                decision = rule(error, attempt, time() - began, self._settings, self._random)
                if not isinstance(decision, Retry):
                    error.needs_person = error.needs_person or isinstance(decision, Pause)
                    raise
                failed = error
            ends = time() + decision.wait
            if self._on_retry is not None:
                await self._on_retry(attempt, failed, decision.wait)
            await asyncio.sleep(max(0.0, ends - time()))
            attempt += 1

    async def close(self) -> None:
        await self._model.close()
