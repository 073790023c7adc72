"""Writes that are committed together: each its own commit, all of them or none, lasting when they are acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megaagent.errors import ToolError
from megaagent.workspace import Committed, Done, Queue, Stamp, Workspace, Write
from megaagent.workspace.packs import BLOB, Pack, delta

MakeStamp = Callable[..., Stamp]
Git = Callable[..., str]


def applied(old: bytes, change: bytes) -> bytes:
    """A difference undone by the letter of Git's format, apart from the code that makes them."""
    numbers, at = [0, 0], 0
    for index in range(2):
        shift = 0
        while True:
            byte = change[at]
            at += 1
            numbers[index] |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
    assert numbers[0] == len(old)
    new = b""
    while at < len(change):
        code = change[at]
        at += 1
        if code & 0x80:
            values: list[int] = []
            for bit in range(7):
                present = code >> bit & 1
                values.append(change[at] if present else 0)
                at += present
            offset = int.from_bytes(bytes(values[:4]), "little")
            size = int.from_bytes(bytes(values[4:]), "little") or 0x10000
            assert offset + size <= len(old)
            new += old[offset : offset + size]
        else:
            assert code, "reserved"
            new += change[at : at + code]
            at += code
    assert numbers[1] == len(new)
    return new


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=400), st.integers(1, 900))
def test_a_difference_gives_the_new_bytes(start: bytes, end: bytes, middle: bytes, times: int):
    old, new = start * times + end, start * times + middle + end
    assert applied(old, delta(old, new)) == new
    assert applied(new, delta(new, old)) == old


def test_each_write_of_a_batch_is_a_commit_of_its_own(workspace: Workspace, stamp: MakeStamp, git: Git):
    base = workspace.head()
    writes = [Write({f"d{n % 3}/f{n}.txt": b"%d\n" % n}, base, stamp(f"boss/w{n}")) for n in range(100)]
    outcomes = workspace.commit(writes)
    revisions = [outcome.committed[0][1].revision for outcome in outcomes if isinstance(outcome, Done)]
    log = git("log", "--reverse", "--format=%H %an", "main", cwd=workspace.path).splitlines()[1:]
    assert log == [f"{revision} w{n}" for n, revision in enumerate(revisions)]
    assert len(list(workspace.path.glob("objects/pack/*.pack"))) == 2  # the first commit's, and one for all of these
    for n, revision in enumerate(revisions):
        assert len(workspace.list("**", revision)) == n + 1
        assert workspace.read(f"d{n % 3}/f{n}.txt", revision).text == f"{n}\n"
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_writes_of_a_batch_merge_with_each_other(workspace: Workspace, stamp: MakeStamp):
    seen = workspace.write("a.txt", b"1\n2\n3\n4\n5\n", None, stamp())
    assert isinstance(seen, Committed)
    one = Write({"a.txt": b"one\n2\n3\n4\n5\n"}, seen.revision, stamp())
    two = Write({"a.txt": b"1\n2\n3\n4\nfive\n"}, seen.revision, stamp())
    three = Write({"a.txt": b"uno\n2\n3\n4\n5\n"}, seen.revision, stamp())
    first, second, third = workspace.commit([one, two, three])
    assert isinstance(first, Done) and isinstance(second, Done) and isinstance(third, Done)
    assert second.committed[0][1].merged
    assert workspace.read("a.txt").text == "one\n2\n3\n4\nfive\n"
    [conflict] = third.conflicts
    assert conflict.theirs_revision == second.committed[0][1].revision == workspace.head()
    assert conflict.theirs == "one\n2\n3\n4\nfive\n"


def test_a_write_that_is_refused_leaves_the_others_alone(workspace: Workspace, stamp: MakeStamp):
    base = workspace.head()
    writes = [{"a.txt": b"1"}, {"../b.txt": b"2"}, {"d/e.txt": b"3", "a.txt/f": b"4"}, {"d/g.txt": b"5"}]
    outcomes = workspace.commit([Write(changes, base, stamp()) for changes in writes])
    assert [type(outcome) for outcome in outcomes] == [Done, ToolError, ToolError, Done]
    assert [entry.path for entry in workspace.list()] == ["a.txt", "d/g.txt"]


