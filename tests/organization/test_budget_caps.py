"""What agents see of their budget, and how parts and whole runs end at a cap and go on with more (design §6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.organization.test_debts import boss_of, recruit, worker

from megaagent import events as ev
from megaagent.control import Control, Request
from megaagent.errors import ConfigurationError, ModelError, RunError
from megaagent.folder import RunFolder
from megaagent.launch import resume, start
from megaagent.launch import run as run_it
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    assign,
    list_files,
    read_file,
    review,
    say,
    verdict,
    wait,
    write_file,
)
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.organization.state import State
from megaagent.past import read_past
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

SLOW = Latency(fixed=10.0, sigma=0.0)


def capped(**caps: object) -> Settings:
    """Settings without a cap of money, with short answers, and with these changes."""
    settings = changed(Settings(), {"limits.output": 1_000}, "test")
    settings = replace(settings, budget=replace(settings.budget, cost=None))
    return changed(settings, {name.replace("__", "."): cap for name, cap in caps.items()}, "test")


def busy(me: Part) -> Playing:
    while True:
        yield write_file(f"{me.name}.txt", f"{len(me.results)}\n" * 200)


def leads(me: Part) -> Playing:
    yield say(recruit("deep"), write_file("admin.txt", "mine\n"))
    while True:
        yield wait([], "its part")


def tails(seen: list[tuple[str, str]], script: Script) -> SimulatedModel:
    """The script's model; who was sent what status is kept."""

    class Listening(SimulatedModel):
        async def complete(self, request: ModelRequest) -> ModelResponse:
            name = next((m.text.split("`")[0] for m in request.messages[1:2]), "")
            seen.append((name, request.messages[-1].text))
            return await super().complete(request)

    return Listening(script, latency=AT_ONCE)


def dear(**parts: object) -> Rehearsal:
    """ann never ends and bob does; each may use 40 % of 200,000 tokens."""
    script = Script({"boss": boss_of("ann", "bob"), "ann": busy} | parts, default=worker)  # pyright: ignore
    return rehearse(script, settings=capped(budget__tokens=200_000, limits__subtree_spend=0.4), latency=SLOW)


def test_at_its_cap_the_work_of_a_part_is_handed_in_without_a_model_and_its_sibling_goes_on():
    run = dear()
    assert (run.ending.status, run.ending.text) == ("completed", "all parts are there")
    [report] = run.facts(ev.WorkReported, "ann")
    assert report.forced
    assert report.report.startswith("Handed in by the engine as it stood: ann's token budget of 80,000")
    assert run.state.tally_of("boss/ann").tokens <= 80_000
    assert {"ann.txt", "bob.txt"} <= set(run.files)
    assert [m for m in run.mail_to("boss") if m.kind == "report" and m.sender == "boss/ann"]
    cut = next(r for r in run.records if isinstance(r.event, ev.WorkReported) and r.agent == "boss/ann")
    assert not [
        r for r in run.records[cut.position :] if isinstance(r.event, ev.CallIntended) and r.agent == "boss/ann"
    ]


def test_those_below_it_leave_and_their_files_are_named():
    run = dear(ann=leads, deep=busy)
    assert run.ending.status == "completed"
    [report] = run.facts(ev.WorkReported, "ann")
    assert report.forced and "Those below it changed deep.txt" in report.report
    assert "boss/ann/deep" in [fact.id for fact in run.facts(ev.AgentRetired)]
    [debt] = [debt for debt in run.state.debts.values() if debt.debtor == "boss/ann/deep"]
    assert debt.status == "failed"


def test_at_four_fifths_of_its_own_purse_an_agent_reads_so_and_nobody_else():
    seen: list[tuple[str, str]] = []
    script = Script({"boss": boss_of("ann", "bob"), "ann": busy}, default=worker)
    model = tails(seen, script)
    run = rehearse(model, settings=capped(budget__tokens=200_000, limits__subtree_spend=0.4))
    told = [nudge.id for nudge in run.facts(ev.AgentNudged) if nudge.sign == "budget 80 %"]
    assert told == ["boss/ann"]
    warned = {name for name, tail in seen if "80% of what you and those below you may spend is used" in tail}
    assert len(warned) == 1 and "ann" in warned.pop()
    assert run.ending.status == "completed"


