"""HumanEval (Chen et al. 2021): a function from its signature and docstring, tried with hidden tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megaagent.evaluation.contract import Item, Prediction, Source
from megaagent.evaluation.data import need
from megaagent.evaluation.kinds import FILE, Programs
from megaagent.evaluation.programs import Trial


class HumanEval(Programs):
    """164 functions; a sample passes when `check(candidate)` raises nothing."""

    name = "humaneval"
    title = "HumanEval"
    source = Source("openai/openai_humaneval", ("openai_humaneval",), "test", "MIT")
    seconds = 3.0  # of one program, as in the reference implementation

    def items(self, rows: Sequence[Mapping[str, Any]], data: Path | None) -> list[Item]:
        """One item for each row."""
        found: list[Item] = []
        for number, row in enumerate(rows):
            need(row, number, "task_id", "prompt", "entry_point", "test")
            known = row.get("canonical_solution")
            found.append(Item(row["task_id"], row["prompt"], dict(row), known if isinstance(known, str) else None))
        return found

    def goal(self, item: Item) -> str:
        """The prompt of the data set, and where the function is to be put."""
        return (
            f"Write the Python function `{item.data['entry_point']}` that is begun below, so that it does what its "
            f"docstring says, for every input. Deliver one file, `{FILE}`: the code below as it is, with the body of "
            "the function after its docstring. Use the standard library only. The function will be tried with tests "
            f"that you do not see.\n\n```python\n{item.data['prompt']}\n```"
        )

    def right_answer(self, item: Item) -> str:
        """Prompt and canonical solution."""
        return f"{item.data['prompt']}{item.known or ''}"

    def trial(self, item: Item, prediction: Prediction) -> Trial:
        """Prompt and completion together, as the reference does; a whole program alone."""
        prompt, entry = item.data["prompt"], item.data["entry_point"]
        program = prediction.text if prediction.whole else prompt + prediction.text
        tests = f"{item.data['test']}\ncheck({entry})"
        return Trial(program, tests, (entry,), setup=prompt)
