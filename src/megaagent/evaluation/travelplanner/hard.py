"""The five hard constraints, as the reference implementation defines them. Each says what is wrong, nothing, or None
when the question does not ask for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from megaagent.evaluation.travelplanner.commonsense import Question, flight_number
from megaagent.evaluation.travelplanner.database import Database, Row
from megaagent.evaluation.travelplanner.texts import MEALS, Day, Plan, days_of, from_to, name_and_city

Wish: TypeAlias = Callable[[Question, Plan, Database], str | None]

_FORBIDS = {
    "smoking": "No smoking",
    "parities": "No parties",  # spelled so in the data
    "children under 10": "No children under 10",
    "visitors": "No visitors",
    "pets": "No pets",
}
_ROOMS: Mapping[str, Callable[[str], bool]] = {
    "not shared room": lambda kind: kind != "Shared room",
    "shared room": lambda kind: kind == "Shared room",
    "private room": lambda kind: kind == "Private room",
    "entire room": lambda kind: kind == "Entire home/apt",
}


def budget(question: Question, plan: Plan, database: Database) -> str | None:
    """The journey costs no more than the traveller has."""
    cost = sum(_cost_of(question, day, database) for day in days_of(question, plan))
    return "" if cost <= question["budget"] else f"it costs {cost:,.0f}, and the budget is {question['budget']:,}"


def _cost_of(question: Question, day: Day, database: Database) -> float:
    people = question["people_number"]
    cost = _way_cost(day, people, database)
    for meal in MEALS:
        if day[meal] and day[meal] != "-" and (found := database.restaurants(*name_and_city(day[meal]))):
            cost += float(found[0]["Average Cost"]) * people
    if hotel := _hotel(day, database):
        cost += float(hotel["price"]) * math.ceil(people / float(hotel["maximum occupancy"]))
    return cost


def _way_cost(day: Day, people: int, database: Database) -> float:
    value: str = day["transportation"]
    cities = (from_to(value) or from_to(day["current_city"])) if value and value != "-" else None
    if cities is None:
        return 0.0
    if "flight number" in value.lower():
        flights = database.flights(flight_number(value))
        return flights[0].price * people if flights else 0.0
    drives = "self-driving" in value.lower()
    if not drives and "taxi" not in value.lower():
        return 0.0
    cost = database.drive(*cities, taxi=not drives)
    return (cost or 0) * math.ceil(people / (5 if drives else 4))


def _hotel(day: Day, database: Database) -> Row | None:
    place: str = day["accommodation"]
    found = database.hotels(*name_and_city(place)) if place and place != "-" else []
    return found[0] if found else None


def room_rule(question: Question, plan: Plan, database: Database) -> str | None:
    """No accommodation forbids what the traveller wants to do there."""
    wanted = _local(question)["house rule"]
    if wanted is None:
        return None
    hotels = [_hotel(day, database) for day in days_of(question, plan)]
    forbidden = _FORBIDS.get(wanted)
    wrong = next((hotel for hotel in hotels if hotel and forbidden and forbidden in hotel["house_rules"]), None)
    return f"{wrong['NAME'][:60]} has the rule: {forbidden}" if wrong else ""


def room_type(question: Question, plan: Plan, database: Database) -> str | None:
    """Every accommodation is of the kind that is wanted."""
    wanted = _local(question)["room type"]
    if wanted is None:
        return None
    fits = _ROOMS.get(wanted, lambda kind: True)
    hotels = [_hotel(day, database) for day in days_of(question, plan)]
    wrong = next((hotel for hotel in hotels if hotel and not fits(hotel["room type"])), None)
    return f"{wrong['NAME'][:60]} is no {wanted}" if wrong else ""


def cuisine(question: Question, plan: Plan, database: Database) -> str | None:
    """Every cuisine that is wanted is eaten once, away from home."""
    wanted = _local(question)["cuisine"]
    if not wanted:
        return None
    eaten: set[str] = set()
    for day in days_of(question, plan):
        for meal in MEALS:
            if day[meal] and day[meal] != "-":
                name, city = name_and_city(day[meal])
                if city == question["org"]:
                    break  # the reference goes on with the next day then
                if found := database.restaurants(name, city):
                    eaten |= {kind for kind in wanted if kind in found[0]["Cuisines"]}
    missing = [kind for kind in wanted if kind not in eaten]
    return f"no meal is {missing[0]}" if len(eaten) != len(wanted) and missing else ""


def transportation(question: Question, plan: Plan, database: Database) -> str | None:
    """Not by what the traveller does not want."""
    wanted = _local(question)["transportation"]
    if wanted is None:
        return None
    word = {"no flight": "Flight", "no self-driving": "Self-driving"}.get(wanted)
    used = [day["transportation"] for day in days_of(question, plan)]
    return wanted if word and any(value and value != "-" and word in value for value in used) else ""


def _local(question: Question) -> Mapping[str, Any]:
    return question["local_constraint"]


HARD: Mapping[str, Wish] = {
    "budget": budget,
    "room rule": room_rule,
    "cuisine": cuisine,
    "room type": room_type,
    "transportation": transportation,
}
"""By the names of the benchmark's paper."""


def asked_for(question: Question) -> int:
    """How many hard constraints a question has."""
    return 1 + sum(bool(_local(question)[kind]) for kind in ("house rule", "cuisine", "room type", "transportation"))