def test_a_boss_with_one_child_that_does_nearly_everything_is_left_alone():
    def ann(me: Part) -> Playing:
        for number in range(24):
            yield write_file("ann.txt", f"{number}\n")
        return "done"

    script = Script({"boss": boss_of("ann"), "ann": ann})
    free = rehearse(script, settings=capped())
    used = free.state.tally_of("boss").tokens
    assert free.state.tally_of("boss/ann").tokens > 0.85 * used
    run = rehearse(script, settings=capped(budget__tokens=int(used * 1.15)))
    assert run.ending.status == "completed"
    assert not run.facts(ev.AgentPaused)
    assert not any(fact.forced for fact in run.facts(ev.WorkReported))


def test_at_the_runs_cap_parts_are_handed_in_and_the_boss_ends_with_what_was_held_back_for_it():
    script = Script({"boss": boss_of("ann", "bob"), "ann": busy, "bob": busy})
    settings = capped(budget__tokens=200_000, budget__reserve=0.3, limits__subtree_spend=1.0)
    run = rehearse(script, settings=settings, latency=SLOW)
    assert run.ending.status == "completed"  # the verifier confirmed it
    assert {nudge.sign for nudge in run.facts(ev.AgentNudged) if nudge.action == "pause"} == {"budget spent"}
    assert all(report.forced for name in ("ann", "bob") for report in run.facts(ev.WorkReported, name))
    usage = run.state.run.usage
    assert usage.prompt + usage.completion <= 200_000


def test_what_was_cut_short_ends_as_exhausted_and_not_as_unverified():
    def verifier(me: Part) -> Playing:
        while True:
            yield verdict(False, ["it is not finished"])

    def boss(me: Part) -> Playing:
        yield from boss_of("ann", "bob")(me)
        return "as far as it goes"

    script = Script({"boss": boss, "ann": busy, "bob": busy}, verifier=verifier)  # pyright: ignore
    settings = capped(budget__tokens=400_000, budget__reserve=0.4, limits__subtree_spend=1.0)
    run = rehearse(script, settings=settings, latency=SLOW)
    assert run.ending.status == "exhausted"
    assert "the token budget of 400,000 would be passed" in run.ending.reason


def test_many_at_once_wait_for_what_others_have_reserved_and_do_not_use():
    names = [f"a{number}" for number in range(40)]
    script = Script({"boss": boss_of(*names)}, default=worker)
    run = rehearse(script, settings=capped(budget__tokens=320_000, limits__output=20_000), latency=SLOW)
    assert run.ending.status == "completed"
    assert not run.facts(ev.AgentPaused)
    assert sum(call.tokens for call in run.facts(ev.CallIntended)) > 1_500_000
    spent = reserved = 0
    for record in run.records:
        match record.event:
            case ev.CallIntended(tokens=tokens):
                reserved += tokens
            case ev.ModelAnswered(call=call, usage=usage):
                reserved -= next(fact.tokens for fact in run.facts(ev.CallIntended) if fact.call == call)
                spent += usage.prompt + usage.completion
            case _:
                continue
        assert spent + reserved <= 320_000


class OverReports:
    """A provider that reports ten times what was reserved, for one agent."""

    def __init__(self, script: Script, name: str):
        self._model = SimulatedModel(script, latency=AT_ONCE)
        self._name = name

    async def complete(self, request: ModelRequest) -> ModelResponse:
        response = await self._model.complete(request)
        if f"You are {self._name}" in request.messages[1].text:
            return replace(response, usage=ev.Usage(60_000, 0))
        return response

    async def close(self) -> None: ...


def test_what_is_reported_beyond_the_reservation_is_shown_debited_and_stops_the_part():
    script = Script({"boss": boss_of("ann", "bob"), "ann": busy}, default=worker)
    run = rehearse(OverReports(script, "ann"), settings=capped(budget__tokens=300_000, limits__subtree_spend=0.3))
    [shown] = [nudge for nudge in run.facts(ev.AgentNudged) if nudge.sign == "budget overrun"]
    assert shown.id == "boss/ann" and "reports 60,000 tokens" in shown.detail
    assert run.state.tally_of("boss/ann").tokens == 120_000
    assert run.ending.status == "completed"


