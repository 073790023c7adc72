"""Parts of the Ray runtime that need no cluster."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from megaagent.errors import ModelError, SandboxError
from megaagent.events import Usage
from megaagent.runtimes import ray_places
from megaagent.runtimes.ray_frames import Frames
from megaagent.runtimes.ray_places import Known, Store
from megaagent.runtimes.ray_wire import Failure, failure_of, raised
from megaagent.runtimes.scratch import PREFIX, clear, scratch, sweep
from megaagent.workspace import Workspace

from .conftest import STAMP


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.create(tmp_path / "workspace.git", stamp=STAMP, durable=False)
    workspace.write_many({"a.txt": b"alpha", "b/c.txt": b"beta", "b/again.txt": b"alpha"}, workspace.head(), STAMP)
    return workspace


def unpacked(luggage: tuple[str, bytes, bytes, bool]) -> tuple[str, dict[str, str], set[bytes], bool]:
    tree, files, blobs, fresh = luggage
    listed = msgspec.msgpack.decode(files, type=dict[str, str]) if files else {}
    return tree, listed, set(msgspec.msgpack.decode(blobs, type=dict[str, bytes]).values()), fresh


def test_a_place_is_sent_each_content_and_each_tree_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    store, known = Store(workspace.path), Known()
    first = workspace.head()
    tree, files, blobs, fresh = unpacked(known.luggage(store, first))
    assert (tree, set(files), blobs) == (
        workspace.tree(first),
        {"a.txt", "b/c.txt", "b/again.txt"},
        {b"alpha", b"beta"},
    )
    assert not fresh
    assert unpacked(known.luggage(store, first)) == (tree, {}, set(), False)
    workspace.write("b/c.txt", b"gamma", first, STAMP)
    changed, files, blobs, _ = unpacked(known.luggage(store, workspace.head()))
    assert (changed, set(files), blobs) == (workspace.tree(), {"a.txt", "b/c.txt", "b/again.txt"}, {b"gamma"})
    # Another commit with the same files is the same tree.
    workspace.write("b/c.txt", b"beta", workspace.head(), STAMP)
    assert unpacked(known.luggage(store, workspace.head())) == (tree, {}, set(), False)
    # When it holds too much, it forgets all and is sent what it needs.
    monkeypatch.setattr(ray_places, "HELD", 1)
    assert unpacked(known.luggage(store, first))[2:] == ({b"alpha", b"beta"}, True)
    store.close()
    workspace.close()


def test_what_killed_places_left_is_swept_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, lock = scratch()
    (living / "0").mkdir()
    dead, gone = scratch()
    (dead / "0" / "deep").mkdir(parents=True)
    gone.close()  # as the system does when a process is killed
    (tmp_path / f"{PREFIX}unlocked" / "somebody's").mkdir(parents=True)  # not a place's: it has no lock
    (tmp_path / f"{PREFIX}almost").mkdir()  # its owner was killed while it was removed, the lock first
    sweep()
    assert living.exists() and not dead.exists() and not (tmp_path / f"{PREFIX}almost").exists()
    assert (tmp_path / f"{PREFIX}unlocked").exists()
    lock.close()


def test_who_sweeps_while_another_clears_its_folder_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ThreadPoolExecutor(1) as other:
        done = threading.Event()

        def sweeps() -> None:
            while not done.is_set():
                sweep()

        sweeping = other.submit(sweeps)
        try:
            for _ in range(300):
                folder, lock = scratch()
                clear(folder)
                lock.close()
        finally:
            done.set()
        sweeping.result()
    assert list(tmp_path.iterdir()) == []


async def test_messages_of_any_size_go_both_ways():
    there, here = os.pipe(), os.pipe()
    one, two = await asyncio.gather(Frames.over(there[0], here[1]), Frames.over(here[0], there[1]))
    sent = [b"", b"x", bytes(range(256)) * 20_000, b"last"]
    for message in sent:
        one.say(message)
        two.say(message[::-1])
    assert [await anext(two) for _ in sent] == sent
    assert [await anext(one) for _ in sent] == [message[::-1] for message in sent]
    await one.close()
    with pytest.raises(StopAsyncIteration):
        await anext(two)
    await two.close()


def test_errors_travel_whole():
    error = ModelError("rate_limit", "slow down", retry_after=7.0, status=429)
    error.maybe_paid, error.usage = True, Usage(3, 4, 0)
    back = raised(msgspec.msgpack.decode(msgspec.msgpack.encode(failure_of(error)), type=Failure))
    assert isinstance(back, ModelError)
    assert (back.fault, back.detail, back.retry_after, back.status) == ("rate_limit", "slow down", 7.0, 429)
    assert (back.maybe_paid, back.usage, back.on_our_side) == (True, Usage(3, 4, 0), False)
    assert isinstance(raised(failure_of(SandboxError("no walls"))), SandboxError)
    full = raised(failure_of(OSError(28, "No space left on device")))
    assert isinstance(full, OSError) and full.errno == 28  # so that it is waited for, as at home
    assert "ZeroDivisionError" in str(raised(failure_of(ZeroDivisionError("by zero"))))
