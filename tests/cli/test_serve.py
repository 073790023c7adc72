"""The dashboard from the command line: links that work, one clear error where it cannot listen, an end when asked."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import aiohttp
import pytest
from tests.cli.theatre import PATIENCE, PROGRAM, environment, piped, put_down

LINK = re.compile(r"(http://127\.0\.0\.1:\d+)/#token=([\w-]+)")


async def enters(words: str) -> list[str]:
    """What the links in a text admit to, each tried as the page does."""
    scopes: list[str] = []
    async with aiohttp.ClientSession() as client:
        for base, token in LINK.findall(words):
            async with client.post(f"{base}/api/session", json={"token": token}, headers={"Origin": base}) as answer:
                assert answer.status == 200
                scopes.append((await answer.json())["scope"])
            async with client.get(f"{base}/api/runs", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert [run["status"] for run in (await answer.json())["runs"]]
    return scopes


async def test_serve_prints_links_that_work_and_ends_when_asked(finished: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", "--port", "0", cwd=finished, env=environment(finished), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            words = b"".join([await process.stdout.readline() for _ in range(3)]).decode()
            assert await enters(words) == ["full", "read"]
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        await put_down(process)


async def test_a_run_shows_itself_while_it_lasts(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*PROGRAM, "run", "--scenario", "gobang", "--web", "--quiet"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            words = b"".join([await process.stderr.readline() for _ in range(2)]).decode()
            assert await enters(words) == ["full", "read"]
            process.send_signal(signal.SIGTERM)
            await process.communicate()
            assert process.returncode == 6
    finally:
        await put_down(process)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bind", "0.0.0.0"], "--without-tls"),
        (["--bind", "0.0.0.0", "--without-tls"], "--name HOST"),
        (["--tls-cert", "absent.pem"], "cannot be used"),
        (["--tls-key", "absent.pem"], "needs --tls-cert"),
        (["--bind", "192.0.2.7", "--without-tls"], "cannot listen"),
    ],
)
async def test_a_place_that_cannot_be_served_is_told(options: list[str], words: str, tmp_path: Path) -> None:
    ended = await piped(tmp_path, "serve", "--port", "0", *options)
    assert ended.code == 2 and words in ended.err and ended.err.count("\n") == 1
