"""Where the money went: tables of a run that an engine made, each adding up to what was spent."""

from __future__ import annotations

from typing import Any

import pytest

from megaagent.errors import ModelError, RunError
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.prices import Price
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    assign,
    list_files,
    read_file,
    review,
    say,
    wait,
    write_file,
)
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.readings.costs import Costs
from megaagent.readings.overview import Overview
from megaagent.testing import Rehearsal, rehearse

PROMPT = (
    "You are {0}. Your job: write {0}.txt. You work alone, without collaborators, and write only {0}.txt. "
    "You are done when the file is there; then hand in."
)


def boss(me: Part) -> Playing:
    yield list_files()  # solving: it only looks
    yield say(*(add_agent(name, "writes", PROMPT.format(name)) for name in ("ann", "bob")))  # planning
    while not me.reported("ann", "bob"):
        yield wait([], "their parts")
    yield say(review(["ann"], "accept"), review(["bob"], "drop", "not needed"))  # merging
    yield assign("ann", "write it again")  # planning
    while sum(mail.kind == "report" for mail in me.mail) < 3:
        yield wait([], "the second part")
    yield review(["ann"], "accept")
    return "all parts are there"  # merging: it puts together


def worker(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", "one\n")
    yield read_file(f"{me.name}.txt")
    yield read_file(f"{me.name}.txt")  # nothing has changed since
    return "written"


def tables(run: Rehearsal, root: str = "boss") -> dict[str, Any]:
    overview, costs = Overview(), Costs()
    for record in run.records:
        overview.take_in(record)
        costs.take_in(record, overview)
    return costs.told(overview, root)


@pytest.fixture(scope="module")
def run() -> Rehearsal:
    return rehearse(Script({"boss": boss}, default=worker), price=Price(2.0, 8.0))


@pytest.mark.parametrize("by", ["models", "purposes", "tiers", "stages", "tools"])
def test_every_table_adds_up_to_what_was_spent(run: Rehearsal, by: str) -> None:
    rows = tables(run)[by]
    assert run.state.run.cost > 0
    assert sum(row["cost"] for row in rows) == pytest.approx(run.state.run.cost, abs=1e-4)
    if by != "tools":
        assert sum(row["calls"] for row in rows) == run.state.run.steps


def test_subtrees_add_up_to_what_the_agents_spent(run: Rehearsal) -> None:
    rows = {row["name"]: row for row in tables(run)["subtrees"]}
    assert set(rows) == {"boss alone", "ann", "bob"}
    assert sum(row["cost"] for row in rows.values()) == pytest.approx(run.state.tally_of("boss").cost, abs=1e-4)
    assert [row["name"] for row in tables(run, "ann")["subtrees"]] == ["ann alone"]
    with pytest.raises(RunError, match="no agent 'eve'"):
        tables(run, "eve")


def test_what_was_for_nothing_is_told_by_kind(run: Rehearsal) -> None:
    waste = {row["name"]: row for row in tables(run)["waste"]}
    assert waste["duplicates"]["count"] == 2  # each worker's second look at its file
    assert 0 < waste["duplicates"]["cost"] < run.state.run.cost
    assert waste["discarded"]["count"] == 1
    assert waste["discarded"]["cost"] == pytest.approx(run.state.tally_of("boss/bob").cost, abs=1e-6)
    assert waste["retries"]["count"] == 0


class Flaky:
    """The small organization's model; its first attempt is cut after the provider has begun to answer."""

    def __init__(self) -> None:
        self._inner = SimulatedModel(Script({"boss": worker}), latency=AT_ONCE)
        self._failed = False

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if not self._failed:
            self._failed = True
            error = ModelError("broken", "the answer was cut")
            error.maybe_paid = True
            raise error
        return await self._inner.complete(request)

    async def close(self) -> None:
        pass


def test_attempts_that_may_have_been_paid_for_are_waste() -> None:
    told = tables(rehearse(Flaky(), price=Price(2.0, 8.0)))
    [retries] = [row for row in told["waste"] if row["name"] == "retries"]
    assert told["faults"] == [{"name": "retried: broken", "count": 1}]
    assert retries["count"] == 1 and retries["tokens"] > 0 and retries["cost"] > 0
