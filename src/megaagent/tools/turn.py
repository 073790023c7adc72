"""Tools that end a turn."""

from __future__ import annotations

from megaagent.tools.desk import Turn


async def wait(turn: Turn, names: list[str], reason: str, minutes: float | None = None) -> str:
    """Rest until somebody writes to you, still owing your result. Any message wakes you.

    Args:
        names: whom you wait for; leave it empty for your subordinates.
        reason: what you need from them.
        minutes: wake up after this time in any case.
    """
    return turn.wait(names, reason, minutes)


async def terminate(turn: Turn, report: str) -> str:
    """Hand in your work. Refused while your checklist is open, a subordinate still owes you, or a report is unreviewed.

    Args:
        report: what you did, the files, how it was checked, and what is missing. If you have handed in before and
            were only woken by a message, leave it empty to let that report stand.
    """
    return turn.terminate(report)
