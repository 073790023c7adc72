"""The store is packed beside the writers: what is read meanwhile stands, and a packer that is killed spoils nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from megaagent.workspace import Committed, Stamp, Workspace
from megaagent.workspace.packing import LOOSE, PACKS, Packing

MakeStamp = Callable[..., Stamp]
Git = Callable[..., str]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="packing is done by the git command")


def packs(workspace: Workspace) -> int:
    return len(list(workspace.path.glob("objects/pack/*.pack")))


def grow(workspace: Workspace, stamp: MakeStamp, count: int) -> list[tuple[str, str, bytes]]:
    made: list[tuple[str, str, bytes]] = []
    for n in range(count):
        path, content = f"d{n % 5}/f{n % 50}.txt", f"{n} {stamp().step}\n".encode() * 9
        result = workspace.write(path, content, workspace.head(), stamp())
        assert isinstance(result, Committed)
        made.append((path, result.revision, content))
    return made


def settled(workspace: Workspace) -> None:
    while workspace.packing:
        time.sleep(0.005)


def test_packs_are_rolled_up_and_everything_stays_readable(workspace: Workspace, stamp: MakeStamp, git: Git):
    problems: list[object] = []
    made: list[tuple[str, str, bytes]] = []
    done = threading.Event()

    def read() -> None:
        choose = random.Random(1)
        while not done.wait(0.0005):
            if made:
                path, revision, content = choose.choice(made)
                try:
                    if workspace.read_bytes(path, revision) != content:
                        problems.append((path, revision))
                except Exception as error:
                    problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        made += grow(workspace, stamp, PACKS + 10)
        settled(workspace)
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert packs(workspace) < 2 * PACKS
    assert all(workspace.read_bytes(path, revision) == content for path, revision, content in made)
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_loose_objects_are_taken_along(workspace: Workspace, stamp: MakeStamp, git: Git):
    """Merging leaves some; no commit holds them, and they are packed all the same."""
    for n in range(30):
        git("hash-object", "-w", "--stdin", cwd=workspace.path, text=f"{n}\n")
    assert len(list(workspace.path.glob("objects/??/*"))) == 30
    packing = Packing(workspace.path)
    packing.grown(0, LOOSE)
    while packing.busy:
        time.sleep(0.005)
    assert list(workspace.path.glob("objects/??/*")) == []


@pytest.mark.parametrize("killed", [False, True])
def test_closing_ends_what_the_packer_has_started_too(workspace: Workspace, tmp_path: Path, killed: bool):
    told = tmp_path / "child"
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {told}.new\nmv {told}.new {told}\nwait\n")
    git.chmod(0o755)
    packing = Packing(workspace.path, str(git))
    packing.grown(PACKS)
    while not told.exists():
        time.sleep(0.005)
    child = int(told.read_text())
    os.kill(child, 0)
    if killed:
        process = packing._process  # pyright: ignore[reportPrivateUsage]
        assert process is not None
        process.kill()
    packing.close()
    for _ in range(1000):  # what it held is closed; that it has died shows a moment later
        if state_of(child) in ("Z", "X", ""):
            return
        time.sleep(0.005)
    pytest.fail("the packer's child lives on")


def state_of(process: int) -> str:
    """The letter by which the kernel tells how a process stands; nothing when it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_packer_that_is_killed_at_any_moment_spoils_nothing(workspace: Workspace, stamp: MakeStamp, git: Git):
    made = grow(workspace, stamp, PACKS // 2)
    choose = random.Random(3)
    for _ in range(6):
        packing = Packing(workspace.path)
        packing.grown(PACKS)
        process = packing._process  # pyright: ignore[reportPrivateUsage]
        assert process is not None
        time.sleep(choose.uniform(0, 0.04))
        os.kill(process.pid, signal.SIGKILL)
        packing.close()
        made += grow(workspace, stamp, 3)
        assert all(workspace.read_bytes(path, revision) == content for path, revision, content in made)
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_without_git_nothing_is_packed_and_nothing_fails(workspace: Workspace, tmp_path: Path):
    packing = Packing(workspace.path, str(tmp_path / "no-git"))
    packing.grown(PACKS)
    packing.grown(PACKS)
    assert not packing.busy
    packing.close()


def test_a_packer_that_fails_is_tried_again_seldom(workspace: Workspace):
    packing = Packing(workspace.path, shutil.which("false"))
    started = 0
    for _ in range(8 * PACKS):
        before = packing._process  # pyright: ignore[reportPrivateUsage]
        packing.grown(1)
        while packing.busy:
            time.sleep(0.001)
        started += packing._process is not before and packing._process is not None  # pyright: ignore[reportPrivateUsage]
    assert started == 3  # after 40, after 80 more, after 160 more
