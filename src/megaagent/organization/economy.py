"""Economy: calls that nothing waits for are handed to the provider by the batch, at its lower price.

A call in a batch holds no step: its intent is recorded as ever, the step ends, and when the batch comes home its answer
becomes a fact, from which the agent goes on as it does after a crash. So hours pass without a task, a pause or the end
of an engine leaves batches where they are, and whoever resumes the run fetches what was paid for.

What nothing waits for is decided by `awaited`. A call that may wait is held back for a while (`gather`), both to
gather others and to see whether somebody begins to wait for it; then it is made singly, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from random import Random
from typing import Final, Protocol

from megaagent import events as ev
from megaagent.clock import Clock
from megaagent.errors import ModelError
from megaagent.events import BOSS, ENGINE, AgentId, CallId, Fact, Struct, Tier, storable
from megaagent.models.batches import Batches, Outcome
from megaagent.models.contract import ModelRequest, ModelResponse, ToolSpec
from megaagent.models.retry import Retry, RetrySettings, rule
from megaagent.organization.asking import Append, Asking, Question, Voice
from megaagent.organization.budget import Exhausted
from megaagent.organization.folds import IN_BATCH
from megaagent.organization.members import Batch, Member
from megaagent.organization.state import State

CANCELLING: Final = 900.0  # seconds that a provider is given to end a batch that it was asked to cancel
NO_BATCHES: Final = (404, 405, 501)  # what a server answers that does not know batches


class EconomySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls go by the batch, and how long they may take.

    Attributes:
        on: calls that nothing waits for go by the batch, where the provider takes batches.
        tiers: whose calls go by the batch also while somebody waits for what comes of them. The cheapest, and slow.
        gather: seconds that a call is held back, to gather others and to see whether somebody waits for it.
        look: seconds between two looks at a batch.
        patience_minutes: after which a batch is cancelled, and what it has not answered is asked singly.
        most: calls in one batch.
        discount: share of the price that a batch costs less; that of the provider unless given.
    """

    on: bool = False
    tiers: tuple[Tier, ...] = ()
    gather: float = 30.0
    look: float = 30.0
    patience_minutes: float = 1_440.0
    most: int = 1_000
    discount: float | None = None


class Bulk(Struct, frozen=True):
    """How one adapter is asked by the batch: `discount` is the share of the price that is saved."""

    batches: Batches
    discount: float


def awaited(state: State, member: Member) -> bool:
    """Whether somebody rests until something comes of this agent's work.

    The boss is awaited by who gave the goal. Of the others, those whom a `wait` names, and those who owe to somebody
    that does nothing meanwhile. Whoever owes nothing is awaited by nobody: it has handed in and only answers its mail.
    """
    if member.id == BOSS:
        return True
    members = state.members
    resting = (id for id in state.waiting_for(member.id) if not members[id].acting)
    creditors = (state.debts[id].creditor for id in member.owes if state.debts[id].status == "open")
    return any(resting) or any(id not in members or not members[id].acting for id in creditors)


class Desk(Protocol):
    """What the economy needs of those who make single calls."""

    async def intend(self, voice: Voice, question: Question) -> Asking | None: ...
    def request(self, voice: Voice, question: Question) -> ModelRequest: ...
    async def take(self, asking: Asking, response: ModelResponse, batch: str = "", discount: float = 0.0) -> object: ...
    def voice_named(self, model: str) -> Voice | None: ...


class _Held:
    """A call that is held back; its future tells whether it is in a batch (True) or is to be made singly."""

    def __init__(self, agent: AgentId, voice: Voice, prepare: Callable[[], Question | None]):
        self.agent = agent
        self.voice = voice
        self.prepare = prepare
        self.decided: asyncio.Future[bool | Asking] = asyncio.get_running_loop().create_future()

    def decide(self, how: bool | Asking) -> None:
        if not self.decided.done():
            self.decided.set_result(how)


