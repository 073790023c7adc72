"""How the command line ends: one table, for code, documentation and help alike."""

from __future__ import annotations

from typing import Final

from megaagent.errors import MegaAgentError, RunError
from megaagent.events import Status

BUG: Final = 1
READER_GONE: Final = 1
CONFIGURATION: Final = 2
RUN_FOLDER: Final = 8
INTERRUPTED: Final = 130

ENDINGS: Final[dict[Status, int]] = {
    "completed": 0,
    "failed": 3,
    "stalled": 4,
    "exhausted": 5,
    "stopped": 6,
    "paused": 7,
}

MEANINGS: Final = {
    0: "completed; or the command did what it was asked",
    BUG: "a problem found by replay, a fault of MegaAgent, output unread",
    CONFIGURATION: "wrong usage or configuration, or refused by the run; nothing was done",
    3: "failed: not confirmed, or it could not be done",
    4: "stalled: nobody could go on",
    5: "exhausted: a cap of the budget was reached",
    6: "stopped by a person (Ctrl-C once, or megaagent stop)",
    7: "paused, and nobody was there to unpause it",
    RUN_FOLDER: "a run cannot be used: not there, not going on, in use, damaged",
    INTERRUPTED: "Ctrl-C twice: left at once",
}


def code_of(error: MegaAgentError) -> int:
    """The exit code of a failure."""
    return RUN_FOLDER if isinstance(error, RunError) else CONFIGURATION


def table() -> str:
    """The exit codes as lines of help."""
    return "\n".join(f"{code:>5}  {meaning}" for code, meaning in MEANINGS.items())
