"""How a plan's texts are read; the same as in the reference implementation, oddities included, since scores follow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Day: TypeAlias = Mapping[str, Any]
Plan: TypeAlias = Sequence[Day]

NOTHING = ("", "-")
MEALS = ("breakfast", "lunch", "dinner")
_FROM_TO = re.compile(r"from\s+(.+?)\s+to\s+([^,]+)(?=[,\s]|$)")
_NAME_CITY = re.compile(r"(.*?),\s*([^,]+)(\(\w[\w\s]*\))?$")
_BEFORE = re.compile(r"^(.*?)\([^)]*\)")


class UnreadablePlanError(ValueError):
    """A text of the plan cannot be read; the reference implementation would stop here."""


def from_to(text: str) -> tuple[str, str] | None:
    """The two cities of `from A to B, ...`."""
    found = _FROM_TO.search(text)
    return (found[1], found[2]) if found else None


def city_name(text: str) -> str:
    """The text before a parenthesis: `Denver(Colorado)` is Denver."""
    found = _BEFORE.search(text)
    return found[1] if found else text


def name_and_city(text: str) -> tuple[str, str]:
    """`The Place, Denver(Colorado)` is The Place in Denver; a text of another form is nowhere."""
    found = _NAME_CITY.search(text)
    return (found[1].strip(), city_name(found[2].strip()).strip()) if found else ("-", "-")


def way_of(day: Day) -> tuple[str, str]:
    """The cities of a day on the road, as `current_city` names them.

    Raises:
        UnreadablePlanError: they cannot be read.
    """
    cities = from_to(day["current_city"])
    if cities is None:
        raise UnreadablePlanError(f"{str(day['current_city'])[:60]!r} names no two cities")
    return city_name(cities[0]), city_name(cities[1])


def is_given(day: Day, field: str) -> bool:
    """Whether the day says something there."""
    return bool(day.get(field)) and day[field] != "-"


def attractions_of(day: Day) -> list[str]:
    """Each ends with a semicolon; what comes after the last one does not count."""
    return day["attraction"].split(";")[:-1] if is_given(day, "attraction") else []


def days_of(question: Mapping[str, Any], plan: Plan) -> Plan:
    """The days that count."""
    return plan[: min(question["days"], len(plan))]