class Economy:
    """Gathers calls, hands them in, and brings the answers home.

    Args:
        bulk: by adapter, of those that take batches.
        run: by which batches are told from those of other runs.
        epoch: of this engine.
        tools: what agents are offered, for reading answers to requests that an earlier engine has made.
    """

    def __init__(
        self,
        settings: EconomySettings,
        state: State,
        bulk: Mapping[str, Bulk],
        append: Append,
        clock: Clock,
        *,
        run: str,
        epoch: int,
        retry: RetrySettings,
        random: Random,
        tools: tuple[ToolSpec, ...] = (),
    ):
        self._settings = settings
        self._state = state
        self._bulk = dict(bulk)
        self._append = append
        self._clock = clock
        self._token = f"ma-{blake2b(run.encode(), digest_size=6).hexdigest()}-{epoch}"
        self._retry = retry
        self._random = random
        self._tools = tools
        self._number = 0
        self._held: dict[str, list[_Held]] = {}  # by adapter
        self._requests: dict[str, list[ModelRequest]] = {}  # by batch, of those that this engine has sent
        self._singly: set[AgentId] = set()  # whose call came back from a batch without an answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._desk: Desk | None = None
        self._done: Callable[[asyncio.Task[None]], object] | None = None

    def furnish(self, desk: Desk) -> None:
        """Give it what makes single calls."""
        self._desk = desk

    @property
    def desk(self) -> Desk:
        assert self._desk is not None
        return self._desk

    def begin(self, done: Callable[[asyncio.Task[None]], object]) -> None:
        """Go on waiting for the batches that an earlier engine has handed in.

        Args:
            done: told of every task of this economy that has ended, so that a bug in one is loud.
        """
        self._done = done
        for key in self._state.batches:
            self._start(self._go_on(key))

    async def close(self) -> None:
        """Wait for nothing any more; what is with a provider stays there."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- holding back -------------------------------------------------------------------------------------------

    def may_take(self, agent: AgentId, voice: Voice) -> bool:
        """Whether the agent's next call may wait, as far as one can see now."""
        if not self._settings.on or voice.adapter not in self._bulk:
            return False
        member = self._state.members[agent]
        if agent in self._singly or member.failures or self._presses(member):
            self._singly.discard(agent)
            return False
        return True

    async def hold(self, agent: AgentId, voice: Voice, prepare: Callable[[], Question | None]) -> bool | Asking:
        """Hold a call back that may wait, until it is known how it is made.

        Returns:
            True: it is in a batch, or was called off. False: it is to be made singly. An asking: its intent is
            recorded, and it is to be made singly.
        """
        held = _Held(agent, voice, prepare)
        others = self._held.setdefault(voice.adapter, [])
        others.append(held)
        if len(others) == 1:
            self._start(self._gather(voice.adapter, others))
        elif len(others) >= self._settings.most:
            self._start(self._hand_in(voice.adapter, self._held.pop(voice.adapter)))
        return await held.decided

    def take_in(self, event: ev.AnyEvent) -> None:
        """When somebody has begun to wait, look again at what is held back; to be told of every fact, once folded."""
        if isinstance(event, ev.TurnEnded) and self._held:
            for held in [each for others in self._held.values() for each in others]:
                if self._presses(self._state.members[held.agent]):
                    held.decide(False)

    def _presses(self, member: Member) -> bool:
        return member.tier not in self._settings.tiers and awaited(self._state, member)

    async def _gather(self, adapter: str, gathered: list[_Held]) -> None:
        await asyncio.sleep(self._settings.gather)
        if self._held.get(adapter) is gathered:
            await self._hand_in(adapter, self._held.pop(adapter))

    # -- handing in ---------------------------------------------------------------------------------------------

    async def _hand_in(self, adapter: str, gathered: list[_Held]) -> None:
        waiting = [held for held in gathered if not held.decided.done()]
        try:
            intended = [found for found in [await self._intend(held) for held in waiting] if found is not None]
            for some in self._portions(adapter, intended):
                await self._send(adapter, some)
        finally:
            for held in waiting:
                held.decide(False)

    async def _intend(self, held: _Held) -> tuple[_Held, Asking, ModelRequest] | None:
        """Record that the call follows; None when it is called off, or to be made singly."""
        if held.decided.done():
            return None
        member = self._state.members[held.agent]
        if held.voice.adapter not in self._bulk or self._presses(member):
            held.decide(False)
            return None
        question = held.prepare()
        if question is None:
            held.decide(True)
            return None
        try:
            asking = await self.desk.intend(held.voice, question)
        except Exhausted:
            held.decide(False)  # that finds it out too, and knows what follows
            return None
        if asking is None:
            held.decide(True)
            return None
        return held, asking, self.desk.request(held.voice, question)

    def _portions(
        self, adapter: str, intended: Sequence[tuple[_Held, Asking, ModelRequest]]
    ) -> Iterator[list[tuple[_Held, Asking, ModelRequest]]]:
        """As much as one batch takes; a batch is for one model."""
        batches = self._bulk[adapter].batches
        most = min(self._settings.most, batches.requests)
        some: list[tuple[_Held, Asking, ModelRequest]] = []
        size = 0
        for each in intended:
            more = batches.size(each[2])
            if some and (len(some) >= most or size + more > batches.bytes):
                yield some
                some, size = [], 0
            some.append(each)
            size += more
        if some:
            yield some

    async def _send(self, adapter: str, some: Sequence[tuple[_Held, Asking, ModelRequest]]) -> None:
        self._number += 1
        key = f"{self._token}-{self._number}"
        askings = [asking for _, asking, _ in some]
        await self._record(ev.BatchIntended(key, askings[0].voice.name, tuple(asking.call for asking in askings)))
        requests = [request for _, _, request in some]
        try:
            name = await self._sent(self._bulk[adapter].batches, key, requests)
        except ModelError as error:
            if error.maybe_paid:  # to hand it in once more could be to pay for it twice
                await self._give_up(key, "lost", storable(str(error)))
                for held, _, _ in some:
                    held.decide(True)
                return
            if error.status in NO_BATCHES:
                del self._bulk[adapter]
            await self._record(ev.BatchEnded(key, "refused", 0, storable(error.detail)))
            for held, asking, _ in some:
                held.decide(asking)
            return
        await self._record(ev.BatchSent(key, name))
        self._requests[key] = requests
        for held, _, _ in some:
            held.decide(True)
        self._start(self._watch(key))

    async def _sent(self, batches: Batches, key: str, requests: Sequence[ModelRequest]) -> str:
        """The provider's name of the batch; asked again as single calls are.

        When nobody knows whether it was taken, it is handed in once more only where the provider says that it was not.

        Raises:
            ModelError: it was not taken, or nobody knows (`maybe_paid`).
        """
        began, attempt = self._time(), 0
        while True:
            attempt += 1
            try:
                return await batches.send(key, requests)
            except ModelError as error:
                decision = rule(error, attempt, self._time() - began, self._retry, self._random)
                if not isinstance(decision, Retry) or (error.maybe_paid and not batches.finds):
                    raise
                await asyncio.sleep(decision.wait)
                if error.maybe_paid:
                    try:
                        found = await batches.find(key)
                    except ModelError as unseen:
                        raise error from unseen
                    if found is not None:
                        return found

    # -- bringing home ------------------------------------------------------------------------------------------

    async def _go_on(self, key: str) -> None:
        """With a batch that an earlier engine has made."""
        batch = self._state.batches[key]
        voice = self.desk.voice_named(batch.model)
        bulk = self._bulk.get(voice.adapter) if voice is not None else None
        if voice is None or bulk is None:
            await self._give_up(key, "lost", f"{batch.model} is not asked by the batch any more")
            return
        if not batch.name:
            found = None
            with suppress(ModelError):
                found = await bulk.batches.find(key)
            if found is None:
                await self._give_up(key, "lost", "an engine was stopped while it handed the batch in")
                return
            await self._record(ev.BatchSent(key, found))
        await self._watch(key)

    async def _watch(self, key: str) -> None:
        batch = self._state.batches[key]
        voice = self.desk.voice_named(batch.model)
        assert voice is not None
        bulk = self._bulk[voice.adapter]
        last = batch.since + 60 * self._settings.patience_minutes
        cancelled = False
        trouble = ""
        while True:
            await asyncio.sleep(self._settings.look)
            try:
                progress = await bulk.batches.look(batch.name)
            except ModelError as error:
                progress, trouble = None, str(error)
            if progress is not None and progress.position == "unknown":
                await self._give_up(key, "lost", progress.reason)
                return
            if progress is not None and progress.position == "ended":
                try:
                    outcomes = await bulk.batches.answers(batch.name, key, self._asked(key, batch, voice))
                except ModelError as error:
                    trouble = str(error)
                else:
                    await self._bring_home(key, batch, voice, bulk, outcomes, progress.reason)
                    return
            late = self._clock.now() >= last
            if cancelled and late:
                await self._give_up(key, "late", trouble or "the provider has not ended it")
                return
            if not cancelled and (late or self._all_left(batch)):
                cancelled, last = True, self._clock.now() + CANCELLING
                with suppress(ModelError):
                    await bulk.batches.cancel(batch.name)

    def _asked(self, key: str, batch: Batch, voice: Voice) -> list[ModelRequest]:
        """What was asked; of an earlier engine's batch only as much as is needed to read the answers."""
        bare = ModelRequest(voice.name.partition(":")[2], (), self._tools, voice.max_output)
        return self._requests.get(key) or [bare] * len(batch.calls)

    def _all_left(self, batch: Batch) -> bool:
        members = self._state.members
        agents = (call.partition("#")[0] for call in batch.calls)
        return all(agent not in members or members[agent].retired is not None for agent in agents)

    async def _bring_home(
        self, key: str, batch: Batch, voice: Voice, bulk: Bulk, outcomes: Sequence[Outcome], reason: str
    ) -> None:
        answered = 0
        for call, outcome in zip(batch.calls, outcomes, strict=True):
            if call not in self._state.calls:
                answered += 1  # an engine that died had brought it home
                continue
            asking = self._asking(call, voice, batch)
            if isinstance(outcome, ModelResponse):
                answered += 1
                await self.desk.take(asking, outcome, key, bulk.discount)
            else:
                await self._without(asking, outcome)
        self._requests.pop(key, None)
        await self._record(ev.BatchEnded(key, "ended", answered, storable(reason)))

    async def _without(self, asking: Asking, error: ModelError) -> None:
        """A call that came back without an answer is asked singly, where every fault has its rule."""
        self._singly.add(asking.agent)
        tokens, cost = (asking.tokens, asking.cost or 0.0) if error.maybe_paid else (0, 0.0)
        failed = ev.CallFailed(asking.call, IN_BATCH, storable(str(error)), tokens, cost)
        await self._append([Fact(asking.agent, asking.step, failed)])

    async def _give_up(self, key: str, how: str, why: str) -> None:
        """Nothing can be learned of a batch any more: it may have been paid for."""
        batch = self._state.batches[key]
        voice = self.desk.voice_named(batch.model) or Voice(batch.model, batch.model)
        error = ModelError("broken", why)
        error.maybe_paid = True
        for call in batch.calls:
            if call in self._state.calls:
                await self._without(self._asking(call, voice, batch), error)
        self._requests.pop(key, None)
        await self._record(ev.BatchEnded(key, how, 0, storable(why)))  # pyright: ignore[reportArgumentType]

    def _asking(self, call: CallId, voice: Voice, batch: Batch) -> Asking:
        agent, _, step = call.partition("#")
        tokens, cost = self._state.calls[call]
        return Asking(voice, agent, int(step), call, tokens, cost, batch.since)

    # -- the end ------------------------------------------------------------------------------------------------

    async def call_off(self, *, for_good: bool, grace: float) -> None:
        """Ask the providers to begin no more of what is with them.

        Args:
            for_good: nobody will ever fetch the answers.
            grace: seconds that may be taken for it.
        """
        for key, batch in list(self._state.batches.items()):
            voice = self.desk.voice_named(batch.model)
            bulk = self._bulk.get(voice.adapter) if voice is not None else None
            if bulk is not None and batch.name:
                with suppress(ModelError, TimeoutError):
                    async with asyncio.timeout(grace):
                        await bulk.batches.cancel(batch.name)
            if for_good:
                await self._record(ev.BatchEnded(key, "called off", 0, "the run has ended"))

    # -- shared -------------------------------------------------------------------------------------------------

    async def _record(self, event: ev.AnyEvent) -> None:
        await self._append([Fact(ENGINE, 0, event)])

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._done is not None:
            task.add_done_callback(self._done)

    def _time(self) -> float:
        return asyncio.get_running_loop().time()
