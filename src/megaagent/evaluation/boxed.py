"""The answer in `\\boxed{...}`, and the reference implementation's comparison of two answers of MATH as text.

The rule is that of `is_equiv` of the data set's authors (Hendrycks et al. 2021): both texts are brought into one form,
step by step in the order given here, and then compared letter by letter. `equivalence` is more lenient.
"""

from __future__ import annotations

import re

_BOXES = ("\\boxed", "\\fbox")


def last_boxed(text: str) -> str | None:
    """What is in the last `\\boxed{...}` (or `\\fbox{...}`, or after `\\boxed ` up to a `$`); braces may be nested."""
    for box in _BOXES:
        if (start := text.rfind(box)) >= 0:
            break
    else:
        return None
    rest = text[start + len(box) :]
    if rest[:1] == " " and not rest.lstrip().startswith("{"):  # \boxed 7
        return rest[1:].partition("$")[0].strip()
    depth = 0
    for place, letter in enumerate(rest):
        depth += (letter == "{") - (letter == "}")
        if letter == "}" and depth == 0:
            return rest[: place + 1].lstrip()[1:-1]
    return None


def same_text(one: str | None, other: str | None) -> bool:
    """Whether two answers are the same by the reference's rule."""
    if one is None or other is None:
        return False
    try:
        return normal(one) == normal(other)
    except ValueError:
        return one == other


def normal(text: str) -> str:
    """The form of an answer in which the reference compares it.

    Raises:
        ValueError: the reference's rule breaks down on this text; it then compares the texts as they are.
    """
    for was, becomes in (
        ("\n", ""),
        ("\\!", ""),
        ("\\\\", "\\"),
        ("tfrac", "frac"),
        ("dfrac", "frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("\\$", ""),
    ):
        text = text.replace(was, becomes)
    text = _without_unit(text)
    for was, becomes in (("\\%", ""), ("%", ""), (" .", " 0."), ("{.", "{0.")):
        text = text.replace(was, becomes)
    if not text:
        return text
    text = "0" + text if text.startswith(".") else text
    left, equals, right = text.partition("=")
    text = right if equals and "=" not in right and len(left) <= 2 else text
    text = _with_braces_after_sqrt(text).replace(" ", "")
    text = _with_braces_after_frac(text)
    text = "\\frac{1}{2}" if text == "0.5" else text
    return _as_fraction(text)


def _without_unit(text: str) -> str:
    first, *more = text.split("\\text{ ")
    if len(more) > 1:
        raise ValueError("two units")
    return first


def _with_braces_after_sqrt(text: str) -> str:
    first, *others = text.split("\\sqrt")
    if not all(others):
        raise ValueError("a root of nothing")
    return first + "".join("\\sqrt" + (rest if rest[0] == "{" else f"{{{rest[0]}}}{rest[1:]}") for rest in others)


def _with_braces_after_frac(text: str) -> str:
    first, *others = text.split("\\frac")
    done = first
    for rest in others:
        if not rest:
            raise ValueError("a fraction of nothing")
        if rest[0] == "{":
            done += "\\frac" + rest
        elif len(rest) < 2:
            return text
        elif rest[1] == "{":
            done += f"\\frac{{{rest[0]}}}{rest[1:]}"
        else:
            done += f"\\frac{{{rest[0]}}}{{{rest[1]}}}{rest[2:]}"
    return done


def _as_fraction(text: str) -> str:
    """`3/4` as `\\frac{3}{4}`; only whole numbers written plainly."""
    found = re.fullmatch(r"(0|-?[1-9][0-9]*)/(0|-?[1-9][0-9]*)", text, re.ASCII)
    return f"\\frac{{{found[1]}}}{{{found[2]}}}" if found else text
