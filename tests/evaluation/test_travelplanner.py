"""TravelPlanner: a plan that passes everything, and one for each constraint that breaks this one alone."""

# ruff: noqa: E501  # tables as texts

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megaagent.errors import ConfigurationError
from megaagent.evaluation import benchmark
from megaagent.evaluation.arms import chosen_arms
from megaagent.evaluation.contract import Benchmark, Item, Mark, Prediction
from megaagent.evaluation.data import load
from megaagent.evaluation.experiment import Wish, digest_of, evaluate
from megaagent.evaluation.figures import lines_of
from megaagent.evaluation.played import right_ones
from megaagent.evaluation.predictions import read_predictions
from megaagent.evaluation.scoring import score_all, summed
from megaagent.evaluation.travelplanner.texts import from_to, name_and_city
from megaagent.settings import Settings, changed

TABLES = {
    "flights/clean_Flights_2022.csv": ",Flight Number,Price,DepTime,OriginCityName,DestCityName\n"
    "0,F1,100,08:00,Avon,Bree\n1,F2,150,19:00,Bree,Avon\n2,F3,1,09:00,Avon,\n",
    "accommodations/clean_accommodations_2022.csv": ",NAME,price,room type,house_rules,minimum nights,maximum occupancy,city\n"
    "0,Quiet House,80,Entire home/apt,No smoking & No pets,2.0,2,Bree\n"
    "1,Cheap Bed,20,Shared room,No parties,1.0,1,Bree\n"
    "2,Long Let,50,Private room,No visitors,9.0,4,Bree\n",
    "restaurants/clean_restaurant_2022.csv": ",Name,Average Cost,Cuisines,City\n"
    '0,Blue Door,10,"Chinese, Tea",Bree\n1,Red Door,20,"Italian, Pizza",Bree\n2,Green Door,30,Indian,Bree\n'
    "3,Old Door,15,Cafe,Bree\n4,Far Door,15,Chinese,Avon\n",
    "attractions/attractions.csv": ",Name,City\n0,The Hill,Bree\n1,The Lake,Bree\n2,The Tower,Avon\n",
    "googleDistanceMatrix/distance.csv": ",origin,destination,duration,distance\n"
    '0,Avon,Bree,5 hours,"1,000 km"\n1,Bree,Avon,5 hours,"1,000 km"\n2,Avon,Cale,2 days 1 hour,"9,000 km"\n',
    "background/citySet_with_states.txt": "Avon\tOhio\nBree\tUtah\nCale\tUtah",
}
QUESTION: dict[str, Any] = {
    "org": "Avon",
    "dest": "Bree",
    "days": 3,
    "visiting_city_number": 1,
    "people_number": 2,
    "budget": 1000,
    "level": "hard",
    "query": "Three days in Bree for two, please.",
    "local_constraint": "{'house rule': 'visitors', 'cuisine': ['Chinese', 'Indian'], 'room type': 'entire room', "
    "'transportation': 'no self-driving'}",
    "reference_information": "all that there is",
}
PLAN: list[dict[str, Any]] = [
    {
        "days": 1,
        "current_city": "from Avon to Bree",
        "transportation": "Flight Number: F1, from Avon to Bree, Departure Time: 08:00",
        "breakfast": "-",
        "attraction": "The Hill, Bree;",
        "lunch": "Blue Door, Bree",
        "dinner": "Green Door, Bree",
        "accommodation": "Quiet House, Bree",
    },
    {
        "days": 2,
        "current_city": "Bree",
        "transportation": "-",
        "breakfast": "Old Door, Bree",
        "attraction": "The Lake, Bree;",
        "lunch": "Red Door, Bree",
        "dinner": "-",
        "accommodation": "Quiet House, Bree",
    },
    {
        "days": 3,
        "current_city": "from Bree to Avon",
        "transportation": "Flight Number: F2, from Bree to Avon, Departure Time: 19:00",
        "breakfast": "-",
        "attraction": "-",
        "lunch": "-",
        "dinner": "-",
        "accommodation": "-",
    },
]
PLAN[1]["dinner"] = "Door, Bree"  # a part of a name finds it


