"""Evaluations with a simulated model that knows right and wrong answers: known scores come out, and nothing is bought
twice."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.evaluation.samples import written

from megaagent import events as ev
from megaagent.choice import Adapters
from megaagent.errors import ConfigurationError, ModelError, RunError, SandboxError
from megaagent.evaluation import benchmark
from megaagent.evaluation.arms import ARMS, chosen_arms
from megaagent.evaluation.contract import Item
from megaagent.evaluation.data import load
from megaagent.evaluation.experiment import Outcome, Wish, digest_of, evaluate
from megaagent.evaluation.figures import lines_of, stages_of
from megaagent.evaluation.page import page
from megaagent.evaluation.played import known_share, right_ones
from megaagent.evaluation.purse import CapReachedError, Purse
from megaagent.evaluation.results import FILE, Row, add_line
from megaagent.folder import all_runs
from megaagent.journal import open_reader
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import Part, Playing, Script, run_command, terminate
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.sandboxes import Probe
from megaagent.sandboxes.contract import Level, Process, Program
from megaagent.settings import Settings, changed


def wish(tmp_path: Path, name: str, model: str = "sim:answers", **more: Any) -> Wish:
    chosen = benchmark(name)
    (tmp_path / "data").mkdir(exist_ok=True)
    items = load(chosen, written(tmp_path / "data", name))
    told = {**chosen.settings, "model.name": model, "simulation.speed": 0, "durability": "off", **more.pop("set", {})}
    settings = changed(Settings(), told, "the test")
    given: dict[str, Any] = {"arms": chosen_arms(["full"]), "into": tmp_path / "results", "max_cost": 5.0} | more
    return Wish(chosen, items, given.pop("arms"), settings, data=digest_of(items), **given)


def scores(outcome: Outcome) -> dict[str, float]:
    return {line.arm: line.score for line in lines_of(outcome.rows)}


@pytest.mark.parametrize("name", ["humaneval", "mbpp", "gsm8k", "math"])
async def test_known_answers_give_known_scores(name: str, tmp_path: Path) -> None:
    outcome = await evaluate(wish(tmp_path, name, "sim:answers-67"), environ={})
    assert scores(outcome) == {"full": pytest.approx(2 / 3), "single": pytest.approx(2 / 3)}
    assert not outcome.failed and not outcome.left
    right = right_ones(load(benchmark(name), written(tmp_path / "data", name)), 0.67)
    assert {row.id for row in outcome.rows if row.passed} == right
    full, single = lines_of(outcome.rows)
    assert (full.agents, single.agents) == (2.0, 1.0)
    assert full.tokens > single.tokens > 0 and full.cost > 0
    assert outcome.spent == pytest.approx(sum(row.cost for row in outcome.rows))


async def test_the_single_agent_has_as_many_tokens_as_the_first_arm_used(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k")
    outcome = await evaluate(asked, environ={})
    used = {row.id: row.tokens + row.reserved for row in outcome.rows if row.arm == "full"}
    assert all(row.reserved > asked.settings.limits.output for row in outcome.rows)
    assert all(row.budget == used[row.id] for row in outcome.rows if row.arm == "single")
    for row in outcome.rows:
        began = next(iter(open_reader(asked.into / row.run / "journal.db").records())).event
        assert isinstance(began, ev.RunStarted)
        assert json.loads(began.settings)["budget"].get("tokens") == row.budget


async def test_every_arm_switches_off_what_it_is_called_by(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k", arms=chosen_arms(list(ARMS)))
    asked = Wish(asked.benchmark, asked.items[:1], asked.arms, asked.settings, asked.into, asked.data, 5.0)
    outcome = await evaluate(asked, environ={})
    assert list(scores(outcome)) == [*(name for name in ARMS if name != "single"), "single"]
    kinds: dict[str, set[str]] = {}
    for row in outcome.rows:
        records = list(open_reader(asked.into / row.run / "journal.db").records())
        kinds[row.arm] = {type(record.event).__name__ for record in records}
        flying = [record.event for record in records if isinstance(record.event, ev.RunEnded)]
        assert flying[0].status == "completed"
    assert "VerdictGiven" in kinds["full"] and "VerdictGiven" not in kinds["no-verifier"]
    assert "VerdictGiven" not in kinds["single"]


class Stops:
    """A model that answers so many calls, and then is there no more."""

    def __init__(self, model: SimulatedModel, answers: int):
        self._model = model
        self.left = answers
        self.gone = asyncio.Event()

    async def complete(self, request: ModelRequest) -> ModelResponse:
        if self.left <= 0:
            self.gone.set()
            await asyncio.Event().wait()
        self.left -= 1
        return await self._model.complete(request)

    async def close(self) -> None: ...


async def test_a_killed_evaluation_goes_on_and_buys_nothing_twice(tmp_path: Path) -> None:
    from megaagent.evaluation.played import script

    asked = wish(tmp_path, "gsm8k", parallel=2)
    played = script(asked.benchmark, asked.items, right_ones(asked.items, 1.0))
    for answers in (3, 5, 4):
        model = Stops(SimulatedModel(played, latency=AT_ONCE), answers)
        running = asyncio.create_task(evaluate(asked, environ={}, models={"sim:answers": model}))
        await model.gone.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    outcome = await evaluate(asked, environ={})
    whole = await evaluate(wish(tmp_path, "gsm8k", into=tmp_path / "undisturbed"), environ={})
    assert len(outcome.rows) == 6 and all(row.passed for row in outcome.rows)
    for row in outcome.rows:  # one run for each item, with each call answered once
        assert len(all_runs((asked.into / row.run).parent)) == 1
        records = open_reader(asked.into / row.run / "journal.db").records(kinds=[ev.ModelAnswered])
        answered = [r.event.call for r in records if isinstance(r.event, ev.ModelAnswered)]
        assert len(answered) == len(set(answered)) == row.steps
    assert [row.steps for row in sorted(outcome.rows, key=_key)] == [row.steps for row in sorted(whole.rows, key=_key)]


def _key(row: Row) -> tuple[str, str, int]:
    return row.key


async def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k")
    first = await evaluate(asked, environ={})
    model = Stops(SimulatedModel(_nobody(), latency=AT_ONCE), 0)
    again = await evaluate(asked, environ={}, models={"sim:answers": model})
    assert sorted(map(_key, again.rows)) == sorted(map(_key, first.rows))
    assert again.spent == pytest.approx(first.spent)
    assert not model.gone.is_set()


async def test_a_result_that_was_cut_is_scored_again_from_its_run(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k")
    await evaluate(asked, environ={})
    path = asked.into / FILE
    path.write_bytes(path.read_bytes()[:-20])
    model = Stops(SimulatedModel(_nobody(), latency=AT_ONCE), 0)
    again = await evaluate(asked, environ={}, models={"sim:answers": model})
    assert len(again.rows) == 6 and scores(again) == {"full": 1.0, "single": 1.0}


def test_a_line_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    add_line(path, b"first")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # as on a disk that is full after 100 bytes
    try:
        with pytest.raises(RunError, match=r"lines.jsonl: "):
            add_line(path, b"x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    add_line(path, b"second")
    assert path.read_bytes() == b"first\nsecond\n"
    path.write_bytes(path.read_bytes() + b"cut")
    add_line(path, b"third")
    assert path.read_bytes() == b"first\nsecond\ncut\nthird\n"


async def test_a_result_that_the_disk_does_not_take_is_taken_from_its_run_later(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k")
    told: list[Row] = []

    def tell(row: Row) -> None:
        told.append(row)
        if len(told) == 1:  # from now on there is no room
            (asked.into / FILE).rename(tmp_path / "kept")
            (asked.into / FILE).mkdir()

    first = await evaluate(asked, environ={}, tell=tell)
    assert len(told) == 1 and len(first.failed) >= 2 and all("results.jsonl: " in each for each in first.failed)
    (asked.into / FILE).rmdir()
    (tmp_path / "kept").rename(asked.into / FILE)
    again = await evaluate(asked, environ={})
    assert not again.failed and len(again.rows) == 6
    for place in (asked.into / "runs" / "full").iterdir():
        assert len(all_runs(place)) == 1  # no item was run once more


def _nobody() -> Any:
    from megaagent.models.script import Script

    return Script({})


async def test_the_money_cap_holds_and_can_be_raised(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k", max_cost=0.06, set={"budget.cost": 0.05})
    outcome = await evaluate(asked, environ={})
    assert outcome.left > 0 and not outcome.failed and not outcome.halted
    assert 0 < outcome.spent <= 0.06
    raised = wish(tmp_path, "gsm8k", max_cost=5.0, set={"budget.cost": 0.05})
    assert (await evaluate(raised, environ={})).left == 0


async def test_a_purse_is_never_passed_however_many_ask() -> None:
    purse = Purse(1.0, 0.1)
    most = 0.0
    out = 0.0

    async def one() -> bool:
        nonlocal most, out
        try:
            async with purse.share(0.2) as share:
                out += share.amount
                most = max(most, purse.spent + out)
                await asyncio.sleep(0)
                share.spent = 0.03
                out -= share.amount
        except CapReachedError:
            return False
        return True

    done = await asyncio.gather(*(one() for _ in range(100)))
    assert most <= 1.0 + 1e-9 and purse.spent <= 1.0
    assert sum(done) >= 20 and not all(done)


class Refuses:
    """A provider that does not know the key."""

    def __init__(self) -> None:
        self.asked = 0

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.asked += 1
        raise ModelError("unauthorized", "no such key", status=401)

    async def close(self) -> None: ...


async def test_a_wrong_key_stops_the_evaluation_and_nothing_is_lost(tmp_path: Path) -> None:
    model = Refuses()
    asked = wish(tmp_path, "gsm8k", parallel=1)
    outcome = await evaluate(asked, environ={}, models={"sim:answers": model})
    assert model.asked == 1
    assert (
        outcome.halted
        and outcome.left == 5
        and outcome.waiting == 0
        and len(outcome.failed) == 1
        and "no such key" in outcome.failed[0]
    )
    assert scores(await evaluate(asked, environ={})) == {"full": 1.0, "single": 1.0}


async def test_the_single_agent_waits_until_it_is_known_what_the_first_arm_used(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k", parallel=1)
    path = asked.into / "runs"
    await evaluate(asked, environ={})
    (asked.into / FILE).unlink()
    for journal in (path / "full").glob("*-0/*/journal.db"):
        journal.write_bytes(b"no journal")
    (path / "single").rename(tmp_path / "before")
    outcome = await evaluate(asked, environ={})
    assert len(outcome.failed) == 3 and outcome.waiting == 3 and not outcome.rows
    assert not list(path.glob("single/*"))


async def test_repeats_are_runs_of_their_own(tmp_path: Path) -> None:
    asked = wish(tmp_path, "gsm8k", "sim:answers-67", repeats=2)
    outcome = await evaluate(asked, environ={})
    full = lines_of(outcome.rows)[0]
    assert (full.items, full.runs, full.passed) == (3, 6, 4)
    assert full.pass_at == {1: pytest.approx(2 / 3)}
    assert len({row.run for row in outcome.rows}) == 12


async def test_a_folder_belongs_to_one_evaluation(tmp_path: Path) -> None:
    await evaluate(wish(tmp_path, "gsm8k"), environ={})
    with pytest.raises(ConfigurationError, match="other model"):
        await evaluate(wish(tmp_path, "gsm8k", "sim:answers-50"), environ={})
    with pytest.raises(ConfigurationError, match="other settings"):
        await evaluate(wish(tmp_path, "gsm8k", set={"limits.agents": 3}), environ={})
    with pytest.raises(ConfigurationError, match="other evaluation"):
        await evaluate(wish(tmp_path, "math"), environ={})


async def test_all_runs_go_through_one_gate(tmp_path: Path) -> None:
    from megaagent.evaluation.played import script

    asked = wish(tmp_path, "gsm8k", parallel=3, set={"gate.start": 1, "gate.most": 1})
    inside, most = 0, 0
    sim = SimulatedModel(script(asked.benchmark, asked.items, right_ones(asked.items, 1.0)), latency=AT_ONCE)

    class Counts:
        async def complete(self, request: ModelRequest) -> ModelResponse:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1
            return await sim.complete(request)

        async def close(self) -> None: ...

    await evaluate(asked, environ={}, models={"sim:answers": Counts()})
    assert most == 1


class Nowhere:
    """A sandbox in which nothing starts."""

    level = Level.LANDLOCK

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    async def start(self, program: Program, folder: Path) -> Process:
        self.asked.append(tuple(program.command))
        raise SandboxError("nothing starts here")


async def test_the_sandbox_is_searched_for_once_for_all_runs(tmp_path: Path) -> None:
    def boss(me: Part) -> Playing:
        yield run_command("echo tried")
        yield terminate("It is done.")

    sandbox = Nowhere()
    model = SimulatedModel(Script({"boss": boss}), latency=AT_ONCE)
    asked = wish(tmp_path, "gsm8k", set={"limits.verifier": False})
    found = Probe(sandbox, Level.LANDLOCK, ())
    outcome = await evaluate(asked, environ={}, models={"sim:answers": model}, sandbox=found)
    # The first arm did it alone: the single agent has room for as much.
    assert {(row.arm, row.steps, row.status) for row in outcome.rows} == {
        ("full", 2, "completed"),
        ("single", 2, "completed"),
    }
    assert len(sandbox.asked) == 6  # one command of each run, and no trial program


async def test_the_page_says_whose_figures_they_are(tmp_path: Path) -> None:
    outcome = await evaluate(wish(tmp_path, "gsm8k", "sim:answers-67"), environ={})
    told = page(outcome.plan, outcome.rows)
    assert "no model was asked" in told
    assert "reports of its own implementation with GPT-4o: score 93.0%. A simulation says nothing about that." in told
    assert "class=other" not in told and "<th>simulated score</th>" in told and "sim:answers-67, a simulation" in told
    assert "66.7%" in told and "one agent, no verifier, as many tokens for each item as full used" in told
    measured = page(replace(outcome.plan, simulated=False, model="openai:gpt-4o"), outcome.rows)
    assert "simulat" not in measured and "93.0%</td>" in measured and "not measured here" in measured
    rows = measured.split("<tr")[1:]
    assert any("the paper's own implementation" in row.replace("&#x27;", "'") and "GPT-4o" in row for row in rows)
    assert sum("MegaAgent" in row and "openai:gpt-4o" in row for row in rows) == 2  # each figure says whose it is
    assert "http" not in told.replace("<!doctype html>", "")
    hostile = Row("full", "<script>x</script>", 0, False, 0.0, "<b>", {}, "completed", "r", 1, 1, 0, 0.0, 0, 1.0, 1, 1)
    assert "<script>x" not in page(outcome.plan, [hostile])
    assert [line.stage for line in stages_of(outcome.rows)][:3] == ["planning", "solving", "merging"]


def test_names_of_the_simulated_model() -> None:
    assert known_share("sim:answers") == 1.0 and known_share("sim:answers-70") == 0.7
    assert known_share("openai:gpt-4o") is None
    with pytest.raises(ConfigurationError, match="percent"):
        known_share("sim:answers-101")
    items = [Item(str(n), "", {}) for n in range(10)]
    assert len(right_ones(items, 0.7)) == 7 and right_ones(items, 0.5) < right_ones(items, 0.7)


def test_unknown_arms_are_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean no-hierarchy"):
        chosen_arms(["no-hierachy"])
    assert [arm.name for arm in chosen_arms([])] == ["full", "single"]
    assert [arm.name for arm in chosen_arms(["single"])] == ["single"]


async def test_adapters_of_one_run_close_nothing() -> None:
    closed: list[str] = []

    class Closes(Refuses):
        async def close(self) -> None:
            closed.append("closed")

    from megaagent.choice import open_models

    settings = changed(Settings(), {"model.name": "sim:x"}, "test")
    adapters = open_models(settings, {}, {"sim:x": Closes()})
    one: Adapters = adapters.another(settings, {})
    assert one.gates is adapters.gates and one.breakers["sim:x"] is not adapters.breakers["sim:x"]
    assert open_models(settings, {}, one) is one
    await one["sim:x"].close()
    assert not closed
    await adapters.close()
    assert closed == ["closed"]
