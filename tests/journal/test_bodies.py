"""Long bodies leave the row and come back, whatever is in them."""

from __future__ import annotations

import typing

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from megaagent import events as ev
from megaagent.events import AnyEvent, Fact
from megaagent.journal.bodies import LONGEST, MARKER
from megaagent.journal.codec import Codec

CODEC = Codec()

hostile = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.sampled_from(list('\0\x1a"\\é中🐍\u2028')), max_size=20).map(lambda text: text * 90),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80).map(lambda text: MARKER + text),
    st.integers(LONGEST // 4 - 2, LONGEST + 2).map(lambda size: "é" * (size // 2) + "x" * (size % 2)),
    st.integers(LONGEST - 2, LONGEST + 2).map(lambda size: "x" * size),
    st.sampled_from(["", MARKER, MARKER + "0" * 64, MARKER[:-1], '{"kind":"NoteShared"}']),
)


@given(text=hostile, arguments=st.lists(hostile, max_size=3))
@example(text=MARKER + "0" * 64, arguments=[])
def test_every_text_comes_back(text: str, arguments: list[str]):
    calls = tuple(ev.ToolCall(str(n), "write_file", argument) for n, argument in enumerate(arguments))
    event = ev.ModelAnswered("boss#1", text=text, calls=calls, reasoning=text)
    [row] = CODEC.rows([Fact("boss", 1, event)])
    contents = dict(row.contents)
    assert CODEC.event(row.kind, row.body, contents.__getitem__) == event
    assert all(len(data) > LONGEST or data.decode().startswith(MARKER) for data in contents.values())


@given(text=hostile)
def test_a_row_stays_short(text: str):
    [row] = CODEC.rows([Fact("boss", 1, ev.MessageSent(ev.Message("boss#1.0", "boss", ("boss/a",), text)))])
    lean = CODEC.event(row.kind, row.body)
    assert isinstance(lean, ev.MessageSent)
    assert len(lean.message.text.encode()) <= LONGEST
    assert (lean.message.text == text) == (not row.contents)


def test_equal_bodies_have_one_content():
    text = "the same text " * 200
    rows = CODEC.rows([Fact("boss", 1, ev.NoteShared(text)), Fact("boss", 1, ev.ToolReturned(0, "1", "talk", text))])
    assert len({digest for row in rows for digest, _ in row.contents}) == 1


def test_the_same_fact_is_always_the_same_bytes():
    fact = Fact("boss", 1, ev.ModelAnswered("boss#1", text="hi", usage=ev.Usage(3, 4)))
    assert CODEC.rows([fact]) == Codec().rows([fact])


def test_every_body_of_every_event_can_leave_its_row():
    """No body is missed because of where it stands in its event."""
    long = "x" * (LONGEST + 1)
    for kind in typing.get_args(AnyEvent):
        event = filled(kind, long)
        [row] = CODEC.rows([Fact("boss", 1, event)])
        assert len(row.body) < 20 * LONGEST
        assert long.encode() not in row.body, kind
        assert CODEC.event(row.kind, row.body, dict(row.contents).__getitem__) == event


def filled(kind: type[ev.Event], body: str) -> AnyEvent:
    """An event with that text in each of its bodies, and something plausible in every other field."""
    return msgspec.convert(_value(msgspec.inspect.type_info(kind), body), AnyEvent)  # type: ignore[arg-type]


def _value(kind: msgspec.inspect.Type, body: str) -> object:
    match kind:
        case msgspec.inspect.Metadata(type=inner, extra=None):
            return _value(inner, body)
        case msgspec.inspect.Metadata():
            return body
        case msgspec.inspect.StructType(fields=fields, tag=tag):
            values = {field.name: _value(field.type, body) for field in fields}
            return values if tag is None else {**values, "kind": tag}
        case msgspec.inspect.VarTupleType(item_type=item):
            return [_value(item, body)] * 2
        case msgspec.inspect.UnionType(types=types):
            return _value(next(t for t in types if not isinstance(t, msgspec.inspect.NoneType)), body)
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.IntType():
            return 7
        case msgspec.inspect.FloatType():
            return 1.5
        case _:
            return "word"
