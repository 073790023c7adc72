"""Arguments and options that several commands share, and the run that they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from megaagent.folder import RunFolder, find_run, runs_folder

RunName: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run's id, a part of it, or its folder; the latest by default.")
]
Runs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        help="Where runs are kept: megaagent-runs here, or $MEGAAGENT_RUNS.",
        show_default=False,
    ),
]
Subtree: TypeAlias = Annotated[
    str, typer.Option("--agent", metavar="NAME", help="Only this agent and all below it.", show_default=False)
]
Plain: TypeAlias = Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object per line; the last is the result.")]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Only the result.")]
Model: TypeAlias = Annotated[
    str | None, typer.Option("--model", metavar="P:M", help="Which model answers, as provider:model.")
]
BaseUrl: TypeAlias = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Of an OpenAI-compatible server.")
]
Fallback: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--fallback",
        metavar="P:M",
        help="Asked while the model is not available; may be given again.",
        show_default=False,
    ),
]
Price: TypeAlias = Annotated[
    str | None,
    typer.Option("--price", metavar="IN:OUT[:CACHED]", help="Dollars per million tokens, if the price is unknown."),
]
MaxCost: TypeAlias = Annotated[
    float | None, typer.Option("--max-cost", metavar="DOLLARS", help="Cap of money (10 unless changed).")
]
MaxTokens: TypeAlias = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", help="Cap of prompt and completion tokens together.")
]
MaxTime: TypeAlias = Annotated[
    float | None, typer.Option("--max-time", metavar="SECONDS", help="Cap of the time that the run is at work.")
]
MaxSteps: TypeAlias = Annotated[
    int | None, typer.Option("--max-steps", metavar="N", help="Cap of the answers of models in the whole run.")
]
MaxDisk: TypeAlias = Annotated[
    int | None, typer.Option("--max-disk", metavar="BYTES", help="Cap of what the run's folder may hold.")
]


def chosen_run(run: str | None, runs: Path | None) -> RunFolder:
    """The run that the command line names, or the latest.

    Raises:
        RunError: there is none, or the name fits several.
    """
    return find_run(runs_folder(runs, os.environ), run)


def how_to_name(folder: RunFolder) -> str:
    """What a person types, here, to name the run: its id where runs are kept, its path elsewhere."""
    here = runs_folder(None, os.environ).absolute()
    if folder.path.parent == here:
        return folder.id
    return quoted(shown(folder.path))


def shown(path: Path) -> str:
    """The path from here when it lies below, and with a slash so that it reads as a path."""
    try:
        relative = path.absolute().relative_to(Path.cwd())
    except ValueError:
        return str(path.absolute())
    return str(relative) if len(relative.parts) > 1 else f"./{relative}"


def quoted(word: str) -> str:
    """The word as a shell takes it."""
    import shlex

    return shlex.quote(word)
