"""MegaAgent as an MCP server, asked by the official SDK's client: a run from its start to its files."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

from mcp import Client, StdioServerParameters, types
from tests.cli.theatre import piped

PROGRAM = "from megaagent.cli import main; main()"
AT_ONCE = "[simulation]\nspeed = 0\n"


class Talk:
    """A client in conversation with the server."""

    def __init__(self, client: Client):
        self.client = client

    async def ask(self, tool: str, /, **arguments: Any) -> str:
        """The answer, or the error as text."""
        result = await self.client.call_tool(tool, arguments)
        [block] = result.content
        assert isinstance(block, types.TextContent)
        return f"Error: {block.text}" if result.is_error else block.text


@asynccontextmanager
async def talking(folder: Path, *options: str) -> AsyncIterator[Talk]:
    arguments = ["-c", PROGRAM, "mcp", "--runs", str(folder / "runs"), *options]
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    server = StdioServerParameters(command=sys.executable, args=arguments, env=environ, cwd=folder)
    async with Client(server, read_timeout_seconds=120) as client:
        yield Talk(client)


def settings(folder: Path, text: str = AT_ONCE) -> str:
    path = folder / "settings.toml"
    path.write_text(text)
    return str(path)


async def test_a_run_is_started_watched_and_its_files_fetched(tmp_path: Path):
    async with talking(tmp_path, "--settings", settings(tmp_path)) as talk:
        names = {tool.name for tool in (await talk.client.list_tools()).tools}
        assert names == {
            "start_run",
            "list_runs",
            "watch_run",
            "message_agent",
            "fetch_deliverable",
            "stop_run",
        }
        assert await talk.ask("list_runs") == "there is no run yet"
        began = await talk.ask("start_run", scenario="gobang")
        [run] = re.findall(r"run='([^']+)'", began)
        lines: list[str] = []
        after = 0
        while not (lines and "go on with" in lines[-1] and "completed" in lines[-1]):
            lines += (await talk.ask("watch_run", run=run, after=after, seconds=30)).splitlines()
            after = int(re.findall(r"after=(\d+)", lines[-1])[0])
        text = "\n".join(lines)
        assert text.count("recruited rules") == 1  # each fact is told once
        assert "the run ended, completed" in text and "simulated cost" in lines[-1]
        report = await talk.ask("fetch_deliverable", run=run)
        assert report.startswith("completed: ") and "\nboard.py" in report
        assert "class Board" in await talk.ask("fetch_deliverable", run=run, path="board.py")
        for path in ("../journal.db", "/etc/passwd", "nothing.py"):
            assert "has no file" in await talk.ask("fetch_deliverable", run=run, path=path)
        assert (await talk.ask("list_runs")).startswith(f"{run}: completed")
        assert "is not going on" in await talk.ask("message_agent", text="hello", run=run)


async def test_a_run_is_steered_and_stopped_and_outlives_its_client(tmp_path: Path):
    slow = settings(tmp_path, "[simulation]\nspeed = 0.05\n")
    async with talking(tmp_path, "--settings", slow) as talk:
        assert "Watch it" in await talk.ask("start_run", scenario="gobang")
        assert await talk.ask("message_agent", text="Write the README in German.") == "delivered to boss"
        assert "has not ended" in await talk.ask("fetch_deliverable")
    async with talking(tmp_path) as talk:
        assert ": running, " in await talk.ask("list_runs")
        assert await talk.ask("stop_run", reason="enough") == "stopping"
        told = ""
        while "stopped" not in told.rpartition("\n")[2]:
            told = await talk.ask("watch_run", seconds=5)
        assert "a person: send: to boss" in told and "a person: stop: enough" in told


async def test_what_cannot_be_is_told(tmp_path: Path):
    async with talking(tmp_path, "--max-cost", "3") as talk:
        assert "give a goal in plain words" in await talk.ask("start_run")
        assert "not both" in await talk.ask("start_run", goal="A poem.", scenario="gobang")
        assert "no model is named" in await talk.ask("start_run", goal="A poem.")
        assert "at most 3" in await talk.ask("start_run", scenario="gobang", max_cost=4)
        assert "no scenario called 'nothing'" in await talk.ask("start_run", scenario="nothing")
        assert "there is no run" in await talk.ask("watch_run")
        assert "there is no run" in await talk.ask("stop_run", run="../../etc")
        assert not (tmp_path / "runs").exists()


async def test_a_model_of_nobody_is_told_before_a_client_is_answered(tmp_path: Path):
    done = await piped(tmp_path, "mcp", "--model", "gpt-4.1")
    assert done.code == 2 and "unknown provider 'gpt-4.1'" in done.err and not done.out


async def test_what_no_program_could_take_is_told_too(tmp_path: Path):
    async with talking(tmp_path) as talk:
        for goal in ("one\0two", "a" * 3_000_000):
            assert "cannot be begun with this" in await talk.ask("start_run", goal=goal)
        await talk.ask("start_run", scenario="gobang")
        assert "go on with" in await talk.ask("watch_run", after=10**30, seconds=0)
        await talk.ask("stop_run", reason="one \x1b[2J two")
        assert "\x1b" not in await talk.ask("watch_run", seconds=30) + await talk.ask("list_runs")


async def test_runs_that_begin_at_once_are_not_taken_for_each_other(tmp_path: Path):
    async with talking(tmp_path) as talk:
        began = await asyncio.gather(*(talk.ask("start_run", scenario="gobang") for _ in range(2)))
        runs = {re.findall(r"run='([^']+)'", text)[0] for text in began}
        for run in runs:
            await talk.ask("stop_run", run=run)
        assert len(runs) == 2
