"""The commands that look at a run, in terminals of three widths, in pipes, and live."""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests.cli.test_run import GOAL, harmless, names
from tests.cli.theatre import Opening, Silent, open_terminal, piped, plain, put_down
from tests.dashboard.made import embellish, made_run

from megaagent.cli.crowd import MARKED
from megaagent.cli.exits import CONFIGURATION
from megaagent.models.server import SimServer
from megaagent.readings.overview import STANDS

CROWD = 590


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of 590 agents that nobody is at work on."""
    folder = tmp_path_factory.mktemp("crowd")
    runs = folder / "megaagent-runs"
    runs.mkdir()

    async def make() -> None:
        made = await made_run(runs, CROWD, 3_000)
        await embellish(made)

    asyncio.run(make())
    return folder


LOOKS = (
    ("ps",), ("top",), ("top", "--sort", "state", "--agent", "a1"), ("tree",), ("why", "a40"), ("files",),
    ("blame", "docs/report.md"), ("cost",), ("cost", "--by", "tool"), ("cost", "--by", "subtree"),
    ("show", "--limit", "40"),
)  # fmt: skip


def test_every_stand_has_its_mark_in_the_tree() -> None:
    assert set(MARKED) == set(STANDS)


@pytest.mark.parametrize("columns", [60, 100, 200])
async def test_every_look_fits_the_terminal(crowd: Path, columns: int) -> None:
    async def look(command: tuple[str, ...]) -> None:
        shown = await open_terminal(crowd, *command, columns=columns)
        try:
            assert await shown.end() == 0, shown.text
        finally:
            await put_down(shown.process)
        lines = plain(shown.text).splitlines()
        assert len(lines) > 1, command
        assert max(map(cell_len, lines)) <= columns, command
        assert harmless(plain(shown.text)), command

    for first in range(0, len(LOOKS), 3):
        await asyncio.gather(*map(look, LOOKS[first : first + 3]))


async def test_a_crowd_is_listed_whole_in_a_pipe(crowd: Path) -> None:
    top, tree = await asyncio.gather(piped(crowd, "top", "--json"), piped(crowd, "tree", "--json"))
    ranked, listed = json.loads(top.out)["agents"], json.loads(tree.out)
    assert len(ranked) == len(listed["agents"]) == CROWD
    assert [row["cost"] for row in ranked] == sorted((row["cost"] for row in ranked), reverse=True)
    assert ranked[0]["cost"] > 0 and listed["status"] == "cut off"
    assert {row["id"]: row["cost"] for row in ranked} == {row["id"]: row["cost"] for row in listed["agents"]}


async def test_top_is_renewed_in_place_and_obeys_keys(terminal: Opening, tmp_path: Path) -> None:
    silent = Silent()
    async with SimServer({"small": silent}) as server:
        run = await terminal(tmp_path, "run", GOAL, *names(server), "--quiet")
        await silent.asked.wait()
        top = await terminal(tmp_path, "top", "--every", "0.1", columns=60, rows=12)
        await top.until(lambda text: "1 calling" in text and "by spend" in text)
        os.write(top.descriptor, b"r")
        await top.until(lambda text: "by rate" in text)
        silent.may_speak.set()
        await top.until(lambda text: "completed" in text)  # it stays, and shows the end
        os.write(top.descriptor, b"q")
        assert await top.end() == 0
        assert await run.end() == 0
    frames = [frame for frame in top.frames() if frame]
    assert len(frames) >= 3
    assert all(len(frame) <= 12 and max(map(cell_len, frame)) <= 60 for frame in frames)
    drawn = top.text.partition("\x1b[?1049h")[2].partition("\x1b[?1049l")[0]
    assert "\x1b[2J" not in drawn.partition("\x1b[H")[2], "the picture is never wiped between two"
    assert (
        top.text.endswith("\x1b[?1049l\x1b[?25h") or "\x1b[?25h" in top.text.rpartition("\x1b[?1049l")[2] + "\x1b[?25h"
    )


async def test_logs_follow_a_run_to_its_end(terminal: Opening, tmp_path: Path) -> None:
    silent = Silent()
    async with SimServer({"small": silent}) as server:
        run = await terminal(tmp_path, "run", GOAL, *names(server), "--quiet")
        await silent.asked.wait()
        following = [await terminal(tmp_path, *command) for command in (("logs", "-f", "boss"), ("show", "-f"))]
        await following[0].until(lambda text: "You" in text or "boss" in text)
        silent.may_speak.set()
        assert [await each.end() for each in (run, *following)] == [0, 0, 0]
    assert "The program is main.py." in following[0].text
    assert "the run ended, completed" in plain(following[1].text)


async def test_why_names_who_must_act_and_what_can_be_done(crowd: Path, terminal: Opening, tmp_path: Path) -> None:
    nobody = await piped(crowd, "why", "nobody-of-that-name")
    assert nobody.code == CONFIGURATION and "no agent 'nobody-of-that-name'" in nobody.err
    silent = Silent()
    async with SimServer({"small": silent}) as server:
        run = await terminal(tmp_path, "run", GOAL, *names(server), "--quiet")
        await silent.asked.wait()
        told = json.loads((await piped(tmp_path, "why", "boss", "--json")).out)
        assert (told["live"], told["chain"][0]["how"], told["must_act"]) == (True, "calling", "boss")
        assert "megaagent logs -f boss" in told["advice"][0]
        assert (await piped(tmp_path, "pause")).code == 0
        silent.may_speak.set()
        async with asyncio.timeout(30):
            while json.loads((await piped(tmp_path, "why", "boss", "--json")).out)["chain"][0]["how"] == "calling":
                await asyncio.sleep(0)
        paused = (await piped(tmp_path, "why", "boss")).out
        assert "the run is paused" in paused and "megaagent unpause" in paused
        assert (await piped(tmp_path, "unpause")).code == 0
        assert await run.end() == 0
    over = (await piped(tmp_path, "why", "helper")).out
    assert "the run has ended: completed" in over and "nothing: the run is completed" in over


async def test_files_blame_and_cost_agree_with_the_run(finished: Path) -> None:
    files, blame, cost = await asyncio.gather(
        piped(finished, "files", "--json"),
        piped(finished, "blame", "notes.txt", "--json"),
        piped(finished, "cost", "--json"),
    )
    rows = {row["path"]: row for row in json.loads(files.out)["files"]}
    assert rows["main.py"]["agents"] == {"boss": 1} and rows["notes.txt"]["last"] == "boss/helper"
    assert {line["agent"] for line in json.loads(blame.out)["lines"]} == {"boss/helper"}
    told = json.loads(cost.out)
    assert told["total"]["cost"] > 0
    assert sum(row["cost"] for row in told["rows"]) == pytest.approx(told["total"]["cost"], abs=1e-4)
    assert harmless((await piped(finished, "blame", "notes.txt")).out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cost", "--by", "mood"), "--by mood: say one of stage, role, model, tool, subtree"),
        (("cost", "--agent", "eve", "--by", "subtree"), "no agent 'eve'"),
        (("top", "--sort", "mood"), "--sort mood: say one of spend"),
        (("export", "--whole", "--events"), "--events and --redact exclude it"),
        (("export", "--redact", "a"), "too short"),
        (("completion", "tcsh"), "there is no completion for 'tcsh'"),
        (("ps", "--token", "x"), "--token is for a dashboard"),
        (("ps", "--host", "http://127.0.0.1:9"), "--host needs the dashboard's token"),
        (("tree", "--host", "ftp://127.0.0.1", "--token", "x"), "no address of a dashboard"),
        (("tree", "--host", "http://127.0.0.1:9", "--token", "x", "--runs", "."), "--runs is a folder here"),
        (("export", "--host", "http://127.0.0.1:9", "--token", "x"), "add --events"),
    ],
)
async def test_what_cannot_be_looked_at(finished: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = await piped(finished, *arguments)
    assert (ended.code, ended.out) == (CONFIGURATION, ""), ended
    assert said in ended.err and ended.err.count("\n") == 1


# -- export -----------------------------------------------------------------------------------------------------------


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        found = {member.name.partition("/")[2]: opened.extractfile(member) for member in opened if member.isfile()}
        return {name: file.read() for name, file in found.items() if file is not None}


async def test_an_export_holds_the_run_without_what_is_to_be_taken_out(finished: Path) -> None:
    key = "sk-live-0123456789abcdef"
    ended = await piped(
        finished, "export", "--redact", "greets", "--output", "run.tar.gz", environ={"OPENAI_API_KEY": key}
    )
    assert ended.code == 0, ended.err
    found = members(finished / "run.tar.gz")
    assert set(found) >= {"events.jsonl", "files/main.py", "files/notes.txt", "report.md"}
    assert not any(b"greets" in data or key.encode() in data for data in found.values())
    assert b"[redacted]" in found["events.jsonl"] and b"[redacted]" in found["report.md"]
    facts = [json.loads(line) for line in found["events.jsonl"].splitlines()]
    assert [fact["position"] for fact in facts] == list(range(1, len(facts) + 1))
    again = await piped(finished, "export", "--output", "run.tar.gz")
    assert again.code == CONFIGURATION and "it exists" in again.err


async def test_facts_are_exported_whole_and_a_whole_run_goes_on_elsewhere(finished: Path) -> None:
    facts = await piped(finished, "export", "--events")
    shown = await piped(finished, "show", "--json")
    assert len(facts.out.splitlines()) == len(shown.out.splitlines()) > 20
    assert (await piped(finished, "export", "--whole", "--output", "whole.tar.gz")).code == 0
    elsewhere = finished / "elsewhere"
    with tarfile.open(finished / "whole.tar.gz") as archive:
        archive.extractall(elsewhere, filter="data")
    proven = await piped(finished, "replay", "--runs", "elsewhere")
    assert proven.code == 0 and "proven" in proven.out