def folder(tmp_path: Path, *questions: dict[str, Any]) -> Path:
    for name, text in TABLES.items():
        path = tmp_path / "database" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    rows = [QUESTION | question for question in questions or ({},)]
    (tmp_path / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def opened(tmp_path: Path, **question: Any) -> tuple[Benchmark, Item]:
    chosen = benchmark("travelplanner")
    [item] = load(chosen, folder(tmp_path, question))
    return chosen, item


async def marked(tmp_path: Path, plan: Any, **question: Any) -> Mark:
    chosen, item = opened(tmp_path, **question)
    return await chosen.score(item, Prediction("1", json.dumps(plan), whole=True), None)


def but(day: int, **changes: str) -> list[dict[str, Any]]:
    return [each | changes if number == day else each for number, each in enumerate(PLAN, 1)]


async def test_a_good_plan_passes_everything(tmp_path: Path) -> None:
    mark = await marked(tmp_path, PLAN)
    assert mark.passed, mark.why
    assert mark.parts == {
        "delivery": (1, 1),
        "commonsense, micro": (8, 8),
        "commonsense, macro": (1, 1),
        "hard, micro": (5, 5),
        "hard, macro": (1, 1),
    }


# The plan that breaks a constraint of common sense, the constraint, and whether the hard ones are still looked at.
SENSE: dict[str, tuple[list[dict[str, Any]], str, bool]] = {
    "another way home": (
        but(3, current_city="from Bree to Cale", transportation="Taxi from Bree to Cale"),
        "route",
        False,
    ),
    "a restaurant twice": (but(2, lunch="Blue Door, Bree"), "diverse restaurants", True),
    "an attraction twice": (but(2, attraction="The Hill, Bree;"), "diverse attractions", True),
    "too few nights": (but(2, accommodation="Cheap Bed, Bree"), "minimum nights stay", True),
    "drives and flies": (but(3, transportation="Self-driving, from Bree to Avon"), "non-conflicting", True),
    "dines elsewhere": (but(1, dinner="Green Door, Cole"), "within current city", False),
    "sleeps elsewhere": (but(1, accommodation="Quiet House, Avon"), "within current city", False),
    "an unknown flight": (but(1, transportation="Flight Number: F9, from Avon to Bree"), "within sandbox", False),
    "a flight elsewhere": (but(1, transportation="Flight Number: F2, from Avon to Bree"), "within sandbox", False),
    "an unknown place": (but(1, attraction="The Moon, Bree;"), "within sandbox", False),
    "no lunch": (but(2, lunch="-"), "complete information", False),
    "no room": (but(2, accommodation="-"), "complete information", False),
    "two days only": (PLAN[:2], "complete information", False),
    "no number of a flight": (but(1, transportation="Flight number F1, from Avon to Bree"), "within sandbox", False),
}


@pytest.mark.parametrize("name", SENSE)
async def test_common_sense(name: str, tmp_path: Path) -> None:
    plan, constraint, hard = SENSE[name]
    mark = await marked(tmp_path, plan)
    assert not mark.passed and constraint in mark.why
    assert mark.parts["commonsense, macro"] == (0, 1) and mark.parts["commonsense, micro"][0] < 8
    assert (mark.parts["hard, micro"][0] > 0) is hard
    assert mark.parts["hard, micro"][1] == 5


WISHES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "too dear": (PLAN, {"budget": 700}, "budget"),
    "forbids what is wanted": (PLAN, {"local_constraint": {"house rule": "smoking"}}, "room rule"),
    "another kind of room": (PLAN, {"local_constraint": {"room type": "private room"}}, "room type"),
    "a cuisine is missing": (PLAN, {"local_constraint": {"cuisine": ["Chinese", "Mexican"]}}, "cuisine"),
    "flies though it should not": (PLAN, {"local_constraint": {"transportation": "no flight"}}, "transportation"),
}


