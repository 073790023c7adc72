"""The side of the solution: runs a program that nobody trusts, and calls its functions as it is asked to.

Whatever the program does here (leave, print, overwrite this code), it can only send values or send none.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from megaagent.evaluation.inside.values import pack, unpack  # left out where the texts are joined


def main() -> None:
    asked, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    task = json.loads(asked.readline())
    kept: list[Any] = []
    space: dict[str, Any] = {}
    try:
        exec(compile(task["program"], "<solution>", "exec"), space)
        exec(compile(task["imports"], "<imports>", "exec"), space)
    except BaseException as error:
        say({"failed": _told(error)})
        return
    say({"has": {name: _kind_of(space[name]) for name in [*task["entry"], *task["also"]] if name in space}})
    for line in asked:
        say(answered(json.loads(line), space, kept))


def answered(request: dict[str, Any], space: dict[str, Any], kept: list[Any]) -> dict[str, Any]:
    """What one request comes to: a value, or how it failed."""

    def keep(value: Any) -> int:
        kept.append(value)
        return len(kept) - 1

    def own(number: int, _: str) -> Any:
        return kept[number]

    try:
        target: Any = space[request["name"]] if "name" in request else kept[request["kept"]]
        if "attribute" in request:
            return {"value": pack(getattr(target, request["attribute"]), keep)}
        if request.get("look"):
            return {"value": pack(target, keep)}
        arguments, named = unpack(request["arguments"], own), unpack(request["named"], own)
        return {"value": pack(target(*arguments, **named), keep)}
    except BaseException as error:
        return {"raised": type(error).__name__, "text": _said(error), "exits": not isinstance(error, Exception)}


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {_said(error)}"


def _said(error: BaseException) -> str:
    try:
        return str(error)[:500]
    except BaseException:
        return "an error that cannot be told"


def _kind_of(value: Any) -> str:
    return "callable" if isinstance(value, Callable) else "value"


if __name__ == "__main__":
    main()
