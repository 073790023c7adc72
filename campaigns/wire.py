"""A provider's side of chat completions, byte by byte: what a faulty server needs that a proper one hides."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from megaagent.errors import ModelError
from megaagent.events import ToolCall
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.served_rules import check_closed

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNSENDABLE: Final = re.compile("[\0\ud800-\udfff]")
BAD_BYTES: Final = "@bad bytes@"  # in a text: where bytes come that are no UTF-8


class Gone(Exception):
    """The caller has hung up."""


class Reply:
    """One answer, to be spoilt before it is sent."""

    def __init__(self, response: ModelResponse, model: str):
        self.text: Any = response.text or None
        self.calls: list[dict[str, Any]] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in response.calls
        ]
        self.finish: Any = response.finish
        self.usage: Any = {
            "prompt_tokens": response.usage.prompt,
            "completion_tokens": response.usage.completion,
            "total_tokens": response.usage.prompt + response.usage.completion,
        }
        self.model: Any = model
        self.more: dict[str, Any] = {}  # further fields of the message
        self.choices = True

    def bind(self) -> None:
        """The answer was asked for as an object of a schema: what would be called with is its text."""
        if self.calls:
            self.text, self.calls, self.finish = self.calls[0]["function"]["arguments"], [], "stop"

    def whole(self) -> bytes:
        """The answer as one document."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text, **self.more}
        if self.calls:
            message["tool_calls"] = self.calls
        choices = [{"index": 0, "message": message, "finish_reason": self.finish}] if self.choices else []
        return written(
            {"id": "c", "object": "chat.completion", "model": self.model, "choices": choices, **self._usage()}
        )

    def events(self) -> Iterator[bytes]:
        """The answer as the data of a stream's events, without the mark of its end."""
        said: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        said += [{key: value} for key, value in self.more.items()]
        if isinstance(self.text, str):
            said += [{"content": self.text[n : n + 700]} for n in range(0, len(self.text), 700)]
        for index, call in enumerate(self.calls):
            function = call["function"]
            said.append({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
            arguments = function["arguments"]
            for n in range(0, len(arguments), max(700, len(arguments) // 20)):
                piece = arguments[n : n + max(700, len(arguments) // 20)]
                said.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        for delta in said if self.choices else []:
            yield self._event([{"index": 0, "delta": delta, "finish_reason": None}])
        if self.choices and self.finish is not None:
            yield self._event([{"index": 0, "delta": {}, "finish_reason": self.finish}])
        if self.usage is not None:
            yield self._event([], **self._usage())

    def _usage(self) -> dict[str, Any]:
        return {} if self.usage is None else {"usage": self.usage}

    def _event(self, choices: list[Any], **more: Any) -> bytes:
        return written({"id": "c", "object": "chat.completion.chunk", "model": self.model, "choices": choices, **more})


def written(document: Any) -> bytes:
    """A document as it is sent; a text may hold bytes that are no UTF-8."""
    return json.dumps(document).encode().replace(BAD_BYTES.encode(), b"\xff\xc3(")


class Exchange:
    """One request that has been read, and the ways to answer it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, body: bytes):
        self._writer = writer
        self._reader = reader
        self.head = head
        self.body = body
        self.stream = b'"stream":true' in body
        self.keep = True  # the connection serves another request afterwards

    @classmethod
    async def read(
        cls,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kinds: Mapping[str, type[Exchange]] | None = None,
    ) -> Exchange | None:
        """The next request on a connection, or None when there is none.

        Args:
            kinds: of exchange, by path; of this class where the path is none of them.
        """
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"(?i)^content-length:\s*(\d+)", head, re.MULTILINE)
            body = await reader.readexactly(int(length[1])) if length else b""
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return None
        kind = (kinds or {}).get(head.split(" ", 2)[1], cls)
        return kind(reader, writer, head, body)

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            self.keep = False
            raise Gone from None

    async def whole(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """One answer with its length."""
        given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        await self.write(_head(status, given) + body)

    async def begin_stream(self) -> None:
        await self.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))

    async def chunk(self, data: bytes) -> None:
        await self.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, data: bytes) -> None:
        await self.chunk(b"data: " + data + b"\n\n")

    async def end_stream(self, mark: bool = True) -> None:
        if mark:
            await self.event(b"[DONE]")
        await self.write(b"0\r\n\r\n")

    def told_inside(self, message: str) -> bytes:
        """An error that is sent inside a success."""
        return written({"error": {"message": message, "code": 502}})

    async def ping(self) -> None:
        """A sign of life that is no part of an answer."""
        await self.chunk(b": ping\n\n" if self.stream else b" ")

    async def error(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        """An error as OpenAI words it."""
        body = json.dumps({"error": {"message": message, "type": None, "param": None, "code": code}}).encode()
        await self.whole(body, status, {name.replace("_", "-"): value for name, value in headers.items()})

    async def send(self, reply: Reply) -> None:
        """The whole answer, as it was asked for."""
        if not self.stream:
            await self.whole(reply.whole())
            return
        await self.begin_stream()
        for data in reply.events():
            await self.event(data)
        await self.end_stream()

    async def silence(self) -> None:
        """Say nothing more until the caller hangs up."""
        self.keep = False
        while await self._reader.read(1024):
            pass

    def hang_up(self) -> None:
        """Break the connection as it stands."""
        self.keep = False
        self._writer.transport.abort()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} told\r\n{lines}\r\n".encode()


def request_of(document: dict[str, Any]) -> ModelRequest:
    """The request in our words; the document has been found valid."""
    messages = tuple(
        ChatMessage(
            each["role"],
            each.get("content") or "",
            tuple(
                ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in each.get("tool_calls", ())
            ),
            each.get("tool_call_id"),
        )
        for each in document["messages"]
    )
    functions = [tool["function"] for tool in document.get("tools", ())]
    tools = tuple(ToolSpec(each["name"], each["description"], each["parameters"]) for each in functions)
    if "response_format" in document:
        wanted = document["response_format"]["json_schema"]
        tools = (ToolSpec(wanted["name"], wanted["description"], wanted["schema"]),)
    return ModelRequest(document["model"], messages, tools, document["max_completion_tokens"])


def problems(head: str, body: bytes, key: str) -> Iterator[str]:
    """What is wrong with a request by the protocol's rules, taken as strictly as any provider takes them."""
    if f"Authorization: Bearer {key}\r\n" not in head:
        yield "the key is not sent"
    try:
        document: Any = json.loads(body.decode("utf-8", "strict"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        yield f"the body is no JSON: {error}"
        return
    yield from unsendable(document, "body")
    if not isinstance(document.get("max_completion_tokens"), int) or document["max_completion_tokens"] < 1:
        yield "no output limit"
    if "response_format" in document:
        wanted = document["response_format"]["json_schema"]
        try:
            check_closed(wanted["schema"], f"the schema of {wanted['name']}", strict=wanted["strict"])
        except ModelError as error:
            yield error.detail
    names = [tool["function"]["name"] for tool in document.get("tools", ())]
    if len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
        yield f"tools are named twice or wrongly: {names}"
    messages: list[dict[str, Any]] = document.get("messages") or []
    if not messages or messages[0]["role"] != "system":
        yield "it does not begin with the rules"
    if messages and messages[-1]["role"] not in ("user", "tool"):
        yield f"it ends with a message of {messages[-1]['role']}"
    yield from _conversation(messages)


def _conversation(messages: list[dict[str, Any]]) -> Iterator[str]:
    owed: list[str] = []  # ids of calls that the next messages must answer
    used: set[str] = set()
    for number, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role == "tool":
            if message.get("tool_call_id") not in owed:
                yield f"message {number} answers {message.get('tool_call_id')!r}, owed are {owed}"
            else:
                owed.remove(message["tool_call_id"])
            if not isinstance(content, str) or not content:
                yield f"message {number} of a tool is empty"
            continue
        if owed:
            yield f"message {number} of {role} comes before the answers to {owed}"
            owed = []
        calls = message.get("tool_calls")
        if role not in ("system", "user", "assistant") or (calls is not None and role != "assistant"):
            yield f"message {number} has the role {role}"
        if not (isinstance(content, str) and content.strip()) and not calls:
            yield f"message {number} of {role} is empty"
        if calls is not None and not calls:
            yield f"message {number} has an empty list of calls"
        for call in calls or ():
            if call["id"] in used or not call["id"] or len(call["id"]) > 64:
                yield f"message {number} has the id {call['id']!r}, which is taken or none"
            used.add(call["id"])
            owed.append(call["id"])
            function = call["function"]
            if call.get("type") != "function" or not _NAME.fullmatch(function["name"]):
                yield f"message {number} calls {function['name']!r}"
            if not _is_object(function["arguments"]):
                yield f"message {number} has arguments that are no object: {function['arguments'][:60]!r}"
    if owed:
        yield f"calls {owed} are not answered"


def _is_object(text: Any) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (TypeError, ValueError, RecursionError):
        return False


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def unsendable(value: Any, where: str) -> Iterator[str]:
    """Where in a document there are characters that no provider takes."""
    match value:
        case str() if _UNSENDABLE.search(value):
            yield f"{where} holds NUL or a lone surrogate"
        case list():
            for index, each in enumerate(cast("list[Any]", value)):
                yield from unsendable(each, f"{where}[{index}]")
        case dict():
            for name, each in cast("dict[str, Any]", value).items():
                yield from unsendable(each, f"{where}.{name}")
        case _:
            pass
