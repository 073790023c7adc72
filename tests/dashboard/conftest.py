from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.dashboard.made import made_run
from tests.dashboard.visiting import Visitor

from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import serving
from megaagent.folder import RunFolder


@pytest.fixture(scope="session")
def mould(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return asyncio.run(made_run(tmp_path_factory.mktemp("mould"), agents=30, acts=200))


@pytest.fixture
def run(mould: RunFolder, tmp_path: Path) -> RunFolder:
    """A made-up run of 30 agents, as if its engine had been cut off."""
    shutil.copytree(mould.path, tmp_path / "runs" / mould.id)
    return RunFolder(tmp_path / "runs" / mould.id)


@pytest.fixture
async def visitor(run: RunFolder) -> AsyncIterator[Visitor]:
    """Somebody at a server that shows the run."""
    async with serving(run.path.parent, Place()) as links, Visitor(links, run.id) as visitor:
        yield visitor
