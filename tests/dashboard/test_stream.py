"""The streams of news: who lost the connection misses nothing and hears nothing twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.dashboard.made import Author, Hand, made_run, recruiting, tree
from tests.dashboard.visiting import PATIENCE, Visitor

from megaagent import events as ev
from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import serving
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal


async def growing(folder: RunFolder, acts: int, seed: int, newcomers: int = 0) -> int:
    """Let the run go on for a while; the position that it came to."""
    clock = Hand(1_790_100_000.0)
    journal = SQLiteJournal.open(folder.journal, clock, durability="off")
    author = Author(tree(30), seed)
    for number in range(newcomers):
        await journal.append(recruiting(f"boss/a1/late{seed}x{number}", 1000 * seed + number))
    for _ in range(acts):
        clock.time += 0.1
        await journal.append(author.some())
    position = journal.position
    await journal.close()
    return position


async def until(visitor: Visitor, stream: str, after: int, last: int) -> list[tuple[int, Any]]:
    """What is heard on a stream until it has come to a position."""
    heard: list[tuple[int, Any]] = []
    async with asyncio.timeout(PATIENCE):
        async for id, data in visitor.news(f"{visitor.api}/{stream}", after):
            heard.append((id, data))
            if id >= last:
                break
    return heard


async def test_facts_come_once_each_over_broken_connections(visitor: Visitor, run: RunFolder) -> None:
    heard: list[int] = []
    last = (await visitor.get(f"{visitor.api}/organization"))["position"]
    for seed in range(1, 5):
        after = heard[-1] if heard else 0
        middle = (after + last) // 2
        # What came after the middle is thrown away, as by a connection that breaks there while the run goes on.
        heard += [id for id, _ in await until(visitor, "facts", after, middle) if id <= middle]
        last = await growing(run, 40, seed)
        rest = await until(visitor, "facts", heard[-1], last)
        assert all(data["position"] == id for id, data in rest)
        heard += [id for id, _ in rest]
        last = await growing(run, 40, seed + 10)
    heard += [id for id, _ in await until(visitor, "facts", heard[-1], last)]
    assert heard == list(range(1, last + 1))


async def test_changes_bring_a_page_to_where_a_fresh_one_is(visitor: Visitor, run: RunFolder) -> None:
    page = await visitor.get(f"{visitor.api}/organization")
    rows = {row[0]: row for row in page["rows"]}
    after = page["position"]
    for seed in range(1, 5):
        last = await growing(run, 60, seed, newcomers=seed)
        for id, delta in await until(visitor, "changes", after, last):
            assert id == delta["position"] > after
            rows |= {row[0]: row for row in delta["rows"]}
            header, after = delta["header"], id
        fresh = await visitor.get(f"{visitor.api}/organization")
        assert rows == {row[0]: row for row in fresh["rows"]}
        assert header == fresh["header"]


async def test_a_restarted_server_goes_on_where_the_browser_was(run: RunFolder) -> None:
    async with serving(run.path.parent, Place()) as links, Visitor(links, run.id) as visitor:
        page = await visitor.get(f"{visitor.api}/organization")
    last = await growing(run, 60, 7, newcomers=3)
    rows = {row[0]: row for row in page["rows"]}
    async with serving(run.path.parent, Place()) as links, Visitor(links, run.id) as visitor:
        heard = await until(visitor, "changes", page["position"], last)
        assert sum(len(delta["rows"]) for _, delta in heard) < len(rows) + 3  # the difference, not everything again
        for _, delta in heard:
            rows |= {row[0]: row for row in delta["rows"]}
        fresh = await visitor.get(f"{visitor.api}/organization")
        assert rows == {row[0]: row for row in fresh["rows"]}


async def test_what_happens_while_one_listens_is_heard(visitor: Visitor, run: RunFolder) -> None:
    start = (await visitor.get(f"{visitor.api}/organization"))["position"]
    listening = asyncio.create_task(until(visitor, "facts", start, start + 100))
    last = await growing(run, 120, 3)
    heard = [id for id, _ in await listening]
    assert last > start + 100 and heard[:100] == list(range(start + 1, start + 101))


async def test_a_run_that_cannot_be_folded_is_told(tmp_path: Any) -> None:
    folder = await made_run(tmp_path, agents=3, acts=3)
    journal = SQLiteJournal.open(folder.journal, Hand(), durability="off")
    await journal.append([ev.Fact("boss", 9, ev.AssignmentFailed("nobody#1.1", "it never was"))])
    await journal.close()
    async with serving(tmp_path, Place()) as links, Visitor(links, folder.id) as visitor:
        assert await visitor.status(f"{visitor.api}/organization") == 409


@pytest.mark.parametrize("stream", ["facts", "changes"])
async def test_a_stream_ends_with_its_server(run: RunFolder, stream: str) -> None:
    async with asyncio.timeout(PATIENCE):
        async with serving(run.path.parent, Place()) as links, Visitor(links, run.id) as visitor:
            news = visitor.news(f"{visitor.api}/{stream}", 0)
            await anext(news)
            await news.aclose()  # pyright: ignore[reportAttributeAccessIssue]  # it is a generator
