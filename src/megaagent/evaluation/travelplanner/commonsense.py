"""The eight constraints of common sense, as the reference implementation defines them. Each says what is wrong, or
nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeAlias

from megaagent.evaluation.travelplanner.database import Database
from megaagent.evaluation.travelplanner.texts import (
    MEALS,
    NOTHING,
    Day,
    Plan,
    attractions_of,
    city_name,
    days_of,
    from_to,
    is_given,
    name_and_city,
    way_of,
)

Question: TypeAlias = Mapping[str, Any]
Constraint: TypeAlias = Callable[[Question, Plan, Database], str]
_UNUSED = "You don't need to fill in the information for this or later days."


def city_route(question: Question, plan: Plan, database: Database) -> str:
    """A closed journey over known cities, each visited once and for some days, in the state that was asked for."""
    cities: list[str] = []
    for number, day in enumerate(days_of(question, plan)):
        if "from" in day["current_city"]:
            first, second = way_of(day)
            if number == 0 and first != question["org"]:
                return f"the first day does not begin in {question['org']}"
            cities += [first, second]
        else:
            cities.append(city_name(day["current_city"]))
    if cities[0] != cities[-1]:
        return "the journey does not end where it began"
    if not _in_sequence(cities):
        return "a city is visited twice, or for too short a time"
    for number, city in enumerate(cities):
        if city not in database.states:
            return f"{city} is no city of the database"
        between = 0 < number < len(cities) - 1
        if between and question["days"] > 3 and database.states[city] != question["dest"]:
            return f"{city} is not in {question['dest']}"
    return ""


def _in_sequence(cities: list[str]) -> bool:
    if len(cities) < 3:
        return False
    visited: set[str] = set()
    place = 0
    for city, run in groupby(cities):
        if city in visited and place not in (0, len(cities) - 1):
            return False
        count = len(list(run))
        place += count
        if count == 1 and 0 < place - 1 < len(cities) - 1:
            return False
        visited.add(city)
    return True


def restaurants_differ(question: Question, plan: Plan, database: Database) -> str:
    """No restaurant twice."""
    return _twice(day[meal] for day in days_of(question, plan) for meal in MEALS if is_given(day, meal))


def attractions_differ(question: Question, plan: Plan, database: Database) -> str:
    """No attraction twice."""
    return _twice(attraction for day in days_of(question, plan) for attraction in attractions_of(day))


def _twice(places: Iterator[str]) -> str:
    seen: set[str] = set()
    for place in places:
        if place in seen:
            return f"{place[:60]} comes twice"
        seen.add(place)
    return ""


def nights_enough(question: Question, plan: Plan, database: Database) -> str:
    """As many nights in a row as the accommodation asks for at least."""
    days = days_of(question, plan)
    if any("accommodation" not in day for day in days):
        return "a day says nothing of accommodation"
    for place, run in groupby(day["accommodation"] for day in days):
        nights = len(list(run))
        if place not in NOTHING:
            found = database.hotels(*name_and_city(place))
            if len(found) == 1 and nights < float(found[0]["minimum nights"]):
                return f"{place[:60]} is let for {found[0]['minimum nights']} nights or more"
    return ""


def transport_fits(question: Question, plan: Plan, database: Database) -> str:
    """Who drives does not fly or take taxis too."""
    if not is_given(plan[0], "transportation"):
        return "the first day has no transportation"
    kinds = {_kind(day["transportation"]) for day in days_of(question, plan) if is_given(day, "transportation")}
    kinds.add(_kind(plan[0]["transportation"]))
    return "the kinds of transportation conflict" if "Self-driving" in kinds and kinds & {"Flight", "Taxi"} else ""


def _kind(text: str) -> str | None:
    return next((kind for kind in ("Taxi", "Self-driving", "Flight") if kind.lower() in text.lower()), None)


def within_city(question: Question, plan: Plan, database: Database) -> str:
    """What a day names is in the city where the traveller is."""
    for number, day in enumerate(days_of(question, plan), 1):
        # On a day in one city the reference goes through the letters of its name; scores follow from that.
        cities = list(way_of(day) if "from" in day["current_city"] else city_name(day["current_city"]))
        if is_given(day, "transportation") and not all(city in day["transportation"] for city in cities):
            return f"the transportation of day {number} is of other cities"
        for meal in MEALS:
            if is_given(day, meal) and not any(city in day[meal] for city in cities):
                return f"the {meal} of day {number} is in another city"
        for attraction in attractions_of(day):
            if not any(city in attraction for city in cities):
                return f"{attraction[:60]} on day {number} is in another city"
        if is_given(day, "accommodation") and cities[-1] not in day["accommodation"]:
            return f"the accommodation of day {number} is in another city"
    return ""


def within_database(question: Question, plan: Plan, database: Database) -> str:
    """What the plan names is there."""
    for number, day in enumerate(days_of(question, plan), 1):
        if day["transportation"] and day["transportation"] != "-" and not _goes(day, database):
            return f"the transportation of day {number} is not in the database"
        for meal in MEALS:
            if is_given(day, meal) and not database.restaurants(*name_and_city(day[meal])):
                return f"the {meal} of day {number} is not in the database"
        for attraction in attractions_of(day):
            if not database.attractions(*name_and_city(attraction)):
                return f"{attraction[:60]} is not in the database"
        if is_given(day, "accommodation") and not database.hotels(*name_and_city(day["accommodation"])):
            return f"the accommodation of day {number} is not in the database"
    return ""


def _goes(day: Day, database: Database) -> bool:
    value: str = day["transportation"]
    cities = from_to(value) or from_to(day["current_city"])
    if "flight number" in value.lower():
        if cities is None or "Flight Number: " not in value:
            return False  # the reference stops here
        origin, destination = map(city_name, cities)
        flights = database.flights(flight_number(value))
        return any(flight.origin == origin and flight.destination == destination for flight in flights)
    if "self-driving" in value.lower() or "taxi" in value.lower():
        origin, destination = cities or ("-", "-")
        return database.drive(origin, destination, taxi="self-driving" not in value.lower()) is not None
    return True


def flight_number(transportation: str) -> str:
    """What stands after `Flight Number: `, up to a comma."""
    return transportation.split("Flight Number: ")[1].split(",")[0]


def complete(question: Question, plan: Plan, database: Database) -> str:
    """Every day is there, the number of cities is right, and no more is left out than may be."""
    days = days_of(question, plan)
    if sum(bool(day) and day["current_city"] != _UNUSED for day in days) != question["days"]:
        return f"it is not a plan of {question['days']} days"
    if _cities_visited(question, days) != question["visiting_city_number"]:
        return f"it does not visit {question['visiting_city_number']} cities"
    given = 0
    for number, day in enumerate(days):
        for field in ("transportation", *MEALS, "attraction", "accommodation"):
            if field not in day:
                return f"day {number + 1} says nothing of {field}"
        city: str = day["current_city"]
        travels = "from " in city
        if (travels or "to " in city) and day["transportation"] in NOTHING:
            return f"day {number + 1} has no transportation"
        if not travels and " to " not in city and day["attraction"] in NOTHING:
            return f"day {number + 1} has no attraction"
        if number != question["days"] - 1 and day["accommodation"] in NOTHING:
            return f"day {number + 1} has no accommodation"
        if not travels and any(day[meal] in NOTHING for meal in MEALS):
            return f"day {number + 1} lacks a meal"
        given += sum(bool(value) and value != "-" for value in day.values())
    return "more than half is left out" if given / (6 * question["days"]) < 0.5 else ""


def _cities_visited(question: Question, days: Plan) -> int | None:
    cities: set[str] = set()
    for number, day in enumerate(days):
        if "from" in day["current_city"]:
            first, second = way_of(day)
            if number == 0 and first != question["org"]:
                return None
            cities |= {first, second}
        else:
            cities.add(city_name(day["current_city"]))
    return len(cities - {question["org"]})


COMMONSENSE: Mapping[str, Constraint] = {
    "reasonable city route": city_route,
    "diverse restaurants": restaurants_differ,
    "diverse attractions": attractions_differ,
    "minimum nights stay": nights_enough,
    "non-conflicting transportation": transport_fits,
    "within current city": within_city,
    "within sandbox": within_database,
    "complete information": complete,
}
"""By the names of the benchmark's paper."""
