"""`/metrics` for Prometheus: how the runs that are going on stand, and those that ended lately.

The text format is that of Prometheus' "Exposition formats", version 0.0.4. Every sample of a run says whether the run
is simulated, so that made-up dollars are never added to real ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from megaagent import __version__
from megaagent.dashboard.pool import Pool
from megaagent.dashboard.runs import Runs
from megaagent.errors import RunError
from megaagent.events import Struct
from megaagent.readings.fold import Readings
from megaagent.readings.overview import STANDS

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST: Final = 16  # runs of which everything is told, the newest ones
LATELY: Final = 900.0  # seconds for which a run that has ended is told of
GOING_ON: Final = ("new", "running", "paused")
PATIENCE: Final = 5.0  # seconds for which the reading of a long journal is waited for
ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = Mapping[str, str]


class Family(Struct, frozen=True):
    """One metric: its name without `megaagent_`, what it means, and its values with their labels."""

    name: str
    kind: Literal["counter", "gauge"]
    words: str
    samples: Sequence[tuple[Labels, float]]


async def told(runs: Runs, pool: Pool) -> str:
    """Everything, in the text format."""
    entries = await runs.told()
    now = time.time()
    fresh = [entry for entry in entries if entry["live"] or now - float(entry["last"]) < LATELY][:MOST]
    states = await asyncio.gather(*(_read(pool, entry["id"]) for entry in fresh))
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry["status"]] = counts.get(entry["status"], 0) + 1
    families = [
        Family("build_info", "gauge", "The version of this server.", [({"version": __version__}, 1)]),
        Family("runs", "gauge", "Runs in the folder, by how they stand.", _by("status", counts)),
        *_of_runs([(entry, state) for entry, state in zip(fresh, states, strict=True) if state is not None]),
    ]
    return render(families)


def render(families: Iterable[Family]) -> str:
    """Metrics in the text format, each with its help and type before its samples."""
    lines: list[str] = []
    for family in families:
        name = f"megaagent_{family.name}"
        words = family.words.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {family.kind}"]
        lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in family.samples]
    return "\n".join(lines) + "\n"


async def _read(pool: Pool, run: str) -> dict[str, Any] | None:
    """How a run stands; None when its journal is gone, unreadable, or not read to its end yet."""
    follower = pool.follow(run)
    if follower is None:
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            return await follower.ask(_state)
    except (RunError, TimeoutError):
        return None


def _state(readings: Readings) -> dict[str, Any]:
    overview = readings.overview
    return {
        **overview.header(),
        "position": overview.position,
        "stands": overview.stands(),
        "faults": [(*row["name"].split(": ", 1), row["count"]) for row in readings.costs.faults()],
    }


def _by(label: str, counts: Mapping[str, float], more: Labels | None = None) -> list[tuple[Labels, float]]:
    return [({**(more or {}), label: name}, count) for name, count in sorted(counts.items())]


def _of_runs(found: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[Family]:
    def labels(state: dict[str, Any], /, **more: str) -> Labels:
        return {"run": str(state["run"]), "simulated": "yes" if state["simulated"] else "no", **more}

    def each(field: str) -> list[tuple[Labels, float]]:
        return [(labels(state), float(state[field])) for _, state in found if state[field] is not None]

    faulty = [
        (labels(state, outcome=outcome, fault=fault), float(count))
        for _, state in found
        for outcome, fault, count in state["faults"]
    ]
    limited = [
        (labels(state), float(sum(count for _, fault, count in state["faults"] if fault == "rate_limit")))
        for _, state in found
    ]
    standing = [(state, state["stands"]) for _, state in found]
    waiting = [(labels(state), stands["ready"] + stands["acting"]) for state, stands in standing]
    by_state = [(labels(state, state=stand), stands[stand]) for state, stands in standing for stand in STANDS]
    info = [
        (
            labels(
                state, model=str(state["model"]), scenario=str(state["scenario"] or ""), status=str(entry["status"])
            ),
            1,
        )
        for entry, state in found
    ]
    going = [(labels(state), float(entry["live"] and state["status"] in GOING_ON)) for entry, state in found]
    return [
        Family("run_info", "gauge", "A run, with its model and how it stands.", info),
        Family("run_going_on", "gauge", "Whether an engine is at work on the run.", going),
        Family("agents", "gauge", "Agents by state.", by_state),
        Family("calls_in_flight", "gauge", "Model calls under way.", each("calls")),
        Family("queue", "gauge", "Agents that can go on and have no model call or program under way.", waiting),
        Family("calls_total", "counter", "Model calls that were answered.", each("steps")),
        Family("rate_limited_total", "counter", "Attempts that met a rate limit (429).", limited),
        Family("call_faults_total", "counter", "Attempts that failed, by fault and what followed.", faulty),
        Family("prompt_tokens_total", "counter", "Prompt tokens, cached ones included.", each("prompt")),
        Family("cached_tokens_total", "counter", "Prompt tokens that came from the provider's cache.", each("cached")),
        Family("completion_tokens_total", "counter", "Completion tokens.", each("completion")),
        Family("cost_dollars_total", "counter", "US dollars spent.", each("cost")),
        Family("reserved_dollars", "gauge", "US dollars reserved for calls in flight or called off.", each("reserved")),
        Family("budget_dollars", "gauge", "The run's cap of money; absent without one.", each("max_cost")),
        Family("budget_tokens", "gauge", "The run's cap of tokens; absent without one.", each("max_tokens")),
        Family("messages_total", "counter", "Messages sent.", each("messages")),
        Family("commits_total", "counter", "Commits to the shared files.", each("commits")),
        Family("open_debts", "gauge", "Assignments that are open or not reviewed.", each("debts")),
        Family("interventions_total", "counter", "Acts of the supervisor and of people.", each("interventions")),
        Family("open_questions", "gauge", "Questions that wait for a person.", each("questions")),
        Family("open_approvals", "gauge", "Calls that wait for a person's approval.", each("approvals")),
        Family("facts_total", "counter", "Facts in the run's journal.", each("position")),
        Family("last_fact_timestamp_seconds", "gauge", "Time of the newest fact, by the run's clock.", each("last")),
    ]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(ESCAPED)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
