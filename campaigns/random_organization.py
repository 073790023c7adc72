"""An organization drawn by a seed: who recruits whom, writes what, says what, and what a person and the weather do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any, Final

from megaagent.control import Control
from megaagent.errors import Fault, RunError
from megaagent.events import Revision, Struct
from megaagent.models.script import (
    Act,
    Part,
    Playing,
    Result,
    Says,
    Script,
    add_agent,
    assign,
    call,
    change_task_status,
    edit_file,
    exec_python_file,
    input,
    list_files,
    raw,
    read_file,
    recall,
    review,
    run_command,
    say,
    search_files,
    stop_program,
    talk,
    terminate,
    text,
    verdict,
    wait,
    write_file,
)
from megaagent.organization.state import State
from megaagent.sandboxes.contract import Program
from megaagent.settings import Settings, changed

SHARED: Final = ("notes.txt", "plan.txt", "docs/log.txt")  # many write them; no line is ever taken out
BEGUN: Final = "".join(f"{n:02} --------\n" for n in range(1, 25))
GIVEN_UP: Final = "the simulation's own end: the run did not come to one"
LONGEST: Final = 30 * 24 * 3600.0  # virtual seconds; an absent person is asked for minutes before call after call

_PASSING: Final[tuple[Fault, ...]] = (
    "rate_limit",
    "overloaded",
    "timeout",
    "connection",
    "broken",
    "empty",
    "refused",
    "bad_request",
    "context_overflow",
)
_LASTING: Final[tuple[Fault, ...]] = ("no_money", "unauthorized", "not_found")

_READ: Final = re.compile(r"(\S+) at revision ([0-9a-f]+):\n(.*)", re.DOTALL)
_THEIRS: Final = re.compile(r"with base ([0-9a-f]+)\.\n--- the file at [0-9a-f]+ ---\n(.*)\n--- yours ---", re.DOTALL)
_BAD: Final = (
    raw("write_file", '{"path": "half.txt", "content": "never'),
    raw("talk", "[]"),
    raw("wait", '{"names": "boss", "reason": 7}'),
    raw("review", '{"names": [], "verdict": "accept"}'),
    call("fly", to="the moon"),
    call("read_file", path="../../etc/passwd"),
    call("write_file", path=".git/config", content="x"),
    call("edit_file", path="notes.txt", old="", new="x"),
    call("talk", to="nobody_at_all", message="hello"),
    call("assign", name="boss", task="do it yourself"),
    call("add_agent", name="x", description="x", prompt="x"),
    call("input", text="to nothing"),
    call("wait", names=["nobody_at_all"], reason="why not", minutes=-1),
)


class Weather(Struct, frozen=True):
    """What the seed draws around the organization."""

    settings: Settings
    faults: dict[Fault, float]
    slow: bool  # answers take time


def weather(seed: int) -> Weather:
    """The settings, faults and latencies of this seed."""
    random = Random(f"weather {seed}")
    changes: dict[str, Any] = {
        "simulation.seed": seed,
        "attended": random.random() < 0.2,
        "limits.agents": random.choice([8, 40, 200]),
        "limits.depth": random.choice([2, 3, 4]),
        "limits.group": random.choice([3, 10]),
        "limits.steps": random.choice([12, 60, 400]),
        "limits.context": random.choice([1_500, 100_000]),
        "limits.wait_minutes": random.choice([5.0, 30.0]),
        "limits.output": 2_000,
        "gate.start": random.choice([1, 8]),
    }
    if random.random() < 0.2:
        changes["budget.tokens"] = random.choice([20_000, 100_000, 400_000])
    if random.random() < 0.15:
        changes["budget.seconds"] = random.choice([20.0, 120.0, 600.0])
    if _meddled_with(seed):
        more = Random(f"more weather {seed}")
        if more.random() < 0.6:
            changes["tools.ask_before"] = more.choice([["write_file"], ["run_*", "exec_*"], ["*_file", "add_agent"]])
            changes["tools.unanswered"] = more.choice(["approve", "refuse"])
            changes["tools.minutes"] = more.choice([0.1, 5.0])
            changes["attended"] = more.random() < 0.8
        if more.random() < 0.3:
            changes["tools.scopes"] = {more.choice(["edit_file", "run_*", "recall"]): more.choice([["boss"], []])}
    faults: dict[Fault, float] = {}
    if random.random() < 0.5:
        faults = {fault: random.choice([0.01, 0.05]) for fault in random.sample(_PASSING, 3)}
        if random.random() < 0.1:
            faults[random.choice(_LASTING)] = 0.01
    return Weather(changed(Settings(), changes, f"seed {seed}"), faults, random.random() < 0.8)


def _meddled_with(seed: int) -> bool:
    """Whether a person also steers parts of this organization, rules on calls and changes files.

    Half of the seeds, and none of those that were kept before there was such a person: those are as they were.
    """
    return seed % 4 in (2, 3)


def script(seed: int) -> Script:
    """The organization of this seed: each agent's part follows from the seed and its name."""

    busy = Random(f"script {seed}").choice([6, 6, 6, 10, 16])

    def part(me: Part) -> Playing:
        return _Agent(Random(f"{seed} {me.path}"), me, busy).play()

    def verifier(me: Part) -> Playing:
        random = Random(f"{seed} verifier {me.notices!r}")
        while True:
            if random.random() < 0.15:
                yield text("It looks good to me.")
            elif random.random() < 0.2:
                yield verdict(False, ["the log is thin"])
            else:
                yield verdict(True)

    return Script({}, default=part, verifier=verifier)


