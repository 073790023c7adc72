"""What the Messages API refuses, for the loopback server that speaks it; see `served_messages`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from megaagent.errors import ModelError
from megaagent.models.contract import ModelResponse

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_MARKS: Final = 4
_FIELDS: Final = {
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "thinking", "redacted_thinking", "tool_use"),
}


class Turn(msgspec.Struct):
    """One message of a request."""

    role: str
    content: str | list[dict[str, Any]]


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A request, as far as the simulated models can use it; unknown fields are refused, as the API does."""

    model: str
    messages: list[Turn]
    max_tokens: int | None = None
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    temperature: float | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    stream: bool = False


def invalid(message: str) -> ModelError:
    """An `invalid_request_error`."""
    return ModelError("bad_request", message, status=400)


def in_text(response: ModelResponse) -> ModelResponse:
    """The answer to a request that was bound to a schema: what the model would have called with."""
    if not response.calls:
        return response
    return msgspec.structs.replace(response, text=response.calls[0].arguments, calls=(), finish="stop")


def check_closed(schema: dict[str, Any], where: str, *, strict: bool) -> None:
    """Refuse a schema that could not be kept to: every object is closed and, when `strict`, requires all it has.

    Raises:
        ModelError: in the providers' words.
    """
    for value in schema.values():
        for inner in value if isinstance(value, list) else [value]:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(inner, dict):
                check_closed(cast("dict[str, Any]", inner), where, strict=strict)
    if schema.get("type") != "object":
        return
    if schema.get("additionalProperties") is not False:
        raise invalid(f"{where}: 'additionalProperties' is required to be supplied and to be false.")
    if strict and set(schema.get("required") or ()) != set(schema.get("properties") or ()):
        raise invalid(f"{where}: 'required' is required to be supplied and to include every key in properties.")


def wanted_of(body: Body) -> dict[str, Any] | None:
    """The schema that the answer is bound to, if it is.

    Raises:
        ModelError: it is none.
    """
    told = (body.output_config or {}).get("format")
    if told is None:
        return None
    if told.get("type") != "json_schema" or not isinstance(told.get("schema"), dict):
        raise invalid("output_config.format: Input should be {'type': 'json_schema', 'schema': {...}}")
    check_closed(told["schema"], "output_config.format.schema", strict=False)
    return told["schema"]


def check(body: Body) -> None:
    """Refuse what the API would refuse.

    Raises:
        ModelError: in the API's words.
    """
    if body.max_tokens is None:
        raise invalid("max_tokens: Field required")
    if body.max_tokens < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if not body.messages:
        raise invalid("messages: at least one message is required")
    if body.messages[0].role != "user":
        raise invalid('messages: first message must use the "user" role')
    if body.messages[-1].role != "user":
        prefill = "This model does not support assistant message prefill."
        raise invalid(f"{prefill} The conversation must end with a user message.")
    system = body.system if isinstance(body.system, list) else []
    _check_tools(body.tools or [])
    for number, block in enumerate(system):
        _check_text(block, f"system.{number}")
    for number, turn in enumerate(body.messages):
        _check_turn(turn, number)
    turns = _joined(body.messages)
    for before, after in zip([None, *turns], [*turns, None], strict=True):
        _check_calls(before, after)
    _check_marks([*(body.tools or []), *system, *(block for _, blocks in turns for block in blocks)])
    _check_thinking(body, turns)


