"""Journals of organizations of any size, written fact by fact without an engine: what the dashboard reads, and no more.

Everything in them is made up and says so (`simulated`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, AgentId, Fact, Message, name_of, superior_of
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal
from megaagent.workspace import Committed, Stamp, Workspace

BEGAN = 1_790_000_000.0
BATCH = 10  # acts that are recorded at once
WORDS = re.findall(r"\w+", "survey draft merge compare the tariff of ports with last year, settle who writes it")


class Hand:
    """A clock that is set by hand."""

    def __init__(self, now: float = BEGAN):
        self.time = now

    def now(self) -> float:
        return self.time

    def real_program(self) -> object:
        raise NotImplementedError


def beginning(run: str, goal: str, revision: str | None = None) -> list[Fact]:
    """The facts with which a run begins."""
    first = Message(f"{BOSS}#0.0.0", ev.PERSON, (BOSS,), "Reach the goal that your role states.", "assignment")
    return [
        Fact(ENGINE, 0, ev.RunStarted(run, goal, "sim:made", True, "{}", "0", revision=revision)),
        Fact(ENGINE, 0, ev.AgentRecruited(BOSS, "the boss", goal, "boss")),
        Fact(ENGINE, 0, ev.AssignmentOpened(f"{ENGINE}#0.0", BOSS, ENGINE, "the goal of the run")),
        Fact(BOSS, 0, ev.MessageSent(first)),
    ]


def recruiting(agent: AgentId, number: int, task: str = "", prompt: str = "") -> list[Fact]:
    """An agent joins, owes something, and is told."""
    superior = superior_of(agent) or BOSS
    task = task or f"Part {number}: {' '.join(WORDS[number % 7 :])}."
    mail = Message(f"{agent}#0.1", superior, (agent,), task, "assignment")
    return [
        Fact(superior, 1, ev.AgentRecruited(agent, task, prompt or f"You are {name_of(agent)}. {task}")),
        Fact(superior, 1, ev.AssignmentOpened(f"{superior}#1.{number}", agent, superior, task)),
        Fact(agent, 0, ev.MessageSent(mail)),
    ]


def tree(agents: int, group: int = 9) -> list[AgentId]:
    """Ids of so many agents, superiors first, in groups of about the same size."""
    ids = [BOSS]
    for number in range(1, agents):
        ids.append(f"{ids[(number - 1) // group]}/a{number}")
    return ids


class Author:
    """Writes what a busy organization would record.

    Args:
        agents: who is there.
        seed: the same one gives the same facts.
    """

    def __init__(self, agents: Sequence[AgentId], seed: int = 1):
        self._agents = agents
        self._random = random.Random(seed)
        self._step: dict[AgentId, int] = {}
        self._begun: dict[AgentId, str] = {}

    def some(self) -> list[Fact]:
        """What one agent does next: it asks its model, or has the answer and acts on it."""
        chance = self._random
        agent = chance.choice(self._agents)
        call = self._begun.pop(agent, None)
        if call is None:
            step = self._step[agent] = self._step.get(agent, 0) + 1
            call = self._begun[agent] = f"{agent}#{step}"
            return [Fact(agent, step, ev.CallIntended(call, "step", "sim:made", "", (), 9000, 0.01))]
        return list(self._acts(agent, self._step[agent], call))

    def _acts(self, agent: AgentId, step: int, call: str) -> Iterator[Fact]:
        chance = self._random
        if chance.random() < 0.02:
            yield Fact(agent, step, ev.CallFailed(call, "overloaded", "made up"))
            return
        usage = ev.Usage(chance.randrange(3000, 20000), chance.randrange(50, 900), 2500)
        acts = (ev.ToolCall("1", "write_file", '{"path": "part.md"}'), ev.ToolCall("2", "talk", "{}"))
        yield Fact(agent, step, ev.ModelAnswered(call, "", acts, usage=usage, cost=chance.random() / 50, seconds=1.0))
        items = tuple(ev.ChecklistItem(word, chance.random() < 0.5) for word in WORDS[:4])
        yield Fact(agent, step, ev.ChecklistChanged(items))
        other = chance.choice(self._agents)
        text = " ".join(chance.choices(WORDS, k=12))
        yield Fact(agent, step, ev.MessageSent(Message(f"{agent}#{step}.1", agent, (other,), text)))
        yield Fact(agent, step, ev.ToolReturned(0, "1", "write_file", "written", chance.random() > 0.05))
        yield Fact(agent, step, ev.ToolReturned(1, "2", "talk", "delivered"))
        if chance.random() < 0.4:
            yield Fact(agent, step, ev.TurnEnded("wait", (superior_of(agent) or other,), "need the other part"))


def begun(runs: Path, name: str = "20261121-100000-made-0001") -> tuple[RunFolder, Workspace]:
    """A run's folder with an empty workspace."""
    folder = RunFolder(runs / name)
    folder.path.mkdir(parents=True)
    workspace = Workspace.create(folder.workspace, stamp=Stamp(BOSS, name, 0, 0, BEGAN), durable=False)
    return folder, workspace


async def made_run(runs: Path, agents: int = 7, acts: int = 60, name: str = "20261121-100000-made-0001") -> RunFolder:
    """A run of so many agents that goes on without an end.

    Args:
        acts: how often an agent begins or ends a step.
    """
    folder, workspace = begun(runs, name)
    clock = Hand()
    journal = SQLiteJournal.create(folder.journal, clock, durability="off")
    ids = tree(agents)
    author = Author(ids)
    done = workspace.write("part.md", b"one\ntwo\n", None, Stamp(BOSS, name, 1, 0, BEGAN + 1))
    assert isinstance(done, Committed)
    try:
        await journal.append(beginning(name, "Compare the tariffs of all ports.", workspace.head()))
        for first in range(1, agents, BATCH):
            clock.time += 0.01 * BATCH
            newcomers = enumerate(ids[first : first + BATCH], first)
            await journal.append([fact for number, agent in newcomers for fact in recruiting(agent, number)])
        await journal.append([Fact(BOSS, 1, ev.FileCommitted("part.md", done.revision, done.digest, done.size))])
        for _ in range(0, acts, BATCH):
            clock.time += 0.2 * BATCH
            await journal.append([fact for _ in range(BATCH) for fact in author.some()])
    finally:
        await journal.close()
        workspace.close()
    return folder
