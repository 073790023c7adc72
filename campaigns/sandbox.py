"""Every wall tried from inside an agent's program, at each level that holds here, as root and as an ordinary user.

The corpus is the attempts to get out of `tests/hostile/probes.py`, and the programs that use up the machine of
`tests/sandboxes/test_walls.py`. The full form tries each use at every level, the short one at one level each.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from tests.sandboxes import test_walls as walls


def run(full: bool, seed: int) -> dict[str, object]:
    """Try everything; nothing here is random, so the seed is of no use."""
    cases = 0
    found: list[str] = []
    levels: set[str] = set()
    skipped: dict[str, str] = {}
    for level, user in walls.SETTINGS:
        where = f"{level}, {user}"
        try:
            result = walls.arena(level, user)
        except pytest.skip.Exception as reason:
            skipped[where] = str(reason)
            continue
        levels.add(where)
        table: dict[str, str] = json.loads(result["table"])
        cases += len(walls.ATTEMPTS)
        found += [f"{where}: {name} was not tried" for name in walls.ATTEMPTS if name not in table]
        found += [f"{where}: {name}: {how}" for name, how in table.items() if not how.startswith("held")]
        found += [f"{where}: {what} was harmed" for what in result["harmed"]]
    for level, user, use in walls.TRIALS if full else _uses_once():
        if f"{level}, {user}" in levels:
            cases += 1
            found += [f"{level}, {user}, {use}: {problem}" for problem in _bounded(level, user, use)]
    for problem in found:
        sys.stdout.write(f"{problem}\n")
    for where, reason in skipped.items():
        sys.stdout.write(f"not tried: {where}: {reason}\n")
    return {"cases": cases, "violations": len(found), "levels": sorted(levels)}


def _uses_once() -> list[tuple[str, str, str]]:
    """Each use at one level, by turns."""
    trials: dict[str, tuple[str, str, str]] = {}
    for number, (level, user, use) in enumerate(walls.TRIALS):
        if use not in trials or number % 3 == 0:
            trials[use] = (level, user, use)
    return list(trials.values())


def _bounded(level: str, user: str, use: str) -> list[str]:
    code, limits, _ = walls.USES[use]
    wish: dict[str, Any] = {"command": ["python", "-c", code], "limits": limits}
    found = walls.arena(level, user, json.dumps(wish))
    try:
        walls.test_use_is_bounded_and_nothing_is_left(level, user, use)
    except AssertionError as error:
        return [str(error).splitlines()[0] if str(error) else f"ended with {found['cut']}, left {found['left']}"]
    return []
