"""The longest chain of what had to wait for each other."""

from __future__ import annotations

from itertools import count

import pytest

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, VERIFIER, Message, Record
from megaagent.readings.critical import CriticalPath, Path

ANN, BEN = "boss/ann", "boss/ben"


class Story:
    """Facts written one by one; the clock is told."""

    def __init__(self) -> None:
        self.fold = CriticalPath()
        self._positions = count(1)

    def fact(self, time: float, agent: str, step: int, event: ev.AnyEvent) -> None:
        self.fold.take_in(Record(next(self._positions), 1, time, agent, step, event))

    def call(self, agent: str, step: int, start: float, end: float, *mail: str) -> None:
        self.fact(start, agent, step, ev.CallIntended(f"{agent}#{step}", "step", "m", "", mail))
        self.fact(end, agent, step, ev.ModelAnswered(f"{agent}#{step}", seconds=end - start))

    def mail(self, time: float, agent: str, step: int, id: str, *to: str, sender: str = "") -> None:
        self.fact(
            time, agent, step, ev.MessageSent(Message(id, sender or agent, to, "x", "report" if sender else "talk"))
        )

    def told(self, path: Path) -> list[tuple[str, int, str]]:
        return [(link.agent, link.step, link.what) for link in path.links]


def test_a_call_waits_for_the_mail_that_it_carries_whoever_else_read_it() -> None:
    story = Story()
    story.call(BOSS, 1, 0, 10)
    story.mail(10, BOSS, 1, "m", ANN, BEN)
    story.call(ANN, 1, 10, 12, "m")
    story.call(BEN, 1, 11, 16, "m")  # the second reader of the same message waits for the boss too
    path = story.fold.path()
    assert path.seconds == pytest.approx(15) and path.work == pytest.approx(17) and path.answers == 3
    assert story.told(path) == [(BOSS, 1, "call"), (BEN, 1, "call")]


def test_a_report_counts_from_the_step_that_handed_in_and_a_program_counts() -> None:
    story = Story()
    story.call(ANN, 1, 0, 4)
    story.fact(7, ANN, 1, ev.ProgramEnded("p", 0, seconds=3.0))
    story.fact(7, ANN, 1, ev.WorkReported(("a",), "done"))
    story.call(ANN, 2, 7, 30)  # after it has handed in: the report does not wait for that
    story.mail(31, BOSS, 0, "r", BOSS, sender=ANN)
    story.call(BOSS, 1, 31, 33, "r")
    assert story.fold.path().seconds == pytest.approx(30)  # ann's own chain: 4 + 3 + 23
    story.call(BOSS, 2, 33, 60)
    path = story.fold.path()
    assert path.seconds == pytest.approx(4 + 3 + 2 + 27)
    assert story.told(path) == [(ANN, 1, "call"), (ANN, 1, "program"), (BOSS, 1, "call"), (BOSS, 2, "call")]


def test_the_judge_waits_for_the_boss_and_failed_calls_have_read_nothing() -> None:
    story = Story()
    story.call(BEN, 1, 0, 5)
    story.mail(5, BEN, 1, "m", BOSS)
    story.fact(5, BOSS, 1, ev.CallIntended("boss#1", "step", "m", "", ("m",)))
    story.fact(6, BOSS, 1, ev.CallFailed("boss#1", "overloaded", ""))
    story.call(BOSS, 2, 6, 8, "m")  # the mail is still there
    story.call(VERIFIER, 1, 8, 9)
    path = story.fold.path()
    assert path.seconds == pytest.approx(5 + 2 + 1)
    assert story.told(path) == [(BEN, 1, "call"), (BOSS, 2, "call"), (VERIFIER, 1, "call")]


def test_a_call_in_flight_counts_only_up_to_now() -> None:
    story = Story()
    story.call(BOSS, 1, 0, 2)
    story.fact(2, BOSS, 2, ev.CallIntended("boss#2", "step", "m", ""))
    assert story.fold.path().seconds == pytest.approx(2)
    assert story.fold.path(now=9).seconds == pytest.approx(9)
    story.fact(9, ENGINE, 0, ev.RunEnded("stopped", "by a person"))
    assert story.fold.path(now=20).seconds == pytest.approx(2)
