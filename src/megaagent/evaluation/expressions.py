"""Mathematical expressions as LaTeX or plain text have them, and what they are worth.

Numbers stay exact as long as they are rational; beyond that they are complex floating point. Everything is bounded,
since what is read was written by a model.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

from megaagent.errors import MegaAgentError

Number: TypeAlias = Fraction | complex
Value: TypeAlias = Callable[[Mapping[str, complex]], Number]

LONGEST = 2_000  # characters
DEEPEST = 60  # nestings
_MOST_BITS = 20_000  # of an exact number


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
            value = _joined(self._take(), value, self._product())
        return value

    def _product(self) -> Value:
        value = self._signed()
        while True:
            if self._peek() in ("*", "/"):
                value = _joined(self._take(), value, self._signed())
            elif self._begins_atom():
                value = _joined("*", value, self._power())
            else:
                return value

    def _begins_atom(self) -> bool:
        token = self._peek()
        if token == "|":
            return self._bars == 0
        return bool(token) and (token[0].isalnum() or token[0] in "\\({." or token == "∞")

    def _signed(self) -> Value:
        sign = 1
        while self._peek() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        value = self._power()
        return value if sign > 0 else _joined("*", _constant(Fraction(-1)), value)

    def _power(self) -> Value:
        value = self._atom()
        while self._peek() == "!":
            self._take()
            value = _applied(_factorial, value)
        if self._peek() == "^":
            self._take()
            value = _joined("^", value, self._signed() if self._peek() == "-" else self._argument())
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
            return _applied(_size, value)
        if token[0].isdigit() or token[0] == ".":
            return self._number(token)
        if token in _CONSTANTS:
            return _constant(_CONSTANTS[token])
        if token in _COMMANDS:
            return _COMMANDS[token](self)
        if token in _FUNCTIONS:
            return self._function(token)
        if token.isalpha() or token in _GREEK:
            return self._variable(token)
        raise Unreadable(f"{token!r} is not known here")

    def _number(self, token: str) -> Value:
        number = Fraction(token)
        if self._peek() == "\\frac" and number.denominator == 1:
            place = self._place
            self._take()
            part = self._tokens[self._place : self._place + 6]
            if len(part) == 6 and part[0] == part[3] == "{" and part[2] == part[5] == "}":
                above, below = part[1], part[4]
                if above.isdigit() and below.isdigit() and int(below):  # 3\frac{1}{2} is three and a half
                    self._place += 6
                    return _constant(number + Fraction(int(above), int(below)))
            self._place = place
        return _constant(number)

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
        return _joined("/", self._argument(), self._argument())

    def _root(self) -> Value:
        degree = _constant(Fraction(2))
        if self._peek() == "[":
            self._take()
            degree = self._sum()
            self._take("]")
        return _joined("root", self._argument(), degree)

    def _binomial(self) -> Value:
        return _joined("binomial", self._argument(), self._argument())

    def _function(self, name: str) -> Value:
        function = _FUNCTIONS[name]
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
            while self._begins_atom() and self._peek() not in _FUNCTIONS:
                argument = _joined("*", argument, self._power())
        value = _applied(function, argument)
        if base is not None:
            value = _joined("/", value, _applied(_FUNCTIONS["\\ln"], base))
            value = _joined("*", value, _constant(math.log(10) if name == "\\log" else 1.0))
        return value if power is None else _joined("^", value, power)


_TOKEN = re.compile(r"\s+|(\d+\.\d+|\d+\.?(?!\d)|\.\d+|\\[A-Za-z]+|\*\*|sqrt|[a-zA-Z]|π|∞|[-+*/^_!|(){}\[\]])")
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


# -- values -----------------------------------------------------------------------------------------------------------


def _constant(number: Fraction | float | complex) -> Value:
    value: Number = number if isinstance(number, Fraction) else complex(number)
    return lambda point: value


def _applied(function: Callable[[Number], Number], value: Value) -> Value:
    return lambda point: function(value(point))


def _joined(how: str, left: Value, right: Value) -> Value:
    operation = _OPERATIONS[how]
    return lambda point: _bounded(operation(left(point), right(point)))


def _bounded(number: Number) -> Number:
    if isinstance(number, Fraction) and number.numerator.bit_length() + number.denominator.bit_length() > _MOST_BITS:
        raise OverflowError("too large")
    return number


def _both(left: Number, right: Number) -> bool:
    return isinstance(left, Fraction) and isinstance(right, Fraction)


def _add(left: Number, right: Number) -> Number:
    return left + right if _both(left, right) else complex(left) + complex(right)


def _times(left: Number, right: Number) -> Number:
    return left * right if _both(left, right) else complex(left) * complex(right)


def _over(left: Number, right: Number) -> Number:
    return left / right if _both(left, right) else complex(left) / complex(right)


def _raise(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        size = max(base.numerator.bit_length(), base.denominator.bit_length(), 1)
        if abs(exponent) * size <= _MOST_BITS:
            return base ** int(exponent)
    return complex(base) ** complex(exponent)


def _root(base: Number, degree: Number) -> Number:
    if isinstance(base, Fraction) and degree == 2 and base >= 0:
        above, below = math.isqrt(base.numerator), math.isqrt(base.denominator)
        if above * above == base.numerator and below * below == base.denominator:
            return Fraction(above, below)
    if isinstance(base, Fraction) and isinstance(degree, Fraction) and base < 0 and degree % 2 == 1:
        return -(complex(-base) ** (1 / complex(degree)))
    return complex(base) ** (1 / complex(degree))


def _choose(above: Number, below: Number) -> Number:
    pair = (above, below)
    if not all(isinstance(n, Fraction) and n.denominator == 1 and 0 <= n <= 1_000 for n in pair):
        raise ValueError("no binomial coefficient")
    return Fraction(math.comb(int(above.real), int(below.real)))


def _factorial(number: Number) -> Number:
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= 1_000:
        raise ValueError("no factorial")
    return Fraction(math.factorial(int(number)))


def _size(number: Number) -> Number:
    return abs(number) if isinstance(number, Fraction) else complex(abs(number))


def _complexly(function: Callable[[complex], complex]) -> Callable[[Number], Number]:
    return lambda number: function(complex(number))


_OPERATIONS: dict[str, Callable[[Number, Number], Number]] = {
    "+": _add,
    "-": lambda left, right: _add(left, -right),
    "*": _times,
    "/": _over,
    "^": _raise,
    "root": _root,
    "binomial": _choose,
}
_CONSTANTS: dict[str, complex] = {"\\pi": math.pi, "e": math.e, "i": 1j, "\\infty": complex(math.inf)}
_FUNCTIONS: dict[str, Callable[[Number], Number]] = {
    "\\sin": _complexly(cmath.sin),
    "\\cos": _complexly(cmath.cos),
    "\\tan": _complexly(cmath.tan),
    "\\cot": _complexly(lambda x: 1 / cmath.tan(x)),
    "\\sec": _complexly(lambda x: 1 / cmath.cos(x)),
    "\\csc": _complexly(lambda x: 1 / cmath.sin(x)),
    "\\arcsin": _complexly(cmath.asin),
    "\\arccos": _complexly(cmath.acos),
    "\\arctan": _complexly(cmath.atan),
    "\\ln": _complexly(cmath.log),
    "\\log": _complexly(cmath.log10),
    "\\exp": _complexly(cmath.exp),
}
_COMMANDS: dict[str, Callable[[Expression], Value]] = {
    "\\frac": Expression._fraction,  # pyright: ignore[reportPrivateUsage]
    "\\sqrt": Expression._root,  # pyright: ignore[reportPrivateUsage]
    "\\binom": Expression._binomial,  # pyright: ignore[reportPrivateUsage]
}
_GREEK = frozenset(
    """\\alpha \\beta \\gamma \\delta \\epsilon \\theta \\lambda \\mu \\nu
    \\rho \\sigma \\tau \\phi \\omega \\Gamma \\Delta \\Omega""".split()  # noqa: SIM905  # a page of quotes is worse
)