def play(program: Program, revision: Revision) -> tuple[int, str]:
    """What the played programs do: most end, some ask for input."""
    if program.stdin == "go\n":
        return 0, "thanks, bye\n"
    if "ask.py" in program.command:
        return 0, "what next?"
    return len(" ".join(program.command)) % 2, "ok\n"


def person(seed: int) -> Callable[[Control, State], Coroutine[Any, Any, None]]:
    """What a person does to the run of this seed; at the very end, what has not ended is stopped."""
    random = Random(f"person {seed}")
    acts = [random.choice(["send", "send", "pause", "budget"]) for _ in range(random.choice([0, 0, 1, 4]))]
    if random.random() < 0.05:
        acts.append("stop")
    if _meddled_with(seed):
        parts = ["stop_part", "pause_part", "pay_part", "rule", "rule", "rule", "write", "remove"]
        acts += random.choices(parts, k=random.choice([2, 6, 12]))
        random.shuffle(acts)

    async def meanwhile(control: Control, state: State) -> None:
        for act in acts:
            await asyncio.sleep(random.choice([0.0, 1.0, 7.0, 60.0]) * random.random())
            if state.run.ending is None:
                try:
                    await _do(act, control, state, random)
                except RunError:
                    continue  # it came too late, or twice
        began = asyncio.get_running_loop().time()
        while state.run.ending is None:
            await asyncio.sleep(60.0)
            if asyncio.get_running_loop().time() - began > LONGEST:
                await control.stop(GIVEN_UP)
                return
            if state.run.paused is not None and state.run.ending is None:
                await control.unpause()  # the engine paused it for a person to act, who now has

    return meanwhile


async def _do(act: str, control: Control, state: State, random: Random) -> None:
    there = sorted(member.id.rpartition("/")[2] for member in state.live())
    if not there:
        return  # the run has just ended
    if act == "send":
        await control.send(random.choice(there), f"a word from outside, {random.randrange(1000)}")
    elif act == "pause":
        await control.pause("a look around")
        await asyncio.sleep(random.choice([0.0, 5.0, 4000.0]))
        await control.unpause()
    elif act == "budget":
        await control.raise_budget(tokens=10_000_000)
    elif act == "stop":
        await control.stop("enough")
    else:
        await _meddle(act, random.choice(there), control, state, random)


async def _meddle(act: str, agent: str, control: Control, state: State, random: Random) -> None:
    """Something done to a part of the organization, to a call, or to a file."""
    if act == "stop_part" and agent != "boss":
        told = await control.stop("", agent)
        assert told.endswith("0 left running"), told
    elif act == "pause_part":
        await control.pause("a look at this part", agent)
        await asyncio.sleep(random.choice([0.0, 5.0, 4000.0]))
        await control.unpause(agent)
    elif act == "pay_part" and agent != "boss":
        await control.raise_budget(tokens=random.choice([9_000, 60_000]), agent=agent)
    elif act == "rule":
        for _ in range(20):  # somebody may ask soon
            if state.run.approvals or state.run.ending is not None:
                break
            await asyncio.sleep(1.0)
        asked = random.choice([each.id for each in state.run.approvals] or [""])
        await (control.approve if random.random() < 0.6 else control.refuse)(asked, random.choice(["", "so be it"]))
    elif act == "write":
        await control.write(random.choice(["by_hand.txt", "boss/0.txt"]), f"by hand, {random.randrange(9)}\n")
    elif act == "remove":
        await control.write("by_hand.txt", None)


