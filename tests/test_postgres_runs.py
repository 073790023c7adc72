"""Whole runs whose journal is in PostgreSQL: begun, forked there and back, repaired, exported, refused, moved."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.test_fork import SAME, fingerprint, forked, records_of
from tests.test_launch import models

from megaagent import ConfigurationError, Result, RunError, Settings, replay, resume, start
from megaagent import events as ev
from megaagent.events import Record
from megaagent.folder import RunFolder, find_run
from megaagent.repair import check, repair
from megaagent.settings import changed

if TYPE_CHECKING:
    from campaigns.postgres_server import PostgresServer


async def played(runs: Path, address: str) -> Result:
    settings = changed(Settings(), {"journal": address}, "test")
    async with start("Two small files.", model="sim:test", models=models(SAME), settings=settings, runs=runs) as live:
        return await live.result()


def megaagent(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of ours."""
    command = [sys.executable, "-c", "from megaagent.cli import main; main()", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def damage(server: PostgresServer, folder: RunFolder, kind: str) -> None:
    """Change the second row of a kind, as a failing disk might."""
    with closing(server.connect()) as connection:
        query = """UPDATE megaagent.record SET body = '\\x00ff' FROM megaagent.run
            WHERE run.id = record.run AND run.name = %s AND record.position = (
                SELECT position FROM megaagent.record AS other
                WHERE other.run = run.id AND other.kind = %s ORDER BY position LIMIT 1 OFFSET 1
            )"""
        assert connection.execute(query.encode(), (folder.id, kind)).rowcount == 1


def journals(server: PostgresServer) -> set[str]:
    with closing(server.connect()) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM megaagent.run")}


async def test_a_run_its_forks_there_and_back_and_its_export(tmp_path: Path, postgres: PostgresServer):
    parent = await played(tmp_path, postgres.address)
    assert parent.completed
    assert not (parent.folder / "journal.db").exists()
    assert find_run(tmp_path, None).journal.name == "journal.toml"
    before, past = fingerprint(parent.folder), records_of(parent.folder)
    assert replay(RunFolder(parent.folder)).problems == ()
    middle = len(past) // 2
    beside = await forked(parent.folder, middle, models(SAME))
    assert (beside.folder / "journal.toml").exists()
    home = await forked(parent.folder, middle, models(SAME), changes={"journal": "folder"})
    assert (home.folder / "journal.db").exists()
    again = await forked(home.folder, middle, models(SAME), changes={"journal": postgres.address})
    assert (again.folder / "journal.toml").exists()
    for child in (beside, home, again):
        assert child.completed
        facts = records_of(child.folder)
        assert facts[:middle] == past[:middle]
        assert replay(RunFolder(child.folder)).problems == ()
        assert check(RunFolder(child.folder)).problems == ()
    assert fingerprint(parent.folder) == before
    assert megaagent("export", str(parent.folder), "--whole", "-o", str(tmp_path / "whole.tgz")).returncode == 0
    with tarfile.open(tmp_path / "whole.tgz") as archive:
        archive.extractall(tmp_path / "elsewhere", filter="data")
    assert records_of(tmp_path / "elsewhere" / parent.run) == past
    assert replay(RunFolder(tmp_path / "elsewhere" / parent.run)).problems == ()


async def test_a_fork_that_cannot_begin_leaves_nothing_in_the_database(tmp_path: Path, postgres: PostgresServer):
    parent = await played(tmp_path, postgres.address)
    before = journals(postgres)
    with pytest.raises(ConfigurationError, match="are used already"):
        await forked(parent.folder, len(records_of(parent.folder)) - 1, models(SAME), changes={"budget.tokens": 5})
    with pytest.raises(RunError, match="there is no fact"):
        await forked(parent.folder, 100_000, models(SAME))
    assert journals(postgres) == before
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [parent.run]


async def test_a_damaged_run_is_saved_beside_it_and_goes_on(tmp_path: Path, postgres: PostgresServer):
    whole = await played(tmp_path, postgres.address)
    folder = RunFolder(whole.folder)
    with pytest.raises(RunError, match="nothing is wrong"):
        await repair(folder)
    past = records_of(whole.folder)
    damage(postgres, folder, "ModelAnswered")
    assert "row" in check(folder).problems[0]
    saved = await repair(folder)
    assert saved.rows + saved.lost == len(past)
    assert saved.folder.journal.name == "journal.toml"
    async with resume(saved.folder, models=models(SAME)) as live:
        result = await live.result()
    assert result.completed
    assert records_of(result.folder)[: saved.rows] == past[: saved.rows]
    assert replay(RunFolder(result.folder)).problems == ()


async def test_a_run_that_another_head_is_running_is_refused(tmp_path: Path, postgres: PostgresServer):
    settings = changed(Settings(), {"journal": postgres.address}, "test")
    async with start("Two.", model="sim:test", models=models(SAME), settings=settings, runs=tmp_path) as live:
        there = tmp_path / "another-machine" / live.folder.id  # which shares the folder, and no locks
        there.parent.mkdir()
        there.symlink_to(live.folder.path)
        copy = tmp_path / "a-copy" / live.folder.id
        copy.mkdir(parents=True)
        (copy / "journal.toml").write_bytes(live.folder.journal.read_bytes())
        for folder, words in ((there, "is its engine"), (copy, "its lease ends in")):
            with pytest.raises(RunError, match=words):
                async with resume(RunFolder(folder), models=models(SAME)):
                    pass
            with pytest.raises(RunError, match=words):
                (folder / "workspace.git").mkdir(exist_ok=True)
                (folder / "workspace.git" / "HEAD").touch()
                await repair(RunFolder(folder))
        assert (await live.result()).completed


async def test_resuming_does_not_move_facts(tmp_path: Path, postgres: PostgresServer):
    run = await played(tmp_path, postgres.address)
    with pytest.raises(ConfigurationError, match=r"in PostgreSQL.*megaagent fork makes a run"):
        async with resume(RunFolder(run.folder), changes={"journal": "folder"}, models=models(SAME)):
            pass
    with pytest.raises(RunError, match="cannot be opened"):
        async with resume(
            RunFolder(run.folder), changes={"journal": "postgres://u@127.0.0.1:1/x"}, models=models(SAME)
        ):
            pass
    assert replay(RunFolder(run.folder)).problems == ()  # it is still found where it is


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("postgres://u:secret-77@h/x", 2, "has a password in it (postgres://u:…@h/x)"),
        ("postgres://u@127.0.0.1:1/x", 8, "look whether the server is up"),
        ("redis://h", 2, "redis://… is no place for a journal"),
    ],
)
def test_the_command_line_says_what_is_wrong_and_leaves_nothing(tmp_path: Path, address: str, code: int, words: str):
    runs = tmp_path / "runs"
    told = megaagent("run", "--scenario", "gobang", "--journal", address, "--runs", str(runs), "--quiet")
    assert told.returncode == code
    assert words in told.stderr
    assert told.stderr.count("\n") == 1
    assert "secret-77" not in told.stderr
    assert not runs.exists()