@pytest.mark.parametrize("name", WISHES)
async def test_hard_constraints(name: str, tmp_path: Path) -> None:
    plan, question, constraint = WISHES[name]
    mark = await marked(tmp_path, plan, **question)
    assert not mark.passed and constraint in mark.why
    assert mark.parts["commonsense, macro"] == (1, 1) and mark.parts["hard, macro"] == (0, 1)
    asked = 5 if "budget" in question else 2
    assert mark.parts["hard, micro"] == (asked - 1, asked)


async def test_one_night_more_or_less(tmp_path: Path) -> None:
    moved = [but(1, accommodation="Cheap Bed, Bree")[0], but(2, accommodation="Long Let, Bree")[1], PLAN[2]]
    assert "minimum nights stay: Long Let" in (await marked(tmp_path, moved)).why
    one = [PLAN[0], but(2, accommodation="Cheap Bed, Bree")[1], PLAN[2]]
    assert "minimum nights stay: Quiet House" in (await marked(tmp_path, one)).why


# What the reference implementation says of odd plans, found by reading and by running it: a plan, and all that is
# wrong with it. A wish that is not named here is met.
ODD: dict[str, tuple[list[dict[str, Any]], set[str]]] = {
    "an attraction without its semicolon does not count": (but(2, attraction="The Lake, Bree; The Moon, Bree"), set()),
    "and is enough for a day": (but(2, attraction="The Lake, Bree"), set()),
    "a blank makes another attraction": (but(1, attraction="The Hill, Bree; The Hill, Bree;"), set()),
    "the state behind the city makes another restaurant": (but(2, lunch="Blue Door, Bree(Utah)"), set()),
    "a meal in either city on a day of travel": (but(3, breakfast="Far Door, Avon"), set()),
    "on a day in one city a letter of its name is enough": (but(2, lunch="Far Door, Avon"), set()),
    "and none is not": (but(2, breakfast="Moo, Coo"), {"within current city", "within sandbox"}),
    "a part of a name is enough": (but(1, lunch="Bl, Bree"), set()),
    "a name with a comma is one name": (but(1, lunch="Blue Door, the old one, Bree"), {"within sandbox"}),
    "no city at all": (but(1, lunch="Blue Door"), {"within current city", "within sandbox"}),
    "nothing is not -": (but(3, lunch=None, dinner=None, breakfast=""), set()),  # pyright: ignore[reportArgumentType]
    "a meal that is nothing": (but(2, lunch=None), set()),  # pyright: ignore[reportArgumentType]
    "a meal that is empty": (but(2, lunch=""), {"complete information"}),
    "a bed that is nothing": (but(2, accommodation=None), {"minimum nights stay"}),  # pyright: ignore[reportArgumentType]
    "a bed on the way home": (but(3, accommodation="Quiet House, Avon"), {"within sandbox"}),
    "walking is in no table": (but(1, transportation="on foot from Avon to Bree"), set()),
    "small letters": (but(1, transportation="flight number: f1, from Avon to Bree"), {"within sandbox"}),
    "a taxi beside flights": (but(3, transportation="Taxi, from Bree to Avon"), set()),
    "a car beside flights": (but(3, transportation="self-driving, Bree, Avon"), {"non-conflicting transportation"}),
    "a way of days": (
        [
            but(1, current_city="from Avon to Cale", transportation="Taxi, from Avon to Cale")[0],
            PLAN[1],
            PLAN[2],
        ],
        {"reasonable city route", "within current city", "within sandbox", "complete information"},
    ),
    "a way inside the city, by the letters of its name": (but(2, transportation="Breakfast by bus"), set()),
    "by letters that are not there": (but(2, transportation="Walk"), {"within current city"}),
    "the first day stays at home": (
        but(1, current_city="Avon"),
        {"within current city", "complete information"},
    ),
    "a day more than was asked for": ([*PLAN, PLAN[1]], set()),
    "an empty day": (
        [PLAN[0], {}, PLAN[2]],
        {
            "reasonable city route",
            "minimum nights stay",
            "within current city",
            "within sandbox",
            "complete information",
        },
    ),
    "an unused day": (
        but(2, current_city="You don't need to fill in the information for this or later days."),
        {"reasonable city route", "within current city", "complete information"},
    ),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_plans_are_judged_as_by_the_reference(name: str, tmp_path: Path) -> None:
    plan, wrong = ODD[name]
    mark = await marked(tmp_path, plan, local_constraint={})
    assert mark.parts["commonsense, micro"] == (8 - len(wrong), 8), mark.why
    assert all(constraint in mark.why for constraint in wrong)


# A question, whether the plan of above meets it, and how many wishes it has.
WISHED: list[tuple[dict[str, Any], bool, int]] = [
    ({"house rule": "smoking"}, False, 2),
    ({"house rule": "pets"}, False, 2),
    ({"house rule": "parities"}, True, 2),
    ({"house rule": "parties"}, True, 2),  # the data say parities; of other words nothing is asked
    ({"house rule": "visitors"}, True, 2),
    ({"room type": "shared room"}, False, 2),
    ({"room type": "not shared room"}, True, 2),
    ({"room type": "private room"}, False, 2),
    ({"room type": "entire room"}, True, 2),
    ({"room type": "castle"}, True, 2),
    ({"transportation": "no flight"}, False, 2),
    ({"transportation": "no self-driving"}, True, 2),
    ({"cuisine": ["Tea"]}, True, 2),  # a part of a restaurant's cuisines
    ({"cuisine": ["Chinese", "Pizza", "Cafe"]}, True, 2),
    ({"cuisine": ["French"]}, False, 2),
    ({"cuisine": []}, True, 1),
    ({}, True, 1),
]


@pytest.mark.parametrize(("wish", "met", "asked"), WISHED, ids=str)
async def test_every_wish(wish: dict[str, Any], met: bool, asked: int, tmp_path: Path) -> None:
    mark = await marked(tmp_path, PLAN, local_constraint=wish)
    assert mark.parts["hard, micro"] == (asked - (not met), asked)
    assert mark.passed is met


async def test_the_day_after_a_meal_at_home_is_looked_at_again(tmp_path: Path) -> None:
    # The reference leaves a day at its first meal in the city where the journey began, also with meals to come.
    home = but(1, breakfast="Far Door, Avon", lunch="Red Door, Bree", dinner="Old Door, Bree")
    plan = [home[0], but(2, breakfast="Blue Door, Bree", lunch="Green Door, Bree", dinner="-")[1], PLAN[2]]
    plan[1] = plan[1] | {"dinner": "Door, Bree(Utah)"}
    assert (await marked(tmp_path, plan, local_constraint={"cuisine": ["Indian"]})).passed
    assert "cuisine" in (await marked(tmp_path, plan, local_constraint={"cuisine": ["Italian"]})).why


async def test_the_cost_is_that_of_the_database(tmp_path: Path) -> None:
    # Flights 2 x 250, meals 2 x (10 + 30 + 15 + 20 + 10), two nights in a house for two at 80.
    assert (await marked(tmp_path, PLAN, budget=830)).passed
    assert not (await marked(tmp_path, PLAN, budget=829)).passed
    by_car = but(1, transportation="Self-driving, from Avon to Bree")
    by_car = [by_car[0], by_car[1], but(3, transportation="Self-driving, from Bree to Avon")[2]]
    free: dict[str, Any] = {"local_constraint": {}}
    assert (await marked(tmp_path, by_car, budget=430, **free)).passed  # 2 x 50 for one car
    assert not (await marked(tmp_path, by_car, budget=429, **free)).passed


@pytest.mark.parametrize("plan", [None, [], "no plan", [1, 2], {"plan": []}, [[]]])
async def test_what_is_no_plan_is_not_delivered(plan: Any, tmp_path: Path) -> None:
    mark = await marked(tmp_path, plan)
    assert mark.parts["delivery"] == (0, 1) and not mark.passed
    assert mark.parts["commonsense, micro"] == (0, 8) and mark.parts["hard, micro"] == (0, 5)


@pytest.mark.parametrize("plan", [[{}], [{"current_city": 5}] * 3, [{"current_city": "from nowhere"}] * 3])
async def test_plans_that_cannot_be_read_break_nothing_else(plan: Any, tmp_path: Path) -> None:
    mark = await marked(tmp_path, plan)
    assert mark.parts["delivery"] == (1, 1) and not mark.passed


async def test_predictions_in_the_public_form(tmp_path: Path) -> None:
    chosen = benchmark("travelplanner")
    data = folder(tmp_path / "data", {}, {"query": "Another journey."})
    items = load(chosen, data)
    path = tmp_path / "plans.jsonl"
    rows = [{"idx": 1, "query": QUESTION["query"], "plan": PLAN}, {"idx": 2, "query": "Another journey.", "plan": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_predictions(chosen, items, path)
    summary = summed(items, await score_all(chosen, items, found.predictions))
    assert summary.score == 0.5
    assert summary.parts["delivery"] == (1, 2) and summary.parts["commonsense, micro"] == (8, 16)
    assert summary.parts["hard, micro"] == (5, 10)


async def test_it_is_run_from_its_questions_to_its_score(tmp_path: Path) -> None:
    chosen = benchmark("travelplanner")
    known = {"annotated_plan": str([{"org": "Avon"}, [*PLAN, {}]])}
    items = load(chosen, folder(tmp_path, known, known | {"query": "Another journey."}))
    told = {**chosen.settings, "model.name": "sim:answers-50", "simulation.speed": 0, "durability": "off"}
    settings = changed(Settings(), told, "the test")
    wish = Wish(chosen, items, chosen_arms(["full"]), settings, tmp_path / "results", digest_of(items), 5.0)
    outcome = await evaluate(wish, environ={})
    right = right_ones(items, 0.5)
    assert {(row.arm, row.id) for row in outcome.rows if row.passed} == {
        (arm, i) for arm in ("full", "single") for i in right
    }
    assert all(line.parts["delivery"] == (1, 2) for line in lines_of(outcome.rows))


def test_questions_as_csv_and_with_a_known_plan(tmp_path: Path) -> None:
    import csv

    data = folder(tmp_path)
    (data / "validation.jsonl").unlink()
    row = QUESTION | {"annotated_plan": str([{"org": "Avon"}, [*PLAN, {}]])}
    with (data / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    [item] = load(benchmark("travelplanner"), data)
    assert item.data["days"] == 3 and item.data["local_constraint"]["cuisine"] == ["Chinese", "Indian"]
    assert json.loads(item.known or "") == PLAN


Spoils = Callable[[Path], object]
BAD: dict[str, tuple[Spoils, str]] = {
    "no database": (lambda p: (p / "database").rename(p / "other"), "no folder `database`"),
    "a table is missing": (lambda p: (p / "database/attractions/attractions.csv").unlink(), "attractions.csv: No such"),
    "a column is missing": (
        lambda p: (p / "database/attractions/attractions.csv").write_text("Name\nx\n"),
        "no column 'City'",
    ),
    "two files of questions": (lambda p: (p / "train.jsonl").write_text("{}"), "one file of questions"),
    "not a question": (
        lambda p: (p / "validation.jsonl").write_text('{"query": "x"}'),
        "item 1 of the data has no 'org'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_is_wrong_is_named(name: str, tmp_path: Path) -> None:
    spoil, words = BAD[name]
    data = folder(tmp_path)
    spoil(data)
    with pytest.raises(ConfigurationError, match=words):
        load(benchmark("travelplanner"), data)


def test_texts() -> None:
    assert from_to("Taxi, from Avon to Bree, 5 hours") == ("Avon", "Bree")
    assert from_to("nowhere") is None
    assert name_and_city("The Door, by the Hill, Bree(Utah)") == ("The Door, by the Hill", "Bree")
    assert name_and_city("Nowhere") == ("-", "-")
