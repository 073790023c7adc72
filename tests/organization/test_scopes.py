"""Who may use which tool: set by settings and recruiters, enforced by the engine, less and less down the tree (P13)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.organization.test_debts import prompt

from megaagent import events as ev
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import Part, Playing, Script, call, read_file, review, say, wait, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse
from megaagent.tools.rules import Scopes, ToolSettings


class Listening:
    """A simulated model that keeps what it is sent."""

    def __init__(self, script: Script):
        self._model = SimulatedModel(script, latency=AT_ONCE)
        self.requests: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.requests.append(request)
        return await self._model.complete(request)

    async def close(self) -> None: ...


def recruit(name: str, **more: Any) -> Any:
    return call("add_agent", name=name, description="helps", prompt=prompt(name), **more)


def recruiting(*names: str, **more: Any):
    def part(me: Part) -> Playing:
        yield say(*(recruit(name, **more) for name in names))
        if not me.results[-1].ok:
            return me.last.text
        while not me.reported(*names):
            yield wait([], "their parts")
        yield review(list(names))
        return "done"

    return part


def writer(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", "mine\n")
    return me.last.text


def scoped(**scopes: list[str]) -> Settings:
    return changed(Settings(), {"tools.scopes": scopes}, "test")


def test_what_the_settings_keep_from_a_role_is_refused_and_nothing_is_done():
    script = Script({"boss": recruiting("ann", "bob")}, default=writer)
    run = rehearse(script, settings=scoped(write_file=["boss", "ann"]))
    assert set(run.files) == {"ann.txt"}
    [answer] = run.answers_to("write_file", "bob")
    assert answer.startswith("Error: you may not use write_file: the settings of this run keep it from you")
    assert run.ending.status == "completed"


def test_a_name_that_the_settings_trust_gains_nothing_below_one_that_they_do_not():
    script = Script({"boss": recruiting("bob"), "bob": recruiting("ann"), "ann": writer})
    run = rehearse(script, settings=scoped(write_file=["boss", "ann"]))
    assert run.files == {}
    [answer] = run.answers_to("write_file", "ann")
    assert "keep it from bob" in answer


def test_a_recruiter_gives_less_and_it_holds_for_all_below():
    def bob(me: Part) -> Playing:
        yield recruit("ann", tools=["write_file"])
        assert "you have no tool 'write_file' to give" in me.last.text and "read_file" in me.last.text
        yield from recruiting("ann", tools=["read_*", "recall"])(me)
        return me.last.text

    script = Script(
        {"boss": recruiting("bob", tools=["add_agent", "review", "read_*", "recall"]), "bob": bob, "ann": writer}
    )
    run = rehearse(script)
    assert run.files == {}
    [answer] = run.answers_to("write_file", "ann")
    assert "bob was recruited without it" in answer
    assert [fact.tools for fact in run.facts(ev.AgentRecruited)][1:] == [
        ("add_agent", "review", "read_*", "recall"),
        ("read_*", "recall"),
    ]
    assert run.ending.status == "completed"  # talk, wait and terminate are never taken away


def test_everybody_is_sent_the_same_tools_and_told_which_to_leave_alone():
    model = Listening(Script({"boss": recruiting("ann", tools=["read_file"]), "ann": writer}))
    rehearse(model, settings=scoped(ask_user=[]))
    steps = [request for request in model.requests if request.tools and len(request.tools) > 3]
    assert len({msgspec.json.encode(request.tools) for request in steps}) == 1
    roles = {message.text for request in steps for message in request.messages[1:2]}
    kept = {role.rpartition("You may not use these tools: ")[2] for role in roles}
    assert "ask_user." in kept
    assert any("write_file" in tools and "read_file" not in tools and "terminate" not in tools for tools in kept)


def test_a_tool_that_is_kept_from_an_agent_is_not_even_asked_about():
    settings = changed(scoped(read_file=[]), {"tools.ask_before": ["read_file"], "attended": True}, "test")

    def boss(me: Part) -> Playing:
        yield read_file("a.txt")
        return me.last.text

    run = rehearse(Script({"boss": boss}), settings=settings, files={"a.txt": "A"})
    assert "you may not use read_file" in run.ending.text
    assert not run.facts(ev.ApprovalAsked)


@pytest.mark.parametrize(
    ("agent", "tool", "free"),
    [
        ("boss", "git_push", True),
        ("boss/release", "git_push", True),
        ("boss/release/ann", "git_push", False),
        ("boss/ann", "git_push", False),
        ("boss/ann", "git_log", True),
        ("boss/ann", "recall", False),
        ("boss", "recall", False),
        ("boss/ann", "terminate", True),
    ],
)
def test_scopes(agent: str, tool: str, free: bool):
    settings = ToolSettings(scopes={"git_p*": ("boss", "boss/release"), "recall": ()})
    scopes = Scopes(settings, lambda: ["git_push", "git_pull", "git_log", "recall", "terminate"])
    assert (scopes.against(tool, agent, lambda _: None) == "") == free
