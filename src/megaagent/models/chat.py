"""The wire format of chat completions: requests out, answers in.

Whole answers and the pieces of a stream have the same shape here, so that one `Answer` collects both, also from servers
that answer whole when a stream was asked for.

Source: OpenAI API reference, "Chat Completions"; what other servers do differently is said where it is handled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Struct, Usage, storable
from megaagent.models.answers import (
    Heard,
    Told,
    as_it_is,
    count_of,
    fresh_id,
    joined,
    read_document,
    respond,
    sendable,
    sendable_name,
)
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.mending import is_object


class Quirks(Struct, frozen=True):
    """How a provider departs from the common protocol.

    Attributes:
        max_tokens: its name for the output limit.
        key_header: the header that carries the key; "Authorization" is sent as a bearer token.
        reasoning_back: the field in which the reasoning of an answer with calls must be sent back, if it must.
    """

    max_tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    key_header: str = "Authorization"
    reasoning_back: str | None = None


# -- requests ---------------------------------------------------------------------------------------------------------

_CACHE_BYTES = 32 << 20


class RequestEncoder:
    """Makes the body of requests; what was encoded before is not encoded again.

    A conversation only grows, so nearly every message of a request was in an earlier one. Encoded messages are kept by
    value, up to 32 MiB; the tools, which all agents share, are kept for the last few tuples.
    """

    def __init__(self, quirks: Quirks, *, stream: bool):
        self._quirks = quirks
        self._stream = stream
        self._json = msgspec.json.Encoder()
        self._messages: dict[ChatMessage, msgspec.Raw] = {}
        self._bytes = 0
        self._tools: list[tuple[tuple[ToolSpec, ...], msgspec.Raw]] = []

    def encode(self, request: ModelRequest) -> bytes:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [self._message(message) for message in request.messages],
            self._quirks.max_tokens: request.max_output,
        }
        if request.tools:
            body["tools"] = self._tools_of(request.tools)
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if self._stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        return self._json.encode(body)

    def _message(self, message: ChatMessage) -> msgspec.Raw:
        known = self._messages.get(message)
        if known is not None:
            return known
        raw = msgspec.Raw(self._json.encode(wire_message(message, self._quirks.reasoning_back)))
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


def wire_message(message: ChatMessage, reasoning_back: str | None = None) -> dict[str, Any]:
    """One message as the protocol writes it."""
    wire: dict[str, Any] = {"role": message.role, "content": storable(message.text)}
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
        if reasoning_back is not None:
            wire[reasoning_back] = storable(message.reasoning)
    if message.call_id is not None:
        wire["tool_call_id"] = message.call_id
    return wire


# -- answers ----------------------------------------------------------------------------------------------------------


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | list[Any] | None = None
    tool_calls: list[_Call] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None
    error: Any = None


class Piece(msgspec.Struct):
    """A whole answer or one event of a stream; `mended` says what had to be done to read it."""

    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    error: Any = None
    mended: str = msgspec.field(default="", name="megaagent:mended")


def decode_piece(data: bytes, decoder: msgspec.json.Decoder[Piece], hide: Callable[[str], str] = as_it_is) -> Piece:
    """Read one JSON document.

    Args:
        hide: takes keys out of what an error shows of it.

    Raises:
        ModelError: "broken", it is not one.
    """
    piece, piece_mended = read_document(data, decoder, Piece, hide)
    piece.mended = piece_mended
    return piece


def read_usage(told: Any) -> Usage | None:
    """The usage as the provider told it, or None when it told none that can be: counts are whole and not negative."""
    if not isinstance(told, dict):
        return None
    fields = cast("dict[str, Any]", told)
    prompt, completion = count_of(fields.get("prompt_tokens")), count_of(fields.get("completion_tokens"))
    if not prompt or completion is None:
        return None
    cached = _detail(fields, "prompt_tokens_details", "cached_tokens")
    cached = cached or count_of(fields.get("prompt_cache_hit_tokens")) or 0  # the latter is DeepSeek's
    reasoning = _detail(fields, "completion_tokens_details", "reasoning_tokens")
    return Usage(prompt, completion, min(cached, prompt), min(reasoning, completion))


def _detail(fields: dict[str, Any], group: str, name: str) -> int:
    details = fields.get(group)
    return (count_of(cast("dict[str, Any]", details).get(name)) or 0) if isinstance(details, dict) else 0


class _Slot:
    """One tool call under construction."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.parts: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.parts)


