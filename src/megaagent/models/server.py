"""A server before any model, on this machine only: OpenAI's chat completions and Anthropic's Messages API.

It lets every client, ours and others, be tested and measured against the same simulated organization.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from aiohttp import web

from megaagent.errors import Fault, ModelError
from megaagent.events import Struct, ToolCall, Usage
from megaagent.models.contract import ChatMessage, Model, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.served_batches import BatchDesk, BatchPace
from megaagent.models.served_messages import MessagesFace
from megaagent.models.served_rules import Body, check_closed, in_text
from megaagent.models.tokens import text_tokens
from megaagent.models.vectors import letters

# How each fault is told: status, type and code, as OpenAI does where it does.
_TOLD: Final[dict[Fault, tuple[int, str, str | None]]] = {
    "connection": (502, "server_error", None),
    "timeout": (504, "server_error", "timeout"),
    "rate_limit": (429, "requests", "rate_limit_exceeded"),
    "overloaded": (503, "server_error", "overloaded"),
    "no_money": (429, "insufficient_quota", "insufficient_quota"),
    "unauthorized": (401, "invalid_request_error", "invalid_api_key"),
    "not_found": (404, "invalid_request_error", "model_not_found"),
    "bad_request": (400, "invalid_request_error", None),
    "context_overflow": (400, "invalid_request_error", "context_length_exceeded"),
    "refused": (400, "invalid_request_error", "content_filter"),
    "broken": (502, "server_error", None),
    "empty": (502, "server_error", None),
}
_PIECE: Final = 64  # characters in one event of a stream
_BODY: Final = 64 << 20


class Billed(Struct, frozen=True):
    """One answered call, as the provider's books have it."""

    model: str
    usage: Usage
    time: float  # seconds since 1970
    batched: bool = False  # at the price of batches
    bound: bool = False  # to a schema


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    arguments: str = "{}"


