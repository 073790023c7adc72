"""Mechanisms that an ablation switches off are off, and on otherwise."""

from __future__ import annotations

import pytest

from megaagent import events as ev
from megaagent.models.script import Part, Playing, Script, list_files, terminate, verdict
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse


def played(script: Script, **limits: bool) -> Rehearsal:
    changes = {f"limits.{name}": value for name, value in limits.items()}
    return rehearse(script, settings=changed(Settings(), changes, "the test"))


def repeats(me: Part) -> Playing:
    for _ in range(6):
        yield list_files()
    return "done"


def refuses(me: Part) -> Playing:
    while True:
        yield verdict(False, ["it is not good"])


def hands_in(me: Part) -> Playing:
    while True:
        yield terminate("my report")


@pytest.mark.parametrize("on", [True, False])
def test_monitors(on: bool) -> None:
    run = played(Script({"boss": repeats}), monitors=on)
    assert bool(run.facts(ev.AgentNudged)) is on
    assert on or run.ending.status == "completed"


@pytest.mark.parametrize("on", [True, False])
def test_verifier(on: bool) -> None:
    run = played(Script({"boss": hands_in}, verifier=refuses), verifier=on)
    assert bool(run.facts(ev.VerdictGiven)) is on
    assert run.ending.status == ("failed" if on else "completed")
    assert run.ending.text == "my report"
    if not on:
        assert "no verifier" in run.ending.reason
        assert [fact.verdict for fact in run.facts(ev.WorkReviewed)] == ["accept"]
