"""What can be searched for in a run, who may find it, and the passage that is shown."""

from __future__ import annotations

import re

from megaagent import events as ev
from megaagent.events import AnyEvent

SHARED = ("MessageSent", "NoteShared", "WorkReported")  # kinds that every agent may find; others only the agent's own

SEARCHED = (*SHARED, "ModelAnswered")  # kinds with a text that recall searches


def searchable(event: AnyEvent) -> str:
    """The text of an event that recall searches, or nothing."""
    match event:
        case ev.MessageSent(message=message):
            return message.text
        case ev.WorkReported(report=text) | ev.NoteShared(text=text) | ev.ModelAnswered(text=text):
            return text
        case _:
            return ""


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
