"""What expressions are worth: exact numbers as long as they are rational, and complex floating point beyond."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

Number: TypeAlias = Fraction | complex
Value: TypeAlias = Callable[[Mapping[str, complex]], Number]

_MOST_BITS = 20_000  # of an exact number


def constant(number: Fraction | float | complex) -> Value:
    """The same number everywhere."""
    value: Number = number if isinstance(number, Fraction) else complex(number)
    return lambda point: value


def applied(function: Callable[[Number], Number], value: Value) -> Value:
    """A function of a value."""
    return lambda point: function(value(point))


def joined(how: str, left: Value, right: Value) -> Value:
    """Two values by an operation: `+ - * / ^ root binomial`. Its result is bounded."""
    operation = _OPERATIONS[how]
    return lambda point: _bounded(operation(left(point), right(point)))


def _bounded(number: Number) -> Number:
    if isinstance(number, Fraction) and number.numerator.bit_length() + number.denominator.bit_length() > _MOST_BITS:
        raise OverflowError("too large")
    return number


def floating(number: Number) -> complex:
    """The number in floating point; infinite when it is too large for that."""
    try:
        return complex(number)
    except OverflowError:
        return complex(math.inf if number.real > 0 else -math.inf)


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


def factorial(number: Number) -> Number:
    """
    Raises:
        ValueError: it is no whole number, negative, or over 1,000.
    """
    if not isinstance(number, Fraction) or number.denominator != 1 or not 0 <= number <= 1_000:
        raise ValueError("no factorial")
    return Fraction(math.factorial(int(number)))


def size(number: Number) -> Number:
    """The absolute value."""
    return abs(number) if isinstance(number, Fraction) else complex(abs(number))


def _rounded(rule: Callable[[Fraction | float], int]) -> Callable[[Number], Number]:
    def function(number: Number) -> Number:
        if isinstance(number, Fraction):
            return Fraction(rule(number))
        if number.imag:
            raise ValueError("no real number")
        return Fraction(rule(number.real))

    return function


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
CONSTANTS: dict[str, complex] = {"\\pi": math.pi, "e": math.e, "i": 1j, "\\infty": complex(math.inf)}
FUNCTIONS: dict[str, Callable[[Number], Number]] = {
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
ROUNDED: dict[str, tuple[str, Callable[[Number], Number]]] = {
    "\\lfloor": ("\\rfloor", _rounded(math.floor)),
    "\\lceil": ("\\rceil", _rounded(math.ceil)),
}
