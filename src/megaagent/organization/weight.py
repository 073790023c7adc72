"""How much room a fact takes in a run's folder: counted from what it says, before compression, so an upper estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from megaagent import events as ev

ROW = 300  # bytes of a row with its indexes, beside its texts


# What each kind of fact takes beside its row; a table, since this is asked of every fact that is folded.
_TEXTS: Final[Mapping[type[ev.Event], Callable[[Any], int]]] = {
    ev.ModelAnswered: lambda e: len(e.text) + len(e.reasoning) + sum(len(call.arguments) for call in e.calls),
    ev.ToolReturned: lambda e: len(e.text),
    ev.MessageSent: lambda e: len(e.message.text) + 40 * len(e.message.to),
    ev.FileCommitted: lambda e: ROW + 2 * e.size,  # in the workspace, and among the journal's blobs
    ev.ProgramEnded: lambda e: len(e.output),
    ev.WorkReported: lambda e: len(e.report),
    ev.ApprovalAsked: lambda e: len(e.arguments),
    ev.ContextCompacted: lambda e: len(e.summary),
}


def weight(event: ev.Event) -> int:
    """About the bytes that a fact adds to journal and workspace together."""
    texts = _TEXTS.get(type(event))
    return ROW if texts is None else ROW + texts(event)
