"""What a person does at the page reaches the run as a call of its control, and is a fact of its journal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.dashboard.live import living
from tests.dashboard.visiting import PATIENCE, Visitor

from megaagent import events as ev
from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import serving
from megaagent.journal import open_reader
from megaagent.running import Run


async def asked(visitor: Visitor) -> str:
    """Wait for the boss's question; its id."""
    async with asyncio.timeout(PATIENCE):
        async for _, fact in visitor.news(f"{visitor.api}/facts", 0):
            if fact["event"]["kind"] == "QuestionAsked":
                return str(fact["event"]["id"])
    raise AssertionError("nobody has asked")


def actions(run: Run) -> list[str]:
    reader = open_reader(run.folder.journal)
    events = [record.event for record in reader.records(kinds=[ev.HumanSpoke])]
    reader.close()
    return [event.action for event in events if isinstance(event, ev.HumanSpoke)]


async def test_a_run_is_steered_to_its_end(tmp_path: Path) -> None:
    async with living(tmp_path) as run, serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        question = await asked(visitor)
        [entry] = (await visitor.get("/api/runs"))["runs"]
        assert entry["live"] and entry["status"] == "running" and entry["simulated"]
        assert (await visitor.control(do="send", target="ann", text="make it blue"))[0] == 200
        assert (await visitor.control(do="send", target="nobody", text="hello"))[0] == 409
        assert (await visitor.control(do="pause"))[0] == 200
        assert (await visitor.get(f"{visitor.api}/organization"))["live"]
        assert (await visitor.control(do="pause"))[0] == 409
        assert (await visitor.control(do="budget", cost=7.0))[0] == 200
        assert (await visitor.control(do="unpause"))[0] == 200
        status, words = await visitor.control(do="answer", target=question, text="Blue.")
        assert (status, "answered" in words) == (200, True)
        result = await run.result()
        assert result.status == "completed"
        assert actions(run) == ["send", "pause", "budget", "unpause", "answer"]
        async with asyncio.timeout(PATIENCE):
            async for _, delta in visitor.news(f"{visitor.api}/changes", 0):
                if delta["header"]["status"] == "completed":
                    break
        header = (await visitor.get(f"{visitor.api}/organization"))["header"]
        assert header["max_cost"] == 7.0
        content = await visitor.get(f"{visitor.api}/file", path="colour.txt")
        assert content["lines"][0][0] == "boss" and "Blue." in content["lines"][0][2]


async def test_a_subtree_is_paused_and_stopped(tmp_path: Path) -> None:
    async with living(tmp_path) as run, serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        await asked(visitor)
        assert (await visitor.control(do="pause", target="boss/ann"))[0] == 200
        stands = await _stands(run, visitor)
        assert stands["ann"] == "paused" != stands["ben"]
        assert (await visitor.control(do="unpause", target="boss/ann"))[0] == 200
        assert (await visitor.control(do="stop", target="boss/ben"))[0] == 200
        stands = await _stands(run, visitor)
        assert stands["ben"] == "failed" and stands["ann"] != "paused"
        assert (await visitor.control(do="stop"))[0] == 200
        assert (await run.result()).status == "stopped"


async def test_a_file_is_changed_by_hand(tmp_path: Path) -> None:
    async with living(tmp_path) as run, serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        await asked(visitor)
        file = f"{visitor.api}/file"
        status, words = await visitor.post(file, {"path": "notes/mine.txt", "text": "one\ntwo\n"})
        assert status == 200 and "wrote notes/mine.txt" in words
        seen = await visitor.get(f"{visitor.api}/text", path="notes/mine.txt")
        change = {"path": "notes/mine.txt", "text": "one\nTWO\n", "base": seen["revision"]}
        assert (await visitor.post(file, change))[0] == 200
        status, words = await visitor.post(file, {**change, "text": "one\nzwei\n"})
        told = json.loads(words)
        assert status == 409 and "<<<<<<<" in told["marked"] and "TWO" in told["marked"] and "zwei" in told["marked"]
        settled = {"path": "notes/mine.txt", "text": "one\nTWO zwei\n", "base": told["revision"]}
        assert (await visitor.post(file, settled))[0] == 200
        content = await visitor.get(f"{visitor.api}/file", path="notes/mine.txt")
        assert [(who, text) for who, _, text in content["lines"]] == [("person:", "one"), ("person:", "TWO zwei")]
        gone = {"path": "notes/mine.txt", "text": None, "base": content["revision"]}
        assert (await visitor.post(file, gone))[0] == 200
        for path in ("../journal.db", "/etc/passwd", ".git/config", ""):
            assert (await visitor.post(file, {"path": path, "text": "x"}))[0] == 409
        assert (await visitor.post(file, {"path": "large", "text": "x" * 1_000_000}))[0] == 413
        assert actions(run) == ["write", "write", "write", "remove"]
        await run.control.stop()
        await run.result()


