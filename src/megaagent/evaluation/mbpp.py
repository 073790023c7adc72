"""MBPP, the hand-verified part (Austin et al. 2021): a function from one sentence and three asserts."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Item, Prediction, Source
from megaagent.evaluation.data import need
from megaagent.evaluation.kinds import FILE, Programs
from megaagent.evaluation.programs import Trial, defined_in, names_in

TEST_SPLIT = range(11, 511)  # task ids


class Mbpp(Programs):
    """The test split: 257 functions; a program passes when all asserts hold."""

    name = "mbpp"
    title = "MBPP (sanitized, test split)"
    source = Source("google-research-datasets/mbpp", ("sanitized",), "test", "CC BY 4.0")
    seconds = 10.0  # of one program; that of task 123 needs over three

    def items(self, rows: Sequence[Mapping[str, Any]], data: Path | None) -> list[Item]:
        """The rows whose task id is of the test split."""
        found: list[Item] = []
        for number, row in enumerate(rows):
            words = "prompt" if "prompt" in row else "text"  # the full set has another name for it
            need(row, number, words)
            if not isinstance(row.get("task_id"), int) or not _texts(row.get("test_list")):
                raise ConfigurationError(f"item {number + 1} of the data needs a number `task_id` and a `test_list`")
            if row["task_id"] in TEST_SPLIT:
                known = row.get("code")
                known = known if isinstance(known, str) else None
                found.append(Item(str(row["task_id"]), row[words], dict(row) | {"prompt": row[words]}, known))
        return found

    def goal(self, item: Item) -> str:
        """The sentence and the asserts, which are part of the question in this benchmark."""
        tests = "\n".join([*_texts(item.data.get("test_imports")), *_texts(item.data["test_list"])])
        return (
            f"{item.data['prompt']}\n\nDeliver one file, `{FILE}`, with the function. Use the standard library only. "
            f"These tests must pass when the file has been run:\n\n```python\n{tests}\n```"
        )

    def trial(self, item: Item, prediction: Prediction) -> Trial:
        """The program, then the imports of the data set, then every assert."""
        imports = "\n".join([*_texts(item.data.get("test_imports")), *_lines(item.data.get("test_setup_code"))])
        return _trial(prediction.text, "\n".join(_texts(item.data["test_list"])), imports, item)


def _trial(program: str, tests: str, imports: str, item: Item) -> Trial:
    """Only what the right program defines is taken from a prediction in place of a builtin or a module."""
    used = names_in(f"{imports}\n{tests}")
    right = defined_in(item.known or "")
    plain = [name for name in used if not hasattr(builtins, name) and name not in sys.stdlib_module_names]
    entry = [name for name in used if name in right] or plain[:1]
    also = [name for name in plain if name not in entry]
    modules = [name for name in used if name in sys.stdlib_module_names and name not in entry]
    return Trial(program, tests, tuple(entry), tuple(also), tuple(modules), imports=imports)


def _texts(value: Any) -> list[str]:
    return [str(each) for each in cast(list[Any], value)] if isinstance(value, list) else []


def _lines(value: Any) -> list[str]:
    return [value] if isinstance(value, str) and value.strip() else []
