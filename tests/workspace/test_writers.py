"""Many writers at once: threads of one process, and processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from megaagent.workspace import Committed, Conflict, Stamp, Workspace

Git = Callable[..., str]

WRITER = """
import sys
from pathlib import Path
from megaagent.workspace import Committed, Stamp, Workspace

path, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
workspace = Workspace.open(path, durable=False)
print("ready", flush=True)
sys.stdin.readline()
for step in range(count):
    result = workspace.write(f"{who}/{step}.txt", who.encode(), workspace.head(), Stamp(who, "r", step, 0, float(step)))
    assert isinstance(result, Committed) and workspace.contains(result.revision)
"""


def test_threads_hammering_one_workspace(workspace: Workspace, git: Git):
    """Every acknowledged write is in the branch, whatever the others do; readers never see half of anything."""
    acknowledged: list[tuple[str, bytes]] = []
    problems: list[object] = []
    done = threading.Event()

    def write(n: int) -> None:
        for step in range(10):
            path, content = f"d{step % 3}/f{n % 4}.txt", f"{n}.{step}\n".encode() * 200
            result = workspace.write(path, content, workspace.head(), Stamp(f"boss/w{n}", "r", step, 0, 1.0))
            if isinstance(result, Committed) and not result.merged:
                acknowledged.append((result.revision, content))
                if workspace.read_bytes(path, result.revision) != content:
                    problems.append((path, result))

    def read() -> None:
        while not done.is_set():
            for entry in workspace.list():
                lines = set(workspace.read(entry.path).text.split("\n")) - {""}
                if len(lines) != 1:
                    problems.append((entry, lines))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert problems == []
    assert len(acknowledged) > 10
    reachable = set(git("rev-list", "main", cwd=workspace.path).split())
    assert {revision for revision, _ in acknowledged} <= reachable
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_processes_lose_nothing_to_each_other(workspace: Workspace, git: Git):
    count = 30
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, workspace.path, who, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in ("alice", "bob")
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(workspace.list()) == 2 * count
    assert int(git("rev-list", "--count", "main", cwd=workspace.path)) == 1 + 2 * count


def test_a_commit_made_with_git_is_merged_with(
    workspace: Workspace, stamp: Callable[..., Stamp], git: Git, tmp_path: Path
):
    """A person may push: agents go on from there, and their old views merge with it."""
    seen = workspace.write("a.txt", b"1\n2\n3\n", None, stamp())
    assert isinstance(seen, Committed)
    git("clone", "-q", workspace.path, "clone", cwd=tmp_path)
    (tmp_path / "clone" / "a.txt").write_text("1\n2\nperson\n")
    git("commit", "-qam", "by hand", cwd=tmp_path / "clone")
    git("push", "-q", "origin", "main", cwd=tmp_path / "clone")
    result = workspace.write("a.txt", b"agent\n2\n3\n", seen.revision, stamp())
    assert isinstance(result, Committed) and result.merged
    assert workspace.read("a.txt").text == "agent\n2\nperson\n"
    entry = workspace.log()[1]
    assert (entry.agent, entry.author, entry.step, entry.subject) == (None, "User", 0, "by hand")
    assert isinstance(workspace.write("a.txt", b"9\n", seen.revision, stamp()), Conflict)
    assert len(workspace.adopted(Stamp("boss", "r", 1, 1, 1.0))) == 0


def test_objects_that_were_packed_meanwhile_are_found(workspace: Workspace, stamp: Callable[..., Stamp], git: Git):
    for n in range(5):
        workspace.write(f"{n}.txt", b"x\n", workspace.head(), stamp())
    git("gc", "-q", "--prune=now", cwd=workspace.path)
    assert workspace.read("0.txt").text == "x\n"
    assert isinstance(workspace.write("0.txt", b"y\n", workspace.head(), stamp()), Committed)
    assert len(workspace.log()) == 7
