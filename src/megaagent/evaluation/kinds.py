"""What benchmarks of one kind share: an answer in the report, a program in a file, a scenario that is run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megaagent.evaluation.contract import ITEM, Item, Mark, Prediction, Source
from megaagent.evaluation.data import Row, read_rows
from megaagent.evaluation.programs import Judge, Trial
from megaagent.scenarios import scenario

FILE = "solution.py"  # in which a program is delivered


class Public:
    """A benchmark in one of the usual formats."""

    name = ""
    source: Source | None = None
    samples = False
    fields: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    file: str | None = None
    scenario: str | None = None
    panel: tuple[str, ...] = ()
    settings: Mapping[str, Any] = ITEM
    runs_programs = False
    seconds = 0.0

    def read(self, data: Path) -> Sequence[Row]:
        """The rows of a file of JSON lines or JSON, or of all such files below a folder."""
        return read_rows(data)

    def right_answer(self, item: Item) -> str:
        """What is known to be right."""
        return item.known or ""


class Answers(Public):
    """The answer stands in the report."""

    # The last two are the right answer in the data sets themselves, whose rows predictions may have been written into.
    fields = ("prediction", "completion", "response", "output", "generation", "answer", "solution")


class Programs(Public):
    """The answer is a program that is delivered in one file, and tried with tests."""

    samples = True
    fields = ("completion", "solution", "code", "prediction", "response", "answer", "output")
    whole = ("solution", "code")
    file = FILE
    runs_programs = True

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """The delivered file."""
        return Prediction(item.id, files.get(FILE, ""), whole=True)

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """Whether the program passes its trial."""
        assert judge is not None
        if not prediction.text.strip():
            return Mark(False, "there is no program")
        outcome = await judge.passes(self.trial(item, prediction))
        return Mark(outcome.passed, outcome.why)

    def trial(self, item: Item, prediction: Prediction) -> Trial:
        """The program with what it has to pass."""
        raise NotImplementedError


class Staged(Public):
    """One item, run as the scenario of the same name; the answer is what was delivered."""

    fields = ("files",)

    def items(self, rows: Sequence[Row], data: Path | None) -> list[Item]:
        """The one goal."""
        return [Item(self.name, scenario(self.name).goal, {})]

    def goal(self, item: Item) -> str:
        """The scenario's."""
        return item.question

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """All delivered files."""
        return Prediction(item.id, json.dumps(dict(files)), whole=True)
