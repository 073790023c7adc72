"""For our tests and our users': a whole organization in virtual time, played by a script.

result = rehearse(Script({"boss": boss}), "Make a plan.")
assert result.ending.status == "completed"
assert result.said("unknown tool")
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from megaagent import events as ev
from megaagent.assembly import Parts, assemble, first_facts
from megaagent.clock import VirtualClock
from megaagent.collector import rarely_collecting
from megaagent.control import Control
from megaagent.events import BOSS, Event, Record, Tier
from megaagent.models.batches import batches_of
from megaagent.models.contract import Model
from megaagent.models.gate import Gate
from megaagent.models.prices import Price
from megaagent.models.script import Script
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.organization.asking import Voice
from megaagent.organization.economy import Bulk
from megaagent.organization.likeness import Source
from megaagent.organization.state import State
from megaagent.organization.verification import Acceptance
from megaagent.sandboxes.contract import Program
from megaagent.settings import Settings
from megaagent.testing.journal import MemoryJournal
from megaagent.testing.runtime import Play, PlayedRuntime, nothing_runs
from megaagent.tools import Tool
from megaagent.workspace import Stamp, Workspace

E = TypeVar("E", bound=Event)
NAME = "sim:script"


class Rehearsal:
    """How a rehearsed run went.

    Attributes:
        ending: the last fact.
        records: the whole journal.
        files: the workspace at the end, by path.
        seconds: virtual time that it took.
    """

    def __init__(self, ending: ev.RunEnded, records: list[Record], state: State, files: dict[str, str], seconds: float):
        self.ending = ending
        self.records = records
        self.state = state
        self.files = files
        self.seconds = seconds

    def facts(self, kind: type[E], agent: str | None = None) -> list[E]:
        """All facts of one kind, of one agent (by its one-word name) if named."""
        return [
            r.event
            for r in self.records
            if isinstance(r.event, kind) and (agent is None or ev.name_of(r.agent) == agent)
        ]

    def answers_to(self, tool: str, agent: str | None = None) -> list[str]:
        """What a tool answered, refusals with `Error: ` before them."""
        returned = [fact for fact in self.facts(ev.ToolReturned, agent) if fact.tool == tool]
        return [fact.text if fact.ok else f"Error: {fact.text}" for fact in returned]

    def mail_to(self, agent: str) -> list[ev.Message]:
        """All mail that the agent of that one-word name was sent."""
        sent = self.facts(ev.MessageSent)
        return [fact.message for fact in sent if agent in map(ev.name_of, fact.message.to)]


def rehearse(
    script: Script | Model,
    goal: str = "Reach the goal.",
    *,
    settings: Settings | None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    play: Play = nothing_runs,
    acceptance: Acceptance | None = None,
    latency: Latency = AT_ONCE,
    price: Price | None = None,
    files: dict[str, str] | None = None,
    meanwhile: Callable[[Control, State], Any] | None = None,
    at_end: Callable[[Workspace], None] | None = None,
    scratch: Path | None = None,
    gate: Gate | None = None,
    commit: float = 0.0,
    discount: float = 0.5,
    vectors: Source | None = None,
    lasts: Callable[[Program], float] | None = None,
) -> Rehearsal:
    """Run an organization to its end, in virtual time and with nothing outside this process.

    Args:
        script: who says what; or any model.
        play: what programs do: (program, revision) -> (exit code, output).
        acceptance: executed checks of the deliverable.
        latency: of the simulated answers, in virtual seconds.
        files: what the workspace holds at the start.
        meanwhile: a coroutine function that acts on the run while it lives, as a person would.
        at_end: looks at the workspace and its history before they are gone.
        scratch: an existing folder for the workspace while the run lives; the system's by default.
        gate: who may call now; one that follows the settings by default.
        commit: virtual seconds that the journal takes for a commit.
        lasts: virtual seconds that a program takes; none unless given.
        vectors: the embedding model for recall.
        discount: of batches, when the settings ask for economy and the model takes them.
    """
    clock = VirtualClock()
    model = SimulatedModel(script, latency=latency) if isinstance(script, Script) else script
    chosen = settings or Settings()

    async def main() -> Rehearsal:
        with tempfile.TemporaryDirectory(prefix="megaagent-rehearsal-", dir=scratch) as folder:
            source = _source(Path(folder), files)
            workspace = Workspace.create(
                Path(folder, "workspace.git"), source, stamp=Stamp(BOSS, "rehearsal", 0, 0, clock.now()), durable=False
            )
            journal = MemoryJournal(clock, commit)
            voice = Voice(NAME, NAME, price, chosen.limits.output)
            runtime = PlayedRuntime({NAME: model}, play, lasts)
            batches = batches_of(model)
            tiers: Collection[Tier] = get_args(Tier)
            await journal.append(first_facts("rehearsal", goal, NAME, True, chosen, workspace.head()))
            organization, questions, approvals = assemble(
                Parts(
                    "rehearsal",
                    chosen,
                    clock,
                    journal,
                    workspace,
                    runtime,
                    dict.fromkeys(tiers, voice),
                    {NAME: gate or Gate(chosen.gate)},
                    tools,
                    acceptance,
                    inline=True,
                    source=vectors,
                    bulk={NAME: Bulk(batches, discount)} if batches is not None else {},
                )
            )
            person = None
            if meanwhile is not None:
                control = Control(organization, questions, approvals)
                person = asyncio.ensure_future(meanwhile(control, organization.state))
            ending = await organization.live()
            if person is not None:
                await person
            left = {entry.path: workspace.read(entry.path).text for entry in workspace.list("**")}
            if at_end is not None:
                at_end(workspace)
            workspace.close()
            records = list(journal.reader().records())
            return Rehearsal(ending, records, organization.state, left, clock.elapsed())

    with rarely_collecting():
        return clock.run(main)


def _source(folder: Path, files: dict[str, str] | None) -> Path | None:
    if files is None:
        return None
    source = folder / "source"
    for path, text in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text, encoding="utf-8")
    return source
