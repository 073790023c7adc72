"""What `approve` and `refuse` share: a person's word on a call that waits for it."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from megaagent.cli.options import Place
from megaagent.errors import ConfigurationError
from megaagent.events import Ruling

Words: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN] [ID]",
        help="What waits: its id, or the name of the agent; the only one that does by default. The latest run.",
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
    if len(run) > 1:
        raise ConfigurationError(f"{' '.join(words or [])}: at most a run and an approval are named; quote a remark")
    return tell(place, Request(ruling, id, remark), run[0] if run else None)
