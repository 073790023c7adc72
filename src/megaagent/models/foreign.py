"""Any model that pydantic-ai can ask, under our gate, retry, budget and record: the extra `[providers]`.

Keys and addresses are looked for in the environment by pydantic-ai itself, under the names that it documents. Answers
come whole. What a model signs (its thoughts, for one) is kept with its answer and goes back as it came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
from pydantic_ai import exceptions as faults
from pydantic_ai import messages as wire
from pydantic_ai.direct import model_request
from pydantic_ai.models import Model as Asked
from pydantic_ai.models import ModelRequestParameters, infer_model
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from megaagent.errors import ConfigurationError, Fault, ModelError
from megaagent.events import Struct, Usage
from megaagent.models.answers import Heard, Told, respond, sendable, sendable_name
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.faults import Secrets, error_of_answer

# The first that fits; what is no HTTP status says by its class what it is.
_FAULTS: tuple[tuple[type[Exception], Fault], ...] = (
    (faults.ContentFilterError, "refused"),
    (faults.ModelTimeoutError, "timeout"),
    (faults.ModelConnectionError, "connection"),
    (faults.IncompleteToolCall, "broken"),
    (faults.UnexpectedModelBehavior, "broken"),
    (faults.ModelAPIError, "overloaded"),
    (faults.UserError, "bad_request"),
)


class Kept(Struct, frozen=True):
    """An answer in pydantic-ai's own form, and whose it is."""

    model: str
    message: str


class ForeignModel:
    """A model of pydantic-ai's.

    Args:
        model: its name there, `provider:model`, or the model itself.

    Raises:
        ConfigurationError: there is none of this name, or what it needs is missing.
    """

    def __init__(self, model: Asked | str):
        try:
            self._model = infer_model(model)
        except ImportError as error:
            raise ConfigurationError(f"pydantic:{model}: {error}") from error
        except (faults.UserError, ValueError) as error:
            raise ConfigurationError(f"pydantic:{model}: {' '.join(str(error).split())}") from error
        self._entered = False
        self._tools: tuple[tuple[ToolSpec, ...], ModelRequestParameters] = ((), ModelRequestParameters())

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer the request once, within its deadline.

        Raises:
            ModelError: of every fault.
        """
        if not self._entered:  # its connections are opened inside the loop that uses them
            self._entered = True
            await self._model.__aenter__()
        try:
            async with asyncio.timeout(request.deadline):
                answer = await model_request(
                    self._model,
                    list(_messages(request)),
                    model_settings=_settings(request),
                    model_request_parameters=self._parameters(request.tools),
                )
        except TimeoutError:
            late = ModelError("timeout", f"no whole answer within {request.deadline:g} s")
            late.maybe_paid = True
            raise late from None
        except faults.ModelHTTPError as error:
            raise _http_error(error) from None
        except Exception as error:
            fault: Fault | None = next((fault for kind, fault in _FAULTS if isinstance(error, kind)), None)
            if fault is None:
                raise
            raise ModelError(fault, _told(error)) from None
        return _response(request, answer)

    async def close(self) -> None:
        if self._entered:
            self._entered = False
            await self._model.__aexit__(None, None, None)

    def _parameters(self, tools: tuple[ToolSpec, ...]) -> ModelRequestParameters:
        if tools is not self._tools[0]:
            told = [
                ToolDefinition(name=tool.name, parameters_json_schema=tool.parameters, description=tool.description)
                for tool in tools
            ]
            self._tools = tools, ModelRequestParameters(function_tools=told)
        return self._tools[1]


def _settings(request: ModelRequest) -> ModelSettings:
    settings = ModelSettings(max_tokens=request.max_output, timeout=request.deadline)
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    if request.effort is not None:
        settings["thinking"] = cast("Any", False if request.effort == "none" else request.effort)
    return settings


def _messages(request: ModelRequest) -> Iterator[wire.ModelMessage]:
    """The conversation in pydantic-ai's form: everything between two answers is one request."""
    parts: list[Any] = []
    names = {call.id: call.name for message in request.messages for call in message.calls}
    for message in request.messages:
        match message.role:
            case "system":
                parts.append(wire.SystemPromptPart(message.text))
            case "user":
                parts.append(wire.UserPromptPart(message.text))
            case "tool":
                id = message.call_id or ""
                parts.append(wire.ToolReturnPart(sendable_name(names.get(id, "tool")), message.text, tool_call_id=id))
            case "assistant":
                if parts:
                    yield wire.ModelRequest(parts=parts)
                parts = []
                yield _said(message, request.model)
    yield wire.ModelRequest(parts=parts)


