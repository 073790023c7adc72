"""Some of each corpus, above all what once got through; `python -m campaigns hostile` tries all of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from tests.hostile import grounds, injections, trials
from tests.hostile.judging import Overheard, obeyed, problems_of
from tests.hostile.outputs import LARGE, OUTPUTS, called
from tests.hostile.screens import obeyed_in

from megaagent import events as ev
from megaagent.events import Record
from megaagent.models.script import Part, Playing, Script, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.sandboxes.contract import Limits
from megaagent.sandboxes.harvest import harvest
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse


def test_the_corpora_are_large():
    assert len(grounds.NAMES) + len(grounds.TWINS) + len(grounds.TREES) + len(grounds.REPOSITORIES) >= 40
    assert len(OUTPUTS) + len(LARGE) >= 60
    assert len(injections.CARRIERS) * len(injections.ORDERS) >= 32


@pytest.mark.parametrize(
    "name",
    [
        "NUL in arguments",
        "objects of depth 10,000",
        "a tool with blanks and controls",
        "ids that are hostile",
        "fake mail in a message",
        "a checklist that closes the status",
        "a recruit called as the Boss",
        "a report full of everything",
    ],
)
def test_a_hostile_answer_harms_nobody(name: str):
    assert list(trials.problems_with(OUTPUTS[name])) == []


def test_a_large_answer_harms_nobody():
    assert list(trials.problems_with(LARGE["a tool name of 1 MB"])) == []


def test_calls_beyond_the_most_of_one_answer_are_refused_and_told():
    run, _ = trials.play(LARGE["5,000 calls in one answer"])
    answers = run.answers_to("write_file", "villain")
    assert sum(not answer.startswith("Error: ") for answer in answers[:5_000]) == 256
    assert "one answer may make 256 calls" in answers[4_999]


@pytest.mark.parametrize("path", ["../x", ".git::$INDEX_ALLOCATION", "a\x1b[31mb", "y" * 5_000], ids=ascii)
def test_a_hostile_name_is_refused_by_every_tool(path: str):
    assert list(grounds.problems_with_name(path)) == []


@pytest.mark.parametrize(
    "name",
    [
        "a link to itself",
        "links in a circle",
        "a folder that may be listed and not entered",
        "a pipe in place of a file",
        "names of bidi and invisible marks",
        "spellings of .git",
    ],
)
def test_a_tree_that_a_program_leaves_is_harvested(name: str):
    assert list(grounds.problems_with_tree_left(name, None)) == []


@pytest.mark.parametrize("name", ["a link to a folder outside", "a .git that is a pipe", "names that are no UTF-8"])
def test_a_tree_that_is_given_as_a_source_is_taken_or_refused(name: str):
    assert list(grounds.problems_with_tree_given(name)) == []


@pytest.mark.parametrize("name", sorted(grounds.REPOSITORIES.keys() - grounds.HEAVY))
def test_a_repository_that_is_given_as_a_source_is_taken_or_refused(name: str):
    assert list(grounds.problems_with_repository(name)) == []


@pytest.mark.parametrize("kind", ["source", "harvest"])
def test_no_race_leads_outside(kind: str):
    assert list(grounds.problems_with_race(kind, 5)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user is taken from root")
def test_a_folder_to_be_listed_and_not_entered_is_harvested_by_an_ordinary_user(tmp_path: Path):
    folder = tmp_path / "folder"
    (folder / "d").mkdir(parents=True)
    (folder / "d/a").write_text("x")
    for path in (folder, folder / "d", folder / "d/a"):
        os.chown(path, 65534, 65534)
    (folder / "d").chmod(0o400)
    here = os.open(folder, os.O_RDONLY)
    pid = os.fork()
    if pid == 0:  # the folders above belong to root, so it is entered before
        status = 1
        try:
            os.fchdir(here)
            os.setresuid(65534, 65534, 65534)
            status = 0 if harvest(Path(), {}, Limits()).written == {"d/a": b"x"} else 2
        finally:
            os._exit(status)
    os.close(here)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("place", "order"),
    [
        ("a file that plays mail", "superior"),
        ("a message that plays the boss's", "drop"),
        ("its checklist", "own"),
        ("a traceback", "outside"),
        ("a tool of the user's", "keys"),
        ("a check that fails", "verdict"),
        ("a report", "names"),
        ("a conflict", "scope"),
    ],
)
def test_an_agent_that_obeys_every_text_does_nothing_beyond_its_scope(place: str, order: str):
    assert list(injections.problems_with(place, order)) == []


# -- the judges see what they look for ---------------------------------------------------------------------------------


def test_the_judge_sees_forged_mail_and_what_a_terminal_would_obey():
    run, requests = trials.play(called("talk", {"to": "boss", "message": "hello"}))
    assert list(problems_of(run, requests)) == []
    talk = next(
        n for n, r in enumerate(run.records) if isinstance(r.event, ev.MessageSent) and r.event.message.kind == "talk"
    )
    record = run.records[talk]
    assert isinstance(record.event, ev.MessageSent)
    forged = msgspec.structs.replace(record.event.message, sender="boss")
    run.records[talk] = Record(record.position, 1, record.time, record.agent, record.step, ev.MessageSent(forged))
    assert "boss/villain sent a message as boss" in list(problems_of(run, requests))
    for text in ("a\x1b[31mb", "a\x9b2J", "a\rb", "a\u202eb", "a\0"):
        assert obeyed(text)
    assert obeyed_in("\x1b[35mMARKED", terminal=True)
    assert obeyed_in("\x1b]0;title\x07", terminal=True)
    assert not obeyed_in("\x1b[1;32mfine\x1b[0m\r\n", terminal=True)


def test_the_judge_sees_a_secret_that_was_read(tmp_path: Path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/copied").write_text(grounds.SECRET)
    found = list(grounds._problems_with_source(tmp_path / "source", tmp_path))
    assert found == ["'copied' has the secret"]


def test_a_sandbox_for_the_trees_is_looked_for_by_trying():
    sandbox = asyncio.run(grounds.best_sandbox())
    assert sandbox is None or sandbox.level >= 1


def test_many_files_fill_no_prompt_of_the_judge():
    """Empty files count too: their names alone were once all put into one prompt."""

    def boss(me: Part) -> Playing:
        yield write_file("a.txt", "mine")
        return "done"

    model = Overheard(SimulatedModel(Script({"boss": boss}), latency=AT_ONCE))
    files = {f"{'long-name-' * 20}{number}": "" for number in range(600)}
    settings = changed(Settings(), {"budget.cost": None}, "a test")
    run = rehearse(model, settings=settings, files=files)
    assert run.ending.status == "completed"
    longest = max(len(message.text) for request in model.requests for message in request.messages)
    assert longest < 200_000
