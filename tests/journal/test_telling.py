"""Of many appends that are settled at once some are told in a round of the loop; and room for a bounded number."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact, Record
from megaagent.journal import create_journal
from megaagent.journal.room import Room
from megaagent.journal.writer import BATCH


def note(text: object) -> Fact:
    return Fact("boss", 1, ev.NoteShared(str(text)))


async def test_a_crowd_goes_on_in_its_order_and_not_in_one_round(place: Path):
    journal = create_journal(place, WallClock(), durability="off")
    told: list[int] = []
    rounds: list[int] = []  # how many had been told at each round of the loop
    journal.listen(lambda records: told.extend(record.position for record in records))
    done: list[int] = []

    async def append(number: int) -> None:
        await journal.append([note(number)])
        done.append(number)

    crowd = asyncio.gather(*(append(number) for number in range(1_000)))
    while not crowd.done():
        await asyncio.sleep(0)
        rounds.append(len(told))
    await crowd
    assert told == sorted(told) and len(told) == 1_000
    assert done == list(range(1_000))
    at_once = [after - before for before, after in pairwise(rounds)]
    assert 0 < max(at_once) < BATCH  # all of a batch, if they were told as soon as it is written
    await journal.close()


async def test_closing_waits_until_all_is_told(place: Path):
    journal = create_journal(place, WallClock(), durability="off")
    told: list[Record] = []

    def listen(records: Sequence[Record]) -> None:
        told.extend(records)

    journal.listen(listen)
    crowd = [asyncio.ensure_future(journal.append([note(number)])) for number in range(700)]
    await asyncio.sleep(0)
    await journal.close()
    assert [record.position for record in told] == list(range(1, 701))
    assert all(len(records) == 1 for records in await asyncio.gather(*crowd))


async def test_what_a_listener_does_meanwhile_comes_after_what_waits_to_be_told(place: Path):
    journal = create_journal(place, WallClock(), durability="off")
    texts: list[str] = []
    more: list[asyncio.Future[Sequence[Record]]] = []

    def listen(records: Sequence[Record]) -> None:
        for record in records:
            assert isinstance(record.event, ev.NoteShared)
            texts.append(record.event.text)
            if record.event.text == "0":
                more.append(asyncio.ensure_future(journal.append([note("late")])))

    journal.listen(listen)
    await asyncio.gather(*(journal.append([note(number)]) for number in range(200)))
    await more[0]
    assert texts == [*map(str, range(200)), "late"]
    await journal.close()


# -- room -------------------------------------------------------------------------------------------------------------


async def test_room_is_given_in_the_order_of_asking():
    room = Room(2)
    assert room.enter_now() and room.enter_now() and not room.enter_now()
    came: list[int] = []

    async def visit(number: int) -> None:
        await room.enter()
        came.append(number)

    waiting = [asyncio.ensure_future(visit(number)) for number in range(3)]
    await asyncio.sleep(0)
    room.leave()
    assert not room.enter_now()  # it is the first waiter's
    room.leave()
    await asyncio.sleep(0)
    assert came == [0, 1]
    room.leave()
    await asyncio.gather(*waiting)
    assert came == [0, 1, 2]


@pytest.mark.parametrize("given", [False, True])
async def test_who_is_called_off_while_waiting_takes_no_room(given: bool):
    room = Room(1)
    assert room.enter_now()
    gone, next_ = asyncio.ensure_future(room.enter()), asyncio.ensure_future(room.enter())
    await asyncio.sleep(0)
    if given:
        room.leave()  # to the one that is called off in the same moment
    gone.cancel()
    await asyncio.sleep(0)
    if not given:
        room.leave()
    await asyncio.wait_for(next_, 5)
    room.leave()
    assert room.enter_now()