def _said(message: ChatMessage, model: str) -> wire.ModelResponse:
    """An answer of this model's as it came, of another's as far as all models understand it."""
    if message.echo:
        try:
            kept = msgspec.json.decode(message.echo, type=Kept)
            [said] = wire.ModelMessagesTypeAdapter.validate_json(kept.message)
        except ValueError:  # of another adapter, or changed since
            kept = said = None
        if kept is not None and kept.model == model and isinstance(said, wire.ModelResponse):
            return said
    text = [wire.TextPart(message.text)] if message.text.strip() or not message.calls else []
    calls = [wire.ToolCallPart(sendable_name(c.name), sendable(c.arguments), tool_call_id=c.id) for c in message.calls]
    return wire.ModelResponse(parts=[*text, *calls])


def _response(request: ModelRequest, answer: wire.ModelResponse) -> ModelResponse:
    texts = [part.content for part in answer.parts if isinstance(part, wire.TextPart)]
    thoughts = [part.content for part in answer.parts if isinstance(part, wire.ThinkingPart) and part.content]
    calls = [part for part in answer.parts if isinstance(part, wire.ToolCallPart)]
    heard = Heard(
        "".join(texts),
        tuple(Told(call.tool_call_id, call.tool_name, _arguments(call)) for call in calls),
        "\n".join(thoughts),
        "the model declined to answer" if answer.finish_reason == "content_filter" else None,
        answer.finish_reason == "length",
        answer.model_name or "",
        _usage(answer),
    )
    response = respond(heard, request)
    if not response.repairs and _is_signed(answer.parts):
        told = wire.ModelMessagesTypeAdapter.dump_json([answer]).decode()
        echo = msgspec.json.encode(Kept(request.model, told)).decode()
        response = msgspec.structs.replace(response, echo=echo)
    if answer.usage.input_tokens:
        return response
    from megaagent.models.counting import with_usage

    return with_usage(request, 0, response, counted=False)


def _arguments(call: wire.ToolCallPart) -> str:
    if isinstance(call.args, dict):
        return json.dumps(call.args, ensure_ascii=False)
    return call.args or "{}"


def _is_signed(parts: Sequence[Any]) -> bool:
    """Whether there is something in the answer that only its model understands, and wants back."""
    return any(getattr(part, "signature", None) or getattr(part, "provider_details", None) for part in parts)


def _usage(answer: wire.ModelResponse) -> Usage:
    told = answer.usage
    thought = told.output_reasoning_tokens or told.details.get("reasoning_tokens", 0)
    written = min(told.cache_write_tokens, told.input_tokens)
    cached = min(told.cache_read_tokens, told.input_tokens - written)
    return Usage(told.input_tokens, told.output_tokens, cached, min(thought, told.output_tokens), written)


def _http_error(error: faults.ModelHTTPError) -> ModelError:
    body = error.body if isinstance(error.body, bytes) else json.dumps(error.body, default=str).encode()
    told = error_of_answer(error.status_code, dict(error.headers or {}), body, Secrets())
    if told.retry_after is None:
        told.retry_after = error.retry_after
    return told


def _told(error: Exception) -> str:
    return Secrets().hide(" ".join(str(error).split()))[:500] or type(error).__name__
