"""Small data of our own in the public formats."""

# ruff: noqa: E501  # programs as texts

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

HUMANEVAL: list[dict[str, Any]] = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'def triple(n: int) -> int:\n    """Three times n."""\n',
        "entry_point": "triple",
        "canonical_solution": "    return 3 * n\n",
        "test": "def check(candidate):\n    assert candidate(2) == 6\n    assert candidate(0) == 0\n",
    },
    {
        "task_id": "HumanEval/1",
        "prompt": (
            'import math\n\n\ndef half(words):\n    return words[: len(words) // 2]\n\n\ndef first_half(words):\n    """'
            'The first half."""\n'
        ),
        "entry_point": "first_half",
        "canonical_solution": "    return half(words)\n",
        "test": (
            "def check(candidate):\n    for n in range(40):\n        words = [str(i) for i in range(n)]\n"
            "        assert candidate(words) == half(words)\n    assert math.isclose(len(candidate(['a'] * 6)), 3)\n"
        ),
    },
    {
        "task_id": "HumanEval/2",
        "prompt": 'def counts(text: str) -> dict:\n    """How often each letter is in it."""\n',
        "entry_point": "counts",
        "canonical_solution": "    from collections import Counter\n\n    return Counter(text)\n",
        "test": "def check(candidate):\n    assert candidate('aab') == {'a': 2, 'b': 1}\n    assert not candidate('')\n",
    },
]

MBPP: list[dict[str, Any]] = [
    {"task_id": 3, "prompt": "Of another split.", "code": "x = 1", "test_imports": [], "test_list": ["assert x"]},
    {
        "task_id": 11,
        "prompt": "Write a function to find the elements that two lists share.",
        "code": "def shared(a, b):\n    return tuple(set(a) & set(b))",
        "test_imports": [],
        "test_list": ["assert set(shared((3, 4, 5), (5, 4))) == set((4, 5))", "assert shared((1,), (2,)) == ()"],
    },
    {
        "task_id": 12,
        "prompt": "Write a function called sum that adds the common divisors of two numbers.",
        "code": "def sum(a, b):\n    return __builtins__['sum'](d for d in range(1, min(a, b) + 1) if not a % d and not b % d)",
        "test_imports": [],
        "test_list": ["assert sum(10, 15) == 6", "assert sum(4, 6) == 3"],
    },
    {
        "task_id": 13,
        "prompt": "Write a function to find the size of a tuple in bytes.",
        "code": "import sys\n\n\ndef size_of(items):\n    return sys.getsizeof(items)",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(size_of((1, 'A')), sys.getsizeof((1, 'A')))"],
    },
]

GSM8K: list[dict[str, Any]] = [
    {"question": "Ann has 3 pens and buys 4. How many?", "answer": "3 + 4 = <<3+4=7>>7.\n#### 7"},
    {"question": "A farm sells 1,200 eggs at $2. How much?", "answer": "1200 * 2 = 2400.\n#### 2,400"},
    {"question": "It was 3 degrees and fell by 8. What is it?", "answer": "3 - 8 = -5.\n#### -5"},
]

MATH: list[dict[str, Any]] = [
    {
        "problem": "What is $1/4+1/4$?",
        "level": "Level 1",
        "type": "Algebra",
        "solution": "It is $\\boxed{\\frac{1}{2}}$.",
    },
    {
        "problem": "Solve $x^2=2$ for all $x$.",
        "level": "Level 2",
        "type": "Algebra",
        "solution": "So $x=\\boxed{-\\sqrt{2},\\sqrt{2}}$.",
    },
    {
        "problem": "Which points have distance below 1 from 2?",
        "level": "Level 3",
        "type": "Precalculus",
        "solution": "We get $\\boxed{(1,3)}$.",
    },
]


def written(folder: Path, name: str) -> Path:
    """The sample data of a benchmark, as its public file."""
    if name == "humaneval":
        path = folder / "HumanEval.jsonl.gz"
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in HUMANEVAL).encode()))
    elif name == "mbpp":
        path = folder / "sanitized-mbpp.json"
        path.write_text(json.dumps(MBPP))
    elif name == "gsm8k":
        path = folder / "test.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in GSM8K))
    else:
        path = folder / "MATH"
        for number, row in enumerate(MATH):
            place = path / row["type"].lower()
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}.json").write_text(json.dumps(row))
    return path


def lines(path: Path, rows: list[Any]) -> Path:
    """A file of JSON lines; a text is a line as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path
