"""Which commands one may want next: the last line of every help."""

from __future__ import annotations

from typing import Final

RELATED: Final[dict[str, tuple[str, ...]]] = {
    "run": ("estimate", "doctor", "resume", "top", "serve", "report"),
    "resume": ("fork", "ps", "budget", "stop"),
    "fork": ("show", "resume", "replay"),
    "ps": ("top", "tree", "resume"),
    "top": ("tree", "cost", "why"),
    "tree": ("top", "why", "logs"),
    "why": ("tree", "logs", "send"),
    "show": ("logs", "export", "fork"),
    "logs": ("show", "why", "tree"),
    "files": ("blame", "patch", "fetch"),
    "blame": ("files", "show"),
    "cost": ("top", "budget", "report"),
    "export": ("show", "report", "patch", "fork"),
    "report": ("show", "cost", "export", "serve"),
    "trace": ("report", "show"),
    "replay": ("check-journal", "show"),
    "check-journal": ("repair", "replay"),
    "repair": ("check-journal", "resume"),
    "send": ("answer", "stop", "tree"),
    "answer": ("send", "approve", "run"),
    "approve": ("refuse", "ps", "why"),
    "refuse": ("approve", "ps", "why"),
    "pause": ("unpause", "stop", "budget"),
    "unpause": ("pause", "resume"),
    "stop": ("pause", "resume"),
    "budget": ("cost", "pause", "resume"),
    "patch": ("fetch", "files"),
    "fetch": ("patch", "files"),
    "estimate": ("run", "cost", "models"),
    "models": ("doctor", "run"),
    "doctor": ("models", "run"),
    "eval": ("run", "report"),
    "cluster": ("run", "top", "doctor"),
    "serve": ("run", "top", "report"),
    "mcp": ("serve", "run"),
    "serve-sim": ("run",),
    "completion": ("run",),
}


def see_also(command: str) -> str:
    """The line; empty when nothing is related."""
    others = RELATED.get(command, ())
    return f"See also: {', '.join(others)}" if others else ""
