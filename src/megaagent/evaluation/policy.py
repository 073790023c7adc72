"""The national policy experiment: what each delivered policy has, what it lacks, and what a panel of judges says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from megaagent.evaluation.contract import Item, Mark, Prediction
from megaagent.evaluation.kinds import Staged
from megaagent.evaluation.programs import Judge
from megaagent.scenarios.policy.check import CHECKS, Deliverable
from megaagent.scenarios.policy.nation import departments

# What the linter asks of each policy: the scenario's check that looks for it, and what its problems say.
LINT: Mapping[str, tuple[str, str]] = {
    "objective": ("objective and principles", "objective"),
    "principles": ("objective and principles", "principles"),
    "five specific laws or actions": ("laws and actions", ""),
    "responsible office": ("responsible office", ""),
    "metrics with baseline and target": ("metrics with baseline and target", ""),
    "timeline": ("timeline and review", "milestones"),
    "review cadence": ("timeline and review", "reviewed"),
    "budget": ("budget", ""),
}


class NationalPolicy(Staged):
    """One item, run as the scenario `policy`. Its score is the share of policies without a lint problem."""

    name = "policy"
    title = "National policy"
    scenario = "policy"
    panel = ("policy_*.txt",)
    settings: Mapping[str, Any] = {"limits.output": 4096, "budget.cost": 60.0, "sandbox.limits.output": 1 << 20}

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """The delivered text files."""
        return Prediction(item.id, json.dumps({p: t for p, t in files.items() if p.endswith(".txt")}), whole=True)

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """Lint every policy, and look whether they belong together."""
        files: dict[str, str] = json.loads(prediction.text)
        problems = lint(files)
        clean = [name for name, found in problems.items() if not found]
        counts = {kind: sum(kind not in found for found in problems.values()) for kind in LINT}
        parts = {kind: (count, len(problems)) for kind, count in counts.items()}
        whole = {name: list(examine(Deliverable(files))) for name, examine in CHECKS.items()}
        parts["all checks of the scenario"] = sum(not found for found in whole.values()), len(whole)
        bad = [f"policy_{name}.txt lacks {', '.join(found)}" for name, found in problems.items() if found]
        return Mark(not bad, "; ".join(bad)[:500], parts, len(clean) / len(problems))


def lint(files: Mapping[str, str]) -> dict[str, list[str]]:
    """What each department's policy lacks, by department; all of it when there is no policy."""
    it = Deliverable(dict(files))
    found: dict[str, list[str]] = {name: [] for name in departments()}
    for kind, (check, word) in LINT.items():
        for problem in CHECKS[check](it):
            named = re.match(r"policy_(\w+)\.txt", problem)
            if named and word in problem:
                found[named[1]].append(kind)
    return found
