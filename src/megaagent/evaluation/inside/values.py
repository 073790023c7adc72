"""Values as JSON: how a solution's results reach the tests as plain data, which cannot pretend to be equal to anything.

Stands alone: `megaagent.evaluation.programs` puts it before the text of either side.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, ItemsView, Iterator, KeysView
from decimal import Decimal
from fractions import Fraction
from typing import Any

MOST_YIELDED = 10_000  # items of an iterator that are handed over
_SEQUENCES: tuple[tuple[type, str], ...] = ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "z"))


def pack(value: Any, keep: Callable[[Any], int]) -> Any:
    """The value as what JSON can carry; `keep` gives a number to what has to stay where it is."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return ["i", hex(value)]
    if isinstance(value, float):
        return ["f", float(value).hex()]
    if isinstance(value, complex):
        return ["c", value.real.hex(), value.imag.hex()]
    if isinstance(value, bytes | bytearray):
        return ["b" if isinstance(value, bytes) else "B", bytes(value).hex()]
    for kind, tag in _SEQUENCES:
        if isinstance(value, kind):
            return [tag, [pack(each, keep) for each in value]]
    if isinstance(value, dict):
        return ["d", [[pack(key, keep), pack(each, keep)] for key, each in value.items()]]
    return _pack_rarer(value, keep)


def _pack_rarer(value: Any, keep: Callable[[Any], int]) -> Any:
    if isinstance(value, deque):
        return ["q", [pack(each, keep) for each in value], value.maxlen]
    if isinstance(value, range):
        return ["r", value.start, value.stop, value.step]
    if isinstance(value, KeysView | ItemsView):  # they compare as sets do
        return ["s", [pack(each, keep) for each in value]]
    if isinstance(value, Fraction):
        return ["F", hex(value.numerator), hex(value.denominator)]
    if isinstance(value, Decimal):
        return ["D", str(value)]
    if isinstance(value, Iterator):
        return ["g", [pack(each, keep) for each in itertools.islice(value, MOST_YIELDED)]]
    return ["o", keep(value), type(value).__name__]


def unpack(data: Any, kept: Callable[[int, str], Any]) -> Any:
    """The value that was packed; `kept` stands in for what stayed on the other side."""
    if not isinstance(data, list):
        if data is None or isinstance(data, bool | str):
            return data
        raise ValueError("not a packed value")
    tag, *rest = data
    if tag in _PLAIN:
        return _PLAIN[tag](*rest)
    if tag == "o":
        return kept(int(rest[0]), str(rest[1]))
    if tag == "d":
        return {unpack(key, kept): unpack(each, kept) for key, each in rest[0]}
    items = [unpack(each, kept) for each in rest[0]]
    return deque(items, rest[1]) if tag == "q" else _BUILT[tag](items)


_PLAIN: dict[str, Callable[..., Any]] = {
    "i": lambda text: int(text, 16),
    "f": float.fromhex,
    "c": lambda real, imag: complex(float.fromhex(real), float.fromhex(imag)),
    "b": bytes.fromhex,
    "B": bytearray.fromhex,
    "r": range,
    "F": lambda above, below: Fraction(int(above, 16), int(below, 16)),
    "D": Decimal,
}
_BUILT: dict[str, Callable[[list[Any]], Any]] = {"l": list, "t": tuple, "s": set, "z": frozenset, "g": iter}
