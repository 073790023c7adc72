"""The wire format of Anthropic's Messages API: requests.

Source: Claude API reference, "Create a Message"; guides "Prompt caching", "Tool use", "Extended thinking", "Adaptive
thinking", "Preserved thinking" (read in November 2026).

Two things make a request more than a translation:

- **Caching.** The API caches a prefix of tools, system and messages up to a marked block. Marked are the rules (the
  same for all agents), the role, the end of what lasts, and the end of what lasted in the request before.
- **Thoughts.** A model's signed thoughts are sent back with its answer, unchanged, and only while everything before
  them is what it was: newer models refuse a conversation whose beginning was changed. What was sent for one call only
  (the status) came before the thought, so it is sent again before it, from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from megaagent.events import storable
from megaagent.models.answers import sendable, sendable_name
from megaagent.models.claude import Echo, Family, checked, family_of
from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec
from megaagent.models.layout import Layout
from megaagent.models.network import CacheTime
from megaagent.models.structured import closed, sole_tool

_CACHE_BYTES: Final = 32 << 20
_MARKS: Final = {
    "5m": b',"cache_control":{"type":"ephemeral"}}',
    "1h": b',"cache_control":{"type":"ephemeral","ttl":"1h"}}',
}
_LEAST_THOUGHT: Final = 1024  # tokens, the API's minimum
_SHARES: Final = {"minimal": 0.05, "low": 0.125, "medium": 0.25, "high": 0.5, "xhigh": 0.7, "max": 0.8}


class MessagesEncoder:
    """Makes the body of requests; blocks that were encoded before are not encoded again (up to 32 MiB of them).

    Args:
        ttl: how long the API is to keep what is marked.

    Attributes:
        without: fields that the server has refused, and that are not sent any more.
    """

    def __init__(self, *, stream: bool, ttl: CacheTime = "5m"):
        self._stream = stream
        self._mark = _MARKS[ttl]
        self._json = msgspec.json.Encoder()
        self._blocks: dict[ChatMessage, tuple[bytes, ...]] = {}
        self._bytes = 0
        self._tools: list[tuple[tuple[ToolSpec, ...], list[bytes]]] = []
        self._echoes = msgspec.json.Decoder(Echo)
        self.without: set[str] = set()

    def encode(self, request: ModelRequest) -> tuple[bytes, Layout]:
        family = family_of(request.model)
        sole = self.bound_to(request)
        tools = self._tools_of(request.tools if sole is None else ())
        lasting = len(request.messages) if request.lasting is None else request.lasting
        system = [self._text(m.text) for m in _leading(request.messages)]
        layout = Layout([*tools, *system], self._no_result)
        marks, thinks = self._lay_out(request, family, lasting, layout)
        layout.tail = tuple(message.text for message in request.messages[lasting:] if message.text.strip())
        body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_output}
        if system:
            body["system"] = [msgspec.Raw(block) for block in (*map(self._marked, system[:2]), *system[2:])]
        body["messages"] = [
            {
                "role": turn.role,
                "content": [
                    msgspec.Raw(self._marked(block) if (t, b) in marks else block)
                    for b, block in enumerate(turn.blocks)
                ],
            }
            for t, turn in enumerate(layout.turns)
        ]
        if tools:
            body["tools"] = list(map(msgspec.Raw, tools))
        thinking = self._thinking(request, family, thinks)
        body.update(thinking)
        on = "thinking" in thinking and thinking["thinking"]["type"] != "disabled"
        if sole is not None:
            told = {"type": "json_schema", "schema": closed(sole.parameters)}
            body["output_config"] = {**thinking.get("output_config", {}), "format": told}
        # A tool cannot be prescribed to a model that thinks.
        elif request.must_call and not on and family.thinking != "adaptive" and "tool_choice" not in self.without:
            body["tool_choice"] = {"type": "tool", "name": sendable_name(request.must_call)}
        if request.temperature is not None and not on and family.temperature and "temperature" not in self.without:
            body["temperature"] = min(1.0, request.temperature)
        if self._stream:
            body["stream"] = True
        return self._json.encode(body), layout

    def bound_to(self, request: ModelRequest) -> ToolSpec | None:
        """The tool whose arguments are asked for as the answer; None when calls are asked for."""
        able = family_of(request.model).schema and "format" not in self.without
        return sole_tool(request) if able else None

    def _thinking(self, request: ModelRequest, family: Family, thinks: bool) -> dict[str, Any]:
        effort = request.effort
        if effort is None or family.thinking == "none" or "thinking" in self.without:
            return {}
        if effort == "none":
            return {"thinking": {"type": "disabled"}} if family.thinking == "adaptive" else {}
        if family.thinking == "adaptive":
            return {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
        budget = max(_LEAST_THOUGHT, int(request.max_output * _SHARES.get(effort, 0.25)))
        if budget >= request.max_output or not thinks:
            return {}
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}

    # -- messages -----------------------------------------------------------------------------------------------

    def _lay_out(
        self, request: ModelRequest, family: Family, lasting: int, layout: Layout
    ) -> tuple[set[tuple[int, int]], bool]:
        """Lay the messages out; tells where the marks go, and whether the thoughts of the open loop are complete."""
        ends: list[tuple[int, int]] = []  # of what lasted before each answer, and of what lasts now
        thinks = True
        for number, message in enumerate(request.messages):
            if number == lasting and layout.turns:
                ends.append(layout.end)
            if message.role == "system" and not layout.turns:
                continue
            if message.role == "assistant":
                if not layout.turns:
                    layout.say(self._text("(the conversation began earlier)"))
                layout.complete()
                ends.append(layout.end)
                echo = self._echo_that_fits(message, request.model, family, layout)
                layout.answer(self._answer(message, echo), (_an_id(call.id) for call in message.calls))
                thinks = echo is not None or not message.calls
            elif message.role == "tool":
                if not layout.result(_an_id(message.call_id or ""), self._result(message)):
                    layout.say(self._text(message.text if message.text.strip() else "(nothing)"))
            elif message.text.strip():
                layout.say((self._known(message) or self._keep(message, (self._text(message.text),)))[0])
        if lasting >= len(request.messages) and layout.turns:
            ends.append(layout.end)
        layout.complete()
        if layout.turns and layout.turns[-1].role == "assistant":
            layout.say(self._text("Go on."))
        return {end for end in ends[-2:] if layout.turns[end[0]].role == "user" and end[1] >= 0}, thinks

    def _echo_that_fits(self, message: ChatMessage, model: str, family: Family, layout: Layout) -> Echo | None:
        """The thoughts that can go back with the answer; what was said right before them then stands there again."""
        echo = self._echo(message, model)
        if echo is None:
            return None
        last = layout.turns[-1]
        before = len(last.blocks)
        if last.role == "user":
            last.blocks += map(self._text, echo.tail)
        if not family.bound or layout.digest() == echo.before:
            return echo
        del last.blocks[before:]
        return None

    def _answer(self, message: ChatMessage, echo: Echo | None) -> tuple[bytes, ...]:
        if echo is None:
            plain = ChatMessage("assistant", message.text, message.calls)
            return self._known(plain) or self._keep(plain, tuple(self._plain(plain)))
        return self._known(message) or self._keep(message, tuple(self._whole(message, echo)))

    def _plain(self, message: ChatMessage) -> Iterable[bytes]:
        if message.text.strip() or not message.calls:
            yield self._text(message.text.strip() or "(nothing)")
        yield from (self._call(message, index) for index in range(len(message.calls)))

    def _whole(self, message: ChatMessage, echo: Echo) -> Iterable[bytes]:
        """The answer with its thoughts, block by block as it came."""
        at = call = 0
        for block in echo.blocks:
            if isinstance(block, dict):
                yield self._json.encode(block)
            elif block is None:
                yield self._call(message, call)
                call += 1
            else:
                yield self._text(message.text[at : at + block])
                at += block

    def _echo(self, message: ChatMessage, model: str) -> Echo | None:
        """What can be sent back of the thoughts of an answer: those of this very model, as they were."""
        if not message.echo or "echo" in self.without:
            return None
        try:
            echo = self._echoes.decode(message.echo)
        except (ValueError, RecursionError):
            return None
        calls = sum(block is None for block in echo.blocks)
        characters = sum(block for block in echo.blocks if isinstance(block, int))
        fits = calls == len(message.calls) and characters == len(message.text)
        return echo if fits and echo.model == model and echo.check == checked(echo.blocks) else None

    def _text(self, text: str) -> bytes:
        return self._json.encode({"type": "text", "text": storable(text)})

    def _call(self, message: ChatMessage, index: int) -> bytes:
        call = message.calls[index]
        given = msgspec.Raw(sendable(call.arguments).encode())
        name = sendable_name(call.name)
        return self._json.encode({"type": "tool_use", "id": _an_id(call.id), "name": name, "input": given})

    def _no_result(self, call: str) -> bytes:
        return self._json.encode({"type": "tool_result", "tool_use_id": call, "content": "(no result)"})

    def _result(self, message: ChatMessage) -> bytes:
        known = self._known(message)
        if known is not None:
            return known[0]
        block = {"type": "tool_result", "tool_use_id": _an_id(message.call_id or ""), "content": storable(message.text)}
        return self._keep(message, (self._json.encode(block),))[0]

    def _marked(self, block: bytes) -> bytes:
        """The block as one up to which the prompt is cached."""
        return block[:-1] + self._mark

    # -- what is known already ----------------------------------------------------------------------------------

    def _known(self, message: ChatMessage) -> tuple[bytes, ...] | None:
        return self._blocks.get(message)

    def _keep(self, message: ChatMessage, blocks: tuple[bytes, ...]) -> tuple[bytes, ...]:
        self._blocks[message] = blocks
        self._bytes += sum(map(len, blocks))
        while self._bytes > _CACHE_BYTES:
            self._bytes -= sum(map(len, self._blocks.pop(next(iter(self._blocks)))))
        return blocks

    def _tools_of(self, tools: tuple[ToolSpec, ...]) -> list[bytes]:
        if not tools:
            return []
        for known, blocks in self._tools:
            if known is tools or known == tools:
                return blocks
        blocks = [
            self._json.encode({"name": t.name, "description": t.description, "input_schema": t.parameters})
            for t in tools
        ]
        self._tools = [*self._tools[-7:], (tools, blocks)]
        return blocks


def _leading(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The system messages at the beginning; later ones are told as a user's."""
    end = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    return [message for message in messages[:end] if message.text.strip()]


_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def _an_id(id: str) -> str:
    """The id of a call as the API allows it."""
    return _NO_ID.sub("_", id) or "_"
