from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact
from megaagent.journal import SQLiteJournal
from megaagent.journal.homes import FOLDER, settle


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """By which file a journal is opened, for each of those that are kept."""
    address = request.getfixturevalue("postgres").address if request.param == "postgres" else FOLDER
    return settle(tmp_path, address, f"{tmp_path.parent.name}-{tmp_path.name}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
async def finished(path: Path) -> Path:
    """A closed journal of ten facts: the fourth has a long body, the fifth a file's content."""
    journal = SQLiteJournal.create(path, WallClock())
    await journal.append([Fact("boss", step, ev.NoteShared(f"note {step}")) for step in range(1, 4)])
    await journal.append([Fact("boss/a", 4, ev.NoteShared("a long note, " * 300))])
    written = b"print('hello')\n"
    commit = ev.FileCommitted("a.py", "0" * 40, hashlib.sha256(written).hexdigest(), len(written))
    await journal.append([Fact("boss/a", 5, commit)], [written])
    await journal.append([Fact("boss/a", step, ev.NoteShared(f"note {step}")) for step in range(6, 11)])
    await journal.close()
    return path
