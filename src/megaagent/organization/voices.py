"""How the organization asks a model: gate, budget, record and retry around one attempt after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Final

from megaagent import events as ev
from megaagent.clock import Clock
from megaagent.errors import Fault, ModelError
from megaagent.events import ENGINE, AgentId, Fact, Tier, ToolCall, storable
from megaagent.models.breaker import Breaker, Change
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.gate import Gate, Place
from megaagent.models.prices import cost_of, worst_case
from megaagent.models.retry import RetryingModel, RetrySettings
from megaagent.models.tokens import message_tokens, tools_tokens
from megaagent.organization.asking import Append, Asking, Question, Voice
from megaagent.organization.budget import Crowded, Exhausted, Ledger
from megaagent.organization.economy import Economy
from megaagent.organization.passage import Passage
from megaagent.runtimes.contract import Runtime

# What a fallback may mend. Money and keys are a person's matter, and a request that is wrong is so anywhere.
_ELSEWHERE: Final[frozenset[Fault]] = frozenset(
    {"connection", "timeout", "overloaded", "rate_limit", "not_found", "refused", "broken", "empty"}
)
_ENDPOINT: Final[frozenset[Fault]] = frozenset({"connection", "timeout", "overloaded"})


class Voices:
    """The models of a run, by tier.

    Args:
        voices: for every tier.
        gates, breakers: by adapter; adapters of one endpoint share a breaker.
        append: puts facts into the journal.
        fallbacks: asked in this order in place of a tier's own model while that is not available.
        economy: takes calls of agents that may wait; without it all are made singly.
    """

    def __init__(
        self,
        voices: Mapping[Tier, Voice],
        gates: Mapping[str, Gate],
        runtime: Runtime,
        ledger: Ledger,
        append: Append,
        clock: Clock,
        *,
        retry: RetrySettings,
        deadline: float,
        random: Random,
        breakers: Mapping[str, Breaker] | None = None,
        fallbacks: Sequence[Voice] = (),
        economy: Economy | None = None,
    ):
        self._voices = voices
        self._economy = economy
        self._gates = gates
        self._breakers = {name: (breakers or {}).get(name) or Breaker(name) for name in gates}
        self._fallbacks = tuple(fallbacks)
        self._runtime = runtime
        self._ledger = ledger
        self._append = append
        self._clock = clock
        self._retry = retry
        self._deadline = deadline
        self._random = random
        self._counted: tuple[tuple[ToolSpec, ...], int] = ((), 0)  # all agents send the same tools
        self._background: set[asyncio.Task[object]] = set()
        self._missing: set[str] = set()  # adapters whose model the provider does not know, while others can be asked
        self._heard: set[str] = set()  # adapters that have answered
        self._windows: dict[str, int] = {}  # of adapters that have cut a prompt, the tokens that they have read
        self.at_the_gate: dict[AgentId, Place] = {}  # whose call waits to begin: nothing of it is recorded or paid for
        self._parked: set[asyncio.Task[object]] = set()  # the tasks of those
        for breaker in {id(each): each for each in self._breakers.values()}.values():
            breaker.watch(self._circuit_changed)

    async def ask(
        self, tier: Tier, prepare: Callable[[], Question | None], *, step_of: AgentId | None = None
    ) -> ev.ModelAnswered | None:
        """Ask the tier's model; the answer is in the journal when this returns.

        Args:
            prepare: called again when the call had to wait, so that the question holds the newest mail; None calls it
                off.
            step_of: whose step it is, if it is one: it may go by the batch, and then there is no answer yet.

        Raises:
            ModelError: no attempt succeeded; recorded as `CallFailed` if one was made.
            Exhausted: a cap of the budget would be passed; nothing was asked.
        """
        economy, voice = self._economy, self._voices[tier]
        if step_of is not None and economy is not None and economy.may_take(step_of, voice):
            taken = await self._held_back(economy.hold(step_of, voice, prepare))
            if isinstance(taken, Asking):
                return await self._carry(taken, self._place(taken.voice, taken.question))
            if taken:
                return None
        while True:
            try:
                return await self._ask(tier, prepare)
            except Crowded as crowded:
                await self._ledger.room(crowded)

    async def _held_back(self, held: Awaitable[bool | Asking]) -> bool | Asking:
        task = asyncio.current_task()
        assert task is not None
        self._parked.add(task)
        try:
            return await held
        finally:
            self._parked.discard(task)

    async def _ask(self, tier: Tier, prepare: Callable[[], Question | None]) -> ev.ModelAnswered | None:
        own = self._voices[tier]
        voice = own if not self._fallbacks else self._available(own)
        gate = self._gates[voice.adapter]
        question = prepare()
        if question is None:
            return None
        place = self._place(voice, question)
        waited = not (self._breakers[voice.adapter].position == "closed" and gate.enter_now(place))
        if waited:
            self.at_the_gate[question.agent] = place
            task = asyncio.current_task()
            assert task is not None
            self._parked.add(task)
            try:
                await self._passage(voice, place, parks=True).wait()
            except ModelError as error:
                error.needs_person = True
                raise
            finally:
                self._parked.discard(task)
                self.at_the_gate.pop(question.agent, None)
        try:
            question = prepare() if waited else question
            if question is None:
                return None
            asking = await self.intend(voice, question)
            if asking is None:
                return None
            instead_of = None if voice is own else own
            return await self._carry(asking, place, instead_of)
        finally:
            if place.held:
                gate.leave(place)

    async def _carry(self, asking: Asking, place: Place, instead_of: Voice | None = None) -> ev.ModelAnswered:
        """Bring a call whose intent is recorded to its end."""
        try:
            if instead_of is not None:
                await self._record(asking, self._rerouted(asking, instead_of, "it is not available"))
            return await self._answer(asking, place)
        except asyncio.CancelledError:
            if not asking.ended:
                # It may have been paid for: the reservation stays, and the fact says so.
                off = ev.CallFailed(asking.call, "cancelled", "called off; it may have been paid for")
                await asyncio.shield(self._record(asking, off))
            raise
        finally:
            if place.held:
                self._gates[asking.voice.adapter].leave(place)

    def take_in(self, event: ev.AnyEvent) -> None:
        """Learn from a fact, once it is folded."""
        if self._economy is not None:
            self._economy.take_in(event)

    def begin(self, done: Callable[[asyncio.Task[None]], object]) -> None:
        """Go on with what an earlier engine has left under way; `done` is told of every task that has ended."""
        if self._economy is not None:
            self._economy.begin(done)

    async def call_off_batches(self, *, for_good: bool, grace: float) -> None:
        """The run has ended: have providers begin no more of what is with them (see `Economy.call_off`)."""
        if self._economy is not None:
            await self._economy.call_off(for_good=for_good, grace=grace)

    async def close(self) -> None:
        """Wait for nothing any more."""
        if self._economy is not None:
            await self._economy.close()

    def prefer(self, agent: AgentId, priority: int) -> None:
        """Give the agent's call another priority, if it waits to begin."""
        place = self.at_the_gate.get(agent)
        if place is not None:
            place.prefer(priority)

    def call_off_waiting(self) -> None:
        """Cancel every task whose call waits to begin; a provider may have asked for a wait of hours."""
        for task in self._parked:
            task.cancel()

    def window(self, tier: Tier) -> int | None:
        """Tokens that the tier's model seems to read of a prompt, when it was seen to read less than it was sent."""
        return self._windows.get(self._voices[tier].adapter)

    def has_answered(self, tier: Tier) -> bool:
        """Whether the tier's model has given anybody an answer that can be used, since this engine began."""
        return self._voices[tier].adapter in self._heard

    # -- attempts -----------------------------------------------------------------------------------------------

    async def _answer(self, asking: Asking, place: Place) -> ev.ModelAnswered:
        """The answer of the asked voice, or of the next that can be asked when it has none."""
        following = self._following(asking.voice)
        passage = self._passage(asking.voice, place, parks=following is None)
        again = partial(self._again, asking)
        attempts = RetryingModel(passage, self._retry, random=self._random, on_retry=again)
        try:
            async with asyncio.timeout(self._deadline):
                response = await attempts.complete(self.request(asking.voice, asking.question))
        except ModelError as error:
            if following is None or error.fault not in _ELSEWHERE:
                breaker = self._breakers[asking.voice.adapter]
                out_of_order = error.fault in _ENDPOINT and breaker.position != "closed"
                error.needs_person = error.needs_person or error.fault == "rate_limit" or out_of_order
                await self._fail(asking, error)
                raise
            return await self._elsewhere(asking, following, error)
        except TimeoutError as error:
            late = ModelError("timeout", f"no answer within the step's deadline of {self._deadline:g} s")
            late.maybe_paid = passage.under_way
            if not asking.ended:
                await self._fail(asking, late)
            raise late from error
        return await self.take(asking, response)

    async def take(
        self, asking: Asking, response: ModelResponse, batch: str = "", discount: float = 0.0
    ) -> ev.ModelAnswered:
        """Record the answer.

        Args:
            batch: in which it came, if it did, at a price that is lower by the share `discount`.
        """
        self._heard.add(asking.voice.adapter)
        cost = cost_of(response.usage, asking.voice.name, asking.voice.price)
        saved = round((cost or 0.0) * discount, 9)
        if response.prompt_cut:
            self._windows[asking.voice.adapter] = response.usage.prompt
        answer = ev.ModelAnswered(
            asking.call,
            storable(response.text),
            tuple(ToolCall(storable(c.id), storable(c.name), storable(c.arguments)) for c in response.calls),
            storable(response.reasoning),
            response.finish,
            storable(response.model),
            response.usage,
            cost if cost is None else cost - saved,
            round(self._clock.now() - asking.began, 6),
            tuple(map(storable, response.repairs)),
            storable(response.echo),
            batch,
            saved,
        )
        asking.ended = True
        await self._record(asking, answer)
        return answer

    async def _again(self, asking: Asking, attempt: int, error: ModelError, wait: float) -> None:
        """Record that another attempt follows; what the failed one may have cost stays reserved beside it."""
        asking.attempt = attempt + 1
        tokens, cost = self._maybe_paid(asking, error)
        await self._reserve(asking, error, tokens, cost)
        try:
            fact = ev.CallRetried(asking.call, attempt, error.fault, storable(error.detail), wait, tokens, cost)
            await self._record(asking, fact)
        finally:
            self._ledger.noted(asking.agent, tokens, cost)

    async def _elsewhere(self, asking: Asking, voice: Voice, error: ModelError) -> ev.ModelAnswered:
        """Ask another voice, reserving at its price."""
        await self._again(asking, asking.attempt, error, 0.0)
        before = asking.voice
        if error.fault == "not_found":
            self._missing.add(before.adapter)
        tokens, cost = self._most(voice, asking.question)
        more = max(0, tokens - asking.tokens), max(0.0, (cost or 0.0) - (asking.cost or 0.0))
        await self._reserve(asking, error, *more)
        asking.voice, asking.tokens, asking.cost = voice, tokens, cost
        try:
            await self._record(asking, self._rerouted(asking, before, storable(str(error))))
        finally:
            self._ledger.noted(asking.agent, *more)
        place = self._place(voice, asking.question)
        try:
            return await self._answer(asking, place)
        finally:
            if place.held:
                self._gates[voice.adapter].leave(place)

    async def _reserve(self, asking: Asking, error: ModelError, tokens: int, cost: float) -> None:
        """Reserve more for a call under way; when a cap forbids it, the call has failed."""
        try:
            self._ledger.reserve(asking.agent, tokens, cost, more=True)
        except Exhausted:
            await self._fail(asking, error)
            raise

    def _maybe_paid(self, asking: Asking, error: ModelError) -> tuple[int, float]:
        """What a failed attempt may have cost: as the provider counted, or all that was reserved for it."""
        if not error.maybe_paid:
            return 0, 0.0
        if error.usage is None:
            return asking.tokens, round(asking.cost or 0.0, 9)
        cost = cost_of(error.usage, asking.voice.name, asking.voice.price)
        return error.usage.prompt + error.usage.completion, round(cost or 0.0, 9)

    # -- whom to ask --------------------------------------------------------------------------------------------

    def _available(self, own: Voice) -> Voice:
        """The first voice that can be asked now; the tier's own when none can."""
        voices: Iterable[Voice] = (own, *(each for each in self._fallbacks if each.adapter != own.adapter))
        return next((voice for voice in voices if self._can_be_asked(voice)), own)

    def _following(self, voice: Voice) -> Voice | None:
        """The fallback to turn to when this voice has no answer."""
        adapters = [each.adapter for each in self._fallbacks]
        later = adapters.index(voice.adapter) + 1 if voice.adapter in adapters else 0
        return next((each for each in self._fallbacks[later:] if self._can_be_asked(each)), None)

    def _can_be_asked(self, voice: Voice) -> bool:
        cool = self._gates[voice.adapter].cooled_at - asyncio.get_running_loop().time()
        missing = voice.adapter in self._missing
        return not missing and self._breakers[voice.adapter].available and cool <= self._retry.seconds

    def _place(self, voice: Voice, question: Question) -> Place:
        expected = self._count(question) + voice.max_output // 8
        return self._gates[voice.adapter].place(
            priority=question.priority, share=ev.superior_of(question.agent) or "", tokens=expected
        )

    def _passage(self, voice: Voice, place: Place, *, parks: bool) -> Passage:
        name = voice.adapter
        return Passage(
            self._runtime, name, self._gates[name], self._breakers[name], place, self._retry.seconds, parks=parks
        )

    def request(self, voice: Voice, question: Question) -> ModelRequest:
        """What the voice is sent."""
        tail = (ChatMessage("user", question.tail),) if question.tail else ()
        return ModelRequest(
            voice.name.partition(":")[2],
            (*question.prompt.messages, *tail),
            question.tools,
            max_output=voice.max_output,
            temperature=voice.temperature,
            deadline=min(self._retry.attempt_seconds, self._deadline),
            effort=voice.effort,
            must_call=question.must_call,
            lasting=len(question.prompt.messages),
        )

    # -- the record ---------------------------------------------------------------------------------------------

    def voice_named(self, model: str) -> Voice | None:
        """The voice of `provider:model`; None when it is asked for nothing."""
        return next((voice for voice in (*self._voices.values(), *self._fallbacks) if voice.name == model), None)

    async def intend(self, voice: Voice, question: Question) -> Asking | None:
        """Record that a call follows; None when it must not, because who asks is leaving."""
        call = f"{question.agent}#{question.step}"
        if question.purpose != "step":
            call += f"/{question.purpose}"
        if question.attempt > 1:
            call += f".{question.attempt}"
        tokens, cost = self._most(voice, question)
        self._ledger.reserve(question.agent, tokens, cost)
        asking = Asking(voice, question.agent, question.step, call, tokens, cost, self._clock.now(), question)
        intent = ev.CallIntended(
            call,
            question.purpose,  # pyright: ignore[reportArgumentType]
            voice.name,
            question.prompt.fingerprint,
            tuple(message.id for message in question.mail),
            tokens,
            round(cost or 0.0, 9),
        )
        try:
            intended = await self._record(asking, intent)
        finally:
            self._ledger.noted(question.agent, tokens, cost)
        return asking if intended else None

    def _most(self, voice: Voice, question: Question) -> tuple[int, float | None]:
        """The tokens and dollars that one attempt can use."""
        tokens = self._count(question) + voice.max_output
        most = worst_case(tokens - voice.max_output, voice.max_output, hour=voice.hour)
        return tokens, cost_of(most, voice.name, voice.price)

    async def _fail(self, asking: Asking, error: ModelError) -> None:
        kept = self._maybe_paid(asking, error)
        asking.ended = True
        await self._record(asking, ev.CallFailed(asking.call, error.fault, storable(error.detail), *kept))

    def _rerouted(self, asking: Asking, instead_of: Voice, reason: str) -> ev.CallRerouted:
        cost = round(asking.cost or 0.0, 9)
        return ev.CallRerouted(asking.call, asking.voice.name, instead_of.name, reason, asking.tokens, cost)

    async def _record(self, asking: Asking, event: ev.AnyEvent) -> bool:
        return await self._append([Fact(asking.agent, asking.step, event)])

    def _circuit_changed(self, change: Change) -> None:
        fact = ev.CircuitChanged(change.endpoint, change.position, storable(change.reason), change.wait)
        task = asyncio.ensure_future(self._append([Fact(ENGINE, 0, fact)]))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _count(self, question: Question) -> int:
        """Prompt tokens, as reserved: counted by the documented law."""
        if question.tools is not self._counted[0]:
            self._counted = (question.tools, tools_tokens(question.tools))
        tools = self._counted[1]
        tail = message_tokens(ChatMessage("user", question.tail)) if question.tail else 0
        return question.prompt.tokens + tail + tools
