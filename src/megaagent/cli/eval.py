"""megaagent eval: the paper's experiments, and the scores of predictions that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from megaagent.errors import ConfigurationError

HELP = """\b
Examples:
  megaagent eval score humaneval --data HumanEval.jsonl.gz \\
      --predictions samples.jsonl
  megaagent eval score mbpp --data sanitized-mbpp.json \\
      --predictions solutions/

\b
NAME is one of: humaneval, mbpp, gsm8k, math.
Data are the public files; docs/evaluation.md says where they are."""


def command(
    words: Annotated[
        list[str], typer.Argument(metavar="[score] NAME", help="What is evaluated; score: only score predictions.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="PATH", help="The public data; without it `datasets` is asked.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="PATH", help="With score: a file of predictions, or a folder."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="Only the first N items.", min=1)] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", help="Items, or programs, at once.", min=1)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="With score: one JSON line for each prediction.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> int:
    if len(words) == 2 and words[0] == "score":
        from megaagent.cli.scores import score

        if predictions is None:
            raise ConfigurationError("what is to be scored? Give --predictions FILE or FOLDER")
        return score(words[1], predictions, data, limit=limit, places=parallel, out=out, json=json)
    raise ConfigurationError(
        f"{' '.join(words)!r} is not understood: write megaagent eval score NAME --predictions PATH"
    )