def _check_tools(tools: list[dict[str, Any]]) -> None:
    names: set[str] = set()
    for number, tool in enumerate(tools):
        where = f"tools.{number}"
        name = tool.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise invalid(f"{where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if name in names:
            raise invalid("tools: Tool names must be unique.")
        names.add(name)
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":  # pyright: ignore[reportUnknownMemberType]
            raise invalid(f"{where}.custom.input_schema.type: Field required")
        if unknown := set(tool) - {"name", "description", "input_schema", "cache_control", "type", "strict"}:
            raise invalid(f"{where}.custom.{min(unknown)}: Extra inputs are not permitted")


def _check_turn(turn: Turn, number: int) -> None:
    where = f"messages.{number}"
    if turn.role not in _FIELDS:
        raise invalid(f"{where}: role must be 'user' or 'assistant', not {turn.role!r}")
    if not turn.content:
        raise invalid(f"{where}: all messages must have non-empty content")
    if isinstance(turn.content, str):
        return
    for place, block in enumerate(turn.content):
        here = f"{where}.content.{place}"
        kind = block.get("type")
        if kind not in _FIELDS[turn.role]:
            raise invalid(f"{here}: Input tag {kind!r} is not allowed for role {turn.role!r}")
        if kind == "text":
            _check_text(block, here)
        if kind == "tool_use":
            if not _ID.fullmatch(str(block.get("id", ""))):
                raise invalid(f"{here}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not _NAME.fullmatch(str(block.get("name", ""))):
                raise invalid(f"{here}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
            if not isinstance(block.get("input"), dict):
                raise invalid(f"{here}.tool_use.input: Input should be a valid dictionary")
        if kind == "thinking" and not block.get("signature"):
            raise invalid(f"{here}.thinking.signature: Field required")


def _check_text(block: dict[str, Any], where: str) -> None:
    text = block.get("text")
    if not isinstance(text, str) or not text:
        raise invalid(f"{where}: text content blocks must be non-empty")
    if not text.strip():
        raise invalid(f"{where}: text content blocks must contain non-whitespace text")


Blocks = list[dict[str, Any]]


def _joined(messages: Sequence[Turn]) -> list[tuple[str, Blocks]]:
    """Consecutive messages of a role are one turn."""
    turns: list[tuple[str, Blocks]] = []
    for message in messages:
        content = message.content
        blocks: Blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message.role, list(blocks)))
    return turns


def _check_calls(before: tuple[str, Blocks] | None, after: tuple[str, Blocks] | None) -> None:
    calls = [block["id"] for block in before[1] if block["type"] == "tool_use"] if before is not None else []
    results = [block for block in after[1] if block["type"] == "tool_result"] if after is not None else []
    answered = [block.get("tool_use_id") for block in results]
    if missing := [id for id in calls if id not in answered]:
        raise invalid(
            f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each "
            "`tool_use` block must have a corresponding `tool_result` block in the next message."
        )
    if unexpected := [id for id in answered if id not in calls]:
        raise invalid(
            f"unexpected `tool_use_id` found in `tool_result` blocks: {unexpected[0]}. Each `tool_result` block must "
            "have a corresponding `tool_use` block in the previous message."
        )
    if len(set(answered)) < len(answered):
        raise invalid("each tool_use must have a single result. Found multiple `tool_result` blocks with the same id")
    if after is not None and results and any(b["type"] != "tool_result" for b in after[1][: len(results)]):
        raise invalid("`tool_result` blocks must come first in the content of the message after a tool use")


def _check_marks(parts: Blocks) -> None:
    marked = [part for part in parts if "cache_control" in part]
    if len(marked) > _MARKS:
        raise invalid(f"A maximum of {_MARKS} blocks with cache_control may be provided. Found {len(marked)}.")
    for part in marked:
        if part.get("type") in ("thinking", "redacted_thinking"):
            raise invalid("cache_control: thinking blocks cannot be marked")
        if part["cache_control"].get("type") != "ephemeral":
            raise invalid("cache_control.type: Input should be 'ephemeral'")
        if part["cache_control"].get("ttl", "5m") not in ("5m", "1h"):
            raise invalid("cache_control.ttl: Input should be '5m' or '1h'")
    times = [part["cache_control"].get("ttl", "5m") for part in marked]
    if times != sorted(times):  # "1h" is before "5m", by the alphabet too
        raise invalid("cache_control: a block with ttl '1h' must not come after a block with ttl '5m'")


def _check_thinking(body: Body, turns: list[tuple[str, Blocks]]) -> None:
    thinking = body.thinking or {}
    choice = (body.tool_choice or {}).get("type", "auto")
    if choice not in ("auto", "any", "tool", "none"):
        raise invalid("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    if thinking.get("type") not in ("enabled", "adaptive"):
        return
    if choice in ("any", "tool"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    if thinking["type"] != "enabled":
        return
    budget = thinking.get("budget_tokens", 0)
    if budget < 1024:
        raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= (body.max_tokens or 0):
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.temperature not in (None, 1):
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    answers = [blocks for role, blocks in turns if role == "assistant"]
    if answers and answers[-1][-1]["type"] == "tool_use" and "thinking" not in answers[-1][0]["type"]:
        raise invalid(
            "messages.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{answers[-1][0]['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
            "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        )
