"""The checker notices what it is there for: with one safeguard switched off, a spoiled run is no longer good."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from campaigns.checker import check
from campaigns.crash import LATE, Case, cut_log, frames_of, in_parallel, log_of, phase
from campaigns.crash_child import COMPLETED, Places, main_of_phase
from campaigns.evidence import read_journal


def play(folder: Path, place: str = "", occurrence: int = 0, without: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """One engine, killed at a place if one is given; how it ended, and what the checker says of what it left."""
    folder.mkdir()
    places = Places(folder)
    status = phase(lambda: main_of_phase(places, place, occurrence, without=without), places)
    return os.waitstatus_to_exitcode(status), judged(places, ended=not place)


def judged(places: Places, *, ended: bool) -> list[str]:
    run = places.run()
    assert run is not None, (places.folder / "log").read_text()
    return check(run.path, places.bill, places.effects, ended=ended)


def test_a_run_that_nobody_disturbs_keeps_every_promise(tmp_path: Path):
    assert play(tmp_path / "case") == (COMPLETED, [])


@pytest.mark.parametrize(
    ("safeguard", "place", "occurrence", "words"),
    [
        ("intent", "model.billed", 1, "P1: the provider billed"),
        ("transaction", "recorded.MessageSent.after", 3, "P4: row"),
        ("ids", "recorded.MessageSent.after", 8, "P2: row"),
    ],
)
def test_a_crash_without_a_safeguard_is_noticed(
    tmp_path: Path, safeguard: str, place: str, occurrence: int, words: str
):
    assert play(tmp_path / "with", place, occurrence) == (-signal.SIGKILL, [])
    code, found = play(tmp_path / "without", place, occurrence, without=(safeguard,))
    assert code == -signal.SIGKILL
    assert any(violation.startswith(words) for violation in found), found


@pytest.mark.parametrize(("without", "noticed"), [(("queue",), False), (("queue", "swap"), True)])
def test_writers_that_meet_need_the_compare_and_swap(tmp_path: Path, without: tuple[str, ...], noticed: bool):
    folder = tmp_path / "case"
    folder.mkdir()
    places = Places(folder)
    phase(lambda: main_of_phase(places, "engine.end.before", 1, without=without), places)
    lost = [violation for violation in judged(places, ended=False) if "is not on the branch" in violation]
    assert bool(lost) == noticed


@pytest.mark.parametrize(("without", "noticed"), [(("lock",), False), (("lock", "epoch"), True)])
def test_two_engines_on_one_run_are_told_apart_by_their_epochs(tmp_path: Path, without: tuple[str, ...], noticed: bool):
    folder = tmp_path / "case"
    folder.mkdir()
    places = Places(folder)

    def intrude(pid: int) -> None:
        """A second engine gets some way while the first stands still."""
        phase(lambda: main_of_phase(places, "recorded.ModelAnswered.after", 3, without=without), places)
        os.kill(pid, signal.SIGCONT)

    phase(lambda: main_of_phase(places, "step.act.before", 12, signal.SIGSTOP, without=without), places, intrude)
    found = [violation for violation in judged(places, ended=False) if violation.startswith("P6")]
    assert bool(found) == noticed


@pytest.mark.parametrize(("without", "noticed"), [((), False), (("adoption",), True)])
def test_commits_that_a_cut_journal_has_lost_must_be_reported(tmp_path: Path, without: tuple[str, ...], noticed: bool):
    folder = tmp_path / "case"
    folder.mkdir()
    places = Places(folder)
    phase(lambda: main_of_phase(places, *LATE), places)
    run = places.run()
    assert run is not None
    before = read_journal(run.journal)
    cut_log(log_of(run), frames_of(log_of(run)) // 2)
    phase(lambda: main_of_phase(places, without=without), places)
    found = check(run.path, places.bill, places.effects, ended=True, cut=before)
    assert any("is not reported" in violation for violation in found) == noticed
    assert noticed or found == []


def test_cases_are_played_side_by_side_and_told_apart(tmp_path: Path):
    cases = [
        Case((("git.rename.before", 3),)),
        Case((("recorded.ModelAnswered.after", 4), ("recorded.ToolReturned.before", 2))),
        Case((("model.billed", 5),), "TERM"),
        Case((("step.act.before", 5),), "STOP"),
        Case((("journal.commit.before", 10_000),)),
        Case((("snapshot.keep.after", 2), ("snapshot.restore.after", 1))),
    ]
    outcomes = in_parallel(cases, tmp_path)
    reached = dict(zip(map(str, cases), (1, 2, 1, 1, 0, 2), strict=True))
    assert {outcome.case: outcome.reached for outcome in outcomes} == reached
    assert not any(outcome.violations for outcome in outcomes)
