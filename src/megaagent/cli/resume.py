"""megaagent resume: go on where the journal ends."""

from __future__ import annotations

from typing import Any

from megaagent.cli.options import (
    BaseUrl,
    Fallback,
    Json,
    MaxCost,
    MaxDisk,
    MaxSteps,
    MaxTime,
    MaxTokens,
    Model,
    Plain,
    Price,
    Quiet,
    RunName,
    Runs,
    chosen_run,
)

HELP = """\b
Examples:
  megaagent resume
  megaagent resume 20261121-0931 --max-cost 20
  megaagent resume --model openai:gpt-4.1

What was paid for is not paid again; a cap that is given replaces the old one.
Another model holds until the run ends again: name it at the next resume too."""


def command(
    run: RunName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    fallback: Fallback = None,
    price: Price = None,
    runs: Runs = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    max_time: MaxTime = None,
    max_steps: MaxSteps = None,
    max_disk: MaxDisk = None,
    plain: Plain = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    from megaagent.cli.drive import drive
    from megaagent.cli.views import Look
    from megaagent.launch import resume

    changes: dict[str, Any] = {
        "model.name": model,
        "model.base_url": base_url,
        "model.fallbacks": fallback or None,
        "model.price": price,
        "budget.cost": max_cost,
        "budget.tokens": max_tokens,
        "budget.seconds": max_time,
        "budget.steps": max_steps,
        "budget.disk": max_disk,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    folder = chosen_run(run, runs)
    return drive(resume(folder, changes=given), Look(plain, json, quiet))
