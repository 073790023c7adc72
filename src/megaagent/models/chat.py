"""The wire format of chat completions: answers.

Whole answers and the pieces of a stream have the same shape here, so that one `Answer` collects both, also from servers
that answer whole when a stream was asked for.

Source: OpenAI API reference, "Chat Completions"; what other servers do differently is said where it is handled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Usage
from megaagent.models.answers import (
    Heard,
    Told,
    as_it_is,
    count_of,
    fresh_id,
    joined,
    read_document,
    respond,
)
from megaagent.models.chat_requests import Kept
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.mending import is_object

# -- answers ----------------------------------------------------------------------------------------------------------


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None


class _Said(msgspec.Struct):
    content: str | list[Any] | None = None
    tool_calls: list[_Call] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: Any = None


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
        self.extra: dict[str, Any] | None = None

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
        self._details: list[dict[str, Any]] = []
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
        details: Any = said.reasoning_details
        for detail in cast("list[Any]", details if isinstance(details, list) else []):
            _append(self._details, detail)
        for call in said.tool_calls or ():
            function = call.function or _Function()
            slot = self._slot(call, function, whole)
            slot.id = slot.id or call.id or ""
            slot.extra = cast("dict[str, Any]", call.extra_content) if call.extra_content else slot.extra
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
        response = respond(heard, self._request, self._hide, self._new_id)
        echo = self._echo(response)
        return msgspec.structs.replace(response, echo=echo) if echo else response

    def _echo(self, response: ModelResponse) -> str:
        """What is to be sent back with the answer; nothing when a key had to be hidden in it."""
        extras = tuple(slot.extra for slot in self._slots)
        extras = extras if any(extras) and len(extras) == len(response.calls) else ()
        if self._request is None or not (self._details or extras):
            return ""
        echo = msgspec.json.encode(Kept(self._request.model, tuple(self._details), extras)).decode()
        return echo if self._hide(echo) == echo else ""

    @property
    def counted(self) -> bool:
        """Whether the provider told the usage."""
        return read_usage(self._usage) is not None

    def usage(self) -> Usage:
        return read_usage(self._usage) or Usage()


def _append(details: list[dict[str, Any]], detail: Any) -> None:
    """A piece of signed reasoning; in a stream one entry comes in several, which are put together again."""
    if not isinstance(detail, dict):
        return
    new = cast("dict[str, Any]", detail)
    last = details[-1] if details else {}
    if last.get("type") != new.get("type") or last.get("index") != new.get("index") or new.get("index") is None:
        details.append(dict(new))
        return
    for name, value in new.items():
        goes_on = name in ("text", "summary", "data") and isinstance(last.get(name), str) and isinstance(value, str)
        last[name] = last[name] + value if goes_on else value if value is not None else last.get(name)
