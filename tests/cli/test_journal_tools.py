"""fork, check-journal, repair, and what resume refuses: one clear line, the right exit code, nothing changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.theatre import Ended, piped

from megaagent.cli.exits import BUG, CONFIGURATION, RUN_FOLDER
from megaagent.journal.lock import WriterLock


def only_run(folder: Path) -> Path:
    [run] = [path for path in (folder / "megaagent-runs").iterdir() if path.is_dir()]
    return run


def damage(journal: Path, change: str) -> None:
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute(change)


def fingerprint(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


async def test_a_run_is_forked_and_its_parent_stays(finished: Path, served: tuple[str, ...]):
    parent = only_run(finished)
    before = fingerprint(parent)
    ended = await piped(finished, "fork", parent.name, "--at", "12", *served, "--say", "Be brief.", "--plain")
    assert ended.code == 0, ended.err
    assert "forked from fact 1" in ended.out
    assert "Be brief." in ended.out
    assert fingerprint(parent) == before
    [child] = [p for p in (finished / "megaagent-runs").iterdir() if p.is_dir() and p != parent]
    replayed = await piped(finished, "replay", child.name)
    assert replayed.code == 0, replayed.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--at", "99999"), RUN_FOLDER, "there is no fact 99999"),
        (("--at", "2"), RUN_FOLDER, "nothing can go on from fact 2: a run begins with 4 facts"),
        (("--at", "many"), CONFIGURATION, "Invalid value for '--at'"),
        ((), CONFIGURATION, "Missing option '--at'"),
        (("--at", "9", "--say", " "), CONFIGURATION, "what is to be said to the boss is empty"),
        (("--at", "9", "--prompts", "nowhere"), CONFIGURATION, "is not a folder of prompts"),
        (("--at", "9", "--model", "opnai:m"), CONFIGURATION, "did you mean openai"),
        (("--at", "9", "--set", "limits.agent=3"), CONFIGURATION, "unknown field limits.agent"),
        (("--at", "9", "--max-cost", "0"), CONFIGURATION, "budget.cost must be more than 0"),
        (("--at", "30", "--max-tokens", "1"), CONFIGURATION, "budget.tokens cannot be 1"),
        (("--at", "30", "--set", "limits.agents=1"), CONFIGURATION, "limits.agents cannot be 1"),
    ],
)
async def test_forks_that_cannot_be(finished: Path, arguments: tuple[str, ...], code: int, said: str):
    await told(finished, ("fork", *arguments), code, said)


async def test_the_end_of_a_run_is_nothing_to_fork_from(finished: Path):
    with closing(sqlite3.connect(only_run(finished) / "journal.db")) as database:
        [end] = database.execute("SELECT max(position) FROM record").fetchone()
    await told(finished, ("fork", "--at", str(end)), RUN_FOLDER, "is its end: fork from an earlier one")


async def test_a_journal_that_is_whole_is_said_to_be(finished: Path):
    before = fingerprint(finished)
    ended = await piped(finished, "check-journal")
    assert ended.code == 0
    assert "the journal is whole, to the run's end" in ended.out
    assert "2 writes found" in ended.out
    assert fingerprint(finished) == before
    await told(finished, ("repair",), RUN_FOLDER, "nothing is wrong with run")


async def test_the_first_bad_row_is_named_and_what_stands_before_it_is_saved(finished: Path, served: tuple[str, ...]):
    run = only_run(finished)
    damage(
        run / "journal.db",
        "UPDATE record SET body = CAST(replace(CAST(body AS TEXT), '{', '{ ') AS BLOB) WHERE position IN (20, 25)",
    )
    before = fingerprint(run)
    ended = await piped(finished, "check-journal", run.name)
    assert ended.code == BUG
    assert "PROBLEM: row 20 (" in ended.out and "was changed" in ended.out
    assert "repair" in ended.out
    ended = await piped(finished, "repair", run.name)
    assert ended.code == 0, ended.err
    assert "row 20 (" in ended.out and "lost: " in ended.out
    assert fingerprint(run) == before
    [saved] = [p for p in (finished / "megaagent-runs").iterdir() if p.is_dir() and p != run]
    assert (await piped(finished, "check-journal", saved.name)).code == 0


async def test_the_workspace_is_held_against_the_journal(finished: Path):
    run = only_run(finished)
    shutil.rmtree(run / "workspace.git")
    ended = await piped(finished, "check-journal")
    assert ended.code == BUG
    assert "PROBLEM: the workspace" in ended.out


NEWER = "PRAGMA user_version = 99"
FOREIGN = "PRAGMA application_id = 7"
OPEN = "DELETE FROM record WHERE kind = 'RunEnded'"
ROW = "UPDATE record SET body = x'00' WHERE position = 9"


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "said"),
    [
        ((), (), RUN_FOLDER, "is completed; there is nothing to resume"),
        ((NEWER,), (), RUN_FOLDER, "was written by a newer MegaAgent"),
        ((FOREIGN,), (), RUN_FOLDER, "is not a journal of MegaAgent"),
        ((OPEN, ROW), (), RUN_FOLDER, "row 9 ("),
        ((OPEN, "DELETE FROM record WHERE position = 1"), (), RUN_FOLDER, "does not begin as a run"),
        (
            (OPEN, "DELETE FROM record WHERE kind = 'AgentRecruited'"),
            (),
            RUN_FOLDER,
            "does not follow from those before",
        ),
        ((OPEN,), ("--max-cost", "0"), CONFIGURATION, "budget.cost must be more than 0"),
        ((OPEN,), ("--max-cost", "-3"), CONFIGURATION, "budget.cost must be more than 0"),
        ((OPEN,), ("--max-cost", "nan"), CONFIGURATION, "budget.cost must be more than 0"),
        ((OPEN,), ("--max-cost", "0.0000001"), CONFIGURATION, "budget.cost cannot be 1e-07: $"),
        ((OPEN,), ("--max-tokens", "5"), CONFIGURATION, "budget.tokens cannot be 5:"),
        ((OPEN,), ("--max-time", "0"), CONFIGURATION, "budget.seconds must be more than 0"),
    ],
)
async def test_what_cannot_be_resumed(
    finished: Path, changes: tuple[str, ...], arguments: tuple[str, ...], code: int, said: str
):
    for change in changes:
        damage(only_run(finished) / "journal.db", change)
    await told(finished, ("resume", *arguments), code, said)


async def test_a_file_that_is_no_database_and_one_that_is_cut_are_not_resumed(finished: Path):
    journal = only_run(finished) / "journal.db"
    data = journal.read_bytes()
    for content, said in (
        (b"my diary\n" * 1000, "not a database"),
        (data[: len(data) // 3], "damaged"),
        (b"", "empty"),
    ):
        journal.write_bytes(content)
        ended = await piped(finished, "resume")
        assert (ended.code, ended.err.count("\n")) == (RUN_FOLDER, 1), ended.err
        assert ended.err.startswith("megaagent: error: ") and journal.read_bytes() == content
        assert said in ended.err or "is not a journal" in ended.err


async def test_a_run_that_is_going_on_is_neither_resumed_nor_repaired(finished: Path):
    lock = WriterLock(only_run(finished) / "journal.lock", 0.0)
    try:
        for command in ("resume", "repair"):
            await told(finished, (command,), RUN_FOLDER, "is going on: process")
        assert (await piped(finished, "check-journal")).code == 0
    finally:
        await asyncio.to_thread(lock.release)


async def told(folder: Path, arguments: tuple[str, ...], code: int, said: str) -> Ended:
    """A command that fails with one line, and changes nothing."""
    before = fingerprint(folder)
    ended = await piped(folder, *arguments)
    assert said in ended.err
    assert ended.err.startswith("megaagent: error: ") and ended.err.count("\n") == 1
    assert ended.code == code
    assert fingerprint(folder) == before
    return ended


async def test_advice_for_a_damaged_run_is_one_that_helps(finished: Path):
    run = only_run(finished)
    damage(run / "journal.db", "UPDATE record SET body = X'7b226b' WHERE position = 12")
    for command in (("tree",), ("resume",), ("show",), ("top",)):
        ended = await piped(finished, *command)
        assert ended.code == RUN_FOLDER and "megaagent check-journal" in ended.err, command
    replayed = await piped(finished, "replay")
    assert replayed.code == BUG and "check-journal" in replayed.out
    assert "repair" in (await piped(finished, "check-journal")).out
    saved = await piped(finished, "repair")
    assert saved.code == 0 and saved.out.count("commit") <= 4, saved.out


async def test_without_its_workspace_a_run_is_not_sent_to_repair(finished: Path):
    shutil.rmtree(only_run(finished) / "workspace.git")
    checked = await piped(finished, "check-journal")
    assert checked.code == BUG
    assert "every row is good; the files are gone" in checked.out and "saved in a copy" not in checked.out
    repaired = await piped(finished, "repair")
    assert repaired.code == RUN_FOLDER and "put it back from a copy" in repaired.err
    assert len([path for path in (finished / "megaagent-runs").iterdir() if path.is_dir()]) == 1


async def test_a_fork_is_as_old_as_itself(finished: Path, served: tuple[str, ...]):
    assert (await piped(finished, "fork", "--at", "12", *served, "--quiet")).code == 0
    child, parent = json.loads((await piped(finished, "ps", "--json")).out)["runs"]
    assert child["parent"] == parent["id"] and child["began"] > parent["last"]
