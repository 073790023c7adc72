"""Writes a golden journal: one fact of every kind that no golden journal has yet, with every field set.

    python tests/journal/make_golden.py NAME

The name begins with the version of the schema: `v1`, and `v1-approvals` for kinds that came later. Run once, when kinds
were added; the files are then never written again.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import typing
from contextlib import closing
from pathlib import Path

import msgspec

from megaagent import events as ev
from megaagent.events import AnyEvent, Fact
from megaagent.journal import SQLiteJournal, open_reader

FOLDER = Path(__file__).parent / "golden"
LONG = "A body that is too long for its row, é 中 🐍. " * 40
CONTENT = b"print('golden')\n"


class Ticking:
    """A clock that shows the same times whenever the file is made."""

    def __init__(self) -> None:
        self._time = 1_700_000_000.0

    def now(self) -> float:
        self._time += 0.25
        return self._time

    def real_program(self) -> typing.Any:
        raise NotImplementedError("no program is run here")


def sample(kind: type[ev.Event], body: str) -> AnyEvent:
    """An event with something in every field, and `body` in the long ones."""
    return msgspec.convert(_value("", msgspec.inspect.type_info(kind), body), AnyEvent)  # type: ignore[arg-type]


def _value(name: str, kind: msgspec.inspect.Type, body: str) -> object:
    match kind:
        case msgspec.inspect.Metadata(type=inner, extra=None):
            return _value(name, inner, body)
        case msgspec.inspect.Metadata():
            return body
        case msgspec.inspect.StructType(fields=fields, tag=tag):
            values = {field.name: _value(field.name, field.type, body) for field in fields}
            return values if tag is None else {**values, "kind": tag}
        case msgspec.inspect.VarTupleType(item_type=item):
            return [_value(name, item, body), _value(name, item, "short")]
        case msgspec.inspect.UnionType(types=types):
            return _value(name, next(t for t in types if not isinstance(t, msgspec.inspect.NoneType)), body)
        case msgspec.inspect.LiteralType(values=values):
            return values[-1]
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.IntType():
            return len(name) + 1
        case msgspec.inspect.FloatType():
            return len(name) + 0.5
        case _ if name == "digest":
            return hashlib.sha256(CONTENT).hexdigest()
        case _:
            return f"the {name}"


def kept() -> set[str]:
    """The kinds that golden journals have."""
    lines = (line for path in FOLDER.glob("*.jsonl") for line in path.read_bytes().splitlines())
    return {msgspec.json.decode(line)["event"]["kind"] for line in lines}


async def write(name: str) -> None:
    path = FOLDER / f"{name}.db"
    there = kept()
    journal = SQLiteJournal.create(path, Ticking(), inline=True)
    for step, kind in enumerate(kind for kind in typing.get_args(AnyEvent) if kind.__name__ not in there):
        facts = [Fact("boss" if step % 2 else "boss/worker", step, sample(kind, body)) for body in ("short", LONG)]
        await journal.append(facts, [CONTENT] if kind is ev.FileCommitted else [])
    await journal.snapshot("state", journal.position, b"a reading of it all")
    await journal.close()
    path.with_suffix(".lock").unlink()
    with closing(open_reader(path)) as reader:
        lines = [msgspec.json.encode(record, order="deterministic") for record in reader.records()]
    path.with_suffix(".jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