class Answer:
    """Collects an answer from its pieces.

    Args:
        new_id: makes the id of a call that came without a usable one.
        hide: takes keys out of its texts.
        request: what it answers.
    """

    def __init__(
        self,
        new_id: Callable[[], str] = fresh_id,
        hide: Callable[[str], str] = as_it_is,
        request: ModelRequest | None = None,
    ):
        self._request = request
        self._mended: dict[str, None] = {}  # what was done to read the pieces, each said once
        self._new_id = new_id
        self._hide = hide
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._usage: Any = None
        self._model = ""
        self._seen = False
        self.finish: str | None = None

    def add(self, piece: Piece) -> Any:
        """Take one piece; returns the error that it carries, if any."""
        self._usage = piece.usage or self._usage
        if isinstance(piece.model, str) and piece.model:
            self._model = piece.model[:200]
        if piece.mended:
            self._mended[piece.mended] = None
        if piece.error:
            return piece.error
        for choice in (piece.choices or ())[:1]:
            if choice.error:
                return choice.error
            self._seen = True
            self.finish = choice.finish_reason or self.finish
            if choice.message:
                self._hear(choice.message, whole=True)
            elif choice.delta:
                self._hear(choice.delta, whole=False)
        return None

    def _hear(self, said: _Said, *, whole: bool) -> None:
        if said.content:
            self._text.append(said.content if isinstance(said.content, str) else joined(said.content))
        if said.refusal:
            self._refusal.append(said.refusal)
        thought = said.reasoning_content or said.reasoning
        if thought and isinstance(thought, str):
            self._reasoning.append(thought)
        for call in said.tool_calls or ():
            function = call.function or _Function()
            slot = self._slot(call, function, whole)
            slot.id = slot.id or call.id or ""
            if function.name and slot.name != function.name:
                slot.name += function.name
            if isinstance(function.arguments, dict):  # some servers send the object itself
                slot.parts.append(msgspec.json.encode(function.arguments).decode())
            elif function.arguments:
                slot.parts.append(function.arguments)

    def _slot(self, call: _Call, function: _Function, whole: bool) -> _Slot:
        """The call that this piece belongs to.

        In a whole answer each is one. In a stream the protocol says: the one of that index. But Gemini and SGLang
        leave the index out, Ollama gives every call index 0, and some gateways count the index on while one call's
        arguments go on.
        """
        slot = self._by_index.get(call.index) if call.index is not None else (self._slots or [None])[-1]
        if slot is None and self._slots and not call.id and not function.name:
            slot = self._slots[-1]
        if slot is None or whole or self._is_another(slot, call, function):
            slot = _Slot()
            self._slots.append(slot)
        if call.index is not None:
            self._by_index[call.index] = slot
        return slot

    @staticmethod
    def _is_another(slot: _Slot, call: _Call, function: _Function) -> bool:
        if call.id and slot.id and call.id != slot.id:
            return True
        if not function.name or not slot.name:
            return False
        anonymous = call.index is None and not call.id
        return anonymous or bool(function.arguments and is_object(slot.arguments))

    def response(self, *, whole: bool = True) -> ModelResponse:
        """The answer, mended where that is safe.

        Args:
            whole: the provider's own mark of the end was seen.

        Raises:
            ModelError: refused, empty or broken; a call whose arguments were cut is never handed on.
        """
        if not self._seen:
            raise ModelError("broken", "the answer has no choices")
        if not whole and self.finish is None:
            raise ModelError("broken", "the stream ended in the middle of the answer")
        refusal = "".join(self._refusal)
        refused = self.finish == "content_filter" or (refusal and not any(self._text) and not self._slots)
        heard = Heard(
            "".join(self._text),
            tuple(Told(slot.id, slot.name, slot.arguments) for slot in self._slots),
            "".join(self._reasoning),
            refusal if refused else None,
            self.finish == "length",
            self._model,
            self.usage(),
            tuple(self._mended),
        )
        return respond(heard, self._request, self._hide, self._new_id)

    @property
    def counted(self) -> bool:
        """Whether the provider told the usage."""
        return read_usage(self._usage) is not None

    def usage(self) -> Usage:
        return read_usage(self._usage) or Usage()
