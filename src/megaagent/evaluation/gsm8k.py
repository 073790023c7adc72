"""GSM8K (Cobbe et al. 2021): school mathematics whose answer is one number after `####`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Item, Mark, Prediction, Source
from megaagent.evaluation.data import need
from megaagent.evaluation.kinds import Answers
from megaagent.evaluation.programs import Judge

_ANSWER = re.compile(r"#### (-?[0-9.,]+)")


class Gsm8k(Answers):
    """1,319 problems; right is the same number, written the same way, without thousands separators."""

    name = "gsm8k"
    title = "GSM8K"
    source = Source("openai/gsm8k", ("main",), "test", "MIT")

    def items(self, rows: Sequence[Mapping[str, Any]], data: Path | None) -> list[Item]:
        """One item for each row, called by its number from 0."""
        found: list[Item] = []
        for number, row in enumerate(rows):
            need(row, number, "question", "answer")
            if final_number(row["answer"]) is None:
                raise ConfigurationError(f"item {number + 1} of the data has no final number after '####'")
            found.append(Item(str(row.get("id", number)), row["question"], dict(row), row["answer"]))
        return found

    def goal(self, item: Item) -> str:
        """The question, and how the answer is to be written."""
        return (
            f"Solve this problem:\n\n{item.data['question']}\n\nNo file is needed. Hand in a report with the steps of "
            "the solution. Its last line is `#### ` and the final number alone, such as `#### 42`: digits, no unit."
        )

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """The last line of the report that has the sign; earlier ones may quote the instruction."""
        last = report.rfind("####")
        return Prediction(item.id, report[last:] if last >= 0 else report)

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """The reference's comparison: both numbers as text."""
        right, said = final_number(item.data["answer"]), final_number(prediction.text)
        if said is None:
            return Mark(False, "there is no final number after '#### '")
        return Mark(said == right, "" if said == right else f"{said[:60]}, not {right}")


def final_number(text: str) -> str | None:
    """What follows the first `#### `, without commas."""
    found = _ANSWER.search(text)
    return found[1].strip().replace(",", "") if found else None
