"""The same provider's side of Anthropic's Messages API, so that every fault is played over both protocols.

Faults spoil a `Reply` in the shape of chat completions; here it is written as the Messages API writes answers. The
judge of requests is that of the loopback server (`megaagent.models.served_rules`), which refuses what the API refuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from campaigns.wire import Exchange, Reply, unsendable, written
from megaagent.errors import ModelError
from megaagent.models.contract import ModelRequest
from megaagent.models.served_messages import MessagesFace
from megaagent.models.served_rules import Body

PATH: Final = "/v1/messages"
_STOPS: Final[Mapping[Any, str]] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_KINDS: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# What the one protocol says with a code, the other says in the sentence.
_SENTENCES: Final[Mapping[str, str]] = {
    "context_length_exceeded": "prompt is too long: 5000 tokens > 4096 maximum",
    "content_filter": "Output blocked by content filtering policy",
    "model_not_found": "model: first",
}
_TYPE: Final = re.compile(rb'"type": ?"(\w+)"')
_FACE: Final = MessagesFace()


class MessagesReply(Reply):
    """One answer as the Messages API gives it."""

    def whole(self) -> bytes:
        content = [self._whole_block(block) for block in self._blocks()]
        return written({**self._head(), "content": content, "stop_reason": self._stop(), **self._counts()})

    def events(self) -> Iterator[bytes]:
        counts = self._counts()
        yield written({"type": "message_start", "message": {**self._head(), **counts}})
        for index, block in enumerate(self._blocks()):
            yield from self._streamed(index, block)
        if self.finish is not None and self.choices:
            delta = {"stop_reason": self._stop(), "stop_sequence": None}
            yield written({"type": "message_delta", "delta": delta, **counts})

    def _stop(self) -> str | None:
        return "refusal" if "refusal" in self.more else _STOPS.get(self.finish, self.finish)

    def _head(self) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
        }
        return {**shape, "stop_reason": None, "stop_sequence": None}

    def _blocks(self) -> list[dict[str, Any]]:
        if not self.choices:
            return []
        blocks: list[dict[str, Any]] = []
        if "reasoning_content" in self.more:
            blocks.append({"type": "thinking", "thinking": self.more["reasoning_content"], "signature": "c2ln"})
        if self.text:
            blocks.append({"type": "text", "text": self.text})
        for call in self.calls:
            function = call["function"]
            block = {"type": "tool_use", "id": call["id"], "name": function["name"]}
            blocks.append({**block, "input": function["arguments"]})
        return blocks

    def _whole_block(self, block: dict[str, Any]) -> dict[str, Any]:
        return {**block, "input": json.loads(block["input"])} if block["type"] == "tool_use" else block

    def _streamed(self, index: int, block: dict[str, Any]) -> Iterator[bytes]:
        empty: dict[str, Any]
        match block["type"]:
            case "text":
                empty, name, kind = {"text": ""}, "text", "text_delta"
            case "thinking":
                empty, name, kind = {"thinking": "", "signature": ""}, "thinking", "thinking_delta"
            case _:
                empty, name, kind = {"input": dict[str, Any]()}, "input", "input_json_delta"
        begun = {**block, **empty}
        yield written({"type": "content_block_start", "index": index, "content_block": begun})
        size = max(700, len(block[name]) // 20)
        for n in range(0, len(block[name]), size):
            piece = {"partial_json" if name == "input" else name: block[name][n : n + size]}
            yield written({"type": "content_block_delta", "index": index, "delta": {"type": kind, **piece}})
        yield written({"type": "content_block_stop", "index": index})

    def _counts(self) -> dict[str, Any]:
        told: Any = self.usage
        if not isinstance(told, dict):
            return {} if told is None else {"usage": told}
        usage = cast("dict[str, Any]", told)
        return {"usage": {"input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens")}}


class MessagesExchange(Exchange):
    """One request over the Messages API, and the ways to answer it."""

    async def event(self, data: bytes) -> None:
        found = _TYPE.search(data)
        name = found[1] if found else b"message"
        await self.chunk(b"event: " + name + b"\ndata: " + data + b"\n\n")

    async def end_stream(self, mark: bool = True) -> None:
        if mark:
            await self.event(b'{"type": "message_stop"}')
        await self.write(b"0\r\n\r\n")

    def told_inside(self, message: str) -> bytes:
        return written({"type": "error", "error": {"type": "api_error", "message": message}})

    async def ping(self) -> None:
        await self.chunk(b'event: ping\ndata: {"type": "ping"}\n\n' if self.stream else b" ")

    async def error(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        told = {"type": kind, "message": _SENTENCES.get(code or "", message)}
        body = json.dumps({"type": "error", "error": told, "request_id": "req_1"}).encode()
        await self.whole(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def messages_request(body: bytes) -> ModelRequest:
    """The request in our words; the body has been found valid."""
    return _FACE.request(_FACE.read_body(body))


def messages_problems(head: str, body: bytes, key: str) -> Iterator[str]:
    """What is wrong with a request by the API's rules."""
    if f"x-api-key: {key}\r\n" not in head:
        yield "the key is not sent"
    if "anthropic-version: 2023-06-01\r\n" not in head:
        yield "the version is not sent"
    try:
        document: Any = json.loads(body.decode("utf-8", "strict"))
    except (ValueError, RecursionError) as error:
        yield f"the body is no JSON: {error}"
        return
    yield from unsendable(document, "body")
    try:
        asked: Body = _FACE.read_body(body)
    except ModelError as error:
        yield error.detail
        return
    if not asked.system:
        yield "it does not begin with the rules"
