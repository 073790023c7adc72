"""Sums of model calls of one kind."""

from __future__ import annotations

from typing import Any

from megaagent import events as ev


class Account:
    """Calls, tokens and dollars of one kind of thing."""

    __slots__ = ("cached", "calls", "completion", "cost", "prompt", "seconds")

    def __init__(self) -> None:
        self.calls = self.prompt = self.completion = self.cached = 0
        self.cost = self.seconds = 0.0

    def add(self, answer: ev.ModelAnswered) -> None:
        self.calls += 1
        self.prompt += answer.usage.prompt
        self.completion += answer.usage.completion
        self.cached += answer.usage.cached
        self.cost += answer.cost or 0.0
        self.seconds += answer.seconds

    def embed(self, fact: ev.TextsEmbedded) -> None:
        """Add what vectors cost."""
        self.calls += 1
        self.prompt += fact.tokens
        self.cost += fact.cost or 0.0

    def take_over(self, other: Account) -> None:
        """Add what another one has."""
        for field in self.__slots__:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def told(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "calls": self.calls,
            "prompt": self.prompt,
            "completion": self.completion,
            "cached": self.cached,
            "cost": round(self.cost, 6),
            "seconds": round(self.seconds, 2),
        }
