"""megaagent eval: the paper's experiments, and the scores of predictions that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from megaagent.cli.options import Models, Set
from megaagent.errors import ConfigurationError

HELP = """\b
Examples:
  megaagent eval humaneval --data HumanEval.jsonl.gz \\
      --model openai:gpt-4o --limit 20 --max-cost 5
  megaagent eval gsm8k --data test.jsonl --model sim:answers-70
  megaagent eval mbpp --data sanitized-mbpp.json --arm full \\
      --arm no-verifier --model vllm:qwen3 --price 0:0
  megaagent eval gobang --arm full --arm no-parallelism
  megaagent eval score humaneval --data HumanEval.jsonl.gz \\
      --predictions samples.jsonl

\b
NAME is one of: humaneval, mbpp, gsm8k, math, travelplanner, gobang,
policy.
Arms are: full, no-hierarchy, no-parallelism, no-monitoring, no-memory,
no-verifier; a single agent with as many tokens is always compared.
The same command again goes on where it was cut off."""


def command(
    words: Annotated[
        list[str], typer.Argument(metavar="[score] NAME", help="What is evaluated; score: only score predictions.")
    ],
    models: Models,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="The public data; without it `datasets` is asked.")
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option("--arm", metavar="ARM", help="What is switched off; may be given again.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="Only the first N items.", min=1)] = None,
    repeats: Annotated[int, typer.Option("--repeats", metavar="K", help="Runs of each item.", min=1)] = 1,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost",
            metavar="DOLLARS",
            help="Cap of money for all items and arms together (10; none for simulated models).",
            show_default=False,
        ),
    ] = None,
    item_cost: Annotated[
        float | None, typer.Option("--item-cost", metavar="DOLLARS", help="Cap of money for one item.")
    ] = None,
    item_tokens: Annotated[
        int | None, typer.Option("--item-tokens", metavar="N", help="Cap of tokens for one item.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", help="Items (8), or programs, at once.", min=1)
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Settings in a TOML file.")
    ] = None,
    set_: Set = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="Where results are kept: megaagent-evals/NAME-MODEL here."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="PATH", help="With score: a file of predictions, or a folder."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="With score: one JSON line for each prediction.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> int:
    if words == ["score"]:
        raise ConfigurationError("say what the predictions are for: eval score NAME --predictions PATH")
    if len(words) == 2 and words[0] == "score":
        from megaagent.cli.scores import score

        asks = {"--arm": arm, "--max-cost": max_cost, "--item-cost": item_cost, "--item-tokens": item_tokens}
        asks |= {"--settings": settings, "--set": set_, "--into": into, "a model": models.changes()}
        if said := [name for name, value in asks.items() if value]:
            raise ConfigurationError(
                f"eval score runs nothing and asks no model: leave out {', '.join(said)}; or run: eval {words[1]}"
            )
        if predictions is None:
            raise ConfigurationError("what is to be scored? Give --predictions FILE or FOLDER")
        return score(words[1], predictions, data, limit=limit, places=parallel, out=out, json=json)
    if len(words) != 1:
        said = " ".join(words)
        raise ConfigurationError(f"{said!r} is not understood: write eval NAME, or eval score NAME --predictions PATH")
    if predictions is not None or out is not None:
        raise ConfigurationError(f"to score predictions, write: megaagent eval score {words[0]} --predictions PATH")
    from megaagent.cli.evaluating import Asked, evaluate_and_show

    asked = Asked(words[0], data, arm or [], limit, repeats, max_cost, parallel or 8, into, json)
    changes = {**models.changes(), "budget.cost": item_cost, "budget.tokens": item_tokens}
    return evaluate_and_show(asked, settings, set_ or [], changes)
