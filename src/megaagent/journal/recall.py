"""What can be searched for in a run, who may find it, and the passage that is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from megaagent import events as ev
from megaagent.events import AnyEvent

SHARED = ("MessageSent", "NoteShared", "WorkReported")  # kinds that every agent may find; others only the agent's own

SEARCHED = (*SHARED, "ModelAnswered")  # kinds with a text that recall searches


# A table, since this is asked of every fact that is recorded.
_TEXTS: Final[Mapping[type[ev.Event], Callable[[Any], str]]] = {
    ev.MessageSent: lambda e: e.message.text,
    ev.WorkReported: lambda e: e.report,
    ev.NoteShared: lambda e: e.text,
    ev.ModelAnswered: lambda e: e.text,
}


def searchable(event: AnyEvent) -> str:
    """The text of an event that recall searches, or nothing."""
    text = _TEXTS.get(type(event))
    return "" if text is None else text(event)


def words_of(query: str) -> list[str]:
    """The words that are looked for. Nothing else of a query counts, so nobody needs to know a syntax."""
    return re.findall(r"\w+", query.encode(errors="ignore").decode())


def passage(text: str, words: list[str], size: int = 300) -> str:
    """The part of a text around the first of the words.

    Args:
        size: characters, about.
    """
    lower = text.lower()
    at = min((found for word in words if (found := lower.find(word.lower())) >= 0), default=0)
    start = max(0, at - size // 3)
    part = " ".join(text[start : start + size].split())
    return ("…" if start else "") + part + ("…" if start + size < len(text) else "")