async def test_a_part_is_given_a_purse(tmp_path: Path) -> None:
    async with living(tmp_path) as run, serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        await asked(visitor)
        assert (await visitor.get(f"{visitor.api}/agent", id="boss"))["purse"]["cost"] == 5.0
        assert (await visitor.get(f"{visitor.api}/agent", id="ann"))["purse"]["cost"] == 4.0  # limits.subtree_spend
        status, words = await visitor.control(do="budget", target="ann", cost=50.0)
        assert status == 409 and "to set aside" in words
        assert (await visitor.control(do="budget", cost=60.0, steps=500))[0] == 200
        assert (await visitor.control(do="budget", target="ann", cost=50.0))[0] == 200
        await _stands(run, visitor)
        purse = (await visitor.get(f"{visitor.api}/agent", id="ann"))["purse"]
        assert purse["own"] and purse["cost"] == 50.0
        header = (await visitor.get(f"{visitor.api}/organization"))["header"]
        assert header["max_cost"] == 60.0 and header["max_steps"] == 500
        await run.control.stop()
        await run.result()


async def _stands(run: Run, visitor: Visitor) -> dict[str, str]:
    """How everybody stands as soon as the page has the newest fact."""
    reader = open_reader(run.folder.journal)
    last = reader.last()
    reader.close()
    async with asyncio.timeout(PATIENCE):
        async for position, _ in visitor.news(f"{visitor.api}/changes", 0):
            if position >= last:
                break
    page = await visitor.get(f"{visitor.api}/organization")
    return {row[2]: page["stands"][row[3]] for row in page["rows"]}


async def test_a_fork_begins_from_the_page(tmp_path: Path) -> None:
    async with serving(tmp_path, Place()) as links, Visitor(links, "none") as visitor:
        status, words = await visitor.post("/api/runs", {"scenario": "gobang"})
        assert status == 200, words
        parent = json.loads(words)["run"]
        visitor.api = f"/api/runs/{parent}"
        assert (await visitor.control(do="stop"))[0] == 200
        async with asyncio.timeout(PATIENCE):
            while (await visitor.get("/api/runs"))["runs"][0]["live"]:
                await asyncio.sleep(0.05)
        status, words = await visitor.post(f"{visitor.api}/fork", {"at": 6, "say": "--help; use only ASCII"})
        assert status == 200, words
        fork = json.loads(words)["run"]
        [entry] = [each for each in (await visitor.get("/api/runs"))["runs"] if each["id"] == fork]
        assert entry["parent"] == parent and entry["live"]
        page = await visitor.get(f"/api/runs/{fork}/journal", kinds="HumanSpoke")
        assert "--help; use only ASCII" in [fact["event"].get("text") for fact in page["facts"]]
        visitor.api = f"/api/runs/{fork}"
        assert (await visitor.control(do="stop"))[0] == 200


async def test_what_cannot_begin_is_told(tmp_path: Path) -> None:
    async with living(tmp_path) as run, serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        question = await asked(visitor)
        status, words = await visitor.post(f"{visitor.api}/fork", {"at": 2})
        assert status == 409 and "nothing can go on from fact 2" in words
        status, words = await visitor.post("/api/runs", {"scenario": "nothing of that name"})
        assert status == 409 and "nothing of that name" in words
        assert (await visitor.control(do="answer", target=question, text="Blue."))[0] == 200
        assert (await visitor.post(f"{visitor.api}/resume", {})) == (409, "the run is going on")
        await run.result()
    async with serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        status, words = await visitor.post(f"{visitor.api}/resume", {})
        assert status == 409 and "is completed" in words


async def test_a_server_of_one_run_shows_no_other(run: object, tmp_path: Path) -> None:
    async with (
        living(tmp_path / "runs") as mine,
        serving(tmp_path / "runs", Place(), only=mine.folder.id) as links,
        Visitor(links, mine.folder.id) as visitor,
    ):
        assert [entry["id"] for entry in (await visitor.get("/api/runs"))["runs"]] == [mine.folder.id]
        others = [path.name for path in (tmp_path / "runs").iterdir() if path.is_dir() and path.name != mine.folder.id]
        assert others
        assert await visitor.status(f"/api/runs/{others[0]}/organization") == 404
        assert (await visitor.post("/api/runs", {"scenario": "gobang"}))[0] == 403
        assert (await visitor.post(f"{visitor.api}/fork", {"at": 5}))[0] == 403


@pytest.mark.parametrize("goal", ["--help", "-x", "; touch /tmp/owned", "$(id)"])
async def test_what_is_typed_is_never_an_option_or_a_command(goal: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    async with serving(tmp_path / "runs", Place()) as links, Visitor(links, "none") as visitor:
        status, words = await visitor.post("/api/runs", {"goal": goal})
        assert status == 409 and "no model is named" in words
