"""Whether two answers of MATH say the same, though they are written differently.

Answers are read as numbers and expressions, tuples, intervals and their unions, sets and lists, matrices, equations, or
words. Expressions are compared exactly where they are rational, otherwise by their values at a few points.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

from megaagent.evaluation.arithmetic import Number, floating
from megaagent.evaluation.boxed import same_text
from megaagent.evaluation.expressions import Expression, Unreadable
from megaagent.evaluation.notation import interval_of, listed_words, plain, relation, unnamed, words

_CLOSE = 1e-9  # relative: 0.333333 is not a third
_POINTS = (0.7371 + 0j, 1.6180 + 0j, 2.2360 + 0j)  # where expressions with variables are compared
_BELOW = -1.3247 + 0j  # and where both are real, so that |x| is not x
_LONGEST = 2_000  # characters
_MOST_PARTS = 60  # of a list, whose order does not matter


def equivalent(said: str, right: str) -> bool:
    """Whether an answer says the same as the right one."""
    if same_text(said, right):
        return True
    if max(len(said), len(right)) > _LONGEST:
        return False
    one, other = plain(said), plain(right)
    if not one or not other:
        return False
    return _as_relations(one, other) is True or _same(unnamed(one), unnamed(other))


# -- structure --------------------------------------------------------------------------------------------------------


def _same(one: str, other: str) -> bool:
    for compare in _WAYS:
        if (answer := compare(one, other)) is not None:
            return answer
    return False


def _as_unions(one: str, other: str) -> bool | None:
    parts, others = re.split(r"\\cup(?![a-z])|∪", one), re.split(r"\\cup(?![a-z])|∪", other)
    if len(parts) == len(others) == 1:
        return None
    return _unordered([part.strip() for part in parts], [part.strip() for part in others])


def _as_matrices(one: str, other: str) -> bool | None:
    found = [re.fullmatch(r"\\begin\{([pbvB]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", t) for t in (one, other)]
    if not any(found):
        return None
    if not all(found):
        return False
    first, second = ([row.split("&") for row in match[2].split("⏎")] for match in found if match)
    first, second = ([row for row in rows if any(cell.strip() for cell in row)] for rows in (first, second))
    return [len(row) for row in first] == [len(row) for row in second] and all(
        _same(a.strip(), b.strip()) for rows in zip(first, second, strict=True) for a, b in zip(*rows, strict=True)
    )


def _as_sets(one: str, other: str) -> bool | None:
    sets = [text.startswith("⟨") and text.endswith("⟩") for text in (one, other)]
    if not any(sets):
        return None
    return _unordered(
        *(_alternatives(text[1:-1] if braced else text) for text, braced in zip((one, other), sets, strict=True))
    )


def _as_brackets(one: str, other: str) -> bool | None:
    """Tuples and intervals: the same brackets, and part for part the same."""
    one, other = (_tuple_or_interval(*pair) for pair in ((one, other), (other, one)))
    inside = [_bracketed(text) for text in (one, other)]
    if not all(inside):
        return None if not any(inside) or any(len(_parts(text)) == 1 for text in (one, other)) else False
    parts = [_parts(text[1:-1]) for text in (one, other)]
    if any(len(part) < 2 for part in parts):
        return None
    ends = (one[0] + one[-1], other[0] + other[-1])
    return ends[0] == ends[1] and _in_order(*parts)


def _tuple_or_interval(text: str, other: str) -> str:
    """Inequalities as an interval, and named coordinates as a tuple, when the other answer is one."""
    if not _bracketed(other):
        return text
    found = [re.fullmatch(r"([a-z])\s*=\s*(.+)", part) for part in _parts(text)]
    names = [match[1] for match in found if match]
    if len(found) == len(names) > 1 and sorted(set(names)) == names:
        return f"({','.join(match[2] for match in found if match)})"
    return interval_of(text) or text


def _as_lists(one: str, other: str) -> bool | None:
    parts = [_alternatives(listed_words(text)) for text in (one, other)]
    if any(len(part) > 1 for part in parts):
        return _unordered(*parts)
    return None


def _as_relations(one: str, other: str) -> bool | None:
    """Equations are the same when one is a multiple of the other, inequalities when one is a positive multiple."""
    (sides, signs), (others, other_signs) = relation(one), relation(other)
    if not signs and not other_signs:
        return None
    if not signs or not other_signs:
        return _is_a_side(one, others) if signs == [] else _is_a_side(other, sides)
    if signs != other_signs:
        return False
    if len(signs) == 1 and signs != ["\\approx"]:
        ratio = _ratio(f"({sides[0]})-({sides[1]})", f"({others[0]})-({others[1]})")
        if ratio is not None:
            return signs[0] in ("=", "\\neq") or (abs(ratio.imag) < _CLOSE and ratio.real > 0)
    return _in_order(sides, others)


def _is_a_side(text: str, sides: Sequence[str]) -> bool:
    """Whether it is one of the sides of `0.5 = 50\\%`, which gives one number in two ways."""
    try:
        numbers = all(not Expression(_digits(side)).variables for side in sides)
    except Unreadable:
        return False
    return numbers and any(_same(text, side) for side in sides)


def _as_expressions(one: str, other: str) -> bool | None:
    bases = {found[1] for text in (one, other) if (found := _BASE.search(text))}
    if len(bases) > 1:
        return False
    if _POINTS_NAMED.fullmatch(one) or _POINTS_NAMED.fullmatch(other):
        return _as_words(one, other)  # ABCD is no product: it is not BADC
    try:
        first, second = Expression(_digits(one)), Expression(_digits(other))
    except Unreadable:
        return None
    if first.variables != second.variables and not (first.variables and second.variables):
        return _as_words(one, other)
    return _equal_everywhere(first, second)


def _as_words(one: str, other: str) -> bool | None:
    first, second = words(one), words(other)
    return bool(first) and first == second


_WAYS: tuple[Callable[[str, str], bool | None], ...] = (
    _as_unions,
    _as_matrices,
    _as_sets,
    _as_brackets,
    _as_lists,
    _as_relations,
    _as_expressions,
    _as_words,
)


def _bracketed(text: str) -> bool:
    """Whether one pair of brackets holds everything."""
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]":
        return False
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "([{⟨") - (letter in ")]}⟩")
        if depth == 0 and place < len(text) - 1:
            return False
    return depth == 0


_AND = re.compile(
    r"\\(?:text|mbox)\s*\{\s*,?\s*(?:and|or)\s*\}|\s(?:and|or)\s|(?<=[\d)\]])\s*(?:and|or)\s*(?=[-\d(\[])"
)


def _parts(text: str) -> list[str]:
    """What commas outside of brackets, `and` and `or` divide; commas of thousands divide nothing."""
    text = _AND.sub(",", text)
    if re.fullmatch(r"-?\s*\d{1,3}(,\d{3})+(\.\d+)?", text.strip()):
        return [text.strip()]
    parts: list[str] = []
    depth = start = 0
    for place, letter in enumerate(text):
        depth += (letter in "([{⟨") - (letter in ")]}⟩")
        if letter in ",;" and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def _alternatives(text: str) -> list[str]:
    """The members of a list, in which `a ± b` is two."""
    found: list[str] = []
    for part in _parts(unnamed(text)):
        part = unnamed(part)
        if re.search(r"\\pm(?![a-z])|±", part):
            found += [re.sub(r"\\pm(?![a-z])|±", sign, part) for sign in "+-"]
        else:
            found.append(part)
    return found


def _in_order(one: Sequence[str], other: Sequence[str]) -> bool:
    return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))


def _unordered(one: Sequence[str], other: Sequence[str]) -> bool:
    left = list(other)
    if len(one) != len(left) or len(left) > _MOST_PARTS:
        return False
    for part in one:
        match = next((candidate for candidate in left if _same(part, candidate)), None)
        if match is None:
            return False
        left.remove(match)
    return True


# -- words and numbers ------------------------------------------------------------------------------------------------


_POINTS_NAMED = re.compile(r"[A-Z]{2,}")
_BASE = re.compile(r"(?<=[\dA-Z])_\{?(\d+)\}?$")


def _digits(text: str) -> str:
    """The text as an expression: no commas of thousands, no base at the end, words as they are."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = _BASE.sub("", text)
    return text.replace("⟨", "{").replace("⟩", "}")


