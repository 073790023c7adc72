from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # `benchmarks` is not installed

from benchmarks.unconfined import start_copy

from megaagent.scenarios.contract import Start
from megaagent.scenarios.gobang.texts import text, write_deliverable


class Delivered:
    """The shipped game in a folder, with an AI that thinks a shorter time, to be spoiled by tests."""

    def __init__(self, folder: Path):
        self.folder = write_deliverable(folder)
        self.replace("settings.py", "SECONDS = 0.8", "SECONDS = 0.05")

    def replace(self, name: str, old: str, new: str) -> None:
        content = (self.folder / name).read_text()
        assert old in content, f"{name} does not contain {old!r}: the mutation would change nothing"
        (self.folder / name).write_text(content.replace(old, new))

    def put(self, name: str, early: str) -> None:
        (self.folder / name).write_text(text(early))

    @property
    def start(self) -> Start:
        return partial(start_copy, folder=self.folder)


@pytest.fixture
def delivered(tmp_path: Path) -> Delivered:
    return Delivered(tmp_path / "delivered")
