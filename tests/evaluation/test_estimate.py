"""An estimate is compared with the run that it predicts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from megaagent import events as ev
from megaagent.errors import ConfigurationError, RunError
from megaagent.evaluation.estimate import Estimate, Wish, estimate
from megaagent.evaluation.shape import GOBANG, Shape, lasts, shape_of, tree_of
from megaagent.events import Usage
from megaagent.models.prices import Price, cost_of
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    read_file,
    review,
    run_command,
    say,
    talk,
    wait,
    write_file,
)
from megaagent.models.simulated import Latency
from megaagent.organization.economy import EconomySettings
from megaagent.testing import Rehearsal, rehearse

MODEL = "openai:gpt-4.1"
TEXT = "A line of a document that somebody has to read before it can be gone on with.\n"


def organization(writers: int) -> Script:
    """A boss and writers of unlike length, who read much, write, and ask each other."""

    def boss(me: Part) -> Playing:
        names = [f"writer{number}" for number in range(writers)]
        prompt = "Write your part alone into writer.txt. You are done when it is there."
        yield say(*(add_agent(name, "Writes.", f"You are {name}. {prompt}") for name in names), text=TEXT * 3)
        seen = 0
        while not me.reported(*names):
            new = sorted({m.sender for m in me.mail[seen:] if m.kind == "report"})
            seen = len(me.mail)
            yield say(*([review(new, "accept", "Good.")] if new else []), wait(names, "their parts"))
        yield say(review(sorted({m.sender for m in me.mail[seen:] if m.kind == "report"}) or names, "accept", "Good."))
        return "All parts are there."

    def writer(me: Part) -> Playing:
        number = int(me.name.removeprefix("writer"))
        for chapter in range(3 + number % 5):
            yield say(read_file("source.txt"), text=TEXT)
            yield write_file(f"{me.name}_{chapter}.txt", TEXT * (5 + 3 * chapter))
        if number:
            yield talk(f"writer{number - 1}", "My part is there; look whether yours fits.")
        return f"{me.name} is done."

    return Script({"boss": boss}, default=writer)


def lived(writers: int) -> Rehearsal:
    return rehearse(organization(writers), "Write a book.", latency=Latency(), files={"source.txt": TEXT * 40})


def money(run: Rehearsal) -> float:
    return sum(cost_of(fact.usage, MODEL) or 0.0 for fact in run.facts(ev.ModelAnswered))


def used(run: Rehearsal) -> Usage:
    return sum((fact.usage for fact in run.facts(ev.ModelAnswered)), Usage())


def of(run: Rehearsal, agents: int, **more: float) -> Estimate:
    return estimate(Wish("Write a book.", agents, MODEL, shape=shape_of(run.records, "a run"), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("writers", [3, 12])
def test_an_estimate_fits_the_run_that_it_is_like(writers: int) -> None:
    run = lived(writers)
    told = of(run, writers + 1).expected
    assert told.agents == writers + 1
    assert told.calls == pytest.approx(len(run.facts(ev.ModelAnswered)), rel=0.15)
    assert told.tokens == pytest.approx(used(run).prompt + used(run).completion, rel=0.2)
    assert told.cost == pytest.approx(money(run), rel=0.25)
    assert told.seconds == pytest.approx(run.seconds, rel=0.35)
    assert told.cached == pytest.approx(used(run).cached / used(run).prompt, abs=0.12)


def test_a_small_run_predicts_a_larger_one() -> None:
    told = of(lived(5), 21)
    run = lived(20)
    assert told.expected.tokens == pytest.approx(used(run).prompt + used(run).completion, rel=0.3)
    assert told.expected.cost == pytest.approx(money(run), rel=0.3)
    assert told.low.cost <= told.expected.cost <= told.high.cost


def test_limits_per_minute_make_it_slower_and_not_dearer() -> None:
    run = lived(12)
    free, held = of(run, 13), of(run, 13, requests=20.0)
    assert held.expected.seconds > 60 * (held.expected.calls / 20) * 0.7
    assert held.expected.seconds > 1.5 * free.expected.seconds
    assert held.expected.cost == pytest.approx(free.expected.cost, rel=0.2)
    tight = of(run, 13, tokens=50_000.0)
    assert tight.expected.seconds > 60 * (tight.expected.tokens / 50_000) * 0.5


def test_the_range_without_a_run_is_that_of_half_and_twice_the_steps() -> None:
    told = estimate(Wish("Write a game.", 5, MODEL))
    assert told.low.calls < 0.75 * told.expected.calls and told.high.calls > 1.5 * told.expected.calls
    assert told.low.cost < told.expected.cost < told.high.cost
    assert "Gobang" in told.source


def test_the_scenario_policy_is_played_as_it_is() -> None:
    from megaagent.scenarios.policy.scenario import Policy
    from megaagent.scenarios.policy.script import script
    from megaagent.settings import Settings, changed

    settings = changed(Settings(), {"budget.cost": 1e9, "limits.output": 4096}, "the test")
    run = rehearse(script(40), Policy().goal, settings=settings, latency=Latency())
    told = estimate(Wish(Policy().goal, 40, MODEL, scenario="policy")).expected
    assert told.tokens == pytest.approx(used(run).prompt + used(run).completion, rel=0.05)
    assert told.seconds == pytest.approx(run.seconds, rel=0.25)
    assert told.cost == pytest.approx(money(run), rel=0.1)


def test_prices_of_ones_own(tmp_path: Path) -> None:
    told = estimate(Wish("A goal.", 2, "vllm:qwen3", Price(1.0, 2.0)))
    usage = told.expected.usage
    assert told.expected.cost == pytest.approx((usage.prompt + 2 * usage.completion) / 1e6, rel=0.05)
    with pytest.raises(ConfigurationError, match="price of vllm:qwen3 is not known"):
        estimate(Wish("A goal.", 2, "vllm:qwen3"))


@pytest.mark.parametrize(("change", "words"), [({"agents": 0}, "--agents"), ({"requests": 0.0}, "--rpm")])
def test_what_cannot_be_is_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        estimate(Wish(**({"goal": "A goal.", "agents": 2, "model": MODEL} | change)))  # type: ignore[arg-type]


@pytest.mark.parametrize("agents", [1, 2, 7, 8, 50, 700])
def test_a_tree_has_as_many_agents_as_are_asked_for(agents: int) -> None:
    groups = tree_of(GOBANG, agents)
    assert len(groups) == agents
    assert max(map(len, groups.values())) <= 60
    assert {id for below in groups.values() for id in below} == set(groups) - {"boss"}


def test_a_tree_like_the_run_is_the_runs() -> None:
    sizes = sorted(map(len, tree_of(GOBANG, 7).values()), reverse=True)
    assert sizes == [5, 1, 0, 0, 0, 0, 0]
    flat = Shape(4, ((3,), (0, 0, 0)), (2,), (3,), 100, 200, 3000, 1.0, "x")
    assert len(tree_of(flat, 10)["boss"]) >= 8


def test_a_run_in_which_nobody_answered_tells_nothing() -> None:
    with pytest.raises(RunError, match="no model answered"):
        shape_of([], "the run x")


def test_programs_take_their_time_and_cost_nothing() -> None:
    without = estimate(Wish("Write a book.", 7, MODEL, shape=msgspec.structs.replace(GOBANG, programs=()))).expected
    slow = estimate(
        Wish("Write a book.", 7, MODEL, shape=msgspec.structs.replace(GOBANG, programs=(30.0,) * 12))
    ).expected
    assert without.programs == 0.0
    assert slow.programs == pytest.approx(360.0, rel=0.35)  # agents of a single step run none
    assert slow.seconds > without.seconds + 40
    assert slow.cost == pytest.approx(without.cost, rel=0.1)


def test_the_programs_of_a_run_are_measured() -> None:
    def boss(me: Part) -> Playing:
        yield run_command("program 2.5")
        yield run_command("program 0.5")
        return "done"

    run = rehearse(Script({"boss": boss}), play=lambda program, revision: (0, "ok"), lasts=lasts)
    assert run.seconds == pytest.approx(3.0)
    assert len(shape_of(run.records, "a run").programs) == 2


def test_batches_are_cheaper_and_slower_by_what_goes_through_them() -> None:
    single = estimate(Wish("Write a book.", 7, MODEL)).expected
    thrifty = EconomySettings(on=True, tiers=("worker",))
    batched = estimate(Wish("Write a book.", 7, MODEL, economy=thrifty)).expected
    assert batched.batched > 0
    assert batched.cost + batched.saved == pytest.approx(single.cost, rel=0.15)
    assert 0.2 * single.cost < batched.saved < 0.5 * single.cost + 1e-9
    assert batched.seconds > 10 * single.seconds
    nothing = estimate(Wish("Write a book.", 7, MODEL, economy=EconomySettings(on=True))).expected
    assert nothing.cost <= single.cost * 1.1
    with pytest.raises(ConfigurationError, match="not known to take batches"):
        estimate(Wish("Write a book.", 7, "deepseek:deepseek-chat", economy=thrifty))
