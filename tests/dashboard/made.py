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
from megaagent.organization.state import State
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


REPORT = """## Tariffs of the northern ports

The **three** dearest, *per container*:

| port | 2025 | 2026 |
|:-----|-----:|-----:|
| Bergen | 212 | 219 |
| Gävle | 188 | 188 |
| Oulu | 171 | 176 |

1. Read `tariffs/north.csv` before you compare.
2. See [the statistics](https://example.org/ports?year=2026).
   - [x] Gävle is settled
   - [ ] Oulu is open

> The numbers of 2025 are estimates.

```python
def rise(old: float, new: float) -> float:
    return new / old - 1
```
"""


def _read_up(state: State, agent: AgentId) -> list[ev.AnyEvent]:
    """The agent has its answer, and has read all its mail."""
    member = state.members[agent]
    mail = tuple(message.id for message in member.inbox)
    answers: list[ev.AnyEvent] = [] if member.call is None else [ev.ModelAnswered(member.call, "so far")]
    reads = ev.CallIntended(f"{agent}#read", "step", "sim:made", "", mail, 100, 0.01)
    return [*answers, reads, ev.ModelAnswered(reads.call, "read")]


async def embellish(folder: RunFolder) -> None:
    """Let happen in a made-up run, of seven agents at least, what happens rarely: for pictures of every view."""
    clock = Hand()
    journal = SQLiteJournal.open(folder.journal, clock, durability="off")
    state = State()
    for record in journal.reader().records():
        state.apply(record)
    clock.time = state.run.last + 60
    workspace = Workspace.open(folder.workspace, durable=False)
    ann, ben = f"{BOSS}/a1", f"{BOSS}/a2"
    step = 1000

    async def say(agent: AgentId, *events: ev.AnyEvent) -> None:
        clock.time += 3
        await journal.append([Fact(agent, step, event) for event in events])

    def write(agent: AgentId, path: str, text: str, base: str | None, **how: bool) -> ev.FileCommitted:
        done = workspace.write(path, text.encode(), base, Stamp(agent, folder.id, step, 0, clock.time))
        assert isinstance(done, Committed)
        return ev.FileCommitted(path, done.revision, done.digest, done.size, base, **how)

    try:
        for agent in (ann, ben):
            await say(agent, *_read_up(state, agent))
        first = write(ann, "docs/report.md", REPORT, None)
        await say(ann, first)
        for path in ("tariffs/north.csv", "tariffs/south.csv", "compare.py", "test_compare.py"):
            await say(ben, write(ben, path, "".join(f"{path} line {n}\n" for n in range(40)), None))
        theirs = write(ben, "docs/report.md", REPORT.replace("three", "four"), first.revision)
        await say(ben, theirs)
        await say(ann, ev.ConflictMet("docs/report.md", first.revision, theirs.revision))
        settled = write(ann, "docs/report.md", REPORT.replace("three", "five"), theirs.revision, settles=True)
        await say(ann, settled)
        await say(ben, ev.ConflictMet("compare.py", first.revision, theirs.revision))
        await say(ben, ev.AgentNudged(ben, "the same call with the same result", "nudge", "three times in eight steps"))
        await say(ENGINE, ev.HumanSpoke("send", "to a1"))
        await say(ann, ev.MessageSent(Message(f"{ann}#{step}.7", ann, (BOSS, ben), REPORT)))
        await say(ann, ev.QuestionAsked(f"{ann}#{step}.8", "Which year do we compare with: **2024** or 2025?"))
        await say(ben, ev.QuestionAsked(f"{ben}#{step}.8", "May I leave out the ports without a railway?"))
        await say(ben, ev.QuestionAnswered(f"{ben}#{step}.8", "Yes, but name them.", "person"))
        effect = ("runs curl -O https://example.org/ports.csv in the sandbox", "has no network there")
        arguments = '{"command":"curl -O https://example.org/ports.csv","stdin":""}'
        rule = "ask before run_command"
        until = clock.time + 540
        for number, agent in ((1, ben), (2, ann)):
            id = f"{agent}#{step}.{number}"
            await say(agent, ev.ApprovalAsked(id, "run_command", arguments, effect, rule, until, "refuse"))
        await say(ann, ev.ApprovalAnswered(f"{ann}#{step}.2", "refuse", "There is no network; use the copy."))
        await say(BOSS, ev.CallRetried(f"{BOSS}#0", 1, "rate_limit", "429 Too Many Requests", 2.5, 900, 0.02))
        for agent, other in ((f"{BOSS}/a4", f"{BOSS}/a3"), (f"{BOSS}/a5", f"{BOSS}/a4"), (f"{BOSS}/a6", BOSS)):
            await say(agent, *_read_up(state, agent), ev.TurnEnded("wait", (other,), "its part comes first"))
        owed = f"{BOSS}#1.3"
        await say(f"{BOSS}/a3", *_read_up(state, f"{BOSS}/a3"), ev.WorkReported((owed,), REPORT))
        await say(f"{BOSS}/a3", ev.TurnEnded("terminate"))
        owed = f"{BOSS}#1.2"
        await say(ben, ev.WorkReported((owed,), REPORT), ev.TurnEnded("terminate"))
        await say(ann, ev.TurnEnded("wait", (ben, BOSS), "needs the southern ports"))
    finally:
        await journal.close()
        workspace.close()
