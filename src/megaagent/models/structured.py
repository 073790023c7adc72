"""Answers that a provider binds to a schema, in place of a call of the one tool that must be called.

Where a server takes a schema, what it samples fits it; a forced call may still be malformed, and models that think
cannot be forced at all. The adapter makes a call of what comes, so nobody above it sees a difference.

Sources: OpenAI guide "Structured outputs", Claude API guide "Structured outputs" (November 2026). Both want every
object closed; OpenAI wants every property to be required.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.events import ToolCall
from megaagent.models.answers import fresh_id
from megaagent.models.contract import ModelRequest, ModelResponse, ToolSpec


def sole_tool(request: ModelRequest) -> ToolSpec | None:
    """The tool that the answer must call, if it is the only one that is offered."""
    if request.must_call is None or [tool.name for tool in request.tools] != [request.must_call]:
        return None
    return request.tools[0]


def closed(schema: Any) -> Any:
    """The schema as strict servers want it: no object takes more properties, and all of them are required."""
    if isinstance(schema, list):
        return [closed(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    same = {name: closed(each) for name, each in cast("dict[str, Any]", schema).items()}
    if same.get("type") == "object":
        same["additionalProperties"] = False
        same["required"] = list(same.get("properties") or {})
    return same


def as_call(response: ModelResponse, tool: str, unbound: Callable[[], object] | None = None) -> ModelResponse:
    """The answer with its text made a call of the tool.

    Args:
        unbound: told when the server does not keep to schemas, so that it is asked for a call from then on.

    Raises:
        ModelError: "broken", the text is no object although it was not cut: the server does not keep to schemas.
    """
    if response.calls:
        return response
    try:
        fits = isinstance(json.loads(response.text), dict)
    except (ValueError, RecursionError):
        fits = False
    if fits:
        call = ToolCall(fresh_id(), tool, response.text.strip())
        return msgspec.structs.replace(response, text="", calls=(call,), finish="tool_calls")
    if response.finish == "length":
        return response
    if unbound is not None:
        unbound()
    raise ModelError("broken", f"the answer does not keep to the schema that was asked for: {response.text[:80]!r}")
