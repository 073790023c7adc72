"""Three hundred callers before one provider that allows so many requests and tokens a minute, in virtual time.

The calls go the whole way that an agent's go: gate, budget, intent, attempts with retries. The provider keeps its
limits in windows of one or of ten seconds; it tells them with each answer, or the settings do, or nobody does; what
binds is requests or tokens; a refusal names the time to wait, or does not. From the second minute on (design §7)

    at most 2 % of attempts are refused and 90 % of the allowance is used where the limits are known,
    at most 5 % and 75 % where they are not;
    and no attempt is ever made before the end of a wait that the provider has asked for.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Final, Literal

from megaagent import events as ev
from megaagent.agent.prompt import prompt_of
from megaagent.clock import VirtualClock
from megaagent.errors import ModelError
from megaagent.events import BOSS, AgentId, Fact, Record, Struct, Tier, Usage
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse
from megaagent.models.gate import Gate, GateSettings
from megaagent.models.limits import Allowance, Limits
from megaagent.models.retry import RetrySettings
from megaagent.models.tokens import request_tokens
from megaagent.organization.budget import Ledger
from megaagent.organization.limits import Budget
from megaagent.organization.state import State
from megaagent.organization.voices import Question, Voice, Voices
from megaagent.runtimes.contract import Handle
from megaagent.sandboxes.contract import Program

CALLERS: Final = 300
REQUESTS: Final = 3000.0  # a minute
TIER: Final[Tier] = "worker"
NAME: Final = "sim:limited"


class Case(Struct, frozen=True):
    """One provider; `told` is how its limits become known."""

    window: float
    binding: Literal["requests", "tokens"]
    told: Literal["headers", "settings", "never"]
    names_the_wait: bool
    seed: int

    @property
    def tokens(self) -> float:
        """Tokens a minute: more than the requests can use, or three fifths of it."""
        return REQUESTS * 1500 * (3.0 if self.binding == "requests" else 0.6)


class Outcome(Struct, frozen=True):
    """Figures from the second minute on: shares of the attempts and of the allowance."""

    refused: float
    goodput: float
    early: int


class Provider:
    """Answers within its limits; a runtime of one model."""

    level = "none"

    def __init__(self, case: Case, gate: Gate):
        self._case = case
        self._gate = gate
        self._random = Random(f"provider {case.seed}")
        self._window: int = -1
        self._used = [0.0, 0.0]
        self._minute = [(REQUESTS, 0.0), (case.tokens, 0.0)]  # what is left of a minute, and as of when
        self._closed_until = 0.0
        self.attempts = self.refused = self.answered = self.tokens = self.early = 0

    async def complete(self, provider: str, request: ModelRequest) -> ModelResponse:
        case, now = self._case, asyncio.get_running_loop().time()
        usage = Usage(request_tokens(request), self._random.randrange(20, 400))
        amounts = (1.0, float(usage.prompt + usage.completion))
        self._count("attempts", now)
        self.early += now < self._closed_until - 1e-6
        window = int(now / case.window + 1e-9)
        if window != self._window:
            self._window, self._used = window, [0.0, 0.0]
        most = [each * case.window / 60 for each in (REQUESTS, case.tokens)]
        if any(used + amount > limit for used, amount, limit in zip(self._used, amounts, most, strict=True)):
            self._count("refused", now)
            wait = (window + 1) * case.window - now if case.names_the_wait else None
            self._closed_until = max(self._closed_until, now + (wait or 0.0))
            raise ModelError("rate_limit", "too many", retry_after=wait, status=429)
        self._used = [used + amount for used, amount in zip(self._used, amounts, strict=True)]
        self._minute = [self._left(n, now, amounts[n]) for n in range(2)]
        await asyncio.sleep(2.0 * self._random.lognormvariate(0.0, 0.4))
        now = asyncio.get_running_loop().time()
        if case.told == "headers":
            self._gate.learn(Limits(self._allowance(0, now), self._allowance(1, now)))
        self._count("answered", now)
        self._count("tokens", now, usage.prompt + usage.completion)
        return ModelResponse("fine", usage=usage, model="limited")

    async def start(self, program: Program, revision: str) -> Handle:
        raise NotImplementedError("no program is run here")

    async def close(self) -> None: ...

    def _count(self, what: str, now: float, amount: int = 1) -> None:
        if now >= 60.0:
            setattr(self, what, getattr(self, what) + amount)

    def _left(self, what: int, now: float, amount: float) -> tuple[float, float]:
        limit = (REQUESTS, self._case.tokens)[what]
        left, since = self._minute[what]
        return min(limit, left + (now - since) * limit / 60) - amount, now

    def _allowance(self, what: int, now: float) -> Allowance:
        limit = (REQUESTS, self._case.tokens)[what]
        left = self._left(what, now, 0.0)[0]
        return Allowance(limit, left, (limit - left) / (limit / 60))


def run(full: bool, seed: int) -> dict[str, object]:
    """Meet every provider, with one seed or with twenty."""
    seeds = range(seed, seed + (20 if full else 1))
    violations = 0
    worst = {"known": [0.0, 1.0], "unknown": [0.0, 1.0]}
    cases = [
        Case(*each)
        for each in product((1.0, 10.0), ("requests", "tokens"), ("headers", "settings", "never"), (True, False), seeds)
    ]
    for case in cases:
        outcome = meet(case, 10 if full else 3)
        kind, refused, goodput = ("unknown", 0.05, 0.75) if case.told == "never" else ("known", 0.02, 0.90)
        bad = outcome.refused > refused or outcome.goodput < goodput or outcome.early
        violations += bool(bad)
        worst[kind] = [max(worst[kind][0], outcome.refused), min(worst[kind][1], outcome.goodput)]
        if bad:
            sys.stdout.write(f"{case}: {outcome}\n")
    figures: dict[str, object] = {
        f"{what}_{kind}": round(value, 4)
        for kind, values in worst.items()
        for what, value in zip(("most_refused", "least_goodput"), values, strict=True)
    }
    return {"cases": len(cases), "violations": violations, "callers": CALLERS, **figures}


def meet(case: Case, minutes: int) -> Outcome:
    """All callers at work for so many minutes."""
    clock = VirtualClock()
    told = case.told == "settings"
    gate = Gate(GateSettings(requests=REQUESTS if told else None, tokens=case.tokens if told else None))
    provider = Provider(case, gate)

    async def append(facts: Sequence[Fact]) -> bool:
        """The facts of these calls are of no interest here."""
        return True

    async def main() -> None:
        state = _organization()
        voices = Voices(
            {TIER: Voice(NAME, NAME, max_output=1600)},
            {NAME: gate},
            provider,
            Ledger(state, Budget(cost=None)),
            append,
            clock,
            retry=RetrySettings(),
            deadline=1200.0,
            random=Random(case.seed),
        )
        callers = [asyncio.create_task(_call(voices, n, case.seed)) for n in range(CALLERS)]
        await asyncio.sleep(60.0 * minutes)
        for caller in callers:
            caller.cancel()
        for failure in await asyncio.gather(*callers, return_exceptions=True):
            if not isinstance(failure, asyncio.CancelledError):
                raise RuntimeError(f"a caller ended: {failure!r}")

    clock.run(main)
    share = provider.tokens / case.tokens if case.binding == "tokens" else provider.answered / REQUESTS
    return Outcome(provider.refused / max(1, provider.attempts), share / (minutes - 1), provider.early)


def _organization() -> State:
    """A boss, ten groups, and the callers in them."""
    state = State()
    groups = [f"{BOSS}/group{n}" for n in range(10)]
    for position, agent in enumerate([BOSS, *groups, *map(_caller, range(CALLERS))], 1):
        state.apply(Record(position, 1, 0.0, agent, 0, ev.AgentRecruited(agent, "calls", "")))
    return state


def _caller(number: int) -> AgentId:
    return f"{BOSS}/group{number % 10}/agent{number}"


async def _call(voices: Voices, number: int, seed: int) -> None:
    random = Random(f"caller {number} {seed}")
    agent, step = _caller(number), 0
    while True:
        step += 1
        words = "word " * random.randrange(300, 1300)
        question = Question(agent, step, "step", prompt_of([ChatMessage("user", words)]))
        answer = await voices.ask(TIER, lambda question=question: question)
        assert isinstance(answer, ev.ModelAnswered)
        await asyncio.sleep(0.5 * random.random())