def test_a_person_gives_a_part_a_purse_and_more_when_it_is_used_up():
    said: list[str] = []

    async def person(control: Control, state: State) -> None:
        while "boss/ann" not in state.members:
            await asyncio.sleep(1)
        assert (await control.do(Request("budget", "ann", tokens=30_000))).ok
        with pytest.raises(RunError, match="the run has only"):
            await control.raise_budget(tokens=300_000, agent="ann")
        with pytest.raises(RunError, match="below what is used"):
            await control.raise_budget(tokens=1, agent="ann")
        with pytest.raises(RunError, match="tokens is 0"):
            await control.raise_budget(tokens=0, agent="ann")
        with pytest.raises(RunError, match="only the run"):
            await control.raise_budget(seconds=5.0, agent="ann")
        with pytest.raises(RunError, match="no agent 'nobody'"):
            await control.raise_budget(tokens=5_000, agent="nobody")
        while state.members["boss/ann"].paused is None:
            await asyncio.sleep(1)
        assert state.tally_of("boss/ann").tokens <= 30_000
        said.append(await control.raise_budget(tokens=60_000, agent="ann"))
        assert state.members["boss/ann"].paused is None
        await control.send("ann", "go on")

    def patient(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.reported("bob") or not me.reported("ann"):
            yield wait(["bob", "ann"], "their parts")
        yield wait([], "more", minutes=30)
        yield review(["ann", "bob"])
        return "done"

    script = Script({"boss": patient, "ann": busy}, default=worker)
    run = rehearse(script, settings=capped(budget__tokens=200_000), latency=SLOW, meanwhile=person)
    assert said == ["the new budget of ann holds; it goes on"]
    assert 30_000 < run.state.tally_of("boss/ann").tokens <= 60_000
    assert run.ending.status == "completed"
    assert run.state.members["boss/ann"].purse is None  # what was left has flown back
    assert run.state.tally_of("boss").held_tokens == 0


@pytest.mark.parametrize(
    ("cap", "most", "named"),
    [
        ("budget__steps", 7, "the budget of 7 steps"),
        ("budget__disk", 400_000, "the disk budget of 400,000 bytes"),
        ("budget__tokens", 40_000, "token budget of 40,000"),
        ("budget__seconds", 95.0, "the wall time of 95 s"),
    ],
)
def test_each_cap_of_the_run_ends_it_as_exhausted_and_is_named(cap: str, most: float, named: str):
    def boss(me: Part) -> Playing:
        while True:
            yield say(write_file(f"{len(me.results)}.txt", "x" * 3_000), list_files())

    run = rehearse(Script({"boss": boss}), settings=capped(**{cap: most}), latency=SLOW)
    assert run.ending.status == "exhausted"
    assert named in run.ending.reason
    assert run.facts(ev.WorkReported, "boss")[-1].forced


def test_the_recorded_bytes_are_not_below_what_the_folder_holds(tmp_path: Path):
    def boss(me: Part) -> Playing:
        for number in range(30):
            yield say(write_file(f"{number}.txt", f"{number}" * 5_000), list_files())
        return "done"

    models = {"sim:test": SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)}
    result = run_it("Many files.", model="sim:test", models=models, runs=tmp_path)
    folder = RunFolder(result.folder)
    journal = folder.journal.stat().st_size
    store = sum(path.stat().st_size for path in folder.workspace.rglob("*") if path.is_file())
    assert read_past(folder).state.bytes > 0.8 * (journal + store)


def test_work_whose_purse_is_used_up_cannot_be_returned_and_its_agent_gets_no_more():
    answers: list[str] = []

    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        yield review(["ann"], "return", "once more")
        answers.append(me.last.text)
        yield assign("ann", "something else")
        answers.append(me.last.text)
        yield review(["ann", "bob"])
        return "done"

    run = dear(boss=boss)
    assert run.ending.status == "completed"
    assert [answer.startswith("Error: ann can do nothing more (runaway spend: ") for answer in answers] == [True, True]


