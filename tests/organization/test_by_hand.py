"""A person changes files while agents work: both sides' lines stay, and who wrote which is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from megaagent import events as ev
from megaagent.control import Control, Request
from megaagent.errors import RunError
from megaagent.events import PERSON
from megaagent.models.script import Part, Playing, Script, ask_user, read_file, write_file
from megaagent.organization.by_hand import FileConflict
from megaagent.organization.state import State
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse
from megaagent.workspace import Workspace

LINES = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"


def boss(me: Part) -> Playing:
    read = yield read_file("part.txt")
    yield ask_user("May I go on?")
    [base] = re.findall(r"at revision (\w+)", read.results[-1].text)
    yield write_file("part.txt", LINES.replace("seven", "SEVEN"), base)
    return "done"


def story(person: Callable[[Control, State], Any], at_end: Callable[[Workspace], None] | None = None) -> Rehearsal:
    settings = changed(Settings(), {"attended": True}, "the test")
    script = Script({"boss": boss})
    return rehearse(script, settings=settings, files={"part.txt": LINES}, meanwhile=person, at_end=at_end)


async def until_read(state: State) -> None:
    """Wait until the boss has read the file and asks."""
    while not state.run.questions:
        await asyncio.sleep(1)  # virtual


def test_lines_of_both_stay() -> None:
    blamed: dict[str, str | None] = {}

    async def person(control: Control, state: State) -> None:
        await until_read(state)
        text = await control.write("part.txt", LINES.replace("one", "ONE"), state.run.head)
        assert text.startswith("wrote part.txt (34 bytes), revision ")
        await control.answer("", "yes")

    def look(workspace: Workspace) -> None:
        blamed.update({line.text: line.agent for line in workspace.blame("part.txt")})

    told = story(person, look)
    assert told.files["part.txt"] == LINES.replace("one", "ONE").replace("seven", "SEVEN")
    assert blamed["ONE"] == PERSON and blamed["SEVEN"] == "boss"
    first, second = [record for record in told.records if isinstance(record.event, ev.FileCommitted)]
    assert first.agent == PERSON and first.step == 0 and second.agent == "boss"
    assert isinstance(second.event, ev.FileCommitted) and second.event.merged
    spoke = [fact for fact in told.facts(ev.HumanSpoke) if fact.action == "write"]
    assert [fact.text for fact in spoke] == ["part.txt"]


def test_an_agent_that_meets_the_persons_line_is_told_of_both_texts() -> None:
    async def person(control: Control, state: State) -> None:
        await until_read(state)
        await control.write("part.txt", LINES.replace("seven", "sieben"), state.run.head)
        await control.answer("", "yes")

    told = story(person)
    assert told.files["part.txt"] == LINES.replace("seven", "sieben")  # the boss did not try again
    [refused] = [answer for answer in told.answers_to("write_file") if answer.startswith("Error")]
    assert "was changed by others" in refused and "sieben" in refused and "SEVEN" in refused


def test_a_person_meets_others_lines_and_settles_them() -> None:
    async def person(control: Control, state: State) -> None:
        await until_read(state)
        base = state.run.head
        await control.write("part.txt", LINES.replace("two", "ZWEI"), base)
        with pytest.raises(FileConflict, match="was changed meanwhile") as met:
            await control.write("part.txt", LINES.replace("two", "deux"), base)
        assert "<<<<<<<" in met.value.marked and "ZWEI" in met.value.marked and "deux" in met.value.marked
        answer = await control.do(Request("write", "part.txt", LINES.replace("two", "deux"), base=base))
        assert not answer.ok and answer.revision == met.value.revision and answer.marked == met.value.marked
        settled = await control.do(
            Request("write", "part.txt", LINES.replace("two", "ZWEI, deux"), base=answer.revision)
        )
        assert settled.ok
        merged = await control.write("part.txt", LINES.replace("four", "vier"), base)
        assert merged.endswith("merged with what others had changed meanwhile")
        await control.answer("", "yes")

    told = story(person)
    assert told.files["part.txt"] == "one\nZWEI, deux\nthree\nvier\nfive\nsix\nSEVEN\n"
    assert not told.facts(ev.ConflictMet)  # nothing had happened


def test_a_file_is_added_and_removed() -> None:
    async def person(control: Control, state: State) -> None:
        await until_read(state)
        await control.write("new/file.txt", "new\n")
        with pytest.raises(RunError, match="has this content already"):
            await control.write("new/file.txt", "new\n")
        assert (await control.write("new/file.txt", None)).startswith("removed new/file.txt, revision ")
        with pytest.raises(RunError, match=r"no file new/file\.txt"):
            await control.write("new/file.txt", None)
        await control.answer("", "yes")

    told = story(person)
    assert set(told.files) == {"part.txt"}
    assert [fact.action for fact in told.facts(ev.HumanSpoke)][:2] == ["write", "remove"]


@pytest.mark.parametrize(
    ("path", "base", "words"),
    [
        ("../x", None, "x"),
        ("/etc/passwd", None, "passwd"),
        (".git/config", None, "git"),
        ("", None, "empty"),
        ("part.txt", "abcdef1234567", "no revision"),
        ("part.txt", None, "was changed meanwhile"),  # it was there, and the person says that it was not
    ],
)
def test_what_cannot_be_is_refused(path: str, base: str | None, words: str) -> None:
    async def person(control: Control, state: State) -> None:
        await until_read(state)
        with pytest.raises(RunError, match=words):
            await control.write(path, "x", base)
        with pytest.raises(RunError, match="too many for one file"):
            await control.write("large.txt", "x" * 3_000_000)
        await control.answer("", "yes")

    told = story(person)
    assert [record.agent for record in told.records if isinstance(record.event, ev.FileCommitted)] == ["boss"]
