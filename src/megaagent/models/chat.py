"""The wire format of chat completions: requests out, answers in.

Whole answers and the pieces of a stream have the same shape here, so that one `Answer` collects both, also from servers
that answer whole when a stream was asked for.

Source: OpenAI API reference, "Chat Completions"; what other servers do differently is said where it is handled.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any, Final, Literal, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Struct, ToolCall, Usage, storable
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.mending import calls_in_text, is_object, mend_arguments, mend_name, without_runaway


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
                "function": {"name": _sendable_name(call.name), "arguments": _sendable(call.arguments)},
            }
            for call in message.calls
        ]
        if reasoning_back is not None:
            wire[reasoning_back] = storable(message.reasoning)
    if message.call_id is not None:
        wire["tool_call_id"] = message.call_id
    return wire


_LONGEST: Final = 4 << 20  # characters of arguments; beyond that they would only fill every later request
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_AN_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


def _sendable_name(name: str) -> str:
    """The name as providers allow it: a model may have called a tool by any name, but the history must be valid."""
    return _NO_NAME.sub("_", name)[:64] or "_"


def _sendable(arguments: str) -> str:
    """The arguments, or a valid object around them: several servers refuse a history with malformed JSON in it."""
    if is_object(arguments):
        return arguments
    return json.dumps({"malformed_arguments": storable(arguments)}, ensure_ascii=False)


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


def _as_it_is(text: str) -> str:
    return text


def decode_piece(data: bytes, decoder: msgspec.json.Decoder[Piece], hide: Callable[[str], str] = _as_it_is) -> Piece:
    """Read one JSON document.

    Args:
        hide: takes keys out of what an error shows of it.

    Raises:
        ModelError: "broken", it is not one.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as first:
        # Lone surrogates and stray bytes are refused by the fast decoder; they are worth one slow attempt.
        try:
            piece = msgspec.convert(_clean_all(json.loads(data.decode("utf-8", "replace"))), Piece, strict=False)
        except (ValueError, RecursionError):
            start = storable(hide(data[:4096].decode("utf-8", "replace")))[:80]
            raise ModelError("broken", f"not a valid answer ({str(first)[:200]}): {start!r}") from None
        piece.mended = "replaced what is no valid text in the answer"
        return piece


def read_usage(told: Any) -> Usage | None:
    """The usage as the provider told it, or None when it told none that can be: counts are whole and not negative."""
    if not isinstance(told, dict):
        return None
    fields = cast("dict[str, Any]", told)
    prompt, completion = _count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens"))
    if not prompt or completion is None:
        return None
    cached = _detail(fields, "prompt_tokens_details", "cached_tokens")
    cached = cached or _count(fields.get("prompt_cache_hit_tokens")) or 0  # the latter is DeepSeek's
    reasoning = _detail(fields, "completion_tokens_details", "reasoning_tokens")
    return Usage(prompt, completion, min(cached, prompt), min(reasoning, completion))


def _detail(fields: dict[str, Any], group: str, name: str) -> int:
    details = fields.get(group)
    return (_count(cast("dict[str, Any]", details).get(name)) or 0) if isinstance(details, dict) else 0


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


