"""The campaigns' own parts: what draws, and what judges. The campaigns themselves are run by name."""

from __future__ import annotations

from importlib import import_module

import msgspec
import pytest
from campaigns.__main__ import CAMPAIGNS
from campaigns.promises import broken_promises
from campaigns.simulate import simulate

from megaagent import events as ev


@pytest.mark.parametrize("name", sorted(CAMPAIGNS))
def test_each_campaign_can_be_run(name):
    assert callable(import_module(CAMPAIGNS[name]).run)


def test_a_seed_gives_the_same_journal_twice_and_keeps_the_promises():
    first, problems = simulate(3)
    again, _ = simulate(3)
    assert first is not None
    assert again is not None
    assert problems == []
    assert broken_promises(first.records, first.state, tokens=None) == []
    assert msgspec.json.encode(first.records) == msgspec.json.encode(again.records)


@pytest.mark.parametrize(
    ("kind", "promise"),
    [(ev.ModelAnswered, "P1"), (ev.MessageSent, "P2"), (ev.ToolReturned, "P4"), (ev.RunEnded, "P8")],
)
def test_the_judge_sees_what_is_missing_or_doubled(kind, promise):
    run, _ = simulate(3)
    assert run is not None
    number = next(n for n, record in enumerate(run.records) if isinstance(record.event, kind))
    changed = [*run.records[:number]] if kind is ev.RunEnded else [*run.records, run.records[number]]
    if kind is ev.ToolReturned:
        changed = [*run.records[:number], *run.records[number + 1 :]]
    found = broken_promises(changed, run.state, tokens=None)
    assert any(problem.startswith(promise) for problem in found), found
    spent = run.state.run.usage
    assert any(
        problem.startswith("P7")
        for problem in broken_promises(run.records, run.state, tokens=(spent.prompt + spent.completion) // 2)
    )
