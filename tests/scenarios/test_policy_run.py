"""The policies of a small nation, and of the whole one, drafted in virtual time."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from benchmarks.policy import chosen

from megaagent import events as ev
from megaagent.errors import ConfigurationError
from megaagent.evaluation.arms import ARMS
from megaagent.models.simulated import Latency
from megaagent.readings.critical import critical_path
from megaagent.scenarios.policy.check import judged
from megaagent.scenarios.policy.nation import MOST, nation
from megaagent.scenarios.policy.scenario import Policy
from megaagent.scenarios.policy.script import script
from megaagent.settings import changed
from megaagent.testing import Rehearsal, rehearse


def draft(agents: int) -> Rehearsal:
    return rehearse(script(agents), Policy().goal, settings=chosen(agents), latency=Latency())


@pytest.fixture(scope="module")
def whole() -> Rehearsal:
    return draft(590)


def test_590_agents_on_four_levels(whole: Rehearsal) -> None:
    assert whole.ending.status == "completed"
    levels = Counter(fact.id.count("/") for fact in whole.facts(ev.AgentRecruited))
    assert levels == {0: 1, 1: 31, 2: 186, 3: 372}


def test_what_they_deliver_passes_the_check(whole: Rehearsal) -> None:
    assert [check.name for check in judged(whole.files) if not check.passed] == []


def test_every_citizen_learns_what_became_of_its_word(whole: Rehearsal) -> None:
    citizens = {fact.id for fact in whole.facts(ev.AgentRecruited) if fact.id.count("/") == 3}
    answers = [
        fact.message
        for fact in whole.facts(ev.MessageSent)
        if fact.message.text.startswith(("Done:", "Declined:")) and fact.message.kind == "talk"
    ]
    assert Counter(message.to[0] for message in answers) == dict.fromkeys(citizens, 1)
    read = {id for record in whole.records if isinstance(record.event, ev.CallIntended) for id in record.event.mail}
    assert {message.id for message in answers} <= read
    reports = [fact.report for fact in whole.facts(ev.WorkReported)]
    assert not any("not in the policy" in report for report in reports)


def test_work_is_reviewed_at_every_level_and_some_is_returned(whole: Rehearsal) -> None:
    reviewed = Counter(record.agent.count("/") for record in whole.records if isinstance(record.event, ev.WorkReviewed))
    assert set(reviewed) == {0, 1, 2}
    remarks = [fact.remarks for fact in whole.facts(ev.WorkReviewed) if fact.verdict == "return"]
    assert sum("the total says" in remark for remark in remarks) == 2
    assert sum("JM-01" in remark for remark in remarks) == 1  # the departments did not agree, and the leader saw it


def test_no_call_was_refused_and_nobody_was_nudged(whole: Rehearsal) -> None:
    assert [fact.text for fact in whole.facts(ev.ToolReturned) if not fact.ok] == []
    assert whole.facts(ev.AgentNudged) == []
    assert whole.facts(ev.ConflictMet) == []


def test_most_of_the_prompts_come_from_the_cache(whole: Rehearsal) -> None:
    usage = whole.state.run.usage
    assert usage.cached >= 0.85 * usage.prompt


def test_the_run_takes_as_long_as_its_critical_path(whole: Rehearsal) -> None:
    path = critical_path(whole.records)
    assert whole.seconds == pytest.approx(path.seconds, rel=0.01)
    assert path.answers == whole.state.run.steps
    assert path.seconds < path.work / 20  # most is done side by side


@pytest.mark.parametrize("agents", [8, 20, 100])
def test_a_smaller_nation_has_the_same_shape(agents: int) -> None:
    run = draft(agents)
    assert run.ending.status == "completed"
    assert run.state.run.agents == agents
    policies = [path for path in run.files if re.fullmatch(r"policy_\w+\.txt", path)]
    assert len(policies) == max(1, (agents - 1) // 19)


@pytest.mark.parametrize(
    ("arm", "agents"), [("no-hierarchy", 6), ("single", 1), ("no-parallelism", 100), ("no-verifier", 100)]
)
def test_an_arm_that_switches_something_off_delivers_too(arm: str, agents: int) -> None:
    settings = changed(chosen(100), ARMS[arm].changes, arm)
    run = rehearse(script(100), Policy().goal, settings=settings, latency=Latency())
    assert run.ending.status == "completed", run.ending.reason
    assert run.state.run.agents == agents
    whole = [path for path in run.files if path.startswith("policy_") and "(to be written" not in run.files[path]]
    assert len(whole) == 5
    untested = [path for path in run.files if "(nobody tested" in run.files[path]]
    assert len(untested) == (5 if agents < 10 else 0)
    assert not any("left the organization" in fact.text for fact in run.facts(ev.ToolReturned))


@pytest.mark.parametrize("agents", [590, 2000, MOST])
def test_a_larger_nation_has_more_citizens(agents: int) -> None:
    assert nation(agents).agents == agents
    assert len(nation(agents).names) == 31


@pytest.mark.parametrize("agents", [0, 7, MOST + 1, 10**9])
def test_a_nation_that_cannot_be_is_refused(agents: int) -> None:
    with pytest.raises(ConfigurationError, match="agents"):
        nation(agents)
