"""The shape of an organization: how many agents under whom, how many steps each, how long answers are.

It is measured on a finished run, or taken from the one below, and played again with another number of agents: a script
for the simulated model, of the same length where it costs and without any content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from statistics import fmean
from typing import Final

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import BOSS, AgentId, Record, Struct
from megaagent.models.script import (
    Act,
    Part,
    Playing,
    Says,
    Script,
    add_agent,
    change_task_status,
    read_file,
    review,
    run_command,
    say,
    terminate,
    wait,
)
from megaagent.models.simulated import Latency
from megaagent.sandboxes.contract import Program

FILLER = "filler.txt"  # what agents read so that their conversations grow as they did
MOST_GROUP = 60  # subordinates of one agent
_WORDS = "it is drafted, compared with what was asked for, and put right where the two differ; "


class Shape(Struct, frozen=True):
    """What a run looked like where it costs.

    Attributes:
        agents: that there were.
        levels: sizes of all groups, none counted as 0, level by level from the boss.
        leaf_steps, lead_steps: model calls of each agent without subordinates, and with some.
        said: completion tokens of one answer, mean.
        grown: tokens that a conversation grew by from one call to the next, mean.
        first: tokens of an agent's first prompt, mean.
        pace: seconds of its calls over those of the law of latency for the same tokens; 1 of a simulated run.
        source: where it is from, in words.
        programs: seconds of each program that its agents have run.
    """

    agents: int
    levels: tuple[tuple[int, ...], ...]
    leaf_steps: tuple[int, ...]
    lead_steps: tuple[int, ...]
    said: float
    grown: float
    first: float
    pace: float
    source: str
    programs: tuple[float, ...] = ()


GOBANG: Final = Shape(
    agents=7,
    levels=((5,), (1, 0, 0, 0, 0), (0,)),
    leaf_steps=(8, 12, 15, 15, 17),
    lead_steps=(12, 18),
    said=170.0,
    grown=390.0,
    first=3007.0,
    pace=1.0,
    source="the simulated Gobang run of 7 agents",
    programs=(0.03, 0.09, 0.10, 0.12, 0.29, 0.33, 0.34, 0.36, 0.46, 0.66, 1.32, 1.74, 6.22),
)
"""The shape that is taken when there is no run to measure: `shape_of` the run of `megaagent run --scenario gobang`."""


def shape_of(records: Iterable[Record], source: str) -> Shape:
    """Measure a run.

    Raises:
        RunError: nobody answered in it.
    """
    steps: dict[AgentId, int] = {BOSS: 0}
    leads: dict[AgentId, int] = {}
    prompts: dict[AgentId, int] = {}
    said: list[int] = []
    grown: list[int] = []
    first: list[int] = []
    programs: list[float] = []
    simulated, took, law = False, 0.0, 0.0
    for record in records:
        match record.event:
            case ev.AgentRecruited(id=id):
                steps.setdefault(id, 0)
                above = ev.superior_of(id)
                if above is not None:
                    leads[above] = leads.get(above, 0) + 1
            case ev.RunStarted(simulated=simulated):
                pass
            case ev.ProgramEnded(seconds=seconds):
                programs.append(round(seconds, 2))
            case ev.ModelAnswered(usage=usage, seconds=seconds, batch=batch):
                took += 0.0 if batch else seconds  # how long a batch takes says nothing of the model's pace
                law += 0.0 if batch else _LAW.mean(usage)
                if record.agent in steps:
                    steps[record.agent] += 1
                    said.append(usage.completion)
                    before = prompts.get(record.agent)
                    (first if before is None else grown).append(usage.prompt - (before or 0))
                    prompts[record.agent] = usage.prompt
            case _:
                pass
    if not said:
        raise RunError(f"{source}: no model answered in it, so it tells nothing of what another would cost")
    return Shape(
        len(steps),
        _levels(steps, leads),
        tuple(sorted(count for id, count in steps.items() if id not in leads)) or (1,),
        tuple(sorted(count for id, count in steps.items() if id in leads)) or (1,),
        fmean(said),
        max(0.0, fmean(grown)) if grown else 0.0,
        fmean(first),
        took / law if law and not simulated else 1.0,
        source,
        tuple(sorted(programs)),
    )


_LAW = Latency()


def _levels(agents: Iterable[AgentId], leads: Mapping[AgentId, int]) -> tuple[tuple[int, ...], ...]:
    levels: dict[int, list[int]] = {}
    for id in agents:
        levels.setdefault(id.count("/"), []).append(leads.get(id, 0))
    return tuple(tuple(sorted(levels[level], reverse=True)) for level in sorted(levels))


def tree_of(shape: Shape, agents: int) -> dict[AgentId, list[AgentId]]:
    """Who is below whom in an organization of this shape and so many agents: the boss's group grows with them."""
    groups: dict[AgentId, list[AgentId]] = {BOSS: []}
    level = [BOSS]
    for depth in range(len(shape.levels)):
        sizes = shape.levels[depth]
        below: list[AgentId] = []
        for number, id in enumerate(level):
            size = sizes[number % len(sizes)]
            if depth == 0:
                size = min(MOST_GROUP, max(1, round(size * agents / max(1, shape.agents))))
            below += _recruit(groups, id, min(size, agents - len(groups)))
        level = below
    for id in [*(id for id in groups if groups[id]), *groups]:  # more than the levels have room for: leads first
        _recruit(groups, id, min(MOST_GROUP - len(groups[id]), agents - len(groups)))
    for id in list(groups):
        _recruit(groups, id, min(MOST_GROUP - len(groups[id]), agents - len(groups)))
    return groups


