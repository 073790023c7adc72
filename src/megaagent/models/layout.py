"""How a conversation is laid out for Anthropic's Messages API: turns of two roles that alternate.

A call has its result in the turn after it, before all else there; one without a result is given an empty one, since the
API refuses a conversation with an open call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Literal


class Turn:
    """Blocks of one role; of the assistant's the calls by id, of the user's the calls that it answers."""

    def __init__(self, role: Literal["user", "assistant"]):
        self.role = role
        self.blocks: list[bytes] = []
        self.calls: list[str] = []
        self.answers: list[str] = []


class Layout:
    """Turns under construction.

    Args:
        head: what comes before all turns.
        no_result: makes the result of a call that has none.

    Attributes:
        tail: texts that are sent for this call only.
    """

    def __init__(self, head: Iterable[bytes], no_result: Callable[[str], bytes]):
        self.turns: list[Turn] = []
        self.tail: tuple[str, ...] = ()
        self._no_result = no_result
        self._hash = blake2b(digest_size=16)
        self._hashed = 0  # turns that are in it; they change no more
        for block in head:
            self._hash.update(block + b"\n")

    @property
    def end(self) -> tuple[int, int]:
        """The last turn, and its last block."""
        return len(self.turns) - 1, len(self.turns[-1].blocks) - 1 if self.turns else -1

    def say(self, block: bytes) -> None:
        """Text of the user's."""
        self._turn("user").blocks.append(block)

    def result(self, call: str, block: bytes) -> bool:
        """The result of a call of the last answer; False when there is no such call, or it has one already."""
        last = self.turns[-1] if self.turns else None
        answer = last if last is None or last.role == "assistant" else self.turns[-2] if len(self.turns) > 1 else None
        if answer is None or call not in answer.calls:
            return False
        turn = self._turn("user")
        if call in turn.answers:
            return False
        turn.blocks.insert(len(turn.answers), block)
        turn.answers.append(call)
        return True

    def answer(self, blocks: Iterable[bytes], calls: Iterable[str]) -> None:
        """An answer of the model's."""
        turn = self._turn("assistant")
        turn.blocks.extend(blocks)
        turn.calls.extend(calls)

    def complete(self) -> None:
        """Give a result to every call of the last answer; to be called before the next, and at the end."""
        if self.turns and self.turns[-1].role == "assistant" and self.turns[-1].calls:
            self._turn("user")
        if len(self.turns) < 2:
            return
        answer, after = self.turns[-2:]
        missing = [call for call in answer.calls if call not in after.answers] if after.role == "user" else []
        for call in missing:
            after.blocks.insert(len(after.answers), self._no_result(call))
            after.answers.append(call)

    def digest(self) -> str:
        """Of all so far, in order."""
        done = max(self._hashed, len(self.turns) - 1)
        for turn in self.turns[self._hashed : done]:
            _add(self._hash, turn)
        self._hashed = done
        whole = self._hash.copy()
        for turn in self.turns[done:]:
            _add(whole, turn)
        return whole.hexdigest()

    def _turn(self, role: Literal["user", "assistant"]) -> Turn:
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role))
        return self.turns[-1]


def _add(hashed: blake2b, turn: Turn) -> None:
    hashed.update(turn.role.encode() + b":\n")
    for block in turn.blocks:
        hashed.update(block + b"\n")