def test_any_sequence_of_changes_leaves_the_files_that_it_says(workspace: Workspace, stamp: MakeStamp, git: Git):
    """Against a dictionary; Git itself checks every object."""
    choose = random.Random(7)
    files: dict[str, bytes] = {}
    for _ in range(40):
        for _ in range(choose.randint(1, 6)):
            changes: dict[str, bytes | None] = {}
            for _ in range(choose.randint(1, 4)):
                path = f"{choose.choice(('a', 'b/c', 'b/d/e', 'b.x', 'b-y'))}/{choose.randint(0, 30)}"
                gone = path in files and choose.random() < 0.4
                changes[path] = None if gone else choose.randbytes(choose.randint(0, 50))
            for path, content in changes.items():
                if content is None:
                    del files[path]
                else:
                    files[path] = content
            workspace.commit([Write(changes, workspace.head(), stamp())])
            listed = {entry.path: entry.size for entry in workspace.list()}
            assert listed == {path: len(content) for path, content in files.items()}
    assert {entry.path: workspace.read_bytes(entry.path) for entry in workspace.list()} == files
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_a_large_flat_folder_grows_by_what_is_new(workspace: Workspace, stamp: MakeStamp, git: Git):
    names = [f"{n:05}.txt" for n in range(3000)]
    workspace.write_many(dict.fromkeys(names, b"x"), workspace.head(), stamp())
    before = sum(path.stat().st_size for path in workspace.path.glob("objects/pack/*.pack"))
    base = workspace.head()
    workspace.commit([Write({name: b"changed"}, base, stamp()) for name in names[::30]])
    grown = sum(path.stat().st_size for path in workspace.path.glob("objects/pack/*.pack")) - before
    # 100 commits on a folder of 120 kB: stored whole they would be 12 MB. Every 40th is, and the first.
    assert grown < 700_000
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_a_pack_that_cannot_be_written_changes_nothing(workspace: Workspace, stamp: MakeStamp, git: Git):
    workspace.write("a.txt", b"1\n", None, stamp())
    head, packs = workspace.head(), workspace.path / "objects" / "pack"
    (there := packs.with_name("aside")).symlink_to("nowhere")
    packs.rename(packs.with_name("kept"))
    there.rename(packs)  # a link into nothing, so that no file can be made in it
    with pytest.raises(OSError, match="exist"):
        workspace.write("a.txt", b"2\n", head, stamp())
    packs.unlink()
    packs.with_name("kept").rename(packs)
    assert workspace.head() == head
    assert isinstance(workspace.write("a.txt", b"3\n", head, stamp()), Committed)
    assert [path for path in packs.iterdir() if path.name.startswith("tmp_")] == []
    assert git("fsck", "--strict", "--no-dangling", cwd=workspace.path) == ""


def test_what_a_killed_writer_left_is_cleared_by_the_next(workspace: Workspace, stamp: MakeStamp):
    left = workspace.path / "objects" / "pack" / "tmp_batch_0123"
    left.write_bytes(b"half")
    (workspace.path / "refs" / "heads" / "main.lock").touch()
    workspace.sole_writer()
    assert not left.exists()
    assert isinstance(workspace.write("a.txt", b"1\n", None, stamp()), Committed)


# -- through a power cut ----------------------------------------------------------------------------------------------