def _recruit(groups: dict[AgentId, list[AgentId]], above: AgentId, count: int) -> list[AgentId]:
    new: list[AgentId] = []
    for _ in range(max(0, count)):
        id = f"{above}/a{len(groups)}"
        groups[above].append(id)
        groups[id] = []
        new.append(id)
    return new


def script_of(shape: Shape, agents: int, seed: int, stretch: float = 1.0) -> Script:
    """Who plays an organization of this shape.

    Args:
        seed: of which agent takes how many steps.
        stretch: of the number of steps.
    """
    tree = tree_of(shape, agents)
    random = Random(f"shape {seed}")
    steps = _dealt(random, [id for id, below in tree.items() if not below], shape.leaf_steps, stretch)
    steps |= _dealt(random, [id for id, below in tree.items() if below], shape.lead_steps, stretch)
    runs = _programs(random, list(tree), shape, stretch)

    def part(me: Part) -> Playing:
        if tree.get(me.path):
            return _lead(me, tree[me.path], steps[me.path], shape, runs.get(me.path, []))
        return _leaf(me, steps.get(me.path, 1), shape, runs.get(me.path, []))

    return Script({}, default=part)


def _dealt(random: Random, agents: Sequence[AgentId], measured: Sequence[int], stretch: float) -> dict[AgentId, int]:
    """How many steps each agent takes: those that were measured, in another order."""
    deck: list[int] = []
    while len(deck) < len(agents):
        more = list(measured)
        random.shuffle(more)
        deck += more
    return {id: max(1, round(stretch * count)) for id, count in zip(agents, deck, strict=False)}


def _programs(random: Random, agents: Sequence[AgentId], shape: Shape, stretch: float) -> dict[AgentId, list[float]]:
    """Seconds of the programs that each agent runs: as many per agent as were measured, of those lengths."""
    runs: dict[AgentId, list[float]] = {}
    for _ in range(round(stretch * len(shape.programs) * len(agents) / max(1, shape.agents))):
        runs.setdefault(random.choice(agents), []).append(random.choice(shape.programs))
    return runs


def lasts(program: Program) -> float:
    """Seconds that a played program takes: its command says so."""
    return float(program.command[-1].rpartition(" ")[2])


def lasts_of(started: ev.ProgramStarted) -> float:
    """The same of a program that was started; 0 for one that is not played."""
    try:
        return float(started.command[-1].rpartition(" ")[2])
    except (ValueError, IndexError):
        return 0.0


def filler(shape: Shape) -> str:
    """What is read at each step, so that a conversation grows by what it grew."""
    overhead = 45  # tokens of the calls' names, ids and short answers
    tokens = max(0, round(shape.grown - shape.said - overhead))
    return "x" * max(1, 4 * tokens)


def _leaf(me: Part, steps: int, shape: Shape, runs: Sequence[float]) -> Playing:
    yield from _work(steps - 1, shape, runs)
    while True:
        yield _step(shape, terminate(f"{me.name} has done its part."))


def _lead(me: Part, group: Sequence[AgentId], steps: int, shape: Shape, runs: Sequence[float]) -> Playing:
    """Recruit, then work and review, in about as many steps as were measured."""
    names = [ev.name_of(id) for id in group]
    yield say(*(add_agent(name, "A part of it.", _prompt(name)) for name in names))
    owing = set(names)
    spare = max(0, steps - 3)
    while owing:
        new = [m.sender for m in me.mail if m.kind == "report" and m.sender in owing]
        owing -= set(new)
        acts = [review(sorted(set(new)), "accept", "Good.")] if new else []
        if not owing:
            yield _step(shape, *acts)
            break
        spare -= 1
        yield _step(shape, *acts, wait(sorted(owing), "their parts"))
    yield from _work(spare, shape, runs)
    while True:
        yield _step(shape, terminate(f"{me.name} has done its part."))


def _work(steps: int, shape: Shape, runs: Sequence[float]) -> Playing:
    """Work for so many steps, over which the programs are dealt."""
    for number in range(max(0, steps)):
        programs = [run_command(f"program {seconds}") for seconds in runs[number::steps]]
        yield _step(shape, change_task_status(done=[f"part {number}"]), read_file(FILLER), *programs)
    return None


def _step(shape: Shape, *acts: Act) -> Says:
    """An answer of the mean length."""
    used = sum(8 + (len(act.tool + act.arguments) + 3) // 4 for act in acts)
    return say(*acts, text=_of(max(0, round(shape.said) - used)))


def _of(tokens: int) -> str:
    return (_WORDS * (4 * tokens // len(_WORDS) + 1))[: 4 * tokens]


def _prompt(name: str) -> str:
    return (
        f"You are {name}. Work on your part alone, in no file, and answer who asks you. You are done when your part "
        "is; hand it in then."
    )
