"""Answers of MATH in one notation: what is written in many ways and says the same, or says nothing, is made one."""

from __future__ import annotations

import re

# Units by their words; in `\\text{}` any words behind a number are units.
_UNITS = (
    "cm|mm|km|m|in|ft|yd|mi|kg|g|lb|oz|ml|mL|L|mph|kph|USD|inch(?:es)?|feet|foot|yards?|units?|miles?|meters?|metres?|"
    "centimeters?|kilometers?|minutes?|mins?|hours?|hrs?|seconds?|secs?|days?|weeks?|months?|years?|dollars?|cents?|"
    "degrees?|percent(?:age)?|pct|people|ways|points?"
)
_TEXT = r"\\(?:text|mbox|textnormal|textbf|textit|textrm|mathrm|mathbf|operatorname)"
_SPACE = r"(?:\s|~|\\[!,;: ]|\\q?quad)"
_UNIT = re.compile(
    rf"(?<=[\d)}}a-zA-Z])(?:{_SPACE}*{_TEXT}\s*\{{{_SPACE}*(?!(?:and|or)\b)[^{{}}\d]*\}}|"
    rf"(?<=[\d)}}]){_SPACE}*(?:square\s+|cubic\s+)?(?:{_UNITS})(?:\s*/\s*(?:{_UNITS})|\s+per\s+(?:{_UNITS}))?\.?)"
    rf"{_SPACE}*(?:\^\{{?[23]\}}?)?$"
)
_CLOCK = re.compile(r"\d{1,2}\s*(?:\\!)?:(?:\\!)?\s*\d{2}")
_DROPPED = re.compile(
    r"\\left(?![a-z])|\\right(?![a-z])|\\[bB]igg?[lr]?(?![a-z])|\\(?:displaystyle|limits|quad|qquad)(?![a-z])"
    r"|\\[!,;: ]|\\\$|\$|\\[()\[\]]|\\?%|~|\{,\}"
)
_DEGREES = re.compile(r"\^\{?\\circ\}?|\\degree(?![a-z])|°")
_ANGLE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_WRAPPED = re.compile(rf"{_TEXT}\s*\{{\s*([-+.,\d]+)\s*\}}")
_THOUSANDS = re.compile(r"(?<=\d)(?:,\\!\s*|\{,\}\s*)(?=\d{3})")
_BOLD = re.compile(r"\\(?:mathbf|boldsymbol)\s*\{([^{}]*)\}")
_NAMED = re.compile(
    r"^\s*(?:[a-zA-Z](?:_\{?\w+\}?)?|[A-Z]{2,3}|[a-zA-Z]\([a-z]\)|\([a-z](?:\s*,\s*[a-z])+\))\s*"
    r"(?:=|\\in(?![a-z])|\\approx(?![a-z])|≈)\s*(?=\S)(?!.*=)"
)
_AS = (
    ("−", "-"),
    ("\\dfrac", "\\frac"),
    ("\\tfrac", "\\frac"),
    ("\\ne ", "\\neq "),
    ("\\leq", "\\le"),
    ("\\geq", "\\ge"),
    ("<=", "\\le "),
    (">=", "\\ge "),
    ("≤", "\\le "),
    ("≥", "\\ge "),
    ("\\lt", "<"),
    ("\\gt", ">"),
    ("\\varnothing", "\\emptyset"),
    ("\\mathbb{R}", "(-\\infty,\\infty)"),
)


def plain(text: str) -> str:
    """The answer without what says nothing: sizes of brackets, spaces, units, signs of degrees, money and percent.

    Braces that are written become ⟨ and ⟩, ends of a matrix's rows ⏎, and degrees ° where an angle function needs them.
    """
    for was, becomes in _AS:
        text = text.replace(was, becomes)
    text = re.sub(r"\\(?:lbrace|\{)", "⟨", text)
    text = re.sub(r"\\(?:rbrace|\})", "⟩", text)
    text = text.replace("\\\\", "⏎" if "\\begin" in text else "\\")
    text = re.sub(r"^\s*\\approx(?![a-z])", "", text)
    text = _WRAPPED.sub(r"\1", _BOLD.sub(r"\1", text))
    text = _THOUSANDS.sub("", _unbraced(text.strip().rstrip(".")))
    text = text if _CLOCK.search(text) else _UNIT.sub("", text)
    text = _DEGREES.sub("°" if _ANGLE.search(text) else "", text)
    text = _DROPPED.sub(lambda found: "" if found[0] not in ("\\ ", "~") else " ", text)
    return re.sub(r"\s+", " ", text).strip().rstrip(".,;")


def _unbraced(text: str) -> str:
    """The text without braces around all of it, which LaTeX does not show."""
    if not text.startswith("{") or not text.endswith("}"):
        return text
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0 and place < len(text) - 1:
            return text
    return text[1:-1].strip()


def unnamed(text: str) -> str:
    """A plain answer without the name that it is given: `x = 5`, `f(x) = 5`, `(x,y) = (1,2)`, `x \\in [1,2]`."""
    return _NAMED.sub("", text, count=1)


_RELATION = re.compile(r"(=|\\le(?![a-z])|\\ge(?![a-z])|\\neq(?![a-z])|\\approx(?![a-z])|<|>)")
_TURNED = {">": "<", "\\ge": "\\le"}


def relation(text: str) -> tuple[list[str], list[str]]:
    """The sides of equations and inequalities, and the signs between them, so that none is > or ≥ without a < or ≤."""
    cut = _RELATION.split(text)
    sides, signs = [part.strip() for part in cut[::2]], cut[1::2]
    if signs and all(sign in _TURNED for sign in signs):
        return sides[::-1], [_TURNED[sign] for sign in reversed(signs)]
    return sides, signs


def interval_of(text: str) -> str | None:
    """The interval that inequalities of one variable describe: `1 \\le x < 2` is [1,2); None of anything else."""
    sides, signs = relation(text)
    if not signs or not all(sign in ("<", "\\le") for sign in signs):
        return None
    opens, closes = ("(", "[")[signs[0] == "\\le"], (")", "]")[signs[-1] == "\\le"]
    is_name = [re.fullmatch(r"[a-z]|\\(?:theta|alpha|beta|lambda)", side) is not None for side in sides]
    match is_name:
        case [False, True, False]:
            return f"{opens}{sides[0]},{sides[2]}{closes}"
        case [True, False]:
            return f"(-\\infty,{sides[1]}{closes}"
        case [False, True]:
            return f"{opens}{sides[0]},\\infty)"
        case _:
            return None


def words(text: str) -> str:
    """Words as they are said: no case, no signs, no `\\text`."""
    said = re.sub(rf"{_TEXT}\s*\{{([^{{}}]*)\}}", r"\1", text)
    said = re.sub(r"(?i)(?<![a-z])([ap])\.\s*m(?![a-z])\.?", r"\1m", said)
    if not re.search(r"[^\W\d_]|:", said):
        return ""  # numbers without their brackets and commas would be other numbers
    return re.sub(r"[^\w+\-*/^=<>|.:,]|(?<!\d),|,(?!\d)", "", said.replace(" ", "")).casefold()


def listed_words(text: str) -> str:
    """`\\text{A, B}` as `\\text{A}, \\text{B}`; any other text as it is."""
    found = re.fullmatch(rf"({_TEXT})\s*\{{([^{{}}]*,[^{{}}]*)\}}", text)
    return ", ".join(f"{found[1]}{{{part.strip()}}}" for part in found[2].split(",")) if found else text
