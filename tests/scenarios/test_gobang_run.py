"""The main job end to end, over HTTP: the simulated model is served at an OpenAI-compatible address."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from megaagent import Result, Settings, replay, start
from megaagent import events as ev
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.server import SimServer
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.sandboxes import probe
from megaagent.sandboxes.contract import Level
from megaagent.scenarios.gobang.script import SCRIPT
from megaagent.scenarios.gobang.texts import DELIVERABLE, text
from megaagent.settings import changed

E = TypeVar("E", bound=ev.Event)
LATENCY = Latency(speed=30.0)


class Played:
    """A finished run of the scenario, with its journal and the provider's bill."""

    def __init__(self, result: Result, records: list[ev.Record], billed: int):
        self.result = result
        self.records = records
        self.billed = billed

    def facts(self, kind: type[E]) -> list[E]:
        return [record.event for record in self.records if isinstance(record.event, kind)]


async def develop(runs: Path, *, stream: bool) -> Played:
    settings = changed(Settings(), {"model.stream": stream, "model.price": "2:8:0.5"}, "test")
    async with (
        SimServer({"gobang": SimulatedModel(SCRIPT, name="sim:gobang", latency=LATENCY)}) as server,
        start(scenario="gobang", model="openai:gobang", base_url=server.url, settings=settings, runs=runs) as live,
    ):
        result = await live.result()
        billed = len(server.bill)
    return Played(result, list(open_reader(result.folder / "journal.db").records()), billed)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    if asyncio.run(probe(Level.LANDLOCK)).sandbox is None:
        pytest.skip("no sandbox holds on this machine: programs would be refused")
    yield asyncio.run(develop(tmp_path_factory.mktemp("runs"), stream=True))


def test_it_is_completed_with_the_whole_deliverable(played: Played):
    assert played.result.completed, played.result
    delivered = {path.name: path.read_text() for path in played.result.path.iterdir()}
    assert delivered == {name: text(name) for name in DELIVERABLE}


def test_every_answer_that_was_billed_is_in_the_journal(played: Played):
    assert len(played.facts(ev.ModelAnswered)) == played.billed


def test_a_simulation_behind_http_is_called_one(played: Played):
    assert played.result.simulated
    assert "a simulation" in (played.result.folder / "report.md").read_text()


def test_seven_agents_one_of_them_recruited_by_another(played: Played):
    ids = {fact.id for fact in played.facts(ev.AgentRecruited)}
    assert len(ids) == 7
    assert sum(id.count("/") == 1 for id in ids) == 5
    assert sum(id.count("/") == 2 for id in ids) == 1


def test_one_merge_was_clean_and_one_conflict_was_settled(played: Played):
    commits = played.facts(ev.FileCommitted)
    assert any(commit.merged for commit in commits)
    [conflict] = played.facts(ev.ConflictMet)
    assert any(commit.settles and commit.path == conflict.path for commit in commits)


def test_a_test_failed_on_another_agents_code_and_then_passed(played: Played):
    runs = [fact for fact in played.facts(ev.ProgramEnded) if "passed" in fact.output or "failed" in fact.output]
    outcomes = [fact.exit_code for fact in runs]
    assert outcomes[0] == 1 and outcomes[-1] == 0


def test_a_program_was_driven_over_standard_input(played: Played):
    assert played.facts(ev.ProgramSpokenTo)


def test_each_slip_was_answered_and_the_run_went_on(played: Played):
    errors = [fact.text for fact in played.facts(ev.ToolReturned) if not fact.ok]
    for words in ("nobody is called", "not valid JSON", "there is no tool called", "your checklist has open items"):
        assert any(words in error for error in errors), words
    assert played.facts(ev.AgentCorrected)


def test_a_group_was_reviewed_and_work_was_returned_and_redone(played: Played):
    assert {fact.admin for fact in played.facts(ev.ReviewOpened)} >= {"boss", "boss/search"}
    returned = [fact.assignment for fact in played.facts(ev.WorkReviewed) if fact.verdict == "return"]
    accepted = [fact.assignment for fact in played.facts(ev.WorkReviewed) if fact.verdict == "accept"]
    assert returned and set(returned) <= set(accepted)


def test_the_verifier_found_gaps_that_were_closed(played: Played):
    assert [fact.confirmed for fact in played.facts(ev.VerdictGiven)] == [False, True]
    assert all(check.passed for check in played.facts(ev.CheckRun)[-16:])


def test_calls_were_in_flight_side_by_side(played: Played):
    flying = most = 0
    for record in played.records:
        flying += isinstance(record.event, ev.CallIntended) - isinstance(record.event, ev.ModelAnswered | ev.CallFailed)
        most = max(most, flying)
    assert most >= 4


def test_the_journal_is_proved_by_replay(played: Played):
    proof = replay(RunFolder(played.result.folder))
    assert proof.problems == ()
    assert proof.records == len(played.records)


def test_every_request_had_a_valid_history(played: Played):
    """Every call of every answer has exactly one result, in order (promise P4)."""
    calls: dict[str, list[str]] = {}
    for record in played.records:
        match record.event:
            case ev.ModelAnswered(calls=made) if record.agent != ev.VERIFIER:
                assert not calls.get(record.agent, []), record
                calls[record.agent] = [call.id for call in made]
            case ev.ToolReturned(call_id=call_id):
                assert calls[record.agent].pop(0) == call_id
            case _:
                pass


async def test_it_also_works_without_streaming(tmp_path: Path):
    if (await probe(Level.LANDLOCK)).sandbox is None:
        pytest.skip("no sandbox holds on this machine: programs would be refused")
    assert (await develop(tmp_path, stream=False)).result.completed