async def test_an_exhausted_run_goes_on_with_more_and_not_with_less(tmp_path: Path):
    def boss(me: Part) -> Playing:
        for number in range(len(me.results), 12):
            yield write_file(f"{number}.txt", "x" * 3_000)
        return "twelve files"

    models = {"sim:test": SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)}
    settings = changed(Settings(), {"budget.steps": 5, "budget.disk": 10_000_000}, "test")
    async with start("Twelve files.", model="sim:test", models=models, runs=tmp_path, settings=settings) as live:
        first = await live.result()
    assert (first.status, "5 steps" in first.reason) == ("exhausted", True)
    folder = RunFolder(first.folder)
    for name, cap, words in (
        ("budget.steps", 5, "5 steps are taken already"),
        ("budget.steps", 0, "must be more than 0"),
        ("budget.disk", 100, "bytes are used already"),
        ("budget.disk", -1, "must be more than 0"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            async with resume(folder, models=models, changes={name: cap}):
                pass
    async with resume(folder, models=models, changes={"budget.disk": 300_000, "budget.steps": 1_000}) as live:
        second = await live.result()
    assert (second.status, "300,000 bytes" in second.reason) == ("exhausted", True)
    async with resume(folder, models=models, changes={"budget.disk": 10_000_000}) as live:
        third = await live.result()
    assert (third.status, third.text) == ("completed", "twelve files")


def test_the_boss_is_told_once_also_while_that_is_being_recorded():
    names = [f"ann{number}" for number in range(8)]
    script = Script({"boss": boss_of(*names)}, default=busy)
    run = rehearse(script, settings=capped(budget__tokens=100_000), commit=1.0)
    assert [nudge.sign for nudge in run.facts(ev.AgentNudged) if nudge.id == "boss"].count("budget 80 %") == 1


def test_the_last_step_that_is_allowed_is_asked_again_as_any_other_and_no_oftener():
    made = 0

    class Empty(SimulatedModel):
        async def complete(self, request: ModelRequest) -> ModelResponse:
            nonlocal made
            made += 1
            assert made < 100, "it is asked again and again"
            raise ModelError("empty", "nothing came")

    run = rehearse(Empty(Script({}), latency=AT_ONCE), settings=capped(budget__steps=1))
    calls = run.facts(ev.CallIntended)
    assert made == 3 * len(calls) == len(run.facts(ev.CallRetried)) + len(calls)
    assert run.ending.status == "stalled"


def test_a_part_without_money_for_its_summary_is_cut_off_alone():
    class Overrun(SimulatedModel):
        """Who has read three files finds its prompt too long, after its subordinate was told an absurd usage."""

        async def complete(self, request: ModelRequest) -> ModelResponse:
            if sum(call.name == "read_file" for message in request.messages for call in message.calls) >= 3:
                await asyncio.sleep(500)
                raise ModelError("context_overflow", "too long", status=400)
            answer = await super().complete(request)
            if any("You are deep" in message.text for message in request.messages[:2]) and len(request.messages) > 12:
                answer = replace(answer, usage=replace(answer.usage, prompt=200_000))
            return answer

    def reads(me: Part) -> Playing:
        yield say(recruit("deep"))
        for number in range(3):
            yield read_file(f"{number}.txt")
        while True:
            yield wait([], "its part")

    files = {f"{number}.txt": f"{number}\n" for number in range(3)}
    script = Script({"boss": boss_of("ann", "bob"), "ann": reads, "deep": busy}, default=worker)
    settings = capped(budget__tokens=2_000_000, limits__subtree_spend=0.05)
    run = rehearse(Overrun(script, latency=SLOW), settings=settings, files=files)
    assert (run.ending.status, run.ending.text) == ("completed", "all parts are there")
    [report] = run.facts(ev.WorkReported, "ann")
    assert report.forced and "ann's token budget of 100,000 would be passed" in report.report
