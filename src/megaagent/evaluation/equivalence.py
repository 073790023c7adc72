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

from megaagent.evaluation.boxed import same_text
from megaagent.evaluation.expressions import Expression, Number, Unreadable

_CLOSE = 1e-9  # relative: 0.333333 is not a third
_POINTS = (0.7371 + 0j, 1.6180 + 0j, 2.2360 + 0j)  # where expressions with variables are compared
_LONGEST = 2_000  # characters
_MOST_PARTS = 60  # of a list, whose order does not matter


def equivalent(said: str, right: str) -> bool:
    """Whether an answer says the same as the right one."""
    if same_text(said, right):
        return True
    if max(len(said), len(right)) > _LONGEST:
        return False
    one, other = plain(said), plain(right)
    return bool(one) and bool(other) and _same(one, other)


# -- one form for what is written in many ways ------------------------------------------------------------------------

_DROPPED = re.compile(
    r"\\left(?![a-z])|\\right(?![a-z])|\\[bB]igg?[lr]?(?![a-z])|\\(?:displaystyle|limits|quad|qquad)(?![a-z])"
    r"|\\[!,;: ]|\\\$|\$|\\[()\[\]]|\^\{?\\circ\}?|\\degree|°|\\?%|~|\{,\}"
)
_WORDS = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}")
_UNIT = re.compile(
    r"(?<=[\d)}])\s*(?:\\(?:text|mbox|textbf|textit|textrm|mathrm)\s*\{\s*[^{}\d]*\}|(?:\s(?:cm|mm|km|m|in|ft|kg|g|"
    r"inches|feet|units?|square units|miles|meters|minutes|hours|seconds|days|years|dollars|cents|degrees))\.?)"
    r"\s*(?:\^\{?[23]\}?)?$"
)
_NAMED = re.compile(r"^\s*(?:[a-zA-Z](?:_\{?\w+\}?)?|[a-zA-Z]\([a-z]\))\s*(?:=|\\in(?![a-z]))\s*(?=\S)(?!.*=)")


def plain(text: str) -> str:
    """The answer without what says nothing: sizes of brackets, spaces, units, signs of degrees, money and percent."""
    text = text.replace("−", "-").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = text.replace("\\ne ", "\\neq ").replace("\\leq", "\\le").replace("\\geq", "\\ge")
    text = re.sub(r"\\(?:lbrace|\{)", "⟨", text)
    text = re.sub(r"\\(?:rbrace|\})", "⟩", text)
    text = text.replace("\\\\", "⏎" if "\\begin" in text else "\\")
    text = _UNIT.sub("", text.strip().rstrip("."))
    text = _DROPPED.sub(lambda found: "" if found[0] not in ("\\ ", "~") else " ", text)
    return re.sub(r"\s+", " ", _NAMED.sub("", text, count=1)).strip().rstrip(".,;")


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
        *(_parts(text[1:-1] if braced else text) for text, braced in zip((one, other), sets, strict=True))
    )


def _as_brackets(one: str, other: str) -> bool | None:
    """Tuples and intervals: the same brackets, and part for part the same."""
    inside = [_bracketed(text) for text in (one, other)]
    if not all(inside):
        return None if not any(inside) or any(len(_parts(text)) == 1 for text in (one, other)) else False
    parts = [_parts(text[1:-1]) for text in (one, other)]
    if any(len(part) < 2 for part in parts):
        return None
    ends = (one[0] + one[-1], other[0] + other[-1])
    return ends[0] == ends[1] and _in_order(*parts)


def _as_lists(one: str, other: str) -> bool | None:
    parts = [_alternatives(text) for text in (one, other)]
    if any(len(part) > 1 for part in parts):
        return _unordered(*parts)
    return None


def _as_relations(one: str, other: str) -> bool | None:
    """Equations are the same when one is a multiple of the other; other relations when both sides are the same."""
    cuts = [re.split(r"(=|\\le(?![a-z])|\\ge(?![a-z])|\\neq|<|>)", text) for text in (one, other)]
    if all(len(cut) == 1 for cut in cuts):
        return None
    if any(len(cut) < 3 for cut in cuts) or cuts[0][1::2] != cuts[1][1::2]:
        return False
    if all(len(cut) == 3 and cut[1] == "=" for cut in cuts):
        left, right = (f"({cut[0]})-({cut[2]})" for cut in cuts)
        return _proportional(left, right)
    return _in_order(*([part.strip() for part in cut[::2]] for cut in cuts))


def _as_expressions(one: str, other: str) -> bool | None:
    try:
        first, second = Expression(_digits(one)), Expression(_digits(other))
    except Unreadable:
        return None
    if first.variables != second.variables and not (first.variables and second.variables):
        return _as_words(one, other)
    return _equal_everywhere(first, second)


def _as_words(one: str, other: str) -> bool | None:
    first, second = _letters(one), _letters(other)
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


def _parts(text: str) -> list[str]:
    """What commas outside of brackets, `and` and `or` divide; commas of thousands divide nothing."""
    text = re.sub(r"\\(?:text|mbox)\s*\{\s*,?\s*(?:and|or)\s*\}|\s(?:and|or)\s", ",", text)
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
    for part in _parts(_NAMED.sub("", text, count=1)):
        part = _NAMED.sub("", part, count=1)
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


def _digits(text: str) -> str:
    """The text as an expression: no commas of thousands, no base at the end, words as they are."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d)_\{?\d+\}?$", "", text)
    return text.replace("⟨", "{").replace("⟩", "}")


def _letters(text: str) -> str:
    """Words as they are said: no case, no signs, no `\\text`."""
    return re.sub(r"[^\w+\-*/^=<>|.]", "", _WORDS.sub(r"\1", text)).casefold()


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
    return seen > 0


def _proportional(left: str, right: str) -> bool:
    """Whether one expression is a constant multiple of the other, and neither is always nothing."""
    try:
        one, other = Expression(_digits(left)), Expression(_digits(right))
    except Unreadable:
        return _letters(left) == _letters(right)
    if one.variables != other.variables:
        return False
    ratio: complex | None = None
    for point in _points_for(sorted(one.variables)):
        try:
            first, second = complex(one.at(point)), complex(other.at(point))
        except Unreadable:
            continue
        if not first or not second:
            return False
        if ratio is not None and not close(first / second, ratio):
            return False
        ratio = first / second
    return ratio is not None


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
    first, second = complex(one), complex(other)
    if cmath.isinf(first) or cmath.isinf(second):
        return first.real == second.real
    return cmath.isclose(first, second, rel_tol=_CLOSE, abs_tol=1e-12)
