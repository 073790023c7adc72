"""Organizations that go wrong, each in one way: is it named in the journal, how soon, and does the run end?

Each case is a script that shows one sign. A case passes when the sign stands in the journal within two ticks of the
supervisor (2 s of the run's clock) of the moment at which its condition held, and the run ends with one of the endings
that the case allows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from megaagent import events as ev
from megaagent.errors import ModelError
from megaagent.events import Record, Struct
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import (
    Act,
    Part,
    Playing,
    Script,
    add_agent,
    assign,
    change_task_status,
    list_files,
    review,
    say,
    talk,
    terminate,
    text,
    verdict,
    wait,
    write_file,
)
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

DAY = 24 * 3600.0
TICKS = 2.0  # seconds: two ticks of the supervisor
Moment = Callable[[Rehearsal], float | None]  # a time in the journal


class Sick(Struct, frozen=True):
    """A script in which the models of some agents fail.

    Attributes:
        who: a text in the role of those agents.
        fault: what their calls end with; None: no answer ever comes.
    """

    script: Script
    who: str
    fault: str | None


class Failing:
    """The model that plays such a script."""

    def __init__(self, sick: Sick, latency: Latency, seed: int):
        self._model, self._sick = SimulatedModel(sick.script, latency=latency, seed=seed), sick

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if self._sick.who in request.messages[1].text:
            if self._sick.fault is None:
                await asyncio.Event().wait()
            raise ModelError(self._sick.fault, "not for you")  # pyright: ignore[reportArgumentType]
        return await self._model.complete(request)

    async def close(self) -> None: ...


class Case(Struct, frozen=True):
    """One pathology.

    Attributes:
        play: the script (or a model around one).
        holds: when the condition of the sign held first.
        named: when the journal first named it.
        endings: how the run may end.
        settings: changed from the ordinary ones.
    """

    sign: str
    play: Callable[[], Script | Sick]
    holds: Moment
    named: Moment
    endings: tuple[str, ...] = ("completed",)
    settings: tuple[tuple[str, object], ...] = ()


# -- reading a journal ----------------------------------------------------------------------------------------------


def nudged(sign: str, action: str | None = None, agent: str | None = None) -> Moment:
    """When the supervisor first named the sign, with this action and of this agent if one is given."""

    def names(record: Record) -> bool:
        event = record.event
        if not isinstance(event, ev.AgentNudged) or event.sign != sign:
            return False
        return action in (None, event.action) and agent in (None, event.id)

    return nth(1, names)


def nth(number: int, holds: Callable[[Record], bool]) -> Moment:
    """When such a fact was recorded for the n-th time."""

    def moment(run: Rehearsal) -> float | None:
        times = [record.time for record in run.records if holds(record)]
        return times[number - 1] if len(times) >= number else None

    return moment


def returned(number: int, agent: str, tool: str, *, refused: bool = False) -> Moment:
    """When the agent's n-th call of the tool had its result (refused: its n-th refusal)."""
    return nth(
        number,
        lambda r: (
            isinstance(r.event, ev.ToolReturned)
            and (ev.name_of(r.agent), r.event.tool) == (agent, tool)
            and not (refused and r.event.ok)
        ),
    )


def sent(number: int, *agents: str) -> Moment:
    """When the n-th message of these agents was sent."""
    return nth(
        number,
        lambda r: (
            isinstance(r.event, ev.MessageSent) and r.event.message.kind == "talk" and ev.name_of(r.agent) in agents
        ),
    )


# -- parts ----------------------------------------------------------------------------------------------------------


def recruit(name: str) -> Act:
    prompt = (
        f"You are {name}. Your job: write {name}.txt. You work alone, without collaborators, and write only "
        f"{name}.txt. You are done when the file is there; then hand in."
    )
    return add_agent(name, f"writes {name}.txt", prompt)


