"""MATH (Hendrycks et al. 2021): competition mathematics whose answer stands in `\\boxed{}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megaagent.errors import ConfigurationError
from megaagent.evaluation.boxed import last_boxed, same_text
from megaagent.evaluation.contract import Item, Mark, Prediction, Source
from megaagent.evaluation.data import need
from megaagent.evaluation.equivalence import equivalent
from megaagent.evaluation.kinds import Answers
from megaagent.evaluation.programs import Judge

_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
BY_REFERENCE = "by the reference's text rule"


class CompetitionMath(Answers):
    """Right is an answer that says the same; what the reference's comparison of texts says is a figure beside it."""

    name = "math"
    title = "MATH"
    source = Source("EleutherAI/hendrycks_math", _SUBJECTS, "test", "MIT")
    whole = ("answer",)  # holds nothing but the answer, with or without its box

    def items(self, rows: Sequence[Mapping[str, Any]], data: Path | None) -> list[Item]:
        """One item for each row, called by its id, its place in the folder, or its number from 0."""
        found: list[Item] = []
        for number, row in enumerate(rows):
            need(row, number, "problem", "solution")
            answer = row.get("answer") if isinstance(row.get("answer"), str) else last_boxed(row["solution"])
            if not isinstance(answer, str):
                raise ConfigurationError(f"item {number + 1} of the data has neither an answer nor a \\boxed{{}}")
            name = str(row.get("unique_id") or row.get("path") or row.get("id") or number)
            id = name.removeprefix("test/").removesuffix(".json")
            found.append(Item(id, row["problem"], dict(row) | {"answer": answer}, row["solution"]))
        return found

    def goal(self, item: Item) -> str:
        """The problem, and how the answer is to be written."""
        return (
            f"Solve this problem:\n\n{item.data['problem']}\n\nNo file is needed. Hand in a report with the steps of "
            "the solution. It ends with the final answer in \\boxed{}, in its simplest form."
        )

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """The report; what counts is its last box."""
        return Prediction(item.id, report)

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """Compare the last box with the right answer."""
        said, right = last_boxed(prediction.text), item.data["answer"]
        if said is None and prediction.whole:
            said = prediction.text.strip()
        if said is None:
            return Mark(False, "there is no \\boxed{} answer", {BY_REFERENCE: (0, 1)})
        passed = equivalent(said, right)
        why = "" if passed else f"{said[:100]}, not {right[:100]}"
        return Mark(passed, why, {BY_REFERENCE: (int(same_text(said, right)), 1)})
