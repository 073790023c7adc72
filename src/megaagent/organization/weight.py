"""How much room a fact takes in a run's folder: counted from what it says, before compression, so an upper estimate."""

from __future__ import annotations

from megaagent import events as ev

ROW = 300  # bytes of a row with its indexes, beside its texts


def weight(event: ev.Event) -> int:
    """About the bytes that a fact adds to journal and workspace together."""
    match event:
        case ev.ModelAnswered(text=text, reasoning=reasoning, calls=calls):
            return ROW + len(text) + len(reasoning) + sum(len(call.arguments) for call in calls)
        case ev.ToolReturned(text=text):
            return ROW + len(text)
        case ev.MessageSent(message=message):
            return ROW + len(message.text) + 40 * len(message.to)
        case ev.FileCommitted(size=size):
            return 2 * ROW + 2 * size  # in the workspace, and among the journal's blobs
        case ev.ProgramEnded(output=output):
            return ROW + len(output)
        case ev.WorkReported(report=report):
            return ROW + len(report)
        case ev.ApprovalAsked(arguments=arguments):
            return ROW + len(arguments)
        case ev.ContextCompacted(summary=summary):
            return ROW + len(summary)
        case _:
            return ROW
