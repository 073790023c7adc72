"""GSM8K (Cobbe et al. 2021): school mathematics whose answer is one number after `####`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Item, Mark, Prediction, Source
from megaagent.evaluation.data import need
from megaagent.evaluation.kinds import Answers
from megaagent.evaluation.programs import Judge

BY_LAST = "by the last number of the answer"
_NUMBER = re.compile(r"-?[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?")
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
        right, said = final_number(item.data["answer"]) or "", final_number(prediction.text)
        parts = {BY_LAST: (int(same_number(last_number(prediction.text), right)), 1)}
        if said is None:
            return Mark(False, "there is no final number after '#### '", parts)
        return Mark(said == right, "" if said == right else f"{said[:60]}, not {right}", parts)


def final_number(text: str) -> str | None:
    """What follows the first `#### `, without commas."""
    found = _ANSWER.search(text)
    return found[1].strip().replace(",", "") if found else None


def last_number(text: str) -> str | None:
    """The last number in a text, wherever it stands, without commas."""
    found = _NUMBER.findall(text)
    return found[-1].replace(",", "") if found else None


def same_number(said: str | None, right: str) -> bool:
    """Whether two texts are the same number, however many zeros it has behind the point."""
    try:
        return said is not None and Decimal(said) == Decimal(right)
    except InvalidOperation:
        return False
