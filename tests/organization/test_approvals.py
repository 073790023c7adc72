"""Calls before which a person is asked, in virtual time (issue of the operator; design §6, People)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.organization.test_debts import boss_of, recruit, worker

from megaagent import events as ev
from megaagent.control import Control, Request
from megaagent.models.script import Part, Playing, Script, call, read_file, say, wait, write_file
from megaagent.organization.state import State
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse
from megaagent.tools.rules import ApprovalRule, ToolSettings, rule_for, unguarded

Person = Callable[[Control, State], Coroutine[Any, Any, None]]


def pay(amount: int, to: str) -> str:
    """Pay somebody.

    Args:
        amount: in cents.
        to: who is paid.
    """
    return f"paid {amount} to {to}"


def asking(*tools: str, attended: bool = True, **more: Any) -> Settings:
    return changed(Settings(), {"attended": attended, "tools.ask_before": tools, **more}, "test")


async def until_asked(state: State) -> None:
    while not state.run.approvals:
        await asyncio.sleep(1)


def payer(me: Part) -> Playing:
    yield say(write_file("a.txt", "a\n"), call("pay", to="ann", amount=5))
    return me.last.text


def played(person: Person | None = None, settings: Settings | None = None) -> Rehearsal:
    return rehearse(Script({"boss": payer}), settings=settings or asking("pay"), tools=[pay], meanwhile=person)


def test_a_call_waits_for_a_person_with_what_came_before_it_recorded():
    seen: dict[str, Any] = {}

    async def person(control: Control, state: State) -> None:
        await until_asked(state)
        seen["commits"], seen["approvals"] = state.run.commits, state.run.approvals
        seen["status"] = control.status()
        answer = await control.do(Request("approve", "boss", "but only once"))
        assert answer.ok and answer.text == "approved: pay of boss"
        assert not (await control.do(Request("approve", "boss"))).ok

    run = played(person)
    assert run.ending.text == "[approved by a person: but only once]\npaid 5 to ann"
    [asked] = run.facts(ev.ApprovalAsked)
    assert asked.id == "boss#1.1" and asked.rule == "ask before pay"
    assert json.loads(asked.arguments) == {"amount": 5, "to": "ann"} and asked.arguments.startswith('{"amount"')
    assert asked.effect == ("calls pay, a tool from outside, which runs with your rights", "amount: 5", "to: ann")
    assert seen["commits"] == 1 and [each.id for each in seen["approvals"]] == ["boss#1.1"]
    assert "1 approval open" in seen["status"]
    assert [fact.action for fact in run.facts(ev.HumanSpoke)] == ["approve"]
    assert run.state.run.approvals == ()
    kinds = [type(record.event) for record in run.records]
    order = [kinds.index(kind) for kind in (ev.FileCommitted, ev.ApprovalAsked, ev.ApprovalAnswered, ev.ToolBegun)]
    assert order == sorted(order)


def test_what_a_person_refuses_is_not_done_and_the_agent_is_told_why():
    async def person(control: Control, state: State) -> None:
        await until_asked(state)
        assert (await control.do(Request("refuse", "", "too much"))).ok

    run = played(person)
    assert run.ending.text == "Error: pay was not run: a person refused it: too much."
    assert not run.facts(ev.ToolBegun)


@pytest.mark.parametrize(("unanswered", "told"), [("refuse", "nobody answered in time"), ("approve", "paid 5 to ann")])
def test_nobody_answers_and_the_stated_default_holds(unanswered: str, told: str):
    rule = {"tools": ["p*"], "unanswered": unanswered, "minutes": 7}
    run = played(settings=changed(Settings(), {"attended": True, "tools.approvals": [rule]}, "test"))
    assert told in run.ending.text
    assert run.seconds >= 7 * 60
    [answered] = run.facts(ev.ApprovalAnswered)
    assert (answered.ruling, answered.by) == (unanswered, "engine")


def test_nobody_is_let_through_by_the_name_that_it_was_given():
    lenient = ApprovalRule(("pay",), ("tester",), unanswered="approve")
    strict = ApprovalRule(("*",))
    assert rule_for([lenient, strict], "pay", "boss/ann/tester") == strict
    assert rule_for([lenient, strict], "pay", "boss/ann") == strict
    assert rule_for([lenient], "pay", "boss/ann/tester") == lenient
    for_all = ApprovalRule(("pay",), unanswered="approve")  # that depends on nobody's name
    assert rule_for([for_all, strict], "pay", "boss/ann/tester") == for_all


@pytest.mark.parametrize("whom", ["", "ann"])
def test_no_time_runs_out_while_it_is_paused(whom: str):
    async def person(control: Control, state: State) -> None:
        await until_asked(state)
        await control.pause(agent=whom)
        await asyncio.sleep(2 * 3600)
        seen.append(len(state.run.approvals))
        await control.unpause(agent=whom)

    seen: list[int] = []
    rule = {"tools": ["pay"], "unanswered": "approve", "minutes": 7}
    settings = changed(Settings(), {"attended": True, "tools.approvals": [rule]}, "test")
    run = rehearse(Script({"boss": boss_of("ann"), "ann": payer}), settings=settings, tools=[pay], meanwhile=person)
    assert seen == [1] and run.ending.status == "completed"
    kinds = [type(record.event) for record in run.records]
    goes_on = ev.AgentUnpaused if whom else ev.RunUnpaused
    assert kinds.index(goes_on) < kinds.index(ev.ApprovalAnswered) < kinds.index(ev.ToolBegun)


@pytest.mark.parametrize("unanswered", ["refuse", "approve"])
def test_with_nobody_there_the_default_holds_at_once_and_says_so(unanswered: str):
    run = played(settings=asking("pay", attended=False, **{"tools.unanswered": unanswered}))
    assert run.seconds < 60
    [answered] = run.facts(ev.ApprovalAnswered)
    assert (answered.ruling, answered.by, answered.remark) == (unanswered, "engine", "nobody is there to be asked")
    assert ("paid" in run.ending.text) == (unanswered == "approve")
    assert unanswered == "approve" or "nobody is there to be asked" in run.ending.text


def test_others_go_on_meanwhile_and_a_rule_holds_for_all_below_whom_it_names():
    async def person(control: Control, state: State) -> None:
        await until_asked(state)
        while not state.members["boss/bob"].handed_in:
            await asyncio.sleep(1)  # virtual time: if bob were held up, this would never end
        await control.approve("ann")

    rule = {"tools": ["write_file"], "agents": ["ann"]}
    settings = changed(Settings(), {"attended": True, "tools.approvals": [rule]}, "test")
    run = rehearse(Script({"boss": boss_of("ann", "bob")}, default=worker), settings=settings, meanwhile=person)
    assert run.ending.status == "completed"
    assert {asked.effect[0].split(":")[0] for asked in run.facts(ev.ApprovalAsked)} == {"writes the file ann.txt"}


def test_reads_that_need_approval_are_asked_about_one_by_one():
    async def person(control: Control, state: State) -> None:
        for _ in range(2):
            await until_asked(state)
            assert len(state.run.approvals) == 1
            await control.approve()

    def boss(me: Part) -> Playing:
        yield say(read_file("a.txt"), read_file("b.txt"))
        return " ".join(result.text for result in me.results)

    run = rehearse(
        Script({"boss": boss}), settings=asking("read_*"), meanwhile=person, files={"a.txt": "A", "b.txt": "B"}
    )
    assert [asked.id for asked in run.facts(ev.ApprovalAsked)] == ["boss#1.0", "boss#1.1"]
    assert "A" in run.ending.text and "B" in run.ending.text


def test_arguments_that_do_not_fit_never_reach_a_person():
    def boss(me: Part) -> Playing:
        yield call("pay", to="ann", amount="much")
        return me.last.text

    run = rehearse(Script({"boss": boss}), settings=asking("pay"), tools=[pay])
    assert "do not fit" in run.ending.text
    assert not run.facts(ev.ApprovalAsked)


def test_an_agent_that_is_stopped_while_it_waits_does_nothing_and_its_approval_is_gone():
    paid: list[int] = []

    def spend(amount: int) -> str:
        """Spend money."""
        paid.append(amount)
        return "spent"

    def ann(me: Part) -> Playing:
        yield call("spend", amount=3)
        return "spent"

    async def person(control: Control, state: State) -> None:
        await until_asked(state)
        await control.stop(agent="ann")
        assert state.run.approvals == ()
        assert not (await control.do(Request("approve", "ann"))).ok

    script = Script({"boss": boss_of("ann"), "ann": ann})
    run = rehearse(script, settings=asking("spend"), tools=[spend], meanwhile=person)
    assert run.ending.status != "stopped" and paid == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"tools.ask_before": ["run_comand"]}, "no tool 'run_comand'; did you mean run_command"),
        ({"tools.approvals": [{"tools": []}]}, "names no tool"),
        ({"tools.approvals": [{"tools": ["*"], "minutes": 0}]}, "minutes must be more than 0"),
        ({"tools.scopes": {"nothing_*": []}}, "there is no tool 'nothing_*'"),
        ({"tools.scopes": {"wait": ["boss"]}}, "wait cannot be kept from anybody"),
        ({"tools.scopes": {"write_file": ["ann"]}}, "must name the boss too"),
    ],
)
def test_settings_that_cannot_hold_are_refused(setting: dict[str, Any], words: str):
    from megaagent.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=words.replace("*", r"\*")):
        rehearse(Script({"boss": payer}), settings=changed(Settings(), setting, "test"))


@pytest.mark.parametrize(
    ("later", "kept"), [(ev.RunResumed("1"), True), (ev.RunForked("b", "a", 3, "m", False, "{}", "1"), False)]
)
def test_a_word_holds_for_the_run_that_it_was_given_to(later: ev.AnyEvent, kept: bool):
    state = State()
    events: list[ev.AnyEvent] = [
        ev.AgentRecruited("boss", "the boss", "all"),
        ev.ApprovalAsked("boss#1.0", "pay"),
        ev.ApprovalAsked("boss#1.1", "pay"),
        ev.ApprovalAnswered("boss#1.0", "approve"),
    ]
    for position, event in enumerate([*events, later], 1):
        if event is later:
            assert [each.id for each in state.run.approvals] == ["boss#1.1"]
        state.apply(ev.Record(position, 1, 0.0, "boss", 1, event))
    assert state.run.approvals == ()  # who waits asks again
    assert (state.members["boss"].ruling is not None) == kept


@pytest.mark.parametrize(
    ("tool", "arguments", "effect"),
    [
        ("write_file", {"path": "a.py", "content": "é\n"}, "writes the file a.py: 3 bytes, 1 lines"),
        ("run_command", {"command": "rm -rf 'a b'"}, "runs in the sandbox: rm -rf 'a b'"),
        (
            "run_command",
            {"command": ["a b", "$HOME"], "stdin": "xyz"},
            "runs in the sandbox: 'a b' '$HOME', with 3 characters on its standard input",
        ),
        ("exec_python_file", {"path": "a.py", "args": ["-x"]}, "runs in the sandbox: python a.py -x"),
        ("keep_files", {"paths": ["a", "b"]}, "commits files that its program wrote: a, b"),
        ("talk", {"to": "group", "message": "do as I say"}, "sends a message to group"),
    ],
)
def test_the_effect_is_told_from_the_arguments_alone(tool: str, arguments: dict[str, Any], effect: str):
    from megaagent.tools import toolbox
    from megaagent.tools.effects import effect_of

    given = toolbox().find(tool).given(json.dumps(arguments))
    assert effect_of(tool, given) == (effect,)


def test_what_an_agent_wrote_cannot_pass_for_words_of_the_engine():
    from megaagent.tools.effects import effect_of

    lie = "x\n; approved by the engine"
    assert effect_of("write_file", {"path": lie, "content": ""})[0].startswith(f"writes the file {lie!r}: ")
    assert effect_of("keep_files", {"paths": ["a.txt", lie]}) == (
        f"commits files that its program wrote: a.txt, {lie!r}",
    )
    assert effect_of("pay", {"to": lie, lie: 1})[1:] == (f"to: {lie!r}", f"{lie!r}: 1")


def test_every_built_in_tool_has_an_effect_in_words():
    from megaagent.tools import TOOLS
    from megaagent.tools.effects import _EFFECTS  # pyright: ignore[reportPrivateUsage]

    assert set(_EFFECTS) == set(TOOLS)


def test_who_is_halted_waits_no_longer_and_is_not_let_through():
    """The calls of those below it come to nothing while it waits: the supervisor pauses it, perhaps for good."""

    def boss(me: Part) -> Playing:
        yield recruit("lead")
        while True:
            yield wait([], "better times")

    names = ("ann", "bob", "cat", "dan")

    def lead(me: Part) -> Playing:
        yield say(*(recruit(name) for name in names), call("pay", to="ann", amount=5))
        return me.last.text

    def talker(me: Part) -> Playing:
        while True:  # cut at the limit, so that nothing comes of it
            yield write_file("notes.txt", "note\n" * 8_000)

    async def person(control: Control, state: State) -> None:
        await asyncio.sleep(2 * 3600)
        if state.run.ending is None:
            await control.stop("it did not end")

    rule = {"tools": ["pay"], "unanswered": "approve", "minutes": 7}
    changes = {"attended": True, "tools.approvals": [rule], "limits.output": 2_000}
    run = rehearse(
        Script({"boss": boss, "lead": lead}, default=talker),
        settings=changed(Settings(), changes, "test"),
        tools=[pay],
        meanwhile=person,
    )
    assert [e.sign for e in run.facts(ev.AgentNudged) if e.id == "boss/lead" and e.action == "pause"] == [
        "failing subtree"
    ]
    assert run.ending.status == "stalled"  # and not stopped by who waited for two hours
    [answered] = run.facts(ev.ApprovalAnswered)
    assert (answered.ruling, answered.by) == ("refuse", "engine")
    assert not any(begun.tool == "pay" for begun in run.facts(ev.ToolBegun))


def test_a_person_is_told_what_can_be_done_without_them():
    assert unguarded(ToolSettings()) == []
    assert unguarded(ToolSettings(ask_before=("*_file", "keep_files", "run_command"))) == []
    assert unguarded(ToolSettings(ask_before=("write_file", "run_*"))) == [
        "nobody is asked before edit_file or keep_files, which can do the same as write_file",
        "nobody is asked before exec_python_file, which can do the same as run_command",
    ]
