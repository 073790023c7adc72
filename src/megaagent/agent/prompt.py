"""What a model is sent, with its size and its fingerprint; both grow with the conversation and are not made anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from megaagent.events import Struct
from megaagent.models.contract import ChatMessage
from megaagent.models.tokens import message_tokens


class Prompt(Struct, frozen=True):
    """The part of a request that is kept.

    Attributes:
        tokens: as counted by the documented law (`megaagent.models.tokens`).
        fingerprint: of the messages in their order, 16 bytes in hexadecimal digits.
    """

    messages: tuple[ChatMessage, ...]
    tokens: int
    fingerprint: str


class Measure:
    """Counts tokens and takes the fingerprint of messages that come one after another."""

    def __init__(self) -> None:
        self.messages = 0
        self.tokens = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, message: ChatMessage) -> None:
        self.messages += 1
        self.tokens += message_tokens(message)
        self._hash.update(msgspec.json.encode(message))

    def then(self, messages: Iterable[ChatMessage]) -> Measure:
        """A measure of all so far and of these after them; this one stays as it is."""
        further = Measure.__new__(Measure)
        further.messages, further.tokens, further._hash = self.messages, self.tokens, self._hash.copy()
        for message in messages:
            further.add(message)
        return further

    def prompt(self, messages: tuple[ChatMessage, ...]) -> Prompt:
        """The messages that were measured."""
        return Prompt(messages, self.tokens, self._hash.hexdigest())


def prompt_of(messages: Iterable[ChatMessage]) -> Prompt:
    """A prompt measured at once."""
    messages = tuple(messages)
    return Measure().then(messages).prompt(messages)
