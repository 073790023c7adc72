"""What went by the batch, and what that saved."""

from __future__ import annotations

from typing import Any

from megaagent import events as ev
from megaagent.events import Record
from megaagent.organization.folds import IN_BATCH


class Thrift:
    """The fold.

    Attributes:
        batches: handed in, and taken by the provider.
        answered: calls that came home in them; `unanswered` those that came back without an answer.
        saved: US dollars, against the price of single calls.
    """

    def __init__(self) -> None:
        self.batches = self.answered = self.unanswered = 0
        self.saved = 0.0

    def take_in(self, record: Record) -> None:
        match record.event:
            case ev.BatchSent():
                self.batches += 1
            case ev.ModelAnswered(batch=batch, saved=saved) if batch:
                self.answered += 1
                self.saved += saved
            case ev.CallFailed(fault=fault) if fault == IN_BATCH:
                self.unanswered += 1
            case _:
                pass

    def told(self) -> dict[str, Any]:
        return {
            "batches": self.batches,
            "answered": self.answered,
            "unanswered": self.unanswered,
            "saved": round(self.saved, 6),
        }