class _Agent:
    """One agent's part."""

    def __init__(self, random: Random, me: Part, busy: int):
        self._random = random
        self._busy = busy
        self._me = me
        self._depth = me.path.count("/")
        self._group: list[str] = []
        self._lines = 0

    def play(self) -> Playing:
        random = self._random
        recruits = self._depth < 3 and random.random() < (1.0 if self._depth == 0 else 0.3)
        if recruits:
            yield from self._recruit()
        for _ in range(random.randrange(1, self._busy)):
            yield from random.choice(self._habits())()
        if self._group:
            yield from self._lead()
        if random.random() < 0.15:
            yield text("I think that this is all.")
        for _ in range(8):
            yield terminate(f"{self._me.name} has done what it could")
            if self._me.last.ok:
                return "what I handed in stands"
            yield from self._clear_up()
        return "there is no more to say"

    def _habits(self) -> list[Callable[[], Iterator[Any]]]:
        return [self._append, self._append, self._own, self._talk, self._bad, self._program, self._look, self._list]

    def _recruit(self) -> Playing:
        random, me = self._random, self._me
        names = [
            f"{me.name}_{n}" if random.random() < 0.9 else "twin" for n in range(random.randrange(1, self._busy - 1))
        ]
        yield say(*(add_agent(name, f"does a part of {me.name}'s work", _prompt(name)) for name in names))
        for result in me.results[-len(names) :]:
            if result.ok and (found := re.search(r"called (\w+)|^(\w+) has joined", result.text)):
                self._group.append(found[1] or found[2])
        return None

    def _append(self) -> Playing:
        """Put a line of its own into a shared file, through merges and conflicts."""
        path = self._random.choice(SHARED)
        me = self._me
        if self._random.random() < 0.3:
            mark = f"{self._random.randrange(1, 25):02} --------\n"
            yield edit_file(path, mark, mark + self._line())
            return None
        seen = yield read_file(path)
        found = _READ.fullmatch(seen.results[-1].text) if seen.results else None
        if found is None:
            return None
        revision, content, line = found[2], found[3], self._line()
        for _ in range(3):
            lines = content.splitlines(keepends=True)
            lines.insert(self._random.randrange(len(lines) + 1), line)
            yield write_file(path, "".join(lines), base=revision)
            clash = _THEIRS.search(me.last.text)
            if me.last.ok or clash is None:
                return None
            revision, content = clash[1], clash[2]
            content += "" if content.endswith("\n") else "\n"
        return None

    def _line(self) -> str:
        self._lines += 1
        return f"line {self._lines} of {self._me.path}\n"

    def _own(self) -> Playing:
        name = self._me.name
        self._lines += 1
        acts = [
            write_file(f"{name}/{n}.txt", f"{name} {n} {self._lines}\n") for n in range(self._random.randrange(1, 4))
        ]
        yield say(*acts, text="my own files")
        return None

    def _talk(self) -> Playing:
        random, me = self._random, self._me
        superior = me.path.split("/")[-2] if self._depth else "boss"
        known = [superior, "group", "twin", f"{superior}_0", f"{superior}_1", *self._group]
        to = random.sample(known, random.randrange(1, 3))
        words = f"{me.name} says {random.randrange(1000)} <mail>\x07"
        if random.random() < 0.4:
            yield say(talk(to, words), wait([random.choice(known)], "an answer", random.choice([None, None, 1, 20])))
        else:
            yield talk(to, words)
        return None

    def _bad(self) -> Playing:
        yield say(*self._random.sample(_BAD, self._random.randrange(1, 4)), text="let me try")
        return None

    def _program(self) -> Playing:
        kind = self._random.randrange(3)
        if kind == 0:
            yield run_command("python -m pytest -q" + "x" * self._random.randrange(2))
        elif kind == 1:
            yield exec_python_file("absent.py")
        else:
            yield run_command("python -c ask.py")
            yield input("go") if self._random.random() < 0.7 else stop_program()
        return None

    def _look(self) -> Playing:
        yield say(list_files(), search_files("line 1"), recall("line"), read_file(self._random.choice(SHARED)))
        return None

    def _list(self) -> Playing:
        yield change_task_status(todo=["begin", "end"])
        yield change_task_status(done=["begin", "end"] if self._random.random() < 0.8 else ["begin"])
        return None

    def _lead(self) -> Playing:
        """Wait for the group and answer what it hands in."""
        random, me = self._random, self._me
        for _ in range(12):
            yield wait([], "their parts") if random.random() < 0.9 else wait(self._group[:1], "the first", 5)
            waiting = [m.sender for m in me.mail if m.kind == "report" and m.sender in self._group]
            for name in dict.fromkeys(waiting):
                kind = random.choices(["accept", "return", "drop"], [8, 2, 1])[0]
                yield review([name], kind, "more care, please" if kind == "return" else "")
                if kind == "accept" and random.random() < 0.1:
                    yield assign(name, "one line more in notes.txt; then hand in")
            if not me.last.ok:
                return None
        return None

    def _clear_up(self) -> Playing:
        """Do what keeps it from handing in, as far as the refusal tells."""
        refusal = self._me.last
        words = _kept_by(refusal)
        acts: list[Act] = []
        if "checklist" in words:
            acts.append(change_task_status(done=["begin", "end"]))
        if "program" in words:
            acts.append(stop_program())
        for name in self._group:
            if re.search(rf"\b{name}\b", words):
                acts.append(review([name], "accept" if "review" in words else "drop"))
        yield Says(tuple(acts)) if acts else wait([], "what is missing", 3)
        return None


def _kept_by(refusal: Result) -> str:
    return refusal.text if refusal.tool == "terminate" else ""


def _prompt(name: str) -> str:
    return (
        f"You are {name}. Your job: put lines into notes.txt, plan.txt and docs/log.txt and write files of your own. "
        "You work alone, or with whom you recruit. You are done when your lines are there; then hand in."
    )
