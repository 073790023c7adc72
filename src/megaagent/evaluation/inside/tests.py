"""The side of the tests: trusted code of the data set, in a sandbox of its own, which calls the solution from afar.

The solution's results come as plain data. What the tests say is decided here and nowhere else.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import importlib
import json
import os
import traceback
from typing import Any

from megaagent.evaluation.inside.values import pack, unpack  # left out where the texts are joined


class Lost(BaseException):
    """The solution's side answers no more; no test may catch this."""


class Line:
    """The way to the solution's side."""

    def __init__(self) -> None:
        self._answers, self._asks = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)

    def read(self) -> Any:
        line = self._answers.readline()
        if not line:
            raise Lost("it answers no more")
        return json.loads(line)

    def say(self, words: dict[str, Any]) -> None:
        self._asks.write(json.dumps(words) + "\n")
        self._asks.flush()

    def ask(self, request: dict[str, Any]) -> Any:
        self.say(request)
        try:
            answer = self.read()
            if "raised" in answer:
                raise _raised(answer)
            return unpack(answer["value"], lambda number, kind: Remote(self, {"kept": number}, kind))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, AttributeError) as error:
            if getattr(error, "of_the_solution", False):
                raise
            raise Lost(f"what it answered is no value: {error}") from None


class Remote:
    """Something of the solution: a function, or an object that it has made. It is equal to itself only."""

    def __init__(self, line: Line, place: dict[str, Any], kind: str):
        self._line, self._place, self._kind = line, place, kind

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        request = {"arguments": pack(arguments, _number_of), "named": pack(named, _number_of)}
        return self._line.ask({**self._place, **request})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._line.ask({**self._place, "attribute": name})


def _number_of(value: Any) -> int:
    place = value.__dict__.get("_place", {}) if isinstance(value, Remote) else {}
    if "kept" not in place:
        raise TypeError(f"a {type(value).__name__} cannot be handed to the solution")
    return place["kept"]


def _raised(answer: dict[str, Any]) -> BaseException:
    """The error that the solution raised, as one of the same kind that no code of the solution's belongs to."""
    text = str(answer.get("text"))
    if answer.get("exits"):
        return Lost(f"it raised {answer['raised']}: {text}".rstrip(": "))
    builtin = getattr(importlib.import_module("builtins"), str(answer["raised"]), None)
    kind = builtin if isinstance(builtin, type) and issubclass(builtin, Exception) else None
    try:
        error = kind(text) if kind is not None else Exception(f"{answer['raised']}: {text}")
    except TypeError:
        error = Exception(text)
    error.of_the_solution = True  # type: ignore[attr-defined]
    return error


def main() -> None:
    line = Line()
    task = line.read()
    loaded = line.read()
    line.say(verdict(line, task, loaded))


def verdict(line: Line, task: dict[str, Any], loaded: dict[str, Any]) -> dict[str, Any]:
    """Run the tests; whether they passed, and if not, why."""
    try:
        if "failed" in loaded:
            raise Lost(f"the program fails by itself: {str(loaded['failed'])[:400]}")
        space: dict[str, Any] = {}
        exec(compile(task["setup"], "<setup>", "exec"), space)
        there = dict(loaded["has"])
        for name in task["entry"]:
            if name not in there:
                raise Lost(f"the program has no {name}")
        for name in task["modules"]:
            space[name] = importlib.import_module(name)
        for name in [*task["also"], *task["entry"]]:
            if name in there:
                space[name] = _found(line, name, there[name])
        exec(compile(task["imports"], "<imports>", "exec"), space)
        exec(compile(task["tests"], "<tests>", "exec"), space)
    except BaseException as error:
        return {"passed": False, "why": _why(error, task["tests"])}
    return {"passed": True, "why": ""}


def _found(line: Line, name: str, kind: str) -> Any:
    return line.ask({"name": name, "look": True}) if kind == "value" else Remote(line, {"name": name}, kind)


def _why(error: BaseException, tests: str) -> str:
    if isinstance(error, Lost):
        return str(error)
    told = f"{type(error).__name__}: {error}"[:400].rstrip(": ")
    lines = tests.splitlines()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == "<tests>" and frame.lineno and frame.lineno <= len(lines):
            return f"{told} at {lines[frame.lineno - 1].strip()[:200]}"
    return told


if __name__ == "__main__":
    main()
