"""Joins the parts of an engine: every protocol that a lower room declares is met here by a higher one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from megaagent import __version__
from megaagent import events as ev
from megaagent.agent.prompts import Prompts
from megaagent.clock import Clock
from megaagent.disk import Disk
from megaagent.events import BOSS, ENGINE, AgentId, Fact, Tier
from megaagent.journal import Journal
from megaagent.models.breaker import Breaker
from megaagent.models.gate import Gate
from megaagent.models.prices import prices_version
from megaagent.organization.approvals import Approvals
from megaagent.organization.asking import Voice
from megaagent.organization.budget import Ledger
from megaagent.organization.by_hand import ByHand
from megaagent.organization.contexts import Contexts
from megaagent.organization.economy import Bulk, Economy
from megaagent.organization.engine import Organization
from megaagent.organization.files import FilesPart
from megaagent.organization.likeness import Likeness, Source
from megaagent.organization.memory import Memory
from megaagent.organization.monitors import TOLD_AT
from megaagent.organization.own import OwnPart
from megaagent.organization.people import Names, PeoplePart
from megaagent.organization.programs import Programs, ProgramsPart
from megaagent.organization.questions import Questions
from megaagent.organization.snapshots import folded
from megaagent.organization.state import State
from megaagent.organization.step import Steps
from megaagent.organization.turns import TurnPart
from megaagent.organization.verification import Acceptance, Verification
from megaagent.organization.voices import Voices
from megaagent.organization.work import Work
from megaagent.runtimes.contract import Handle, Runtime
from megaagent.sandboxes.contract import Execution, Process, Program
from megaagent.settings import Settings
from megaagent.tools import Tool, Toolbox, rules, toolbox
from megaagent.tools import desk as desks
from megaagent.workspace import Queue, Workspace


class Parts(msgspec.Struct, frozen=True):
    """What an engine is made of.

    Unlike facts, it is looked at by the collector: its parts refer to each other in circles.

    Attributes:
        voices, gates: the models by tier, and who may call each now.
        breakers, fallbacks: by adapter, of its endpoint; and whom to ask in place of a model that is not available.
        bulk: by adapter, of those that take batches.
        source: of vectors for recall; without it recall goes by words.
        tools: the user's own, or all of them in a box that who has made it may fill anew.
        acceptance: the executed checks of the deliverable.
        disk: what waits, and tells, when the run's folder cannot be written; without it such a failure ends the run.
        state: what facts up to some point have been folded to already; it is taken over.
        inline: nothing runs in threads (virtual time).
    """

    run: str
    settings: Settings
    clock: Clock
    journal: Journal
    workspace: Workspace
    runtime: Runtime
    voices: Mapping[Tier, Voice]
    gates: Mapping[str, Gate]
    tools: Toolbox | Sequence[Tool | Callable[..., Any]] = ()
    acceptance: Acceptance | None = None
    disk: Disk | None = None
    inline: bool = False
    state: State | None = None
    breakers: Mapping[str, Breaker] = {}
    fallbacks: Sequence[Voice] = ()
    bulk: Mapping[str, Bulk] = {}
    source: Source | None = None


def assemble(parts: Parts) -> tuple[Organization, Questions, Approvals]:
    """An organization ready to live, with the state that the journal tells so far.

    Raises:
        ConfigurationError: a tool or a prompt of the user's cannot be used.
    """
    settings, journal, clock, workspace = parts.settings, parts.journal, parts.clock, parts.workspace
    limits = settings.limits
    reader = journal.reader()
    state = folded(reader, parts.state)
    boxed = parts.tools if isinstance(parts.tools, Toolbox) else toolbox(parts.tools)
    rules.check(settings.tools, boxed.names)
    scopes = rules.Scopes(settings.tools, lambda: boxed.names)
    prompts = Prompts(Path(settings.prompts) if settings.prompts else None)
    organization = Organization(state, limits, clock, journal.append, journal.epoch, attended=settings.attended)
    ledger = Ledger(state, settings.budget, limits.subtree_spend)
    left = partial(budget_line, ledger, state)
    patiently = parts.disk.repeatedly if parts.disk else None
    contexts = Contexts(state, prompts, limits, lambda: reader, organization.append, left, scopes, patiently)
    random = Random(settings.simulation.seed)
    economy = Economy(
        settings.economy,
        state,
        parts.bulk,
        organization.append,
        clock,
        run=parts.run,
        epoch=journal.epoch,
        retry=settings.retry,
        random=random,
        tools=boxed.specs,
    )
    voices = Voices(
        parts.voices,
        parts.gates,
        parts.runtime,
        ledger,
        organization.append,
        clock,
        retry=settings.retry,
        deadline=60 * limits.step_minutes,
        random=random,
        breakers=parts.breakers,
        fallbacks=parts.fallbacks,
        economy=economy,
    )
    economy.furnish(voices)
    programs = Programs(
        parts.runtime,
        organization.append,
        organization.new_id,
        limits=settings.sandbox.limits,
        packages=settings.sandbox.packages,
    )
    questions = Questions(settings.attended, limits.question_minutes)
    approvals = Approvals(settings.tools, settings.attended, state, organization.append, clock.now)
    names = Names(state)
    blocking = run_inline if parts.inline else parts.disk.patiently if parts.disk else asyncio.to_thread

    async def while_held(function: Callable[..., Any], *arguments: Any) -> Any:
        await (parts.disk.repeatedly(journal.hold) if parts.disk else journal.hold())
        return await blocking(function, *arguments)

    writes = Queue(workspace, while_held)
    searcher = journal.reader()  # its own, since it is used from threads
    likeness = None
    if parts.source is not None:
        alike = journal.reader()
        likeness = Likeness(parts.source, lambda: alike, blocking, ledger, organization.append)
    memory = Memory(lambda: searcher, blocking, likeness)

    def desk(work: Work) -> Mapping[type, object]:
        return {
            desks.People: PeoplePart(work, limits, names, scopes, questions.ask),
            desks.Files: FilesPart(work, limits, workspace, writes, parts.run, blocking),
            desks.Programs: ProgramsPart(work, limits, programs, workspace, writes, parts.run, blocking),
            desks.Own: OwnPart(work, memory.recall),
            desks.Turn: TurnPart(work, limits),
        }

    async def start(program: Program, revision: str) -> Process:
        bounded = Program(program.command, program.stdin, settings.sandbox.limits, program.packages)
        return Trial(await parts.runtime.start(bounded, revision))

    steps = Steps(
        state,
        contexts,
        voices,
        boxed,
        scopes,
        approvals,
        desk,
        limits,
        organization.append,
        clock.now,
        organization.new_id,
        organization.foresight.priority,
    )
    judged = journal.reader()
    verification = Verification(
        state,
        voices,
        workspace,
        prompts,
        limits,
        organization.append,
        blocking,
        lambda: judged,
        parts.acceptance,
        start,
    )
    by_hand = ByHand(workspace, writes, parts.run, limits, organization.append, clock.now, blocking)
    organization.furnish(contexts, voices, steps, programs, verification, ledger, by_hand)
    journal.listen(organization.take_in)
    return organization, questions, approvals


def first_facts(
    run: str,
    goal: str,
    model: str,
    simulated: bool,
    settings: Settings,
    revision: str,
    *,
    scenario: str | None = None,
    source: str | None = None,
) -> list[Fact]:
    """How every run begins: the goal is the boss's role, its debt to the engine, and its first mail."""
    told = msgspec.json.encode(settings).decode()
    began = ev.RunStarted(run, goal, model, simulated, told, __version__, scenario, source, revision, prices_version())
    words = "Reach the goal that your role states."
    assignment = ev.Message(f"{BOSS}#0.0.0", ev.PERSON, (BOSS,), words, "assignment")
    return [
        Fact(ENGINE, 0, began),
        Fact(ENGINE, 0, ev.AgentRecruited(BOSS, "the boss", goal, "boss")),
        Fact(ENGINE, 0, ev.AssignmentOpened(f"{ENGINE}#0.0", BOSS, ENGINE, "the goal of the run")),
        Fact(BOSS, 0, ev.MessageSent(assignment)),
    ]


