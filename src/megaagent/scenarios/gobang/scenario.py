"""The Gobang experiment of the paper (arXiv 2408.09955): a game with an AI, developed by agents."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from megaagent.scenarios.contract import Check, Start
from megaagent.scenarios.gobang import check


class Gobang:
    """A game of five in a row with a strong AI, from one goal to a delivered program."""

    name = "gobang"
    model = "sim:gobang"
    settings: Mapping[str, Any] = {}

    @property
    def goal(self) -> str:
        return (resources.files("megaagent.scenarios.gobang") / "goal.md").read_text(encoding="utf-8")

    async def check(self, start: Start) -> list[Check]:
        """Play the delivered game and try all that the goal asks for; takes under ten seconds.

        Raises:
            SandboxError: programs cannot be run at the configured level.
        """
        return await check.check(start)
