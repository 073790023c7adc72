"""The script of Gobang: its roles stand alone, its edits end in what is delivered, its judge sees what is there."""

from __future__ import annotations

import pytest

from megaagent.agent.lint import missing_from
from megaagent.errors import ConfigurationError
from megaagent.events import VERIFIER, ToolCall
from megaagent.models import load
from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec
from megaagent.models.script import Script
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.scenarios import SCENARIOS, SCRIPTS, scenario
from megaagent.scenarios.gobang.crew import revision_in
from megaagent.scenarios.gobang.roles import EVALUATOR, TEAM, Role
from megaagent.scenarios.gobang.script import SCRIPT
from megaagent.scenarios.gobang.texts import changes, text

NAMES = [*(role.name for role in TEAM), EVALUATOR.name]
TOOL = ToolSpec("terminate", "", {})


def asked(name: str, path: str, *messages: ChatMessage, tools: tuple[ToolSpec, ...] = (TOOL,)) -> ModelRequest:
    role = ChatMessage("system", f"You are {name} ({path}), an agent of this organization.")
    return ModelRequest("gobang", (role, *messages), tools)


async def verdict_on(shown: str) -> str:
    model = SimulatedModel(SCRIPT, latency=AT_ONCE)
    tools = (ToolSpec("verdict", "", {}),)
    [call] = (await model.complete(asked("verifier", VERIFIER, ChatMessage("user", shown), tools=tools))).calls
    return call.arguments


def test_every_scenario_and_script_is_where_the_tables_say() -> None:
    assert [scenario(name).name for name in SCENARIOS] == list(SCENARIOS)
    for path in SCRIPTS.values():
        assert isinstance(load(path), Script)


def test_an_unknown_scenario_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'gobag'; did you mean gobang\?"):
        scenario("gobag")


@pytest.mark.parametrize("role", [*TEAM, EVALUATOR], ids=lambda role: role.name)
def test_every_role_stands_alone(role: Role) -> None:
    assert missing_from(role.prompt, role.name, (), {"boss", *NAMES}.__contains__) == []
    assert SCRIPT.part_of(role.name) is not SCRIPT.default


@pytest.mark.parametrize("name", ["board.py", "main.py"])
def test_edits_lead_from_the_early_version_to_the_delivered_one(name: str) -> None:
    content = text(f"early/{name}")
    for old, new in changes(name):
        assert content.count(old) == 1
        content = content.replace(old, new)
    assert content == text(name)


async def test_two_agents_write_on_the_revision_that_they_have_read_and_only_when_both_have() -> None:
    model = SimulatedModel(SCRIPT, latency=AT_ONCE)
    words = '<mail id="m#1" from="{}" kind="talk">\n{}\n</mail>'
    messages = [ChatMessage("user", words.format("writer", "README.md and settings.py are begun"))]
    results = {
        "settings.py": "settings.py at revision aaaaaaaaaaaa:\n...",
        "README.md": "README.md at revision bbbbbbbbbbbb:\n...",
    }
    bases: list[str] = []
    for _ in range(12):
        answer = await model.complete(asked("interface", "boss/interface", *messages))
        messages.append(ChatMessage("assistant", "", answer.calls))
        for call in answer.calls:
            path = next((path for path in results if path in call.arguments), "")
            text = results[path] if call.name == "read_file" else "done"
            messages.append(ChatMessage("tool", text, call_id=call.id))
        written = [call.arguments for call in answer.calls if call.name == "write_file"]
        if any("settings.py" in arguments for arguments in written):
            bases = written
            break
        if answer.calls[0].name == "wait":
            messages.append(ChatMessage("user", words.format("search", "I have read settings.py at aaaaaaaaaaaa")))
    assert ['"base": "aaaaaaaaaaaa"' in bases[0], '"base": "bbbbbbbbbbbb"' in bases[1]] == [True, True]
    said = [call for message in messages for call in message.calls if call.name in ("talk", "wait", "write_file")]
    assert _order(said) == ["talk", "wait", "write_file"]


def _order(calls: list[ToolCall]) -> list[str]:
    """What was done about search from the word that the files are read on, without repetitions."""
    begun = next(n for n, call in enumerate(calls) if "I have read settings.py" in call.arguments)
    return list(dict.fromkeys(call.name for call in calls[begun:]))


def test_a_revision_is_found_in_a_read_and_in_a_conflict() -> None:
    assert revision_in("settings.py at revision 0123456789ab:\n") == "0123456789ab"
    assert (
        revision_in("Write it again, keeping what both meant, with base ba9876543210.\n--- the file") == "ba9876543210"
    )
    assert revision_in("no such file") == ""


async def test_the_judge_names_the_checks_that_fail_and_confirms_when_none_does() -> None:
    files = "The files:\nREADME.md  9 bytes\nmain.py  9 bytes"
    gaps = await verdict_on(f"Executed checks:\n[passed] starts: ok\n[failed] names a draw: crashed\n\n{files}")
    assert '"confirmed": false' in gaps
    assert "1 of its checks fail (names a draw)" in gaps
    assert '"confirmed": true' in await verdict_on(f"Executed checks:\n[passed] starts: ok\n\n{files}")
    assert "README.md is missing" in await verdict_on("Executed checks:\n\nThe files:\nmain.py  9 bytes")
