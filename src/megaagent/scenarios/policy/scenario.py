"""The national policy experiment of the paper (arXiv 2408.09955): policies of a nation, by hundreds of agents."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from megaagent.scenarios.contract import Check, Start
from megaagent.scenarios.policy import check
from megaagent.scenarios.policy.nation import departments


class Policy:
    """One policy for each of 31 departments, drafted by ministries and tested by citizens."""

    name = "policy"
    model = "sim:policy"
    # Several hundred calls are in flight at once, and each reserves its whole output in the budget.
    settings: Mapping[str, Any] = {
        "limits.output": 4096,
        "budget.cost": 60.0,
        "sandbox.limits.output": 1 << 20,
    }

    @property
    def goal(self) -> str:
        text = (resources.files("megaagent.scenarios.policy") / "goal.md").read_text(encoding="utf-8")
        return text.replace("{departments}", ", ".join(departments()))

    async def check(self, start: Start) -> list[Check]:
        """Read the delivered files and look for all that the goal asks for.

        Raises:
            SandboxError: programs cannot be run at the configured level.
        """
        return await check.check(start)
