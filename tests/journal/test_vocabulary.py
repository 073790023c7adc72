"""Whatever fact the vocabulary allows, with whatever in its fields, is read back as it was recorded."""

from __future__ import annotations

import asyncio
import tempfile
import typing
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import AnyEvent, Event, Fact
from megaagent.journal import SQLiteJournal, open_reader
from megaagent.journal.bodies import LONGEST, MARKER
from megaagent.journal.codec import Codec, kind_of

KINDS: tuple[type[Event], ...] = typing.get_args(AnyEvent)
CODEC = Codec()


def filled_up(head: str, char: str) -> str:
    """A text whose length is about that at which bodies leave their row."""
    return head + char * (LONGEST // len(char.encode()))


bodies = st.one_of(
    st.text(max_size=40),
    st.text(max_size=20).map(MARKER.__add__),
    st.builds(filled_up, st.text(max_size=3), st.characters(codec="utf-8")),
)


def values(kind: inspect.Type) -> st.SearchStrategy[typing.Any]:
    """Any value of a type of the vocabulary."""
    match kind:
        case inspect.Metadata(type=inner):
            return bodies if kind.extra else values(inner)  # pyright: ignore[reportUnknownMemberType]
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: values(field.type) for field in fields})
        case inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=3).map(tuple)
        case inspect.UnionType(types=types):
            return st.one_of(*map(values, types))
        case inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(1 << 63), (1 << 63) - 1)
        case inspect.FloatType():
            return st.floats(allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return st.text(max_size=30)
        case _:
            raise NotImplementedError(f"the vocabulary has a type that this test does not know: {kind}")


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
events = {kind: values(inspect.type_info(kind)) for kind in KINDS}
facts = st.builds(Fact, names, st.integers(0, (1 << 63) - 1), st.sampled_from(KINDS).flatmap(events.__getitem__))


def test_every_fact_of_the_vocabulary_can_be_recorded_under_its_own_word():
    written = {
        thing
        for thing in vars(ev).values()
        if isinstance(thing, type) and issubclass(thing, Event) and thing is not Event
    }
    assert written == set(KINDS)
    assert len({kind_of(kind) for kind in KINDS}) == len(KINDS)


def test_no_fact_can_be_changed_after_it_was_recorded():
    assert all(kind.__struct_config__.frozen for kind in (*KINDS, ev.Message, ev.ToolCall, ev.Usage, ev.ChecklistItem))


@settings(max_examples=300, deadline=None)
@given(fact=facts)
def test_any_fact_survives_its_row(fact: Fact):
    [row] = CODEC.rows([fact])
    assert (row.agent, row.step, row.kind) == (fact.agent, fact.step, kind_of(type(fact.event)))
    assert CODEC.event(row.kind, row.body, dict(row.contents).__getitem__) == fact.event


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(facts, max_size=4), min_size=1, max_size=6))
def test_any_facts_survive_the_file(batches: list[list[Fact]]):
    async def record(path: Path) -> None:
        journal = SQLiteJournal.create(path, WallClock(), durability="off", inline=True)
        for batch in batches:
            await journal.append(batch)
        await journal.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        asyncio.run(record(path))
        with closing(open_reader(path)) as reader:
            found = [Fact(record.agent, record.step, record.event) for record in reader.records()]
            assert found == [fact for batch in batches for fact in batch]
            lost = [
                fact for fact in found if isinstance(fact.event, ev.FileCommitted) and fact.event.digest is not None
            ]
            assert ("is missing" in reader.verify().problem) == bool(lost)  # no file's content was given here
            for fact in found[:3]:
                own = reader.records(agent=fact.agent, kinds=[type(fact.event)])
                assert fact in [Fact(record.agent, record.step, record.event) for record in own]
