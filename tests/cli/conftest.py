from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.theatre import Ended, Opening, Terminal, open_terminal, piped, put_down, small

from megaagent.models.server import SimServer


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, ...]]:
    """The options that name the small organization's model."""
    async with SimServer({"small": small()}) as server:
        yield ("--model", "openai:small", "--base-url", server.url, "--price", "1:2")


@pytest.fixture
async def terminal() -> AsyncIterator[Opening]:
    started: list[Terminal] = []

    async def start(*arguments: Any, **options: Any) -> Terminal:
        started.append(await open_terminal(*arguments, **options))
        return started[-1]

    yield start
    for each in started:
        await put_down(each.process)


@pytest.fixture(scope="session")
def performance(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A finished run of the small organization, in the folder where it was started, and what was written."""
    folder = tmp_path_factory.mktemp("finished")

    async def play() -> Ended:
        async with SimServer({"small": small()}) as server:
            model = ("--model", "openai:small", "--base-url", server.url, "--price", "1:2")
            return await piped(folder, "run", "Make a program that greets.", *model)

    return folder, asyncio.run(play())


@pytest.fixture
def finished(performance: tuple[Path, Ended], tmp_path: Path) -> Path:
    """A folder with a finished run of one's own."""
    shutil.copytree(performance[0] / "megaagent-runs", tmp_path / "megaagent-runs")
    return tmp_path
