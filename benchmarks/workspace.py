"""Many agents writing at once: `python -m benchmarks workspace`.

64 agents write into 600 files, then into 60,000 files, in folders of folders, each write a commit of its own that lasts
through a power cut when it is answered; every write goes through the same queue as in a run. Then 20 agents change one
file at different places. Afterwards `git` itself checks the store.

    commits_per_s_600, commits_per_s_60000  acknowledged commits per second, with so many files
    cpu_ms_per_commit_600, cpu_ms_per_commit_60000  CPU time of this process, all threads, agents and reader included;
                     beside other work on the machine these say more than the rates
    lost             acknowledged writes that are not in the branch, and lines of the one file that are missing
    merged_per_s     writes per second of 20 agents into one file, nearly all of them merges
    read_ms_p99      how long a read of a file took (in a thread) while 64 agents wrote
    loop_lag_ms_p99  how late the event loop was meanwhile
    list_ms_first, list_ms_again  listing all 60,000 files, and once more
    packs, loose     the store after it: files of packed objects, objects that lie alone
    kb_per_commit    what the store grew by for a commit of 200 bytes, after packing
    floor_per_s      blob, two trees, commit and ref by pygit2, one after the other, nothing synced; `floor_ratio` is
                     ours over it; `floor_cpu_ms` its CPU time for a commit
    git_per_s        the same by the command line: hash-object, mktree twice, commit-tree, update-ref
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pygit2

from megaagent.workspace import Committed, Conflict, Queue, Stamp, Workspace

AGENTS = 64
EDITORS = 20
EDITS = 20
FLOOR = 1000  # commits
FIRST = Stamp("boss", "benchmark", 0, 0, 1_700_000_000.0)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks workspace", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of files (default 5)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    given = parser.parse_args(arguments)
    rounds: list[dict[str, float]] = []
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory(prefix="megaagent-workspace-", dir=given.folder) as place:
            rounds.append(_round(Path(place), given.seconds))
    figures = {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}
    figures["lost"] = sum(each["lost"] for each in rounds)
    print(json.dumps({"benchmark": "workspace", "agents": AGENTS, "durable": True, "repeats": given.repeats} | figures))
    return 0


def _round(place: Path, seconds: float) -> dict[str, float]:
    cpu = time.process_time()
    floor = _floor(place / "floor.git")
    cpu = time.process_time() - cpu
    figures: dict[str, float] = {"lost": 0}
    for files in (600, 60_000):
        measured = asyncio.run(_crowd(place / f"{files}.git", place, files, seconds))
        figures["lost"] += measured.pop("lost")
        figures[f"commits_per_s_{files}"] = measured.pop("commits_per_s")
        figures[f"cpu_ms_per_commit_{files}"] = measured.pop("cpu_ms")
        figures |= measured
    edited = asyncio.run(_one_file(place / "one.git"))
    figures["lost"] += edited.pop("lost")
    ratio = min(figures["commits_per_s_600"], figures["commits_per_s_60000"]) / floor
    return (
        figures
        | edited
        | {
            "floor_per_s": floor,
            "floor_cpu_ms": 1000 * cpu / FLOOR,
            "floor_ratio": ratio,
            "git_per_s": _git_floor(place / "git.git"),
        }
    )


# -- many files -------------------------------------------------------------------------------------------------------


async def _crowd(path: Path, place: Path, files: int, seconds: float) -> dict[str, float]:
    names = _names(files)
    source = place / f"source-{files}"
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("begun\n" * 30)
    workspace = Workspace.create(path, source, stamp=FIRST)
    queue = Queue(workspace)
    acknowledged: dict[str, tuple[str, bytes]] = {}
    count = 0
    ending = False
    before = _size(path)

    async def write(agent: int) -> None:
        nonlocal count
        own, choose = names[agent::AGENTS], random.Random(agent)
        step = 0
        while not ending:
            step += 1
            name = choose.choice(own)
            seen = acknowledged.get(name)
            content = f"{agent} {step}\n".encode() * 20
            base = seen[0] if seen else workspace.head()
            done = await queue.write(
                name, content, base, Stamp(f"boss/w{agent}", "benchmark", step, 0, FIRST.time + step)
            )
            assert isinstance(done, Committed)
            acknowledged[name] = done.revision, content
            count += 1

    reads: list[float] = []
    lags: list[float] = []

    async def read() -> None:
        choose = random.Random(0)
        while not ending:
            began = time.perf_counter()
            await asyncio.to_thread(workspace.read, choose.choice(names))
            reads.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)

    async def watch() -> None:
        while not ending:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - began - 0.01)

    tasks = [asyncio.create_task(work) for work in (*map(write, range(AGENTS)), read(), watch())]
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    ending = True
    await asyncio.gather(*tasks)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await asyncio.to_thread(_packed, workspace)
    listings = [_timed(workspace.list) for _ in range(2)]
    lost = sum(workspace.read_bytes(name) != content for name, (_, content) in acknowledged.items())
    workspace.close()
    revisions = set(_git(path, "rev-list", "main").split())
    lost += sum(revision not in revisions for revision, _ in acknowledged.values())
    lost += count != len(revisions) - 1
    assert _git(path, "fsck", "--no-dangling", "--connectivity-only") == ""
    objects = path / "objects"
    return {
        "lost": lost,
        "commits_per_s": count / took,
        "cpu_ms": 1000 * cpu / count,
        "read_ms_p99": _p99(reads),
        "loop_lag_ms_p99": _p99(lags),
        "list_ms_first": listings[0],
        "list_ms_again": listings[1],
        "packs": len(list(objects.glob("pack/*.pack"))),
        "loose": len(list(objects.glob("??/*"))),
        "kb_per_commit": (_size(path) - before) / 1024 / count,
    }


def _timed(work: Callable[[], object]) -> float:
    """In milliseconds."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _packed(workspace: Workspace) -> None:
    while workspace.packing:
        time.sleep(0.02)