async def test_what_the_journal_and_the_folder_hold_knows_no_password(tmp_path: Path, postgres: PostgresServer):
    run = await played(tmp_path, postgres.address)
    password = postgres.environment["PGPASSWORD"]
    began = records_of(run.folder)[0].event
    assert isinstance(began, ev.RunStarted)
    assert postgres.address in began.settings
    assert password not in began.settings
    for path in Path(run.folder).rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes()


async def test_a_line_that_is_cut_at_the_very_end_leaves_the_end_the_last_fact(
    tmp_path: Path, postgres: PostgresServer
):
    from campaigns.postgres_proxy import Proxy

    proxy = Proxy(postgres.port)
    told: list[str | None] = []

    def cut_the_end(records: Sequence[Record]) -> None:
        if isinstance(records[-1].event, ev.StateDigested):
            proxy.cut_next("before", "before")

    settings = changed(Settings(), {"journal": postgres.address.replace(str(postgres.port), str(proxy.port))}, "test")
    try:
        async with start("Two.", model="sim:test", models=models(SAME), settings=settings, runs=tmp_path) as live:
            live.watch(cut_the_end)
            live.watch_disk(told.append)
            result = await live.result()
        assert result.completed
        assert told == ["the journal's database cannot be reached", None]
        records = records_of(result.folder)
        assert isinstance(records[-1].event, ev.RunEnded)
        assert sum(isinstance(record.event, ev.RunEnded) for record in records) == 1
        assert replay(RunFolder(result.folder)).problems == ()
    finally:
        proxy.close()


def test_a_database_that_comes_back_empty_ends_the_run_with_one_error(tmp_path: Path, postgres: PostgresServer):
    other = "vanishing"
    address = postgres.address.rpartition("/")[0] + f"/{other}"
    words = ["run", "--scenario", "gobang", "--speed", "1", "--json", "--journal", address, "--runs", str(tmp_path)]
    with closing(postgres.connect("postgres")) as connection:
        connection.execute(f"CREATE DATABASE {other}".encode())
        command = [sys.executable, "-c", "from megaagent.cli import main; main()", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                while (line := process.stdout.readline()) and "ModelAnswered" not in line:
                    pass
                assert line, "the run ended too early"
                connection.execute(f"DROP DATABASE {other} WITH (FORCE)".encode())
                connection.execute(f"CREATE DATABASE {other}".encode())
                _, told = process.communicate(timeout=60)
            finally:
                process.kill()
        connection.execute(f"DROP DATABASE {other} WITH (FORCE)".encode())
    assert process.returncode == 8
    assert [line for line in told.splitlines() if line.startswith("megaagent: error: ")] == [told.splitlines()[-1]]
    assert "its tables are damaged" in told.splitlines()[-1]
    assert "Traceback" not in told and "never retrieved" not in told and "ignored" not in told, told