def _equal_everywhere(one: Expression, other: Expression) -> bool:
    names = sorted(one.variables | other.variables)
    seen = 0
    for point in _points_for(names):
        try:
            first, second = one.at(point), other.at(point)
        except Unreadable:
            continue
        if not close(first, second):
            return False
        seen += 1
    return seen > 0 and _equal_below(one, other, names)


def _equal_below(one: Expression, other: Expression, names: Sequence[str]) -> bool:
    """Whether they are equal at a negative point too, if both have a real value there."""
    try:
        values = [each.at(dict.fromkeys(names, _BELOW)) for each in (one, other)]
    except Unreadable:
        return True
    first, second = map(floating, values)
    return bool(first.imag or second.imag) or close(first, second)


def _ratio(left: str, right: str) -> complex | None:
    """How many times the second expression the first one is, everywhere; None when it is not, or one is nothing."""
    try:
        one, other = Expression(_digits(left)), Expression(_digits(right))
    except Unreadable:
        return None
    if one.variables != other.variables:
        return None
    ratio: complex | None = None
    for point in _points_for(sorted(one.variables)):
        try:
            first, second = floating(one.at(point)), floating(other.at(point))
        except Unreadable:
            continue
        if not first or not second or (ratio is not None and not close(first / second, ratio)):
            return None
        ratio = first / second
    return ratio


def _points_for(names: Sequence[str]) -> list[dict[str, complex]]:
    if not names:
        return [{}]
    if len(names) <= 2:
        return [dict(zip(names, values, strict=True)) for values in product(_POINTS, repeat=len(names))]
    shifts = range(4)
    return [{name: 0.6 + math.sqrt(2 + 3 * place + 7 * shift) for place, name in enumerate(names)} for shift in shifts]


def close(one: Number, other: Number) -> bool:
    """Whether two numbers are one, for all that floating point can tell."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return one == other
    first, second = floating(one), floating(other)
    if cmath.isinf(first) or cmath.isinf(second):
        return first.real == second.real
    return cmath.isclose(first, second, rel_tol=_CLOSE, abs_tol=1e-12)
