"""Whose call goes first, before a provider that takes few at once."""

from __future__ import annotations

from megaagent import events as ev
from megaagent.models.gate import Gate, Place
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    change_task_status,
    review,
    say,
    talk,
    terminate,
    wait,
)
from megaagent.models.simulated import Latency
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

SECOND = Latency(1.0, 0.0, 0.0, 0.0)


class InOrder(Gate):
    """Gives places in the order of asking."""

    def place(self, *, priority: int = 0, share: str = "", tokens: int = 0) -> Place:
        return super().place(share=share, tokens=tokens)

    def prefer(self, place: Place, priority: int) -> None:
        """All stay where they are."""


def recruit(name: str):
    prompt = f"You are {name}. Do your part in {name}.txt, alone. You are done when it is complete; hand it in then."
    return add_agent(name, f"the part {name}", prompt)


def leader(names: list[str], me: Part) -> Playing:
    yield say(*map(recruit, names), wait(names, "their parts"))
    while not me.reported(*names):
        yield wait(names, "their parts")
    yield say(review(names), terminate("all is there"))
    return None


def busy(steps: int):
    def part(me: Part) -> Playing:
        plan = [f"point {number}" for number in range(steps)]
        for number in range(steps):
            yield change_task_status(done=plan[: number + 1], todo=plan[number + 1 :])
        return "done"

    return part


def run(script: Script, at_once: int, *, in_order: bool = False) -> Rehearsal:
    settings = changed(Settings(), {"gate.start": at_once, "gate.most": at_once}, "the test")
    gate = InOrder(settings.gate) if in_order else None
    done = rehearse(script, settings=settings, latency=SECOND, gate=gate)
    assert done.ending.status == "completed", done.ending
    return done


def organization() -> Script:
    """Nine with two points each, and one with twelve."""
    names = [f"short{number}" for number in range(9)] + ["long"]
    parts = {name: busy(12 if name == "long" else 2) for name in names}
    return Script({"boss": lambda me: leader(names, me), **parts})


def test_who_has_most_on_its_list_is_not_left_for_the_end():
    by_the_rule, in_order = run(organization(), 2), run(organization(), 2, in_order=True)
    longest = 1 + 13 + 1 + 1  # the boss, all points and the report of the long one, the review, the verifier
    work = len(by_the_rule.facts(ev.ModelAnswered)) / 2
    assert by_the_rule.seconds <= 1.2 * max(longest, work)
    assert in_order.seconds >= by_the_rule.seconds + 3


def test_who_has_yet_to_recruit_begins_before_those_who_have_little_left():
    def admin(me: Part) -> Playing:
        below = [f"{me.name}_{number}" for number in range(2)]
        yield from leader(below, me)
        return None

    def boss(me: Part) -> Playing:
        yield from leader(["first", "second", "third"], me)
        return None

    admins = dict.fromkeys(("first", "second", "third"), admin)
    workers = {f"{name}_{number}": busy(5) for name in admins for number in range(2)}
    done = run(Script({"boss": boss, **admins, **workers}), 1)
    order = [record.agent for record in done.records if isinstance(record.event, ev.CallIntended)]
    assert set(order[1:4]) == {"boss/first", "boss/second", "boss/third"}


def test_who_is_asked_by_one_with_much_to_do_answers_first():
    """The question comes while the one who is asked waits for its own call already."""

    def asker(me: Part) -> Playing:
        plan = [f"point {number}" for number in range(20)]
        yield change_task_status(todo=plan)
        yield say(talk("asked", "How far are you?"), wait(["asked"], "an answer"))
        while not me.heard("asked"):
            yield wait(["asked"], "an answer")
        yield change_task_status(done=plan)
        return "done"

    def asked(me: Part) -> Playing:
        answered = False
        for number in range(8):
            if me.heard("asker") and not answered:
                answered = True
                yield talk("asker", "Nearly there.")
            else:
                yield change_task_status(todo=[f"point {number}"])
        yield change_task_status(done=[f"point {number}" for number in range(8)])
        return "done"

    names = ["asker", "asked", *(f"other{number}" for number in range(4))]
    parts = {"asker": asker, "asked": asked, **{name: busy(9) for name in names[2:]}}
    done = run(Script({"boss": lambda me: leader(names, me), **parts}), 1)
    records = done.records
    question = next(r for r in records if isinstance(r.event, ev.MessageSent) and "How far" in r.event.message.text)
    answer = next(r for r in records if isinstance(r.event, ev.MessageSent) and "Nearly" in r.event.message.text)
    between = [r for r in records if question.position < r.position < answer.position]
    assert sum(isinstance(r.event, ev.ModelAnswered) for r in between) <= 3


def test_the_verifier_too_may_wait_for_a_slow_provider():
    settings = changed(Settings(), {"gate.requests": 1.0}, "the test")
    done = rehearse(Script({"boss": lambda me: leader(["writer"], me)}), settings=settings, latency=SECOND)
    assert done.ending.status == "completed", done.ending
    assert any(record.agent.startswith("verifier") for record in done.records)
    assert done.seconds > 120