class _Slot:
    """One tool call under construction."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.parts: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.parts)


def _fresh_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


class Answer:
    """Collects an answer from its pieces.

    Args:
        new_id: makes the id of a call that came without a usable one.
        hide: takes keys out of its texts.
        request: what it answers.
    """

    def __init__(
        self,
        new_id: Callable[[], str] = _fresh_id,
        hide: Callable[[str], str] = _as_it_is,
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
            self._text.append(said.content if isinstance(said.content, str) else _joined(said.content))
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
        text = self._said(self._text)
        if self.finish == "content_filter" or (self._refusal and not text and not self._slots):
            raise ModelError("refused", self._said(self._refusal)[:300] or "the provider's content filter cut in")
        repairs = list(self._mended)
        calls = self._calls(repairs)
        if not calls and not self._slots and self.finish != "length":
            calls = self._written(text, repairs)
            text = "" if calls else text
        if self.finish == "length" and (shorter := without_runaway(text)) != text:
            repairs.append(f"cut a repetition of {len(text) - len(shorter):,} characters from the end of the text")
            text = shorter
        if not calls and not text.strip():
            if repairs:
                raise ModelError("broken", f"nothing valid is left of the answer: {'; '.join(repairs)}")
            cut = " (the output limit was used up before it)" if self.finish == "length" else ""
            raise ModelError("empty", f"an answer with neither text nor calls{cut}")
        finish = "length" if self.finish == "length" else "tool_calls" if calls else "stop"
        reasoning = self._said(self._reasoning)
        return ModelResponse(text, calls, self.usage(), finish, self._said([self._model]), reasoning, tuple(repairs))

    def _said(self, parts: list[str]) -> str:
        return self._hide(storable("".join(parts)))

    @property
    def counted(self) -> bool:
        """Whether the provider told the usage."""
        return read_usage(self._usage) is not None

    def usage(self) -> Usage:
        return read_usage(self._usage) or Usage()

    def _written(self, text: str, repairs: list[str]) -> tuple[ToolCall, ...]:
        """Calls that the model wrote as text."""
        offered = {tool.name for tool in self._request.tools} if self._request is not None else set[str]()
        written = calls_in_text(text, offered) if offered else []
        if written:
            repairs.append(f"took {len(written)} calls that were written as text for calls")
        return tuple(ToolCall(self._new_id(), name, clean_json(arguments)) for name, arguments in written)

    def _calls(self, repairs: list[str]) -> tuple[ToolCall, ...]:
        if not self._slots:
            return ()
        request = self._request
        offered = {tool.name for tool in request.tools} if request is not None else set[str]()
        # An id must be new in the whole conversation: some servers count from zero in every answer.
        taken = {call.id for m in request.messages for call in m.calls} if request is not None else set[str]()
        calls: list[ToolCall] = []
        seen: set[tuple[str, str, str]] = set()
        for slot in self._slots:
            told = slot.arguments
            if len(told) > _LONGEST:
                repairs.append(f"left out arguments of {len(told):,} characters")
                told = json.dumps({"left_out": f"{len(told):,} characters, more than any tool takes"})
            said, arguments = self._said([slot.name]), clean_json(self._hide(told))
            name = mend_name(said, offered)
            if not name:
                repairs.append("dropped a call without a name")
                continue
            if self.finish == "length" and not is_object(arguments):
                repairs.append(f"dropped the call of {name}: its arguments were cut at the output limit")
                continue
            if slot.id and (slot.id, name, arguments) in seen:
                repairs.append(f"dropped a call of {name} that came twice")
                continue
            seen.add((slot.id, name, arguments))
            if name != said:
                repairs.append(f"took the call of {said[:80]!r} for one of {name}")
            if arguments != told and told.strip():
                repairs.append(f"removed characters that no text may have from the arguments of {name}")
            arguments, how = mend_arguments(arguments) if arguments.strip() else ("{}", "")
            if how:
                repairs.append(f"mended the arguments of {name}: {how}")
            call_id = self._said([slot.id])
            if call_id in taken or not _AN_ID.fullmatch(call_id):
                why = "missing" if not call_id else "taken" if call_id in taken else "none that can be sent back"
                repairs.append(f"gave the call of {name} a new id, its own was {why}")
                call_id = self._new_id()
            taken.add(call_id)
            calls.append(ToolCall(call_id, name, arguments))
        return tuple(calls)


def _joined(parts: list[Any]) -> str:
    """The text of content that is a list of parts."""
    texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


# -- text that can be stored and sent ---------------------------------------------------------------------------------

_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def clean_json(text: str) -> str:
    """JSON text of which no decoded string holds NUL or a lone surrogate; otherwise as it was."""
    text = storable(text)
    if not _ESCAPED.search(text):
        return text
    try:
        document = json.loads(text)
        mended = _clean_all(document)
    except (ValueError, RecursionError):
        return text
    return text if mended == document else json.dumps(mended, ensure_ascii=False)


def _clean_all(value: Any) -> Any:
    match value:
        case str():
            return storable(value)
        case list():
            return [_clean_all(item) for item in cast("list[Any]", value)]
        case dict():
            return {storable(key): _clean_all(item) for key, item in cast("dict[str, Any]", value).items()}
        case _:
            return value