def _names(files: int) -> list[str]:
    """Ten to fifteen files a folder, three folders deep."""
    return [f"part{n % 20}/chapter{n // 20 % 15}/section{n // 300 % 16}/file{n}.txt" for n in range(files)]


def _p99(seconds: list[float]) -> float:
    return 1000 * sorted(seconds)[int(0.99 * len(seconds))]


def _size(path: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


# -- one file ---------------------------------------------------------------------------------------------------------


async def _one_file(path: Path) -> dict[str, float]:
    """Each editor changes the line of its own, on what it last saw; blank lines keep the places apart."""
    workspace = Workspace.create(path, stamp=FIRST)
    queue = Queue(workspace)
    text = "".join(f"editor {n}: 0\n\n\n" for n in range(EDITORS))
    first = await queue.write("one.txt", text.encode(), None, FIRST)
    assert isinstance(first, Committed)
    conflicts = 0

    async def edit(editor: int) -> None:
        nonlocal conflicts
        for step in range(1, EDITS + 1):
            seen = workspace.read("one.txt")
            await asyncio.sleep(0)
            mine = seen.text.replace(f"editor {editor}: {step - 1}\n", f"editor {editor}: {step}\n")
            stamp = Stamp(f"boss/e{editor}", "benchmark", step, 0, FIRST.time + step)
            conflicts += isinstance(await queue.write("one.txt", mine.encode(), seen.revision, stamp), Conflict)

    began = time.perf_counter()
    await asyncio.gather(*map(edit, range(EDITORS)))
    took = time.perf_counter() - began
    expected = "".join(f"editor {n}: {EDITS}\n\n\n" for n in range(EDITORS))
    found = workspace.read("one.txt").text
    lost = sum(line not in found.split("\n") for line in expected.split("\n"))
    workspace.close()
    return {"lost": lost + conflicts, "merged_per_s": EDITORS * EDITS / took}


# -- the floor --------------------------------------------------------------------------------------------------------


def _floor(path: Path, count: int = FLOOR) -> float:
    repo = pygit2.init_repository(str(path), bare=True)
    author = pygit2.Signature("floor", "floor@megaagent.invalid", 1_700_000_000, 0)
    parents: list[pygit2.Oid] = []

    def one(n: int) -> None:
        inner, outer = repo.TreeBuilder(), repo.TreeBuilder()
        inner.insert("file", repo.create_blob(f"{n}\n".encode() * 20), pygit2.enums.FileMode.BLOB)
        outer.insert("folder", inner.write(), pygit2.enums.FileMode.TREE)
        commit = repo.create_commit(None, author, author, "floor", outer.write(), list(parents))
        repo.references.create("refs/heads/main", commit, force=True)
        parents[:] = [commit]

    return _rate(one, count)


def _git_floor(path: Path, count: int = 30) -> float:
    path.mkdir()
    _git(path, "init", "-q", "--bare")
    parents: list[str] = []

    def one(n: int) -> None:
        blob = _git(path, "hash-object", "-w", "--stdin", text=f"{n}\n" * 20).strip()
        inner = _git(path, "mktree", text=f"100644 blob {blob}\tfile\n").strip()
        outer = _git(path, "mktree", text=f"040000 tree {inner}\tfolder\n").strip()
        commit = _git(path, "commit-tree", *parents, outer, text="floor").strip()
        _git(path, "update-ref", "refs/heads/main", commit)
        parents[:] = ["-p", commit]

    return _rate(one, count)


def _rate(one: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    for n in range(count):
        one(n)
    return count / (time.perf_counter() - began)


def _git(path: Path, *arguments: str, text: str | None = None) -> str:
    identity = [word for name in ("user.name=floor", "user.email=floor@megaagent.invalid") for word in ("-c", name)]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=path, input=text, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
