"""megaagent patch: what a run changed, for git apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from megaagent.cli.options import Chosen
from megaagent.errors import RunError

if TYPE_CHECKING:
    from megaagent.folder import RunFolder

HELP = """\b
Examples:
  megaagent patch > run.patch
  megaagent patch | git -C ../project apply --3way"""


def command(chosen: Chosen) -> int:
    import sys

    from megaagent.cli.words import clean_block
    from megaagent.workspace import Workspace

    folder = chosen.folder()
    base, result = _ends(folder)
    workspace = Workspace.open(folder.workspace)
    try:
        patch = workspace.diff(base, result or workspace.head())
    finally:
        workspace.close()
    if sys.stdout.isatty():
        print(clean_block(patch))
    else:
        sys.stdout.buffer.write(patch.encode())  # as it is: line ends and all
    return 0


def _ends(folder: RunFolder) -> tuple[str, str | None]:
    """The revision that the run began with, and the one that it ended with if it did."""
    from megaagent import events as ev
    from megaagent.cli.reading import opened

    base = result = None
    with opened(folder) as reader:
        for record in reader.records(kinds=[ev.RunStarted, ev.RunEnded, ev.RunResumed], bodies=False):
            match record.event:
                case ev.RunStarted(revision=revision):
                    base = revision
                case ev.RunEnded(revision=revision):
                    result = revision
                case _:
                    result = None
    if base is None:
        raise RunError(f"the journal of {folder.id} does not say with which files the run began")
    return base, result
