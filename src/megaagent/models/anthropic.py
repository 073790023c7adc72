"""Anthropic's Messages API over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from megaagent.errors import ModelError
from megaagent.models.anthropic_batches import AnthropicBatches
from megaagent.models.blocks import Document, MessageReading
from megaagent.models.contract import ModelRequest
from megaagent.models.faults import Secrets
from megaagent.models.http import HTTPModel, usable_key
from megaagent.models.layout import Layout
from megaagent.models.limits import Limits
from megaagent.models.messages import MessagesEncoder
from megaagent.models.network import CacheTime, NetworkSettings

VERSION: Final = "2023-06-01"  # of the API; what comes later is compatible with it

# Words in a refusal of the request, and what is not sent any more because of them.
_REFUSED: Final = (
    ("signature", "echo"),
    ("redacted_thinking", "echo"),
    ("tool_choice", "tool_choice"),
    ("temperature", "temperature"),
    ("output_config.format", "format"),
    ("json_schema", "format"),
    ("structured output", "format"),
    ("output_config", "thinking"),
    ("thinking", "thinking"),
)


class AnthropicModel(HTTPModel):
    """A model behind `POST {base_url}/v1/messages`.

    Args:
        base_url: what comes before `/v1/messages`, such as `https://api.anthropic.com`.
        key: sent as `x-api-key`; None for servers that ask for none.
        stream: ask for the answer piece by piece, so that a stall is noticed before the deadline.
        headers: sent with every request.
        limits: told what each answer's headers say about rate limits.
        ttl: how long the provider is to keep prompts that are not used.

    Raises:
        ConfigurationError: the URL or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        stream: bool = True,
        headers: Mapping[str, str] | None = None,
        settings: NetworkSettings | None = None,
        limits: Callable[[Limits], None] | None = None,
        ttl: CacheTime = "5m",
    ):
        usable = usable_key(key)
        dialect = Messages(stream=stream, ttl=ttl)
        super().__init__(
            dialect,
            base_url.rstrip("/").removesuffix("/v1"),
            key,
            {"x-api-key": usable} if usable else {},
            stream=stream,
            headers={"anthropic-version": VERSION, **(headers or {})},
            settings=settings,
            limits=limits,
        )
        self.batches = AnthropicBatches(self, dialect.whole())


class Messages:
    """The protocol of the Messages API."""

    path = "/v1/messages"

    def __init__(self, *, stream: bool, ttl: CacheTime = "5m"):
        self._ttl: CacheTime = ttl
        self._encoder = MessagesEncoder(stream=stream, ttl=ttl)
        self._decoder = msgspec.json.Decoder(Document)

    def whole(self) -> Messages:
        """The same without streams; what a server has refused is left out there too."""
        other = Messages(stream=False, ttl=self._ttl)
        other._encoder.without = self._encoder.without
        return other

    def encode(self, request: ModelRequest) -> tuple[bytes, Layout]:
        return self._encoder.encode(request)

    def reading(self, request: ModelRequest, sent: Layout, secrets: Secrets) -> MessageReading:
        sole = self._encoder.bound_to(request)
        tool = sole.name if sole is not None else ""
        return MessageReading(request, secrets, self._decoder, sent, tool, self._unbound)

    def _unbound(self) -> None:
        """The server takes a schema and does not keep to it."""
        self._encoder.without.add("format")

    def adapt(self, error: ModelError) -> str:
        """Leave out from now on what the server refuses; says what that is, or nothing when it cannot be helped."""
        words = error.detail.lower()
        for word, field in _REFUSED:
            if word in words and field not in self._encoder.without:
                self._encoder.without.add(field)
                return f"the server refuses {word}: asked again without"
        return ""
