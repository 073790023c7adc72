"""TravelPlanner as a benchmark, in the mode in which the information about cities is given with the question."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Item, Mark, Prediction, Source
from megaagent.evaluation.data import Row, read_rows
from megaagent.evaluation.kinds import Public
from megaagent.evaluation.programs import Judge
from megaagent.evaluation.travelplanner.commonsense import COMMONSENSE
from megaagent.evaluation.travelplanner.database import Database
from megaagent.evaluation.travelplanner.hard import HARD, asked_for
from megaagent.evaluation.travelplanner.texts import Plan

FILE = "plan.json"
_NUMBERS = ("days", "visiting_city_number", "people_number", "budget")
_WISHES = ("house rule", "cuisine", "room type", "transportation")
_DAY = json.dumps(
    {
        "days": 1,
        "current_city": "from A to B",
        "transportation": "Flight Number: F123, from A to B, ...",
        "breakfast": "-",
        "attraction": "Place, B;Other Place, B;",
        "lunch": "Name, B",
        "dinner": "Name, B",
        "accommodation": "Name, B",
    }
)


class TravelPlanner(Public):
    """Right is a plan that passes all constraints. `--data` is a folder with the questions and `database`."""

    name = "travelplanner"
    title = "TravelPlanner"
    source = Source("osunlp/TravelPlanner", ("validation",), "validation", "CC BY 4.0")
    fields = ("plan", "prediction", "response", "answer", "output")
    settings: Mapping[str, Any] = {"limits.output": 8192, "limits.agents": 20, "budget.cost": 2.0}
    whole = ("plan",)
    file = FILE

    def __init__(self) -> None:
        self._database: Database | None = None

    def read(self, data: Path) -> list[Row]:
        """The questions of a folder (JSON lines, JSON or CSV beside `database`), or of one file in it."""
        folder = data if data.is_dir() else data.parent
        if not (folder / "database").is_dir():
            raise ConfigurationError(
                f"{folder}: there is no folder `database` in it, which TravelPlanner is scored with"
            )
        self._database = Database(folder / "database")
        if not data.is_dir():
            return _questions(data)
        kinds = (".jsonl", ".json", ".csv", ".jsonl.gz")
        files = sorted(path for path in data.iterdir() if path.name.endswith(kinds) and path.is_file())
        if len(files) != 1:
            there = ", ".join(path.name for path in files) or "none"
            raise ConfigurationError(f"{data}: one file of questions is expected beside `database`, there are: {there}")
        return _questions(files[0])

    def items(self, rows: Sequence[Row], data: Path | None) -> list[Item]:
        """One item for each row, called by its number from 1."""
        if self._database is None:
            raise ConfigurationError(
                "TravelPlanner is scored with its database: give --data FOLDER with `database` and the questions in it"
            )
        return [_item(row, number) for number, row in enumerate(rows)]

    def goal(self, item: Item) -> str:
        """The question with its information, and the form of the plan."""
        return (
            f"Plan a journey.\n\n{item.question}\n\nDeliver one file, `{FILE}`: a JSON list with one object for each "
            f"of the {item.data['days']} days, such as\n{_DAY}\nA day in one city names it alone in `current_city`. "
            "Each attraction ends with a semicolon; - stands for nothing. Transportation is a flight by its number, or "
            "Self-driving or Taxi with from and to. Use only what the information below names, and keep to the budget "
            f"and all wishes.\n\n{item.data['reference_information']}"
        )

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """The delivered plan."""
        return Prediction(item.id, files.get(FILE, report), whole=True)

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """Hard constraints count only for a complete plan of things that are there, as in the reference."""
        assert self._database is not None
        plan = plan_in(prediction.text)
        wishes = asked_for(item.data)
        if not plan:
            return Mark(False, "there is no plan", _parts(False, {}, None, wishes))
        sense = {name: _tried(check, item.data, plan, self._database) for name, check in COMMONSENSE.items()}
        hard: dict[str, str | None] | None = None
        if not sense["complete information"] and not sense["within sandbox"]:
            hard = {name: _tried(check, item.data, plan, self._database) for name, check in HARD.items()}
        parts = _parts(True, sense, hard, wishes)
        passed = parts["commonsense, macro"][0] == parts["hard, macro"][0] == 1
        wrong = [f"{name}: {why}" for name, why in {**sense, **(hard or {})}.items() if why]
        return Mark(passed, "; ".join(wrong)[:500], parts)


def plan_in(text: str) -> Plan:
    """The days of a plan as JSON text: a list, or an object with one under `plan`; nothing when it is neither."""
    try:
        tree: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if isinstance(tree, dict):
        tree = cast(dict[str, Any], tree).get("plan")
    if not isinstance(tree, list) or not all(isinstance(day, dict) for day in cast(list[Any], tree)):
        return ()
    return cast(Plan, tree)


def _tried(check: Any, question: Mapping[str, Any], plan: Plan, database: Database) -> Any:
    """What a constraint says; a plan that it cannot read breaks it."""
    try:
        return check(question, plan, database)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        return f"the plan cannot be read: {type(error).__name__} {str(error)[:80]}"


def _parts(
    delivered: bool, sense: Mapping[str, str], hard: Mapping[str, str | None] | None, wishes: int
) -> dict[str, tuple[int, int]]:
    good = sum(not why for why in sense.values())
    met = sum(why == "" for why in hard.values()) if hard is not None else 0
    all_met = hard is not None and not any(hard.values())
    return {
        "delivery": (int(delivered), 1),
        "commonsense, micro": (good, len(COMMONSENSE)),
        "commonsense, macro": (int(delivered and good == len(COMMONSENSE)), 1),
        "hard, micro": (met, wishes),
        "hard, macro": (int(all_met), 1),
    }


def _questions(path: Path) -> list[Row]:
    if path.suffix != ".csv":
        return read_rows(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _item(row: Row, number: int) -> Item:
    """
    Raises:
        ConfigurationError: the row lacks what a question needs.
    """
    where = f"item {number + 1} of the data"
    data: dict[str, Any] = dict(row)
    for field in ("org", "dest", "query", "local_constraint", *_NUMBERS):
        if field not in data:
            raise ConfigurationError(f"{where} has no {field!r}; a question of TravelPlanner is expected")
    try:
        data |= {field: int(data[field]) for field in _NUMBERS}
        wishes = data["local_constraint"]
        wishes = ast.literal_eval(wishes) if isinstance(wishes, str) else wishes
        data["local_constraint"] = {wish: wishes.get(wish) for wish in _WISHES}
        plan = data.get("annotated_plan")
        plan = ast.literal_eval(plan) if isinstance(plan, str) and plan else plan
    except (ValueError, TypeError, SyntaxError, AttributeError, RecursionError, MemoryError) as error:
        raise ConfigurationError(f"{where} cannot be read: {str(error)[:200]}") from error
    data["reference_information"] = str(data.get("reference_information") or "")
    return Item(str(number + 1), str(data["query"]), data, _known(plan))


def _known(plan: Any) -> str | None:
    """The plan that people made: the list of its days, or a pair of the question and that list."""
    given = cast(list[Any], plan) if isinstance(plan, list) else []
    days = cast(list[Any], given[1]) if len(given) == 2 and isinstance(given[1], list) else given
    return json.dumps([day for day in days if day]) if days else None
