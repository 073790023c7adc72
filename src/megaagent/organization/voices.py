"""How the organization asks a model: gate, budget, record and retry around one attempt after another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

from megaagent import events as ev
from megaagent.agent.prompt import Prompt
from megaagent.clock import Clock
from megaagent.errors import ModelError
from megaagent.events import AgentId, Fact, Message, Struct, Tier, ToolCall, Usage, storable
from megaagent.models.contract import ChatMessage, Model, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.gate import Gate, Place
from megaagent.models.prices import Price, cost_of
from megaagent.models.retry import RetryingModel, RetrySettings
from megaagent.models.tokens import message_tokens, tools_tokens
from megaagent.organization.budget import Ledger
from megaagent.runtimes.contract import Runtime

Append = Callable[[Sequence[Fact]], Awaitable[object]]


class Voice(Struct, frozen=True):
    """A model as one tier uses it; `name` is `provider:model`, `adapter` the runtime's name of its connection."""

    name: str
    adapter: str
    price: Price | None = None
    max_output: int = 16_384
    temperature: float | None = None


class Question(Struct, frozen=True):
    """What is asked, by whom, in which step.

    Attributes:
        prompt: head and conversation; `tail` is sent after it and not kept.
        priority: lower is asked first; `share` takes turns with other shares of the same priority.
        attempt: which asking of this it is, when an answer was of no use and it is asked anew.
    """

    agent: AgentId
    step: int
    purpose: str
    prompt: Prompt
    tail: str = ""
    tools: tuple[ToolSpec, ...] = ()
    mail: tuple[Message, ...] = ()
    priority: int = 0
    privileged: bool = False
    attempt: int = 1


class Voices:
    """The models of a run, by tier.

    Args:
        voices: for every tier.
        gates: by adapter.
        append: puts facts into the journal.
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
    ):
        self._voices = voices
        self._gates = gates
        self._runtime = runtime
        self._ledger = ledger
        self._append = append
        self._clock = clock
        self._retry = retry
        self._deadline = deadline
        self._random = random
        self._counted: tuple[tuple[ToolSpec, ...], int] = ((), 0)  # all agents send the same tools
        self._background: set[asyncio.Task[object]] = set()
        self.at_the_gate: set[AgentId] = set()  # whose call waits to begin: nothing of it is recorded yet, or paid for

    async def ask(self, tier: Tier, prepare: Callable[[], Question | None]) -> ev.ModelAnswered | None:
        """Ask the tier's model; the answer is in the journal when this returns.

        Args:
            prepare: called again when the call had to wait, so that the question holds the newest mail; None calls it
                off.

        Raises:
            ModelError: no attempt succeeded; recorded as `CallFailed`.
            Exhausted: a cap of the budget would be passed; nothing was asked.
        """
        voice = self._voices[tier]
        gate = self._gates[voice.adapter]
        question = prepare()
        if question is None:
            return None
        expected = self._count(question) + voice.max_output // 8
        place = gate.place(priority=question.priority, share=ev.superior_of(question.agent) or "", tokens=expected)
        waited = not gate.enter_now(place)
        if waited:
            self.at_the_gate.add(question.agent)
            try:
                await gate.enter(place)
            finally:
                self.at_the_gate.discard(question.agent)
        async with place:
            question = prepare() if waited else question
            if question is None:
                return None
            request = self._request(voice, question)
            call = f"{question.agent}#{question.step}"
            if question.purpose != "step":
                call += f"/{question.purpose}"
            if question.attempt > 1:
                call += f".{question.attempt}"
            await self._intend(voice, question, call, request)

            def on_retry(attempt: int, error: ModelError, wait: float) -> None:
                fact = ev.CallRetried(call, attempt, error.fault, error.detail, wait)
                task = asyncio.ensure_future(self._append([Fact(question.agent, question.step, fact)]))
                self._background.add(task)
                task.add_done_callback(self._background.discard)

            model = _Gated(_Adapter(self._runtime, voice.adapter), gate, place)
            return await self._attempts(voice, question, call, request, model, on_retry)

    async def _attempts(
        self,
        voice: Voice,
        question: Question,
        call: str,
        request: ModelRequest,
        model: Model,
        on_retry: Callable[[int, ModelError, float], None],
    ) -> ev.ModelAnswered:
        began = self._clock.now()
        attempts = RetryingModel(model, self._retry, random=self._random, on_retry=on_retry)
        try:
            async with asyncio.timeout(self._deadline):
                response = await attempts.complete(request)
        except ModelError as error:
            await self._fail(question, call, error.fault, error.detail)
            raise
        except TimeoutError as error:
            detail = f"no answer within the step's deadline of {self._deadline:g} s"
            await self._fail(question, call, "timeout", detail)
            raise ModelError("timeout", detail) from error
        except asyncio.CancelledError:
            # It may have been paid for: the reservation stays, and the fact says so.
            await asyncio.shield(self._fail(question, call, "cancelled", "called off; it may have been paid for"))
            raise
        answer = ev.ModelAnswered(
            call,
            storable(response.text),
            tuple(ToolCall(storable(c.id), storable(c.name), storable(c.arguments)) for c in response.calls),
            storable(response.reasoning),
            response.finish,
            response.model,
            response.usage,
            cost_of(response.usage, voice.name, voice.price),
            round(self._clock.now() - began, 6),
            response.repairs,
        )
        await self._append([Fact(question.agent, question.step, answer)])
        return answer

    def _request(self, voice: Voice, question: Question) -> ModelRequest:
        tail = (ChatMessage("user", question.tail),) if question.tail else ()
        return ModelRequest(
            voice.name.partition(":")[2],
            (*question.prompt.messages, *tail),
            question.tools,
            max_output=voice.max_output,
            temperature=voice.temperature,
            deadline=self._deadline,
        )

    async def _intend(self, voice: Voice, question: Question, call: str, request: ModelRequest) -> None:
        tokens = self._count(question) + voice.max_output
        cost = cost_of(Usage(tokens - voice.max_output, voice.max_output), voice.name, voice.price)
        self._ledger.reserve(tokens, cost, privileged=question.privileged)
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
            await self._append([Fact(question.agent, question.step, intent)])
        finally:
            self._ledger.noted(tokens, cost)

    async def _fail(self, question: Question, call: str, fault: str, detail: str) -> None:
        await self._append([Fact(question.agent, question.step, ev.CallFailed(call, fault, detail))])

    def _count(self, question: Question) -> int:
        """Prompt tokens, as reserved: counted by the documented law."""
        if question.tools is not self._counted[0]:
            self._counted = (question.tools, tools_tokens(question.tools))
        tools = self._counted[1]
        tail = message_tokens(ChatMessage("user", question.tail)) if question.tail else 0
        return question.prompt.tokens + tail + tools


class _Gated:
    """Makes each attempt from a place at the gate; between two attempts the place is left to others."""

    def __init__(self, model: Model, gate: Gate, place: Place):
        self._model = model
        self._gate = gate
        self._place = place

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if not self._place.held:
            await self._gate.enter(self._place)
        try:
            response = await self._model.complete(request)
        except ModelError as error:
            if error.fault == "rate_limit":
                self._gate.refused(error.retry_after, self._place)
            self._gate.leave(self._place)
            raise
        self._gate.answered(response.usage, self._place)
        return response

    async def close(self) -> None: ...


class _Adapter:
    """The runtime's bare adapter as a `Model`."""

    def __init__(self, runtime: Runtime, name: str):
        self._runtime = runtime
        self._name = name

    async def complete(self, request: ModelRequest) -> ModelResponse:
        return await self._runtime.complete(self._name, request)

    async def close(self) -> None: ...
