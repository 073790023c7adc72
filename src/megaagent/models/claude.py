"""What Claude models take, by line of models, and what is kept of an answer with thoughts.

Source: Claude API guides "Extended thinking", "Adaptive thinking", "Preserved thinking", "Structured outputs"
(November 2026).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from megaagent.events import Struct


class Family(Struct, frozen=True):
    """What a line of models takes.

    Attributes:
        thinking: how it is told to think: not at all, with a budget of tokens, or as it sees fit.
        temperature: whether it takes one.
        bound: whether a thought is refused when something before it has changed.
        schema: whether its answer can be bound to a schema.
    """

    thinking: Literal["none", "budget", "adaptive"]
    temperature: bool = True
    bound: bool = False
    schema: bool = False


# The first that fits. Models that come later are taken to be as the newest are.
FAMILIES: Final[tuple[tuple[re.Pattern[str], Family], ...]] = (
    (re.compile(r"^(?!.*claude)"), Family("budget")),  # another's model behind this protocol
    (re.compile(r"claude-(instant|2|3-(?!7)|(opus|sonnet|haiku)-3)"), Family("none")),
    (re.compile(r"claude-(haiku|opus|sonnet)-4-5\b"), Family("budget", schema=True)),
    (re.compile(r"claude-(3-7|haiku-4|(opus|sonnet)-4(-[0-5]\b|-2\d{7}|@|$))"), Family("budget")),
    (re.compile(r"claude-(opus|sonnet)-4-6"), Family("adaptive", schema=True)),
    (re.compile(r""), Family("adaptive", temperature=False, bound=True, schema=True)),
)


def family_of(model: str) -> Family:
    """What the model takes, by its name."""
    return next(family for pattern, family in FAMILIES if pattern.search(model))


class Echo(Struct, frozen=True):
    """What is kept of an answer with thoughts, so that it can be sent back as it was.

    Attributes:
        model: whose thoughts they are.
        before: digest of all that came before them.
        tail: what was sent for that call only, right before them.
        blocks: the answer's blocks in order: a thought whole; of a text its number of characters; None for a call.
        check: digest of the blocks; what was changed since, to hide a key in it, would be refused.
    """

    model: str
    before: str
    tail: tuple[str, ...]
    blocks: tuple[dict[str, Any] | int | None, ...]
    check: str


def checked(blocks: tuple[dict[str, Any] | int | None, ...]) -> str:
    """The digest of an answer's blocks."""
    return blake2b(msgspec.json.encode(blocks), digest_size=8).hexdigest()
