"""What every protocol makes of an answer once it has been read: mended where that is safe, refused where it is not."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Struct, ToolCall, Usage, storable
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.mending import calls_in_text, is_object, mend_arguments, mend_name, without_runaway

_LONGEST: Final = 4 << 20  # characters of arguments; beyond that they would only fill every later request
_AN_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")


class Told(Struct, frozen=True):
    """A tool call as the provider told it; the arguments are JSON text, if all is well."""

    id: str
    name: str
    arguments: str


class Heard(Struct, frozen=True):
    """An answer as the provider told it.

    Attributes:
        refusal: what it said instead of answering; None when it did answer.
        cut: it ended at the output limit.
        mended: what had to be done to read it.
    """

    text: str
    calls: tuple[Told, ...] = ()
    reasoning: str = ""
    refusal: str | None = None
    cut: bool = False
    model: str = ""
    usage: Usage = Usage()
    mended: tuple[str, ...] = ()


def as_it_is(text: str) -> str:
    """Hides nothing."""
    return text


def fresh_id() -> str:
    """An id for a call that came without a usable one."""
    return f"call_{uuid.uuid4().hex[:24]}"


_Document = TypeVar("_Document")


def read_document(
    data: bytes, decoder: msgspec.json.Decoder[_Document], kind: type[_Document], hide: Callable[[str], str] = as_it_is
) -> tuple[_Document, str]:
    """Read one JSON document; also says what had to be done to read it.

    Args:
        hide: takes keys out of what an error shows of it.

    Raises:
        ModelError: "broken", it is not one.
    """
    try:
        return decoder.decode(data), ""
    except (ValueError, RecursionError) as first:
        # Lone surrogates and stray bytes are refused by the fast decoder; they are worth one slow attempt.
        try:
            document = msgspec.convert(clean_all(json.loads(data.decode("utf-8", "replace"))), kind, strict=False)
        except (ValueError, RecursionError):
            start = storable(hide(data[:4096].decode("utf-8", "replace")))[:80]
            raise ModelError("broken", f"not a valid answer ({str(first)[:200]}): {start!r}") from None
        return document, "replaced what is no valid text in the answer"


def respond(
    heard: Heard,
    request: ModelRequest | None,
    hide: Callable[[str], str] = as_it_is,
    new_id: Callable[[], str] = fresh_id,
) -> ModelResponse:
    """The answer, mended where that is safe.

    Args:
        request: what it answers; None when that is not known.
        hide: takes keys out of its texts.
        new_id: makes the id of a call that came without a usable one.

    Raises:
        ModelError: refused, empty or broken; a call whose arguments were cut is never handed on.
    """

    def said(text: str) -> str:
        return hide(storable(text))

    text = said(heard.text)
    if heard.refusal is not None:
        raise ModelError("refused", said(heard.refusal)[:300] or "the provider's content filter cut in")
    repairs = list(heard.mended)
    calls = _calls(heard, request, said, hide, new_id, repairs)
    if not calls and not heard.calls and not heard.cut:
        calls = _written(text, request, new_id, repairs)
        text = "" if calls else text
    if heard.cut and (shorter := without_runaway(text)) != text:
        repairs.append(f"cut a repetition of {len(text) - len(shorter):,} characters from the end of the text")
        text = shorter
    if not calls and not text.strip():
        if repairs:
            raise ModelError("broken", f"nothing valid is left of the answer: {'; '.join(repairs)}")
        cut = " (the output limit was used up before it)" if heard.cut else ""
        raise ModelError("empty", f"an answer with neither text nor calls{cut}")
    finish = "length" if heard.cut else "tool_calls" if calls else "stop"
    reasoning = said(heard.reasoning)
    return ModelResponse(text, calls, heard.usage, finish, said(heard.model), reasoning, tuple(repairs))


def _written(
    text: str, request: ModelRequest | None, new_id: Callable[[], str], repairs: list[str]
) -> tuple[ToolCall, ...]:
    """Calls that the model wrote as text."""
    offered = {tool.name for tool in request.tools} if request is not None else set[str]()
    written = calls_in_text(text, offered) if offered else []
    if written:
        repairs.append(f"took {len(written)} calls that were written as text for calls")
    return tuple(ToolCall(new_id(), name, clean_json(arguments)) for name, arguments in written)


def _calls(
    heard: Heard,
    request: ModelRequest | None,
    said: Callable[[str], str],
    hide: Callable[[str], str],
    new_id: Callable[[], str],
    repairs: list[str],
) -> tuple[ToolCall, ...]:
    if not heard.calls:
        return ()
    offered = {tool.name for tool in request.tools} if request is not None else set[str]()
    # An id must be new in the whole conversation: some servers count from zero in every answer.
    taken = {call.id for m in request.messages for call in m.calls} if request is not None else set[str]()
    calls: list[ToolCall] = []
    seen: set[tuple[str, str, str]] = set()
    for each in heard.calls:
        told = each.arguments
        if len(told) > _LONGEST:
            repairs.append(f"left out arguments of {len(told):,} characters")
            told = json.dumps({"left_out": f"{len(told):,} characters, more than any tool takes"})
        written, arguments = said(each.name), clean_json(hide(told))
        name = mend_name(written, offered)
        if not name:
            repairs.append("dropped a call without a name")
            continue
        if heard.cut and not is_object(arguments):
            repairs.append(f"dropped the call of {name}: its arguments were cut at the output limit")
            continue
        if each.id and (each.id, name, arguments) in seen:
            repairs.append(f"dropped a call of {name} that came twice")
            continue
        seen.add((each.id, name, arguments))
        if name != written:
            repairs.append(f"took the call of {written[:80]!r} for one of {name}")
        if arguments != told and told.strip():
            repairs.append(f"removed characters that no text may have from the arguments of {name}")
        arguments, how = mend_arguments(arguments) if arguments.strip() else ("{}", "")
        if how:
            repairs.append(f"mended the arguments of {name}: {how}")
        call_id = said(each.id)
        if call_id in taken or not _AN_ID.fullmatch(call_id):
            why = "missing" if not call_id else "taken" if call_id in taken else "none that can be sent back"
            repairs.append(f"gave the call of {name} a new id, its own was {why}")
            call_id = new_id()
        taken.add(call_id)
        calls.append(ToolCall(call_id, name, arguments))
    return tuple(calls)


_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


def sendable_name(name: str) -> str:
    """The name as providers allow it: a model may have called a tool by any name, but the history must be valid."""
    return _NO_NAME.sub("_", name)[:64] or "_"


def sendable(arguments: str) -> str:
    """The arguments, or a valid object around them: several servers refuse a history with malformed JSON in it."""
    if is_object(arguments):
        return arguments
    return json.dumps({"malformed_arguments": storable(arguments)}, ensure_ascii=False)


def joined(parts: Iterable[Any]) -> str:
    """The text of content that is a list of parts."""
    texts = [cast("dict[str, Any]", part).get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def count_of(value: Any) -> int | None:
    """A number of tokens as a provider told it, if it can be one: whole and not negative."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


# -- text that can be stored and sent ---------------------------------------------------------------------------------

_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def clean_json(text: str) -> str:
    """JSON text of which no decoded string holds NUL or a lone surrogate; otherwise as it was."""
    text = storable(text)
    if not _ESCAPED.search(text):
        return text
    try:
        document = json.loads(text)
        mended = clean_all(document)
    except (ValueError, RecursionError):
        return text
    return text if mended == document else json.dumps(mended, ensure_ascii=False)


def clean_all(value: Any) -> Any:
    """A JSON document of which every string can be stored."""
    match value:
        case str():
            return storable(value)
        case list():
            return [clean_all(item) for item in cast("list[Any]", value)]
        case dict():
            return {storable(key): clean_all(item) for key, item in cast("dict[str, Any]", value).items()}
        case _:
            return value
