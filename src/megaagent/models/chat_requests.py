"""The wire format of chat completions: requests.

Source: OpenAI API reference, "Chat Completions"; what other servers do differently is in `quirks`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from megaagent.events import Struct, storable
from megaagent.models.answers import sendable, sendable_name
from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec
from megaagent.models.quirks import Quirks
from megaagent.models.structured import closed, sole_tool

_CACHE_BYTES = 32 << 20


class RequestEncoder:
    """Makes the body of requests; what was encoded before is not encoded again.

    A conversation only grows, so nearly every message of a request was in an earlier one. Encoded messages are kept by
    value, up to 32 MiB; the tools, which all agents share, are kept for the last few tuples.

    Attributes:
        without: fields that the server has refused, and that are not sent any more.
    """

    def __init__(self, quirks: Quirks, *, stream: bool):
        self._quirks = quirks
        self._stream = stream
        self._json = msgspec.json.Encoder()
        self._messages: dict[ChatMessage, msgspec.Raw] = {}
        self._bytes = 0
        self._tools: list[tuple[tuple[ToolSpec, ...], msgspec.Raw]] = []
        self.without: set[str] = set()

    def encode(self, request: ModelRequest) -> bytes:
        quirks = self._quirks
        limit = quirks.max_tokens
        if limit in self.without:  # the other name of the two
            limit = "max_tokens" if limit == "max_completion_tokens" else "max_completion_tokens"
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [self._message(message, request.model) for message in request.messages],
            limit: request.max_output,
        }
        more: dict[str, Any] = {"temperature": request.temperature} if request.temperature is not None else {}
        sole = self.bound_to(request)
        if sole is not None:
            schema = {"name": sole.name, "description": sole.description, "schema": closed(sole.parameters)}
            more["response_format"] = {"type": "json_schema", "json_schema": {**schema, "strict": True}}
        elif request.tools:
            body["tools"] = self._tools_of(request.tools)
        if request.must_call is not None and sole is None:
            named = {"type": "function", "function": {"name": request.must_call}}
            more["tool_choice"] = "required" if len(request.tools) == 1 else named  # the first is known more widely
        if request.effort is not None:
            more |= self._effort(request.effort)
        if self._stream:
            body["stream"] = True
            if quirks.usage_in_stream:
                more["stream_options"] = {"include_usage": True}
        body |= {name: value for name, value in more.items() if name not in self.without}
        return self._json.encode(body)

    def bound_to(self, request: ModelRequest) -> ToolSpec | None:
        """The tool whose arguments are asked for as the answer; None when calls are asked for."""
        able = self._quirks.schema and "response_format" not in self.without
        return sole_tool(request) if able else None

    def leave_out(self, words: str) -> str:
        """Send no more what a refusal in these words complains of; the name of that, or nothing."""
        if not _COMPLAINT.search(words):
            return ""
        for name in (*_OPTIONAL, self._quirks.max_tokens, self._quirks.reasoning_back or ""):
            if name and name in words and name not in self.without:
                self.without.add(name)
                self._messages.clear()
                self._bytes = 0
                return name
        return ""

    def _effort(self, effort: str) -> dict[str, Any]:
        if self._quirks.switch:
            return {"thinking": {"type": "disabled"}} if effort == "none" else {"reasoning_effort": effort}
        return {"reasoning": {"effort": effort}} if self._quirks.effort == "reasoning" else {"reasoning_effort": effort}

    def _message(self, message: ChatMessage, model: str) -> msgspec.Raw:
        known = self._messages.get(message)
        if known is not None:
            return known
        quirks = self._quirks
        if quirks.reasoning_back in self.without:
            quirks = msgspec.structs.replace(quirks, reasoning_back=None)
        raw = msgspec.Raw(self._json.encode(wire_message(message, quirks, model)))
        self._messages[message] = raw
        self._bytes += len(bytes(raw))
        while self._bytes > _CACHE_BYTES:
            self._bytes -= len(bytes(self._messages.pop(next(iter(self._messages)))))
        return raw

    def _tools_of(self, tools: tuple[ToolSpec, ...]) -> msgspec.Raw:
        for known, raw in self._tools:
            if known is tools or known == tools:
                return raw
        raw = msgspec.Raw(self._json.encode([{"type": "function", "function": tool} for tool in tools]))
        self._tools = [*self._tools[-7:], (tools, raw)]
        return raw


# What a server may refuse and a request can do without.
_OPTIONAL: Final = (
    *("temperature", "response_format", "tool_choice", "stream_options"),
    *("reasoning_effort", "reasoning_details", "thinking"),
)
_COMPLAINT: Final = re.compile(
    r"(?i)unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra (input|field)|not (permitted|allowed)|"
    r"deprecated"
)
# Calls of another model's have no signature; so does Google's guide "Thought signatures" say to send them.
_NO_SIGNATURE: Final = {"google": {"thought_signature": "skip_thought_signature_validator"}}


class Kept(Struct, frozen=True):
    """What is kept of an answer to be sent back with it: its signed reasoning, and what came with its calls."""

    model: str
    details: tuple[dict[str, Any], ...] = ()
    extras: tuple[dict[str, Any] | None, ...] = ()


_KEPT: Final = msgspec.json.Decoder(Kept)


def _kept(message: ChatMessage, model: str) -> Kept:
    """What can go back with a message: what this very model has sent with it."""
    try:
        kept = _KEPT.decode(message.echo) if message.echo else Kept(model)
    except (ValueError, RecursionError):
        kept = Kept("")
    fits = kept.model == model and len(kept.extras) in (0, len(message.calls))
    return kept if fits else Kept(model)


def wire_message(message: ChatMessage, quirks: Quirks, model: str) -> dict[str, Any]:
    """One message as the protocol writes it."""
    wire: dict[str, Any] = {"role": message.role, "content": storable(message.text)}
    kept = _kept(message, model) if quirks.details_back or quirks.extra_back else Kept(model)
    if message.calls:
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": sendable_name(call.name), "arguments": sendable(call.arguments)},
            }
            for call in message.calls
        ]
        if quirks.reasoning_back is not None and (message.reasoning or quirks.reasoning_always):
            wire[quirks.reasoning_back] = storable(message.reasoning)
        if quirks.extra_back:
            for call, extra in zip(wire["tool_calls"], kept.extras or (_NO_SIGNATURE,), strict=False):
                call |= {"extra_content": extra} if extra is not None else {}
    if kept.details and quirks.details_back:
        wire["reasoning_details"] = kept.details
    if message.call_id is not None:
        wire["tool_call_id"] = message.call_id
    return wire
