"""The loopback server's other protocol: Anthropic's Messages API, as its reference documents it, with its refusals.

A request that the API would refuse is refused here too, in its words, so that an adapter which passes here does not
fail there: every call has its result in the next turn and before all else there, no text is empty, at most four blocks
are marked for caching, thoughts come back unchanged and under an unchanged beginning.

Source: Claude API reference, "Create a Message", "Errors"; guides "Streaming messages", "Handle tool calls", "Prompt
caching", "Extended thinking", "Preserved thinking" (November 2026).
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, cast

import msgspec
from aiohttp import web

from megaagent.errors import Fault, ModelError
from megaagent.events import ToolCall, Usage
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.served_rules import Body, check, invalid, wanted_of
from megaagent.models.tokens import text_tokens

# How each fault is told: status and type.
_TOLD: Final[dict[Fault, tuple[int, str]]] = {
    "connection": (500, "api_error"),
    "timeout": (504, "timeout_error"),
    "rate_limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "no_money": (402, "billing_error"),
    "unauthorized": (401, "authentication_error"),
    "not_found": (404, "not_found_error"),
    "bad_request": (400, "invalid_request_error"),
    "context_overflow": (400, "invalid_request_error"),
    "refused": (400, "invalid_request_error"),
    "broken": (500, "api_error"),
    "empty": (500, "api_error"),
}
VERSIONS: Final = ("2023-06-01", "2026-10-21")
REQUIRED: Final = "anthropic-version: header is required"
_STOPS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_PIECE: Final = 64  # characters in one event of a stream
_SIGNED: Final = b"the loopback server's own signature"


class MessagesFace:
    """Reads requests and writes answers.

    Args:
        thoughts: think before every answer, aloud and signed, as the models do that think by default.
    """

    def __init__(self, *, thoughts: bool = False):
        self._thoughts = thoughts
        self._decoder = msgspec.json.Decoder(Body)
        self._numbers = itertools.count(1)

    def may(self, request: web.Request, key: str | None) -> bool:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = request.headers.get("x-api-key", bearer)  # the official client sends the one or the other, by version
        return key is None or hmac.compare_digest(given.encode(), key.encode())

    def read(self, request: web.Request, data: bytes) -> Body:
        """The body, if the API would take it.

        Raises:
            ModelError: it would not; in its words.
        """
        version = request.headers.get("anthropic-version")
        if version not in VERSIONS:
            raise invalid(f"anthropic-version: {version!r} is no version" if version else REQUIRED)
        return self.read_body(data, version)

    def read_body(self, data: bytes, version: str = VERSIONS[0]) -> Body:
        """The body of a call, or of one of a batch; as `read`."""
        try:
            body = self._decoder.decode(data)
        except (ValueError, RecursionError) as error:
            raise invalid(f"the request body is not valid JSON: {error}") from None
        check(body)
        if version != VERSIONS[0] and body.temperature is not None:
            raise invalid(f"temperature: not supported in API version {version}")
        self._check_thoughts(body)
        return body

    def request(self, body: Body) -> ModelRequest:
        """The same in no vendor's words."""
        system = [ChatMessage("system", str(block.get("text", ""))) for block in _blocks(body.system)]
        messages = [each for message in body.messages for each in _messages(message)]
        tools = tuple(ToolSpec(t["name"], t.get("description", ""), t["input_schema"]) for t in body.tools or ())
        wanted = wanted_of(body)
        tools = tools if wanted is None else (ToolSpec("answer", "", wanted),)
        return ModelRequest(body.model, (*system, *messages), tools, body.max_tokens or 1, body.temperature)

    def document(self, body: Body, response: ModelResponse) -> dict[str, Any]:
        """The whole answer."""
        return {
            "id": f"msg_{next(self._numbers):024d}",
            "type": "message",
            "role": "assistant",
            "model": response.model or body.model,
            "content": self._content(body, response),
            "stop_reason": _STOPS[response.finish],
            "stop_sequence": None,
            "usage": _usage(body, response.usage),
        }

    async def answer(self, request: web.Request, body: Body, response: ModelResponse) -> web.StreamResponse:
        """The answer as the API gives it, whole or piece by piece."""
        document = self.document(body, response)
        if not body.stream:
            return _json(document)
        content, usage, stop = document["content"], document["usage"], document["stop_reason"]
        head: dict[str, Any] = {**document, "content": [], "stop_reason": None}
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        try:
            await reply.prepare(request)
            for event in _events(head, content, [call.arguments for call in response.calls], usage, stop):
                data = msgspec.json.encode(event)
                await reply.write(b"event: " + event["type"].encode() + b"\ndata: " + data + b"\n\n")
                await asyncio.sleep(0)  # so that the pieces of many streams mix, as they do on a network
            await reply.write_eof()
        except ConnectionResetError:
            pass  # the caller has gone; the call is billed all the same
        return reply

    def refusal(self, error: ModelError) -> web.Response:
        status, document = self.refused(error)
        headers = {"request-id": document["request_id"]}
        if error.retry_after is not None:
            headers["retry-after"] = f"{error.retry_after:g}"
        return _json(document, status, headers)

    def refused(self, error: ModelError) -> tuple[int, dict[str, Any]]:
        """Status and document of a refusal."""
        status, kind = _TOLD[error.fault]
        detail = f"prompt is too long: {error.detail}" if error.fault == "context_overflow" else error.detail
        told = {"type": kind, "message": detail}
        return status, {"type": "error", "error": told, "request_id": f"req_{next(self._numbers):024d}"}

    # -- thoughts -----------------------------------------------------------------------------------------------

    def _content(self, body: Body, response: ModelResponse) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = []
        if self._thoughts:
            thinking = f"A simulated thought before {len(response.calls)} calls."
            signature = _signature(_before(body, len(body.messages), 0), thinking)
            content.append({"type": "thinking", "thinking": thinking, "signature": signature})
        if response.text:
            content.append({"type": "text", "text": response.text})
        content += [{"type": "tool_use", "id": c.id, "name": c.name, "input": _input(c)} for c in response.calls]
        return content

    def _check_thoughts(self, body: Body) -> None:
        """Every thought is one of ours, and all before it is what it was (guide "Preserved thinking")."""
        for number, message in enumerate(body.messages):
            for place, block in enumerate(_blocks(message.content)):
                if block.get("type") != "thinking":
                    continue
                signature = _signature(_before(body, number, place), str(block.get("thinking")))
                if block.get("signature") != signature:
                    raise invalid(
                        f"messages.{number}.content.{place}: Invalid `signature` in `thinking` block. The block is "
                        "bound to a different conversation. Remove the block, or set "
                        '`thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
                    )


