"""What `approve` and `refuse` share: a person's word on a call that waits for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from megaagent.cli.options import Place
from megaagent.errors import ConfigurationError
from megaagent.events import Ruling
from megaagent.folder import all_runs, runs_folder

Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN] [ID]",
        help="What waits: its id, or the name of the agent; the only one that does by default. "
        "The latest run that is going on.",
        show_default=False,
    ),
]
Remark: TypeAlias = Annotated[str, typer.Option("--remark", metavar="TEXT", help="The agent is told.")]


def rule(ruling: Ruling, words: list[str] | None, remark: str, place: Place) -> int:
    """Tell a run what a person says of a call.

    Raises:
        ConfigurationError: too many words.
        RunError: the run is not going on, or nothing of that name waits.
    """
    from megaagent.cli.asking import tell
    from megaagent.control import Request

    *run, id = words or [""]
    if not run and id and place.host is None and _begins_a_run(place, id):
        run, id = [id], ""
    if len(run) > 1:
        raise ConfigurationError(f"{' '.join(words or [])}: at most a run and an approval are named; quote a remark")
    return tell(place, Request(ruling, id, remark), run[0] if run else None)


def _begins_a_run(place: Place, word: str) -> bool:
    """Whether a word alone names a run, by its folder or the beginning of its id, and nothing that waits in one."""
    runs = all_runs(runs_folder(place.runs, os.environ))
    return Path(word).is_dir() or any(folder.id.startswith(word) for folder in runs)