def budget_line(ledger: Ledger, state: State, agent: AgentId) -> str:
    """What is left to spend, in words for agents."""
    left: list[str] = []
    if ledger.cost:
        left.append(f"${max(0.0, ledger.cost - state.run.cost):.2f} of ${ledger.cost:.2f}")
    if ledger.tokens:
        used = state.run.usage.prompt + state.run.usage.completion
        left.append(f"{max(0, ledger.tokens - used):,} of {ledger.tokens:,} tokens")
    line = f"left for the whole run: {' and '.join(left) or 'no cap'}"
    if agent != BOSS and ledger.share_used(agent) >= TOLD_AT:
        line += (
            f"\n{TOLD_AT:.0%} of what you and those below you may spend is used: finish what is begun, begin nothing "
            "new, and hand in. At the end of it your work is handed in as it is."
        )
    return line


async def run_inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run what blocks here and now: in virtual time nothing may happen meanwhile."""
    return function(*arguments)


class Trial:
    """A program of a check on its own copy of the deliverable; the copy goes when the program has ended."""

    def __init__(self, handle: Handle):
        self._handle = handle

    async def send(self, text: str) -> None:
        await self._handle.send(text)

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        return await self._handle.read(quiet, patience)

    async def stop(self) -> None:
        await self._handle.close()

    async def wait(self) -> Execution:
        try:
            return await self._handle.wait()
        finally:
            await self._handle.close()
