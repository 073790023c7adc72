"""Mathematical expressions as LaTeX or plain text have them, and what they are worth.

Numbers stay exact as long as they are rational; beyond that they are complex floating point. Everything is bounded,
since what is read was written by a model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from megaagent.errors import MegaAgentError
from megaagent.evaluation.arithmetic import (
    CONSTANTS,
    FUNCTIONS,
    ROUNDED,
    Number,
    Value,
    applied,
    constant,
    factorial,
    joined,
    size,
)

LONGEST = 2_000  # characters
DEEPEST = 60  # nestings


class Unreadable(MegaAgentError):
    """The text is no expression that is understood here, or it has no value."""


class Expression:
    """A parsed expression.

    Raises:
        Unreadable: the text is none.
    """

    def __init__(self, text: str):
        if len(text) > LONGEST:
            raise Unreadable("too long")
        self.variables: set[str] = set()
        self._tokens = _tokens(text)
        self._place = 0
        self._depth = 0
        self._bars = 0
        self._value = self._sum()
        if self._place < len(self._tokens):
            raise Unreadable(f"{self._tokens[self._place]!r} was not expected")

    def at(self, point: Mapping[str, complex]) -> Number:
        """What it is worth when its variables have these values.

        Raises:
            Unreadable: it has no value there, or none that fits.
        """
        try:
            return self._value(point)
        except (ZeroDivisionError, OverflowError, ValueError) as error:
            raise Unreadable(str(error)) from error

    # -- grammar ------------------------------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        token = self._peek()
        if not token or (wanted and token not in wanted):
            raise Unreadable(f"{token or 'the end'!r} was not expected")
        self._place += 1
        return token

    def _sum(self) -> Value:
        value = self._product()
        while self._peek() in ("+", "-"):
            value = joined(self._take(), value, self._product())
        return value

    def _product(self) -> Value:
        value = self._signed()
        while True:
            if self._peek() in ("*", "/"):
                value = joined(self._take(), value, self._signed())
            elif self._begins_atom():
                value = joined("*", value, self._power())
            else:
                return value

    def _begins_atom(self) -> bool:
        token = self._peek()
        if token == "|":
            return self._bars == 0
        return bool(token) and token not in _CLOSING and (token[0].isalnum() or token[0] in "\\({." or token == "∞")

    def _signed(self) -> Value:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        value = self._power()
        return value if sign > 0 else joined("*", constant(Fraction(-1)), value)

    def _power(self) -> Value:
        value = self._atom()
        while self._peek() == "!":
            self._take()
            value = applied(factorial, value)
        if self._peek() == "°":
            self._take()
            value = joined("*", value, constant(math.pi / 180))
        if self._peek() == "^":
            self._take()
            value = joined("^", value, self._signed() if self._peek() == "-" else self._argument())
        return value

    def _argument(self) -> Value:
        """What a command or an exponent is about: a group, or one letter or digit."""
        token = self._peek()
        if re.fullmatch(r"\d{2,}", token):  # \frac12 and x^23 take one digit each
            self._tokens[self._place : self._place + 1] = [token[0], token[1:]]
        return self._atom()

    def _atom(self) -> Value:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable("nested too deeply")
        value = self._bare()
        self._depth -= 1
        return value

    def _bare(self) -> Value:
        token = self._take()
        if token in ("(", "{"):
            bars, self._bars = self._bars, 0
            value = self._sum()
            self._bars = bars
            self._take(")" if token == "(" else "}")
            return value
        if token == "|":
            self._bars += 1
            value = self._sum()
            self._take("|")
            self._bars -= 1
            return applied(size, value)
        if token in ROUNDED:
            end, function = ROUNDED[token]
            value = self._sum()
            self._take(end)
            return applied(function, value)
        if token[0].isdigit() or token[0] == ".":
            return self._number(token)
        if token in CONSTANTS:
            return constant(CONSTANTS[token])
        if token in _COMMANDS:
            return _COMMANDS[token](self)
        if token in FUNCTIONS:
            return self._function(token)
        if token.isalpha() or token in _GREEK:
            return self._variable(token)
        raise Unreadable(f"{token!r} is not known here")

    def _number(self, token: str) -> Value:
        number = Fraction(token)
        if self._peek() == "\\frac" and number.denominator == 1:
            number += self._part()
        return constant(number)

    def _part(self) -> Fraction:
        """The fraction of a mixed number: 3\\frac{1}{2} and 3\\frac12 are three and a half; 0 when it is a factor."""
        place = self._place + 1
        digits: list[str] = []
        for _ in range(2):
            braced = self._tokens[place : place + 3]
            if len(braced) == 3 and braced[0] == "{" and braced[1].isdigit() and braced[2] == "}":
                digits.append(braced[1])
                place += 3
            elif not digits and braced and re.fullmatch(r"\d\d", braced[0]):
                digits += braced[0]
                place += 1
                break
            elif braced and re.fullmatch(r"\d", braced[0]):
                digits.append(braced[0])
                place += 1
            else:
                return Fraction(0)
        above, below = map(int, digits)
        if above >= below:
            return Fraction(0)
        self._place = place
        return Fraction(above, below)

    def _variable(self, token: str) -> Value:
        name = token
        if self._peek() == "_":
            self._take()
            name = f"{token}_{self._raw()}"
        self.variables.add(name)
        return lambda point: point[name]

    def _raw(self) -> str:
        """A subscript as text."""
        if self._peek() != "{":
            return self._take()
        self._take()
        text = ""
        while self._peek() != "}":
            text += self._take()
        self._take()
        return text

    def _fraction(self) -> Value:
        return joined("/", self._argument(), self._argument())

    def _root(self) -> Value:
        degree = constant(Fraction(2))
        if self._peek() == "[":
            self._take()
            degree = self._sum()
            self._take("]")
        return joined("root", self._argument(), degree)

    def _binomial(self) -> Value:
        return joined("binomial", self._argument(), self._argument())

    def _function(self, name: str) -> Value:
        function = FUNCTIONS[name]
        base = power = None
        while self._peek() in ("_", "^"):
            if self._take() == "_":
                base = self._argument()
            else:
                power = self._signed() if self._peek() == "-" else self._argument()
        if self._peek() in ("(", "{", "|"):
            argument = self._atom()
        else:
            argument = self._power()
            while self._begins_atom() and self._peek() not in FUNCTIONS:
                argument = joined("*", argument, self._power())
        value = applied(function, argument)
        if base is not None:
            value = joined("/", value, applied(FUNCTIONS["\\ln"], base))
            value = joined("*", value, constant(math.log(10) if name == "\\log" else 1.0))
        return value if power is None else joined("^", value, power)


_TOKEN = re.compile(r"\s+|(\d+\.\d+|\d+\.?(?!\d)|\.\d+|\\[A-Za-z]+|\*\*|sqrt|[a-zA-Z]|[π∞°]|[-+*/^_!|(){}\[\]])")
_SAME = {
    "**": "^",
    "\\cdot": "*",
    "\\times": "*",
    "\\div": "/",
    "[": "[",
    "\\lbrace": "{",
    "\\rbrace": "}",
    "\\vert": "|",
    "\\lvert": "|",
    "\\rvert": "|",
    "\\dfrac": "\\frac",
    "\\tfrac": "\\frac",
    "\\cfrac": "\\frac",
    "\\dbinom": "\\binom",
    "\\tbinom": "\\binom",
    "sqrt": "\\sqrt",
    "π": "\\pi",
    "∞": "\\infty",
    "\\varphi": "\\phi",
    "\\exponentialE": "e",
}


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    place = 0
    for word in ("pi", "sin", "cos", "tan", "log", "ln"):
        text = re.sub(rf"(?<![\\A-Za-z]){word}(?![A-Za-z])", rf"\\{word} ", text)
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise Unreadable(f"{text[place]!r} is not known here")
        place = match.end()
        if match[1]:
            token = match[1].removesuffix(".") if match[1][0].isdigit() and match[1].endswith(".") else match[1]
            found.append(_SAME.get(token, token))
    return found


_CLOSING = frozenset(end for end, _ in ROUNDED.values())
_COMMANDS: dict[str, Callable[[Expression], Value]] = {
    "\\frac": Expression._fraction,  # pyright: ignore[reportPrivateUsage]
    "\\sqrt": Expression._root,  # pyright: ignore[reportPrivateUsage]
    "\\binom": Expression._binomial,  # pyright: ignore[reportPrivateUsage]
}
_GREEK = frozenset(
    """\\alpha \\beta \\gamma \\delta \\epsilon \\theta \\lambda \\mu \\nu
    \\rho \\sigma \\tau \\phi \\omega \\Gamma \\Delta \\Omega""".split()  # noqa: SIM905  # a page of quotes is worse
)