class _Tool(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[_Tool] | None = None
    tool_call_id: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Schema(msgspec.Struct):
    name: str
    schema: dict[str, Any] = {}
    description: str | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    response_format: _Format | None = None


class _Embedding(msgspec.Struct):
    model: str
    input: str | list[str]
    dimensions: int = 256
    encoding_format: str = "float"


class SimServer:
    """Serves models at `POST /v1/chat/completions`, `POST /v1/messages` and `GET /v1/models`, inside `async with`.

    `POST /v1/embeddings` makes vectors of letters, whatever model is asked for.

    Args:
        models: by the name under which they are asked for.
        key: if given, what a caller must send, as a bearer token or as `x-api-key`.
        thoughts: over the Messages API, each answer begins with a signed thought, which must come back unchanged.
        port: 0 takes any that is free.
        batches: takes batches of both protocols too, and works on them like this.

    Attributes:
        bill: every call that was answered, also when the caller had gone by then.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        key: str | None = None,
        port: int = 0,
        thoughts: bool = False,
        batches: BatchPace | None = None,
    ):
        self._models = dict(models)
        self._key = key
        self._port = port
        self._runner: web.AppRunner | None = None
        self._decoder = msgspec.json.Decoder(_Body)
        self._tools = msgspec.json.Encoder()
        self._known_tools: dict[bytes, tuple[ToolSpec, ...]] = {}
        self._numbers = itertools.count(1)
        self._face = MessagesFace(thoughts=thoughts)
        self.batches = BatchDesk(batches, self._batched, self._batched_message, self._may) if batches else None
        self.bill: list[Billed] = []

    @property
    def url(self) -> str:
        """The base URL for clients of chat completions, version included."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """The base URL for clients of the Messages API, which add the version themselves."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> SimServer:
        app = web.Application(client_max_size=_BODY)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/messages", self._message)
        app.router.add_post("/v1/embeddings", self._embed)
        app.router.add_get("/v1/models", self._list)
        if self.batches is not None:
            self.batches.register(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *error: object) -> None:
        if self.batches is not None:
            await self.batches.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return _refusal(ModelError("unauthorized", "the key is missing or wrong"))
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "megaagent"} for name in self._models]
        return _json({"object": "list", "data": models})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            if not self._may(request):
                raise ModelError("unauthorized", "the key is missing or wrong")
            body, response = await self._answered(await request.read())
        except ModelError as error:
            return _refusal(error)
        head = self._head(body, response)
        if body.stream:
            options = body.stream_options or _StreamOptions()
            return await _stream(request, head, response, include_usage=options.include_usage)
        return _json({**head, "object": "chat.completion", **_whole(response)})

    async def _answered(self, data: bytes, *, batched: bool = False) -> tuple[_Body, ModelResponse]:
        body = self._read(data)
        if body.model not in self._models:
            raise ModelError("not_found", f"the model {body.model!r} does not exist")
        response = await self._models[body.model].complete(self._request(body))
        bound = body.response_format is not None
        self.bill.append(Billed(body.model, response.usage, time.time(), batched, bound))
        return body, in_text(response) if bound else response

    def _head(self, body: _Body, response: ModelResponse) -> dict[str, Any]:
        name = response.model or body.model
        return {"id": f"chatcmpl-{next(self._numbers)}", "created": int(time.time()), "model": name}

    async def _batched(self, data: bytes) -> tuple[int, Any]:
        """One request of a batch."""
        try:
            body, response = await self._answered(data, batched=True)
        except ModelError as error:
            return _told_as(error)
        return 200, {**self._head(body, response), "object": "chat.completion", **_whole(response)}

    async def _message(self, request: web.Request) -> web.StreamResponse:
        try:
            if not self._face.may(request, self._key):
                raise ModelError("unauthorized", "invalid x-api-key")
            body = self._face.read(request, await request.read())
            response = await self._said(body)
        except ModelError as error:
            return self._face.refusal(error)
        return await self._face.answer(request, body, response)

    async def _said(self, body: Body, *, batched: bool = False) -> ModelResponse:
        if body.model not in self._models:
            raise ModelError("not_found", f"model: {body.model}")
        response = await self._models[body.model].complete(self._face.request(body))
        bound = "format" in (body.output_config or {})
        self.bill.append(Billed(body.model, response.usage, time.time(), batched, bound))
        return in_text(response) if bound else response

    async def _batched_message(self, data: bytes) -> tuple[int, Any]:
        """One request of a batch over the Messages API."""
        try:
            body = self._face.read_body(data)
            return 200, self._face.document(body, await self._said(body, batched=True))
        except ModelError as error:
            return self._face.refused(error)

    async def _embed(self, request: web.Request) -> web.Response:
        if not self._may(request):
            return _refusal(ModelError("unauthorized", "the key is missing or wrong"))
        try:
            body = msgspec.json.decode(await request.read(), type=_Embedding)
        except ValueError as error:
            return _refusal(ModelError("bad_request", f"the body is not a valid request: {error}"))
        texts = [body.input] if isinstance(body.input, str) else body.input
        if not texts or not all(texts) or len(texts) > 2048:
            return _refusal(ModelError("bad_request", "'$.input' is invalid: 1 to 2048 texts, none of them empty"))
        tokens = sum(map(text_tokens, texts))
        self.bill.append(Billed(body.model, Usage(tokens), time.time()))
        data = [
            {"object": "embedding", "index": number, "embedding": letters(text, body.dimensions)}
            for number, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _json({"object": "list", "data": data, "model": body.model, "usage": usage})

    def _may(self, request: web.Request) -> bool:
        return self._face.may(request, self._key)

    def _read(self, data: bytes) -> _Body:
        try:
            return self._decoder.decode(data)
        except ValueError as error:
            raise ModelError("bad_request", f"the body is not a valid request: {error}") from None

    def _request(self, body: _Body) -> ModelRequest:
        limit = body.max_completion_tokens or body.max_tokens or 8192
        messages = tuple(map(_message, body.messages))
        tools = self._tools_of(body.tools)
        wanted = body.response_format.json_schema if body.response_format is not None else None
        if wanted is not None:
            check_closed(
                wanted.schema, f"Invalid schema for response_format {wanted.name!r}", strict=bool(wanted.strict)
            )
            tools = (ToolSpec(wanted.name, wanted.description or "", wanted.schema),)
        return ModelRequest(body.model, messages, tools, limit, body.temperature)

    def _tools_of(self, tools: list[_Tool] | None) -> tuple[ToolSpec, ...]:
        """The offered tools; equal ones are one tuple, which what comes after can recognise at once."""
        if not tools:
            return ()
        encoded = self._tools.encode(tools)
        if encoded not in self._known_tools:
            if len(self._known_tools) >= 64:
                self._known_tools.clear()
            functions = [tool.function for tool in tools]
            self._known_tools[encoded] = tuple(
                ToolSpec(each.name, each.description or "", each.parameters or {}) for each in functions
            )
        return self._known_tools[encoded]


def _message(message: _Message) -> ChatMessage:
    role = {"developer": "system", "function": "tool"}.get(message.role, message.role)
    if role not in ("system", "user", "assistant", "tool"):
        raise ModelError("bad_request", f"unknown role {message.role!r}")
    content = message.content or ""
    if not isinstance(content, str):
        content = "".join(str(part.get("text") or "") for part in content)
    calls = tuple(ToolCall(each.id, each.function.name, each.function.arguments) for each in message.tool_calls or ())
    return ChatMessage(cast("Any", role), content, calls, message.tool_call_id)


def _whole(response: ModelResponse) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": response.text or None, "refusal": None}
    if response.calls:
        message["tool_calls"] = [_wire_call(call) for call in response.calls]
    choice = {"index": 0, "message": message, "finish_reason": response.finish, "logprobs": None}
    return {"choices": [choice], "usage": _wire_usage(response.usage)}


def _wire_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _wire_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


async def _stream(
    request: web.Request, head: dict[str, Any], response: ModelResponse, *, include_usage: bool
) -> web.StreamResponse:
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    head = {**head, "object": "chat.completion.chunk"}
    events = [{**head, "choices": [choice]} for choice in _pieces(response)]
    if include_usage:
        events.append({**head, "choices": [], "usage": _wire_usage(response.usage)})
    try:
        await reply.prepare(request)
        for event in events:
            await reply.write(b"data: " + msgspec.json.encode(event) + b"\n\n")
            await asyncio.sleep(0)  # so that the pieces of many streams mix, as they do on a network
        await reply.write(b"data: [DONE]\n\n")
        await reply.write_eof()
    except ConnectionResetError:
        pass  # the caller has gone; the call is billed all the same
    return reply


def _pieces(response: ModelResponse) -> Iterator[dict[str, Any]]:
    yield _delta({"role": "assistant", "content": ""})
    for start in range(0, len(response.text), _PIECE):
        yield _delta({"content": response.text[start : start + _PIECE]})
    for index, call in enumerate(response.calls):
        first = {**_wire_call(call), "index": index, "function": {"name": call.name, "arguments": ""}}
        yield _delta({"tool_calls": [first]})
        for start in range(0, len(call.arguments), _PIECE):
            part = {"index": index, "function": {"arguments": call.arguments[start : start + _PIECE]}}
            yield _delta({"tool_calls": [part]})
    yield _delta({}, response.finish)


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document), status=status, headers=headers, content_type="application/json"
    )


def _refusal(error: ModelError) -> web.Response:
    status, document = _told_as(error)
    headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:g}"}
    return _json(document, status=status, headers=headers)


def _told_as(error: ModelError) -> tuple[int, Any]:
    status, kind, code = _TOLD[error.fault]
    return status, {"error": {"message": error.detail, "type": kind, "param": None, "code": code}}