def _before(body: Body, number: int, place: int) -> bytes:
    """All that comes before a block, without the marks of the cache."""
    turns = [(m.role, [_unmarked(block) for block in _blocks(m.content)]) for m in body.messages[:number]]
    if number < len(body.messages) and place:
        message = body.messages[number]
        turns.append((message.role, [_unmarked(block) for block in _blocks(message.content)[:place]]))
    system = [_unmarked(block) for block in _blocks(body.system)]
    return msgspec.json.encode([body.tools, system, turns], order="deterministic")


def _unmarked(block: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in block.items() if name != "cache_control"}


def _signature(before: bytes, thinking: str) -> str:
    return hmac.new(_SIGNED, before + thinking.encode(), sha256).hexdigest()


# -- requests ---------------------------------------------------------------------------------------------------------


def _blocks(content: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _messages(message: Any) -> Iterator[ChatMessage]:
    blocks = _blocks(message.content)
    if message.role == "assistant":
        calls = tuple(
            ToolCall(block["id"], block["name"], msgspec.json.encode(block["input"]).decode())
            for block in blocks
            if block["type"] == "tool_use"
        )
        yield ChatMessage("assistant", "".join(str(b["text"]) for b in blocks if b["type"] == "text"), calls)
        return
    for block in blocks:
        if block["type"] == "tool_result":
            content = cast("str | list[dict[str, Any]] | None", block.get("content"))
            text = "".join(str(part.get("text", "")) for part in _blocks(content))
            yield ChatMessage("tool", text, call_id=block["tool_use_id"])
        elif block["type"] == "text":
            yield ChatMessage("user", block["text"])


# -- answers ----------------------------------------------------------------------------------------------------------


def _input(call: ToolCall) -> dict[str, Any]:
    """The arguments; what is no JSON is wrapped, as the guide "Fine-grained tool streaming" does."""
    try:
        return msgspec.json.decode(call.arguments, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"INVALID_JSON": call.arguments}


def _usage(body: Body, usage: Usage) -> dict[str, Any]:
    """As the API counts: up to the last mark the prompt is read from the cache or written to it, after it neither."""
    parts = [*(body.tools or ()), *_blocks(body.system), *(b for m in body.messages for b in _blocks(m.content))]
    marks = [number for number, part in enumerate(parts) if "cache_control" in part]
    fresh = sum(text_tokens(msgspec.json.encode(part).decode()) for part in parts[marks[-1] + 1 :]) if marks else 0
    fresh = min(usage.prompt, fresh) if marks else usage.prompt
    cached = min(usage.cached, usage.prompt - fresh)
    written = usage.prompt - fresh - cached
    hour = written if marks and parts[marks[-1]]["cache_control"].get("ttl") == "1h" else 0
    return {
        "input_tokens": fresh,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour},
        "cache_read_input_tokens": cached,
        "output_tokens": usage.completion,
        "service_tier": "standard",
    }


def _events(
    head: dict[str, Any], content: list[dict[str, Any]], arguments: list[str], usage: dict[str, Any], stop: str
) -> Iterator[dict[str, Any]]:
    given = iter(arguments)  # as the model wrote them: a stream may bring what is no JSON
    yield {"type": "message_start", "message": {**head, "usage": {**usage, "output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(content):
        begun: dict[str, Any]
        match block["type"]:
            case "thinking":
                begun = {"type": "thinking", "thinking": "", "signature": ""}
                thought = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
                deltas = [*thought, {"type": "signature_delta", "signature": block["signature"]}]
            case "tool_use":
                begun = {**block, "input": {}}
                parts = ["", *_pieces(next(given))]
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in parts]
            case _:
                begun = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document), status=status, headers=headers, content_type="application/json"
    )