POWER = """
import json, os, sys
from pathlib import Path
root = Path(sys.argv[1])
contents, names = {}, {}  # what the disk has: of each file that was synced, of each folder that was

def note(path):
    info = path.stat()
    if path.is_dir():
        names[info.st_ino] = {entry.name: entry.stat(follow_symlinks=False).st_ino for entry in os.scandir(path)}
    else:
        contents[info.st_ino] = path.read_bytes()

inner = os.fsync
def fsync(handle):
    inner(handle)
    note(Path(f"/proc/self/fd/{handle}").resolve())
os.fsync = fsync

from megaagent.workspace import Stamp, Workspace, Write
workspace = Workspace.open(root / "workspace.git")
for path in [root, *root.rglob("*")]:
    note(path)  # what was there before lasts
revisions = []
for step in range(4):
    base = workspace.head()
    writes = [Write({f"f{n}.txt": b"%d" % step}, base, Stamp(f"boss/w{n}", "r", step, 0, 1.0)) for n in range(9)]
    revisions += [done.committed[0][1].revision for done in workspace.commit(writes)]

def restore(inode, target):
    if inode in names:
        target.mkdir()
        for name, inner in names[inode].items():
            restore(inner, target / name)
    elif inode in contents:
        target.write_bytes(contents[inode])
    else:
        target.write_bytes(b"")  # its name lasts and its content does not

restore(root.stat().st_ino, Path(sys.argv[2]))
print(json.dumps(revisions))
"""


def test_acknowledged_writes_survive_a_power_cut(tmp_path: Path, stamp: MakeStamp, git: Git):
    """Only what was synced when the writes were acknowledged is kept: the worst that a disk may do."""
    root, after = tmp_path / "root", tmp_path / "after"
    root.mkdir()
    Workspace.create(root / "workspace.git", stamp=stamp()).close()
    done = subprocess.run([sys.executable, "-c", POWER, root, after], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    revisions = json.loads(done.stdout)
    assert git("rev-list", "--reverse", "main", cwd=after / "workspace.git").split()[1:] == revisions
    assert git("fsck", "--strict", "--no-dangling", cwd=after / "workspace.git") == ""


# -- the queue of an event loop ---------------------------------------------------------------------------------------


class Counted(Workspace):
    """Tells how many writes came together."""

    batches: Sequence[int] = ()

    def commit(self, writes: Sequence[Write]) -> list[Done | Exception]:
        self.batches = [*self.batches, len(writes)]
        return super().commit(writes)


@pytest.fixture
def counted(workspace: Workspace) -> Counted:
    opened = Counted.open(workspace.path, durable=False)
    assert isinstance(opened, Counted)
    return opened


async def test_who_comes_while_a_batch_is_written_is_in_the_next(counted: Counted, stamp: MakeStamp):
    queue = Queue(counted)

    async def write(n: int) -> None:
        done = await queue.write(f"{n}.txt", b"x", None, stamp(f"boss/w{n}"))
        assert isinstance(done, Committed)

    await asyncio.gather(*map(write, range(300)))
    assert sum(counted.batches) == 300 and len(counted.batches) == 3
    assert len(counted.list()) == 300


async def test_one_who_is_called_off_does_not_hold_up_the_others(counted: Counted, stamp: MakeStamp):
    queue = Queue(counted)
    first, second, third = (asyncio.create_task(queue.write(f"{n}.txt", b"x", None, stamp())) for n in range(3))
    await asyncio.sleep(0)
    first.cancel()
    assert isinstance(await second, Committed) and isinstance(await third, Committed)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert {entry.path for entry in counted.list()} >= {"1.txt", "2.txt"}


async def test_errors_reach_who_made_them(counted: Counted, stamp: MakeStamp):
    queue = Queue(counted)
    good, bad = await asyncio.gather(
        queue.write("a.txt", b"x", None, stamp()), queue.write("/b", b"x", None, stamp()), return_exceptions=True
    )
    assert isinstance(good, Committed) and isinstance(bad, ToolError)


async def test_a_failure_of_the_store_reaches_all(tmp_path: Path, counted: Counted, stamp: MakeStamp):
    async def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    queue = Queue(counted, broken)
    results = await asyncio.gather(
        *(queue.write(f"{n}", b"x", None, stamp()) for n in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [OSError] * 3


def test_packs_of_two_batches_may_hold_the_same_objects(workspace: Workspace, git: Git):
    for other in (b"one", b"two"):
        pack = Pack(workspace.path / "objects")
        shared = pack.add(BLOB, b"the same")
        pack.add(BLOB, other)
        pack.finish(durable=False)
        assert git("cat-file", "-p", shared.hex(), cwd=workspace.path) == "the same"
