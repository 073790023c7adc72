"""Runs behind a dashboard: the same answers as from the folder, the same acts, and nothing for who has no token."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from tests.cli.test_run import GOAL, names
from tests.cli.theatre import PATIENCE, PROGRAM, Opening, Silent, environment, piped, put_down

from megaagent.cli.exits import CONFIGURATION, ENDINGS, RUN_FOLDER
from megaagent.cli.there import Address, Dashboard, There
from megaagent.errors import RunError
from megaagent.models.server import SimServer

FACTS = b'[{"position":7,"epoch":0,"time":1.0,"agent":"boss","step":1,"event":{"kind":"RunUnpaused"}}]'
LINK = re.compile(r"(http://127\.0\.0\.1:\d+)/#token=([\w-]+)")


@asynccontextmanager
async def served(folder: Path) -> AsyncGenerator[tuple[str, str, str]]:
    """The address of a dashboard of the runs there, its token, and the token for looking only."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", "--port", "0", cwd=folder, env=environment(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            words = b"".join([await process.stdout.readline() for _ in range(3)]).decode()
        [(base, full), (_, read)] = LINK.findall(words)
        yield base, full, read
    finally:
        await put_down(process)


ALIKE = (
    ("tree", "--json"), ("tree",), ("files", "--json"), ("blame", "notes.txt", "--json"), ("cost", "--json"),
    ("cost", "--by", "subtree"), ("show", "--json"), ("show", "--kind", "FileCommitted"), ("logs", "helper"),
    ("why", "helper"), ("export", "--events"), ("ps", "--json"),
)  # fmt: skip


async def test_every_look_tells_the_same_from_there_as_from_here(finished: Path, tmp_path: Path) -> None:
    async with served(finished) as (base, full, read):
        for command in ALIKE:
            here, there = await asyncio.gather(
                piped(finished, *command),
                piped(tmp_path, *command, "--host", base, environ={"MEGAAGENT_TOKEN": read}),
            )
            assert (here.code, there.code) == (0, 0), (command, there.err)
            assert there.out == here.out and there.out, command
        linked = await piped(tmp_path, "ps", "--host", f"{base}/#token={full}")
        assert linked.code == 0 and "completed" in linked.out


async def test_a_run_there_is_steered_with_the_full_token_only(terminal: Opening, tmp_path: Path) -> None:
    silent = Silent()
    async with SimServer({"small": silent}) as server, served(tmp_path) as (base, full, read):
        run = await terminal(
            tmp_path, "run", GOAL, *names(server), "--attended", "--quiet", "--set", "limits.grace=0.0"
        )
        await silent.asked.wait()

        async def ask(*words: str, token: str = full) -> tuple[int, str]:
            ended = await piped(tmp_path, *words, "--host", base, environ={"MEGAAGENT_TOKEN": token})
            return ended.code, ended.out + ended.err

        assert "1 calling" in (await ask("top"))[1]
        for words in (("send", "boss", "hi"), ("pause",), ("stop",), ("budget", "--max-cost", "7")):
            code, said = await ask(*words, token=read)
            assert code == CONFIGURATION and "for looking only" in said
            code, said = await ask(*words, token="x" * 43)
            assert code == CONFIGURATION and "does not know this token" in said
        assert await ask("send", "boss", "hi") == (0, "delivered to boss\n")
        code, said = await ask("send", "bos", "hi")
        assert code == CONFIGURATION and "there are boss" in said
        assert (await ask("pause", "--reason", "lunch"))[0] == 0
        assert (
            "the run is paused: lunch" in (await ask("why", "boss"))[1]
            or "is being asked" in (await ask("why", "boss"))[1]
        )
        assert await ask("unpause") == (0, "goes on\n")
        assert (await ask("budget", "--max-cost", "7"))[0] == 0
        assert "no question is open" in (await ask("answer", "yes"))[1]
        assert "no approval is open" in (await ask("approve"))[1]
        assert await ask("stop") == (0, "stopping\n")
        assert await run.end() == ENDINGS["stopped"]
        code, said = await ask("pause")
        assert code != 0 and "megaagent resume" in said


async def test_what_is_said_to_no_run_by_name_is_for_the_latest_that_is_going_on(
    terminal: Opening, tmp_path: Path
) -> None:
    silent = Silent()
    async with SimServer({"small": silent}) as server:
        goal = "A greeting."  # its run's name stands before the other's also when both begin in one second
        run = await terminal(tmp_path, "run", goal, *names(server), "--quiet", "--set", "limits.grace=0.0")
        await silent.asked.wait()
        [going_on] = (tmp_path / "megaagent-runs").glob("2*")
        ended = await piped(tmp_path, "run", "--scenario", "gobang", "--speed", "0", "--max-tokens", "40000")
        assert ended.code == ENDINGS["exhausted"], ended.out + ended.err
        assert (await piped(tmp_path, "pause")).code == 0
        alone = await piped(tmp_path, "approve", going_on.name)  # a run alone is no name of an approval
        assert alone.err == "megaagent: error: no approval is open\n"
        assert (await piped(tmp_path, "stop")).code == 0
        assert await run.end() == ENDINGS["stopped"]
        after = await piped(tmp_path, "pause")
        assert after.code != 0 and f"megaagent resume {going_on.name}" not in after.err  # the latest of all
        narrower = await piped(tmp_path, "resume", going_on.name, "--set", "limits.agents=0")
        assert "resume: limits.agents must be more than 0" in narrower.err
        silent.may_speak.set()
        again = await piped(tmp_path, "resume", going_on.name, "--attended", "--quiet")
        assert again.code == ENDINGS["completed"], again.out + again.err


async def test_an_address_without_a_dashboard_is_told(finished: Path) -> None:
    nobody = await piped(finished, "tree", "--host", "http://127.0.0.1:9", "--token", "x")
    assert nobody.code == RUN_FOLDER and "no dashboard answers at http://127.0.0.1:9" in nobody.err
    async with served(finished) as (base, full, _):
        absent = await piped(finished, "tree", "nothing-like-that", "--host", base, "--token", full)
        assert absent.code == RUN_FOLDER and "there is no run 'nothing-like-that'" in absent.err
        named = await piped(finished, "tree", "--host", base.replace("127.0.0.1", "127.0.0.2"), "--token", full)
        assert named.code != 0 and named.err.count("\n") == 1


@pytest.mark.parametrize("status", [302, 500, 200])
async def test_a_server_that_is_none_of_ours_is_told_nothing_more(finished: Path, status: int) -> None:
    """A redirect is not followed, so the token goes nowhere else; other answers are refused in one line."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 %d X\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nhi" % status)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        ended = await piped(finished, "tree", "--host", f"http://127.0.0.1:{port}", "--token", "t0ken")
    assert ended.code == RUN_FOLDER and ended.err.count("\n") == 1, ended.err
    assert len(asked) == 1 and asked[0].startswith(b"GET /api/runs ") and b"Bearer t0ken" in asked[0]
    assert json.dumps("t0ken") not in ended.err and "t0ken" not in ended.err


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
async def test_an_answer_that_trickles_in_for_ever_is_broken_off(piece: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError), closing(writer):
            while True:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        dashboard = Dashboard(Address("http", "127.0.0.1", server.sockets[0].getsockname()[1], "t0ken"), longest=0.3)
        with pytest.raises(RunError, match="was not complete within"):
            async with asyncio.timeout(PATIENCE):
                await asyncio.to_thread(dashboard.get, "/api/runs")


async def test_facts_that_are_told_again_and_again_are_no_journal() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError), closing(writer):
            while path := (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]:
                body = b'{"runs":[{"id":"one"}]}' if path == b"/api/runs" else FACTS
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def told(port: int) -> int:
        with There.of(f"http://127.0.0.1:{port}", "t0ken", None) as there:
            return sum(1 for _ in zip(there.records(), range(9), strict=False))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        with pytest.raises(RunError, match="again and again"):
            await asyncio.to_thread(told, server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("command", "runs", "all_else"),
    [
        (("ps",), b'{"runs":[{"x":5}]}', b"{}"),
        (("ps",), b'{"runs":[{"id":5}]}', b"{}"),
        (("ps",), b'{"runs":[{"id":"one"}]}', b"{}"),
        (("tree",), b'{"runs":[{"id":"one"}]}', b"{}"),
        (("files",), b'{"runs":[{"id":"one"}]}', b"{}"),
        (("cost",), b'{"runs":[{"id":"one"}]}', b"{}"),
    ],
)
async def test_what_lacks_what_is_looked_for_is_told(
    finished: Path, command: tuple[str, ...], runs: bytes, all_else: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError), closing(writer):
            while path := (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]:
                body = runs if path == b"/api/runs" else all_else
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        ended = await piped(finished, *command, "--host", address, "--token", "t0ken")
    assert ended.code == RUN_FOLDER, ended.out + ended.err
    assert ended.err.count("\n") == 1 and "answers otherwise than this version" in ended.err
