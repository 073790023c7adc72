"""How good the order is in which calls are made: `python -m benchmarks schedule`.

In virtual time, with a provider that takes only C calls at once and a gate that knows it, the time that a run takes is
compared with what no order could beat: the critical path, or all work shared among C places. The critical path is that
of the same organization with as many calls at once as it wants. Simulated models; no model is asked.

    policy_ratio                   the worst of the policy scenario with C = 8, 32, 128
    random_median, random_worst    of 200 organizations drawn by the seeds 1 to 200, each with one of these C
    ..._of_narrowest               of those with C = 8, where the order matters most
    ..._without_priority           the same when calls go in the order of asking
    ..._unbeatable                 of the calls of the same run: what they would need at least in the best order, which
                                   only who knows them all beforehand can find, over the same lower bound
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.bounds import calls_of, unbeatable
from benchmarks.organizations import organization
from benchmarks.policy import chosen
from megaagent.events import Struct
from megaagent.models.gate import Gate, Place, Priority
from megaagent.models.script import Script
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.readings.critical import critical_path
from megaagent.scenarios.policy.nation import AGENTS
from megaagent.scenarios.policy.scenario import Policy
from megaagent.scenarios.policy.script import script
from megaagent.testing import Rehearsal, rehearse

AT_ONCE = (8, 32, 128)
MEMORY = Path("/dev/shm")  # a file system in memory, where there is one


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks schedule", description=__doc__)
    parser.add_argument("--organizations", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    seeds = range(given.first_seed, given.first_seed + given.organizations)
    with ProcessPoolExecutor(given.processes) as pool:
        policy = list(pool.map(policy_ratios, AT_ONCE))
        drawn = list(pool.map(random_ratios, seeds))
    figures: dict[str, object] = {
        "benchmark": "schedule",
        "simulated": True,
        "organizations": given.organizations,
        "policy_ratio": max(each.ratio for each, _ in policy),
    }
    for index, suffix in enumerate(("", "_without_priority")):
        ways = [each[index] for each in policy]
        figures[f"policy_ratios{suffix}"] = {str(c): way.ratio for c, way in zip(AT_ONCE, ways, strict=True)}
        figures[f"policy_ratios{suffix}_unbeatable"] = {
            str(c): w.unbeatable for c, w in zip(AT_ONCE, ways, strict=True)
        }
        figures |= told([each[index] for each in drawn], seeds, suffix)
    print(json.dumps(figures))
    return 0


def told(ways: Sequence[Way], seeds: Sequence[int], suffix: str) -> dict[str, object]:
    """The figures of the drawn organizations."""
    ratios = [way.ratio for way in ways]
    worst = max(range(len(ways)), key=ratios.__getitem__)
    figures: dict[str, object] = {
        f"random_median{suffix}": round(statistics.median(ratios), 4),
        f"random_mean{suffix}": round(statistics.mean(ratios), 4),
        f"random_worst{suffix}": ratios[worst],
        f"random_worst_seed{suffix}": seeds[worst],
        f"random_worst{suffix}_unbeatable": ways[worst].unbeatable,
        f"random_most{suffix}_unbeatable": max(way.unbeatable for way in ways),
    }
    narrow = [way for seed, way in zip(seeds, ways, strict=True) if seed % len(AT_ONCE) == 0]
    if narrow:
        figures[f"random_median_of_narrowest{suffix}"] = round(statistics.median(way.ratio for way in narrow), 4)
        figures[f"random_mean_of_narrowest{suffix}"] = round(statistics.mean(way.ratio for way in narrow), 4)
        unbeaten = round(statistics.mean(way.unbeatable for way in narrow), 4)
        figures[f"random_mean_of_narrowest{suffix}_unbeatable"] = unbeaten
    return figures


class Way(Struct, frozen=True):
    """How one run went: its time over the lower bound, and what no order of its calls could beat over the same."""

    ratio: float
    unbeatable: float


def policy_ratios(at_once: int) -> tuple[Way, Way]:
    """The policy scenario with so many calls at once."""
    return ratios(script(), at_once, goal=Policy().goal)


def random_ratios(seed: int) -> tuple[Way, Way]:
    """The organization of that seed."""
    return ratios(organization(seed), AT_ONCE[seed % len(AT_ONCE)])


def ratios(played: Script, at_once: int, *, goal: str = "Do it.") -> tuple[Way, Way]:
    """The run's time over the lower bound, with the rule of priority and without."""
    free = critical_path(run(played, 100_000, goal).records).seconds

    def over(priority: bool) -> Way:
        bounded = run(played, at_once, goal, priority=priority)
        path, (best, longest) = critical_path(bounded.records), unbeatable(calls_of(bounded.records), at_once)
        assert abs(path.seconds - longest) < 1e-6, "two readings of one journal differ about its longest chain"
        bound = max(free, path.work / at_once)
        return Way(round(bounded.seconds / bound, 4), round(best / bound, 4))

    return over(True), over(False)


def run(played: Script, at_once: int, goal: str, *, priority: bool = True) -> Rehearsal:
    """A rehearsal with so many calls at once."""
    settings = chosen(AGENTS, **{"gate.start": at_once, "gate.most": at_once, "limits.steps": 1000})
    model = SimulatedModel(played, name="sim:script", latency=Latency())
    gate = Gate(settings.gate) if priority else InOrder(settings.gate)
    done = rehearse(model, goal, settings=settings, gate=gate, scratch=MEMORY if MEMORY.is_dir() else None)
    assert done.ending.status == "completed", done.ending
    return done


class InOrder(Gate):
    """A gate without the rule of priority: places are given in the order of asking, with turns among shares."""

    def place(self, *, priority: Priority = 0, share: str = "", tokens: int = 0) -> Place:
        return super().place(priority=0, share=share, tokens=tokens)

    def prefer(self, place: Place, priority: int) -> None:
        """All stay where they are."""
