"""What a report says, as data: `megaagent report --format json` prints it, the other formats are drawn from it.

Times are seconds; points in time are seconds since 1970. Money is US dollars. Names of agents are paths in the tree.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from megaagent.events import AgentId, Revision, Struct

FORMAT: Final = "megaagent.report/1"  # a field may be added under the same number; none changes its meaning


class Run(Struct, frozen=True):
    """Which run it is and how it ended.

    Attributes:
        simulated: no model was asked; answers, tokens, times and costs are made up by a script.
        status: how it ended, or `running`, `paused`, `cut off` (its process ended without an ending).
        reason: of the ending, in words.
        text: what the boss reported.
        gaps: what the verifier missed.
        revision: the commit that is the deliverable.
        parent: the run that this one was forked or repaired from.
        resumed: how often an engine went on with it.
        damage: why the journal could not be read to its end; None when it could.
        settings: all of them, without secrets.
        versions: of MegaAgent, in the order in which they worked on it.
        prices: the table of prices that costs were reckoned by, where the settings gave none.
    """

    id: str
    goal: str
    scenario: str | None
    model: str
    simulated: bool
    status: str
    reason: str = ""
    text: str = ""
    gaps: tuple[str, ...] = ()
    revision: Revision | None = None
    source: str | None = None
    parent: str | None = None
    resumed: int = 0
    damage: str | None = None
    settings: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    versions: tuple[str, ...] = ()
    prices: str = ""


class Time(Struct, frozen=True):
    """How long it took, and how well the time was used.

    Attributes:
        began, ended: of the first and the last fact.
        seconds: between them, without the time between engines.
        critical: along the critical path: the longest chain of model calls and programs that had to wait for each
            other. No schedule of these calls can be shorter.
        critical_calls: model calls on it.
        work: of all model calls together.
        efficiency: `critical` / `seconds`, 0 to 1: 1 when nothing was lost to queues, limits and the engine.
        speedup: `work` / `seconds`: model calls in flight, on the average.
        peak: most model calls in flight at once.
        overlap: share of the time in which at least two were.
        verification: in which the deliverable was being verified, with its checks.
    """

    began: float
    ended: float
    seconds: float
    critical: float = 0.0
    critical_calls: int = 0
    work: float = 0.0
    efficiency: float = 0.0
    speedup: float = 0.0
    peak: int = 0
    overlap: float = 0.0
    verification: float = 0.0


class Figures(Struct, frozen=True):
    """Sums of the whole run.

    Attributes:
        cached: of `prompt`, from the provider's cache; `cache_share` is 0 to 1.
        unpriced: calls whose price is unknown; they are not in `cost`.
        doubtful: tokens of failed attempts that may have to be paid for; they are not in `cost`.
        returned: how often work was given back.
        batches, batched, saved: of the economy: batches that were handed in, calls that were answered in them, and by
            how many US dollars less than singly; `unbatched` came back without an answer and were made singly.
    """

    agents: int
    calls: int
    messages: int
    commits: int
    files: int
    prompt: int
    completion: int
    cached: int
    cache_share: float
    cost: float
    unpriced: int = 0
    doubtful: int = 0
    returned: int = 0
    batches: int = 0
    batched: int = 0
    saved: float = 0.0
    unbatched: int = 0


class Row(Struct, frozen=True):
    """What one kind of model calls cost.

    Attributes:
        seconds: of all its calls together.
        wall: in which at least one of them was in flight; only of stages.
    """

    name: str
    calls: int
    prompt: int
    completion: int
    cached: int
    cost: float
    seconds: float
    wall: float | None = None


class Part(Struct, frozen=True):
    """The boss alone, or one of its subordinates with all below it.

    Attributes:
        part: its number, by which chart and timeline colour it; -1 is the boss.
    """

    id: AgentId
    name: str
    part: int
    agents: int
    calls: int
    tokens: int
    cost: float
    failures: int


class Agent(Struct, frozen=True):
    """One agent.

    Attributes:
        part: number of the part that it belongs to, -1 for those above all parts.
        inner: its superior is of the same part.
        standing: how it stood at the end, such as `accepted`, `waiting`, `failed`.
        writes: commits of files by it.
        refused: tool calls that were refused or failed, and model calls that came to nothing.
    """

    id: AgentId
    name: str
    role: str
    tier: str
    part: int
    inner: bool
    standing: str
    steps: int
    tokens: int
    cost: float
    writes: int
    refused: int


class Author(Struct, frozen=True):
    name: str
    writes: int


class File(Struct, frozen=True):
    """A file of the shared workspace; `authors` by number of writes."""

    path: str
    size: int
    writes: int
    authors: tuple[Author, ...]
    changed: float
    removed: bool = False


class Check(Struct, frozen=True):
    name: str
    passed: bool
    output: str = ""


class Round(Struct, frozen=True):
    """One verification; `confirmed` is None while there is no verdict."""

    number: int
    checks: tuple[Check, ...]
    confirmed: bool | None = None
    gaps: tuple[str, ...] = ()
    remarks: str = ""


class Program(Struct, frozen=True):
    """Runs of one command by agents.

    Attributes:
        last: exit code of the last one; None when it is unknown or still runs.
        agents: who ran it, the first ones.
    """

    command: str
    runs: int
    failed: int
    seconds: float
    last: int | None
    agents: tuple[str, ...]


class Intervention(Struct, frozen=True):
    """The supervisor or a person stepped in.

    Attributes:
        whom: the agent; empty for the whole run.
    """

    time: float
    by: Literal["supervisor", "person", "engine"]
    whom: str
    what: str
    detail: str = ""


class Repair(Struct, frozen=True):
    """Something that went wrong and was put right, and how often."""

    what: str
    count: int


class Tool(Struct, frozen=True):
    """Calls of a tool; `cost` is its share of the answers that called it."""

    name: str
    calls: int
    refused: int
    cost: float = 0.0


class Waste(Struct, frozen=True):
    """What was paid for nothing, of one kind; `cost` of failed attempts is what they may still cost."""

    name: str
    words: str
    count: int
    tokens: int
    cost: float


class Report(Struct, frozen=True):
    """Everything that a report says.

    Attributes:
        stages: planning, solving, merging.
        parts: the dearest first.
        interventions: the first ones; `interventions_total` counts all.
    """

    format: Literal["megaagent.report/1"]
    run: Run
    time: Time
    figures: Figures
    stages: tuple[Row, ...]
    parts: tuple[Part, ...]
    models: tuple[Row, ...]
    tiers: tuple[Row, ...]
    tools: tuple[Tool, ...]
    agents: tuple[Agent, ...]
    files: tuple[File, ...]
    rounds: tuple[Round, ...]
    programs: tuple[Program, ...]
    interventions: tuple[Intervention, ...]
    interventions_total: int
    repairs: tuple[Repair, ...]
    waste: tuple[Waste, ...]


def schema() -> dict[str, Any]:
    """The JSON schema of a report."""
    return msgspec.json.schema(Report)
