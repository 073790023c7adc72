"""megaagent fork: another run from any point of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
  megaagent fork --at 120 --model openai:gpt-4.1
  megaagent fork 20261121-0931 --at 57 --say "Use only the standard library."
  megaagent fork --at 4 --prompts my-prompts --set limits.agents=20

\b
The facts, with their numbers, are listed by: megaagent show
The other run is only read; it may be going on. What it has spent up to
that fact counts towards the caps."""


def command(
    at: Annotated[int, typer.Option("--at", metavar="EVENT", help="The last fact that both runs have in common.")],
    run: RunName = None,
    model: Model = None,
    base_url: BaseUrl = None,
    fallback: Fallback = None,
    price: Price = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="DIR", help="A folder of prompts that replace the built-in ones."),
    ] = None,
    say: Annotated[str | None, typer.Option("--say", metavar="TEXT", help="Mail to the boss, from you.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as limits.agents=50.")
    ] = None,
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
    from megaagent.cli.run import assignment
    from megaagent.cli.views import Look
    from megaagent.fork import fork

    options: dict[str, Any] = {
        "model.name": model,
        "model.base_url": base_url,
        "model.fallbacks": fallback or None,
        "model.price": price,
        "prompts": str(prompts.absolute()) if prompts is not None else None,
        "budget.cost": max_cost,
        "budget.tokens": max_tokens,
        "budget.seconds": max_time,
        "budget.steps": max_steps,
        "budget.disk": max_disk,
    }
    changes = dict(map(assignment, set_ or [])) | {name: value for name, value in options.items() if value is not None}
    folder = chosen_run(run, runs)
    return drive(fork(folder, at=at, changes=changes, say=say), Look(plain, json, quiet))