def worker(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", f"the part of {me.name}\n")
    return f"{me.name}.txt is written"


def boss_of(*names: str, then: Sequence[Act] = ()):
    """A boss that waits for its people, accepts what comes, and goes on without those who make no headway."""

    def boss(me: Part) -> Playing:
        yield say(*(recruit(name) for name in names), *then)
        settled: set[str] = set()
        while len(settled) < len(names):
            for name in names:
                if name in settled:
                    continue
                trouble = any(m.sender == "engine" and name in m.text and _is_final(m.text) for m in me.mail)
                if me.reported(name):
                    yield review([name])
                    if not me.last.ok:  # it said something, and handed in nothing
                        yield review([name], "drop")
                elif trouble:
                    yield review([name], "drop")
                else:
                    continue
                settled.add(name)
            if len(settled) < len(names):
                yield wait([name for name in names if name not in settled], "their parts")
        return "all that there is"

    return boss


def _is_final(text: str) -> bool:
    return any(word in text for word in ("was parked", "were paused", "has failed", "can do no more"))


def stubborn(act: Callable[[int], Act]):
    """Does the same thing for ever, whatever it is told."""

    def part(me: Part) -> Playing:
        for number in count():
            yield act(number)
        return None

    return part


def alone(part: Callable[[Part], Playing]) -> Callable[[], Script]:
    """The part is played by the boss's one subordinate, beside a sane one."""
    return lambda: Script({"boss": boss_of("ann", "bob"), "ann": part}, default=worker)


def pen_pals(words: Callable[[str, int], str]) -> Callable[[], Script]:
    def pal(other: str, first: bool):
        def part(me: Part) -> Playing:
            if first:
                yield talk(other, words(me.name, 0))
            for number in count(1):
                heard = len([m for m in me.mail if m.sender == other])
                yield wait([other], "an answer", minutes=1)
                if len([m for m in me.mail if m.sender == other]) > heard:
                    yield talk(other, words(me.name, number))
                elif number > 30:
                    return "we have talked"
            return None

        return part

    return lambda: Script({"boss": boss_of("ann", "bob"), "ann": pal("bob", True), "bob": pal("ann", False)})


def repeats(me: Part) -> Playing:
    for _ in count():
        yield list_files("nothing/**")
    return None


def alternates(number: int) -> Act:
    return list_files(f"{number % 2}/**")


def grows(number: int) -> Act:
    return write_file(f"{number}.txt", "x" * 4000)


def in_a_ring(size: int) -> Script:
    """Everyone waits for the next."""
    parts = {f"a{number}": waits_for(f"a{(number + 1) % size}") for number in range(size)}
    return Script({"boss": boss_of(*parts)} | parts)


def forgets_its_checklist(me: Part) -> Playing:
    yield change_task_status(todo=["write it", "test it"])
    yield terminate("done")
    yield change_task_status(done=["write it", "test it"])
    return "now it is done"


def hands_in_early(me: Part) -> Playing:
    yield say(recruit("ann"), terminate("all is done"))
    while not me.reported("ann"):
        yield wait(["ann"], "her part")
    yield review(["ann"])
    return "done"


def claims(me: Part) -> Playing:
    yield list_files("**")
    return "I wrote ghost.py and it works."


def mumbles(me: Part) -> Playing:
    for _ in range(3):
        yield text("Here is my result: 42.")
    yield wait(["boss"], "a word")
    return "42"


def waits_for(*others: str):
    def part(me: Part) -> Playing:
        for _ in range(3):
            yield wait(list(others), "its part first")
        return "without them"

    return part


def writes_to_retired(me: Part) -> Playing:
    yield recruit("ann")
    while not me.reported("ann"):
        yield wait(["ann"], "her part")
    yield review(["ann"], "drop")
    for number in range(4):
        yield talk("ann", f"one more thing, {number}")
    return "without ann"


def recruits_in_vain(number: int) -> Act:
    return recruit(f"helper{number}")


def recruits_in_bulk(me: Part) -> Playing:
    yield say(*(recruit(f"helper{number}") for number in range(30)))
    names = [f"helper{number}" for number in range(10)]
    while not me.reported(*names):
        yield wait([], "their parts")
    yield review(names)
    return "done"


def assigns_twice(me: Part) -> Playing:
    yield say(recruit("ann"), assign("ann", "write the manual"), assign("ann", "write the  manual"))
    while not me.reported("ann"):
        yield wait(["ann"], "her part")
    yield review(["ann"])
    return "done"


def storms(me: Part) -> Playing:
    yield say(*(talk("boss", f"news, {number}") for number in range(60)))
    return "told"


def broadcasts(me: Part) -> Playing:
    yield say(*(talk("group", f"all: {number}") for number in range(30)))
    return "told"


def starved_group() -> Script:
    """Three have much on their lists, and there is one place for a call: who only has mail to read is never asked."""
    busy_ones = ("dan", "eve", "fay")

    def busy(me: Part) -> Playing:
        plan = [f"text {number}" for number in range(80)]
        yield change_task_status(todo=plan)
        for number in range(80):
            news = [talk("bob", "I have begun.")] if me.name == "dan" and number == 3 else []
            yield say(write_file(f"{me.name}{number}.txt", "x"), *news)
        yield change_task_status(done=plan)
        return "much is written"

    def ann(me: Part) -> Playing:
        yield say(*(recruit(name) for name in busy_ones))
        while not me.reported(*busy_ones):
            yield wait(list(busy_ones), "their parts")
        yield review(list(busy_ones))
        return "all is there"

    def bob(me: Part) -> Playing:
        yield say(write_file("bob.txt", "x"), terminate("a little is written"))
        return "nothing has changed"

    parts = {"boss": boss_of("ann", "bob"), "ann": ann, "bob": bob, **dict.fromkeys(busy_ones, busy)}
    return Script(parts, default=worker)


def wanders(me: Part) -> Playing:
    if me.name == "bob":
        return (yield from worker(me))
    for number in count():
        yield list_files(f"**/{me.name}{number}.txt")
    return None


def leads_astray(me: Part) -> Playing:
    yield say(recruit("dan"), recruit("eve"))
    yield from wanders(me)
    return None


def never_content(me: Part) -> Playing:
    for number in count():
        yield verdict(False, [f"it could be nicer, {number}"])
    return None


SICK_GROUP = tuple(f"sick{number}" for number in range(5))

CASES: dict[str, Case] = {
    "repetition": Case("repetition", alone(repeats), returned(3, "ann", "list_files"), nudged("repetition")),
    "repetition of two calls": Case(
        "repetition", alone(stubborn(alternates)), returned(5, "ann", "list_files"), nudged("repetition")
    ),
    "repetition, blocked": Case(
        "repetition", alone(repeats), returned(4, "ann", "list_files"), nudged("repetition", "block")
    ),
    "repetition, fresh mind": Case(
        "repetition", alone(repeats), returned(5, "ann", "list_files"), nudged("repetition", "refresh")
    ),
    "repetition, parked": Case(
        "repetition", alone(repeats), returned(6, "ann", "list_files"), nudged("repetition", "park")
    ),
    "repetition by the boss": Case(
        "repetition",
        lambda: Script({"boss": repeats}),
        returned(3, "boss", "list_files"),
        nudged("repetition"),
        ("stalled", "failed"),
    ),
    "A-B-A-B talk": Case(
        "talk in circles",
        pen_pals(lambda me, number: f"{me} thinks, {number}"),
        sent(6, "ann", "bob"),
        nudged("talk in circles"),
    ),
    "A-B-A-B talk, blocked": Case(
        "talk in circles",
        pen_pals(lambda me, number: f"{me} thinks, {number}"),
        sent(8, "ann", "bob"),
        nudged("talk in circles", "block"),
    ),
    "A-B-A-B talk, told": Case(
        "talk in circles",
        pen_pals(lambda me, number: f"{me} thinks, {number}"),
        nth(1, lambda r: isinstance(r.event, ev.ToolReturned) and "went in circles" in r.event.text),
        nudged("talk in circles", "report"),
    ),
    "endless thanks": Case(
        "talk in circles",
        pen_pals(lambda me, number: "Thank you!"),
        sent(6, "ann", "bob"),
        nudged("talk in circles"),
    ),
    "message storm": Case(
        "message storm",
        alone(storms),
        returned(51, "ann", "talk"),
        nudged("message storm"),
        settings=(("limits.talks", 50),),
    ),
    "broadcast storm": Case(
        "broadcast storm",
        lambda: Script({"boss": boss_of(*(f"a{n}" for n in range(9)), "ann"), "ann": broadcasts}, default=worker),
        returned(1, "ann", "talk", refused=True),
        nudged("broadcast storm"),
        settings=(("limits.deliveries", 100),),
    ),
    "recruiting without end, depth": Case(
        "recruits in vain",
        lambda: Script({"boss": boss_of("ann"), "ann": stubborn(recruits_in_vain)}, default=worker),
        returned(3, "ann", "add_agent"),
        nudged("recruits in vain"),
        settings=(("limits.depth", 2),),
    ),
    "recruiting without end, breadth": Case(
        "recruits in vain",
        lambda: Script({"boss": boss_of("ann"), "ann": stubborn(recruits_in_vain)}, default=worker),
        returned(3, "ann", "add_agent", refused=True),
        nudged("recruits in vain"),
        settings=(("limits.group", 3),),
    ),
    "recruiting without end, rate": Case(
        "runaway recruiting",
        lambda: Script({"boss": recruits_in_bulk}, default=worker),
        returned(1, "boss", "add_agent", refused=True),
        nudged("runaway recruiting"),
        settings=(("limits.recruits", 10),),
    ),
    "duplicate assignment": Case(
        "duplicate assignment",
        lambda: Script({"boss": assigns_twice}, default=worker),
        returned(1, "boss", "assign", refused=True),
        nudged("duplicate assignment"),
    ),
    "claim without effect": Case(
        "claim without effect",
        lambda: Script({"boss": boss_of("ann"), "ann": claims}),
        nth(1, lambda r: isinstance(r.event, ev.WorkReported)),
        nudged("claim without effect"),
    ),
    "finished without reporting": Case(
        "finished without reporting",
        lambda: Script({"boss": boss_of("ann"), "ann": mumbles}),
        nth(3, lambda r: isinstance(r.event, ev.ModelAnswered) and r.agent == "boss/ann"),
        nudged("finished without reporting"),
    ),
    "forgotten checklist": Case(
        "refused: checklist",
        lambda: Script({"boss": forgets_its_checklist}),
        returned(1, "boss", "terminate", refused=True),
        nth(1, lambda r: isinstance(r.event, ev.TurnRefused) and "checklist" in r.event.reasons[0]),
    ),
    "early end": Case(
        "refused: still owes",
        lambda: Script({"boss": hands_in_early}, default=worker),
        returned(1, "boss", "terminate", refused=True),
        nth(1, lambda r: isinstance(r.event, ev.TurnRefused) and "owes" in " ".join(r.event.reasons)),
    ),
    "imaginary colleague": Case(
        "writes to nobody",
        alone(stubborn(lambda number: talk("zoe", f"are you there? {number}"))),
        returned(3, "ann", "talk"),
        nudged("writes to nobody"),
    ),
    "retired colleague": Case(
        "writes to nobody",
        lambda: Script({"boss": writes_to_retired}, default=worker),
        returned(3, "boss", "talk"),
        nudged("writes to nobody"),
    ),
    "waits-for cycle of two": Case(
        "waits in vain",
        lambda: in_a_ring(2),
        nth(1, lambda r: isinstance(r.event, ev.TurnRefused) and r.event.how == "wait"),
        nth(1, lambda r: isinstance(r.event, ev.TurnRefused) and r.event.how == "wait"),
    ),
    "waits-for cycle of five": Case(
        "waits in vain",
        lambda: Script(
            {"boss": boss_of(*(f"a{n}" for n in range(5)))} | {f"a{n}": waits_for(f"a{(n + 1) % 5}") for n in range(5)}
        ),
        nth(1, lambda r: isinstance(r.event, ev.TurnRefused) and r.event.how == "wait"),
        nth(1, lambda r: isinstance(r.event, ev.TurnRefused) and r.event.how == "wait"),
    ),
    "zombie step": Case(
        "step over its deadline",
        lambda: Sick(Script({"boss": boss_of("ann", "bob")}, default=worker), "You are ann", None),
        lambda run: _intent_of(run, "boss/ann") + 600.0,
        nth(1, lambda r: isinstance(r.event, ev.CallFailed) and "deadline" in r.event.detail),
        settings=(("limits.step_minutes", 10.0),),  # longer than the slowest of the answers that do come
    ),
    "poison message": Case(
        "mail set aside",
        lambda: Sick(Script({"boss": boss_of("ann", "bob")}, default=worker), "You are ann", "bad_request"),
        nth(3, lambda r: isinstance(r.event, ev.CallFailed)),
        nth(1, lambda r: isinstance(r.event, ev.MailSetAside)),
        ("completed", "stalled"),
    ),
    "starving subtree": Case(
        "starving",
        starved_group,
        lambda run: _overtaken(run, "boss/bob", 6.0),
        nudged("starving", agent="boss/bob"),
        settings=(("limits.starving_minutes", 0.1), ("gate.start", 1), ("gate.most", 1), ("budget.cost", 1000.0)),
    ),
    "runaway spend": Case(
        "runaway spend",
        lambda: Script(
            {"boss": boss_of("ann", "bob"), "ann": stubborn(lambda n: write_file(f"{n}.txt", "x" * 4000))},
            default=worker,
        ),
        lambda run: _spent(run, "boss/ann", 60_000),
        nudged("runaway spend", "pause"),
        settings=(
            ("budget.tokens", 200_000),
            ("budget.cost", None),
            ("limits.subtree_spend", 0.3),
            ("limits.output", 2_000),
        ),
    ),
    "failing subtree": Case(
        "failing subtree",
        lambda: Sick(
            Script({"boss": boss_of("ann", "bob"), "ann": boss_of(*SICK_GROUP)}, default=worker),
            "You are sick",
            "bad_request",
        ),
        lambda run: _failing(run, "boss/ann"),
        nudged("failing subtree", "pause"),
    ),
    "no progress": Case(
        "no progress",
        alone(stubborn(lambda number: list_files(f"**/{number}.txt"))),
        nth(40, lambda r: isinstance(r.event, ev.ModelAnswered) and r.agent == "boss/ann"),
        nudged("no progress"),
    ),
    "derailed group": Case(
        "no progress",
        lambda: Script({"boss": boss_of("ann", "bob"), "ann": leads_astray}, default=wanders),
        nth(121, lambda r: isinstance(r.event, ev.ModelAnswered) and r.agent.startswith("boss/ann")),
        nudged("no progress", agent="boss/ann"),
    ),
    "verifier that never agrees": Case(
        "unverified",
        lambda: Script({"boss": stubborn(lambda number: terminate(f"version {number}"))}, verifier=never_content),
        nth(2, lambda r: isinstance(r.event, ev.VerdictGiven)),
        nth(1, lambda r: isinstance(r.event, ev.RunEnded) and r.event.reason.startswith("unverified")),
        ("failed",),
    ),
    "boss that never ends": Case(
        "too many steps",
        lambda: Script({"boss": stubborn(lambda number: write_file("draft.txt", f"version {number}"))}),
        nth(20, lambda r: isinstance(r.event, ev.ModelAnswered) and r.agent == "boss"),
        nudged("too many steps", "fail"),
        ("failed",),
        settings=(("limits.steps", 20),),
    ),
}


def _intent_of(run: Rehearsal, agent: str) -> float:
    return next(r.time for r in run.records if isinstance(r.event, ev.CallIntended) and r.agent == agent)


def _overtaken(run: Rehearsal, agent: str, seconds: float) -> float | None:
    """When a call first began that was asked for so much later than the agent's first, which had not begun."""
    ready: dict[str, float] = {}  # since when those who may go on have been waiting for their call
    ended: dict[str, int] = {}  # the step in which each went to rest
    for record in run.records:
        match record.event:
            case ev.ToolReturned() if ended.get(record.agent) != record.step:
                ready[record.agent] = record.time
            case ev.TurnEnded():
                ended[record.agent] = record.step
                ready.pop(record.agent, None)
            case ev.MessageSent(message=message):
                for receiver in message.to:
                    ready.setdefault(receiver, record.time)
            case ev.CallIntended():
                asked = ready.pop(record.agent, 0.0)
                if agent in ready and asked > ready[agent] + seconds:
                    return record.time
            case _:
                pass
    return None


def _spent(run: Rehearsal, agent: str, tokens: int) -> float | None:
    """When what the subtree had used left no room for another call like its last."""
    total = asked = 0
    for record in run.records:
        if isinstance(record.event, ev.CallIntended) and record.agent.startswith(agent):
            asked = record.event.tokens
        elif isinstance(record.event, ev.ModelAnswered) and record.agent.startswith(agent):
            total += record.event.usage.prompt + record.event.usage.completion
            if total + asked > tokens:
                return record.time
    return None


def _failing(run: Rehearsal, agent: str) -> float | None:
    """When more than half of at least twelve calls of the subtree had failed."""
    calls = failures = 0
    for record in run.records:
        if record.agent.startswith(agent) and isinstance(record.event, ev.ModelAnswered | ev.CallFailed):
            calls += 1
            failures += isinstance(record.event, ev.CallFailed)
            if calls >= 12 and failures * 2 > calls:
                return record.time
    return None


# -- the campaign ---------------------------------------------------------------------------------------------------


def judge(case: Case, latency: Latency, seed: int) -> tuple[float | None, list[str]]:
    """Play a case; returns the seconds from condition to name, and what is wrong."""
    play = case.play()
    model = Failing(play, latency, seed) if isinstance(play, Sick) else SimulatedModel(play, latency=latency, seed=seed)
    settings = changed(
        Settings(), {"budget.seconds": DAY, "simulation.seed": seed} | dict(case.settings), "pathologies"
    )
    run = rehearse(model, settings=settings)
    problems: list[str] = []
    if run.ending.status not in case.endings or not run.ending.reason:
        problems.append(f"it ended {run.ending.status} ({run.ending.reason}), allowed: {', '.join(case.endings)}")
    held, named = case.holds(run), case.named(run)
    if held is None:
        return None, [*problems, "the script did not bring the condition about"]
    if named is None:
        return None, [*problems, f"{case.sign!r} is not in the journal"]
    if not -1e-6 <= named - held <= TICKS:
        problems.append(f"named {named - held:.1f} s after the condition held")
    return max(0.0, named - held), problems


def latencies(full: bool, seed: int) -> Iterator[tuple[Latency, int]]:
    """Quick, ordinary and slow answers; more seeds of each in the full form."""
    for number in range(seed, seed + (50 if full else 2)):
        yield Latency(fixed=0.05, per_completion=0.0, per_prompt=0.0, sigma=0.5), number
        yield Latency(), number
        yield Latency(fixed=20.0, sigma=0.5), number


def run(full: bool, seed: int) -> dict[str, object]:
    """Play every pathology at several latencies."""
    cases = violations = 0
    slowest: dict[str, float] = {}
    for latency, number in latencies(full, seed):
        for name, case in CASES.items():
            seconds, problems = judge(case, latency, number)
            cases += 1
            violations += bool(problems)
            if seconds is not None:
                slowest[name] = max(slowest.get(name, 0.0), round(seconds, 3))
            for problem in problems:
                sys.stdout.write(f"{name}, seed {number}, answers in {latency.fixed:g} s and more: {problem}\n")
    for name, seconds in slowest.items():
        sys.stdout.write(f"{seconds:6.3f} s  {name}\n")
    return {"cases": cases, "violations": violations, "signs": len(CASES), "seconds_to_detection": slowest}
