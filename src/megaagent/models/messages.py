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
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec

from megaagent.events import storable
from megaagent.models.answers import sendable, sendable_name
from megaagent.models.claude import Echo, Family, checked, family_of
from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec

_CACHE_BYTES: Final = 32 << 20
_MARK: Final = b',"cache_control":{"type":"ephemeral"}}'
_LEAST_THOUGHT: Final = 1024  # tokens, the API's minimum
_SHARES: Final = {"minimal": 0.05, "low": 0.125, "medium": 0.25, "high": 0.5, "xhigh": 0.7, "max": 0.8}


class _Turn:
    """Blocks of one role, and after which of them a mark may stand."""

    def __init__(self, role: Literal["user", "assistant"]):
        self.role = role
        self.blocks: list[bytes] = []


class Sent:
    """The parts of one request, before they become its body."""

    def __init__(self, head: Sequence[bytes], turns: Sequence[_Turn], tail: tuple[str, ...], thinks: bool):
        self._head = head
        self._turns = turns
        self.tail = tail
        self.thinks = thinks  # whether the answers of the open loop of calls have their thoughts with them

    def digest(self) -> str:
        """Of all that is sent, in order."""
        return _digest(self._head, self._turns)


class MessagesEncoder:
    """Makes the body of requests; blocks that were encoded before are not encoded again (up to 32 MiB of them).

    Attributes:
        without: fields that the server has refused, and that are not sent any more.
    """

    def __init__(self, *, stream: bool):
        self._stream = stream
        self._json = msgspec.json.Encoder()
        self._blocks: dict[ChatMessage, tuple[bytes, ...]] = {}
        self._bytes = 0
        self._tools: list[tuple[tuple[ToolSpec, ...], list[bytes]]] = []
        self._echoes = msgspec.json.Decoder(Echo)
        self.without: set[str] = set()

    def encode(self, request: ModelRequest) -> tuple[bytes, Sent]:
        family = family_of(request.model)
        tools = self._tools_of(request.tools)
        lasting = len(request.messages) if request.lasting is None else request.lasting
        system = [self._text(m.text) for m in _leading(request.messages)]
        head = [*tools, *system]
        turns, marks, thinks = self._turns(request, family, head, lasting)
        tail = tuple(message.text for message in request.messages[lasting:] if message.text.strip())
        body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_output}
        if system:
            body["system"] = [msgspec.Raw(_marked(block)) for block in system[:2]] + list(map(msgspec.Raw, system[2:]))
        body["messages"] = [
            {
                "role": turn.role,
                "content": [
                    msgspec.Raw(_marked(block) if (t, b) in marks else block) for b, block in enumerate(turn.blocks)
                ],
            }
            for t, turn in enumerate(turns)
        ]
        if tools:
            body["tools"] = list(map(msgspec.Raw, tools))
        thinking = self._thinking(request, family, thinks)
        body.update(thinking)
        on = "thinking" in thinking and thinking["thinking"]["type"] != "disabled"
        # A tool cannot be prescribed to a model that thinks.
        if request.must_call and not on and family.thinking != "adaptive" and "tool_choice" not in self.without:
            body["tool_choice"] = {"type": "tool", "name": sendable_name(request.must_call)}
        if request.temperature is not None and not on and family.temperature and "temperature" not in self.without:
            body["temperature"] = min(1.0, request.temperature)
        if self._stream:
            body["stream"] = True
        return self._json.encode(body), Sent(head, turns, tail, thinks)

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

    def _turns(
        self, request: ModelRequest, family: Family, head: list[bytes], lasting: int
    ) -> tuple[list[_Turn], set[tuple[int, int]], bool]:
        """The turns, alternating, where the marks go, and whether the thoughts of the open loop are complete."""
        turns: list[_Turn] = []
        ends: list[tuple[int, int]] = []  # of what lasted before each answer
        thinks = True
        for number, message in enumerate(request.messages):
            if number == lasting and turns:
                ends.append((len(turns) - 1, len(turns[-1].blocks) - 1))
            if message.role == "system" and not turns:
                continue
            if message.role == "assistant":
                if not turns:
                    _add(turns, "user", (self._text("(the conversation began earlier)"),))
                echo = self._echo(message, request.model)
                whole = False
                last = turns[-1]
                ends.append((len(turns) - 1, len(last.blocks) - 1))
                if echo is not None:
                    kept = [*last.blocks]
                    last.blocks += [self._text(text) for text in echo.tail if last.role == "user"]
                    whole = not family.bound or _digest(head, turns) == echo.before
                    if not whole:
                        last.blocks = kept
                blocks = self._answer(message, echo if whole else None)
                _add(turns, "assistant", blocks)
                thinks = whole or not message.calls
            elif message.role == "tool":
                result = self._result(message)
                open_calls = _open_calls(turns)
                if message.call_id is None or _an_id(message.call_id) not in open_calls:
                    _add(turns, "user", (self._text(message.text if message.text.strip() else "(nothing)"),))
                else:
                    _add(turns, "user", (result,), first=True)
            elif message.text.strip():
                _add(turns, "user", (self._known(message) or self._keep(message, (self._text(message.text),))))
        if lasting >= len(request.messages) and turns:
            ends.append((len(turns) - 1, len(turns[-1].blocks) - 1))
        _answer_all(turns, self._json)
        if turns and turns[-1].role == "assistant":
            _add(turns, "user", (self._text("Go on."),))
        marks = {end for end in ends[-2:] if turns[end[0]].role == "user" and end[1] >= 0}
        return turns, marks, thinks

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

    def _result(self, message: ChatMessage) -> bytes:
        known = self._known(message)
        if known is not None:
            return known[0]
        block = {"type": "tool_result", "tool_use_id": _an_id(message.call_id or ""), "content": storable(message.text)}
        return self._keep(message, (self._json.encode(block),))[0]

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


def _add(turns: list[_Turn], role: Literal["user", "assistant"], blocks: tuple[bytes, ...], *, first: bool = False):
    """Blocks of a role, in its turn if that is the last; results of calls come before all else in a turn."""
    if not turns or turns[-1].role != role:
        turns.append(_Turn(role))
    there = turns[-1].blocks
    if first:
        place = next((i for i, block in enumerate(there) if not _is_result(block)), len(there))
        there[place:place] = blocks
    else:
        there.extend(blocks)


def _is_result(block: bytes) -> bool:
    return block.startswith(b'{"type":"tool_result"')


class _Block(msgspec.Struct):
    type: str
    id: str = ""
    tool_use_id: str = ""


_BLOCKS: Final = msgspec.json.Decoder(_Block)


def _open_calls(turns: list[_Turn]) -> set[str]:
    """Calls of the last answer that have no result yet."""
    after = turns[-1:] if turns and turns[-1].role == "user" else []
    answer = turns[-1 - len(after)] if len(turns) > len(after) else None
    calls = _ids(answer.blocks, b'{"type":"tool_use"') if answer is not None else []
    answered = {_BLOCKS.decode(block).tool_use_id for turn in after for block in turn.blocks if _is_result(block)}
    return set(calls) - answered


def _ids(blocks: Iterable[bytes], start: bytes) -> list[str]:
    return [_BLOCKS.decode(block).id for block in blocks if block.startswith(start)]


def _answer_all(turns: list[_Turn], encoder: msgspec.json.Encoder) -> None:
    """A result for every call in the turn after it, as the API demands."""
    for number, turn in enumerate(list(turns)):
        calls = _ids(turn.blocks, b'{"type":"tool_use"') if turn.role == "assistant" else []
        if not calls:
            continue
        if number + 1 == len(turns):
            turns.append(_Turn("user"))
        after = turns[number + 1]
        answered = {_BLOCKS.decode(block).tool_use_id for block in after.blocks if _is_result(block)}
        missing = [id for id in calls if id not in answered]
        after.blocks[:0] = [
            encoder.encode({"type": "tool_result", "tool_use_id": id, "content": "(no result)"}) for id in missing
        ]


_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def _an_id(id: str) -> str:
    """The id of a call as the API allows it."""
    return _NO_ID.sub("_", id) or "_"


def _marked(block: bytes) -> bytes:
    """The block as one up to which the prompt is cached."""
    return block[:-1] + _MARK


def _digest(head: Iterable[bytes], turns: Iterable[_Turn]) -> str:
    hashed = blake2b(digest_size=16)
    for block in head:
        hashed.update(block + b"\n")
    for turn in turns:
        hashed.update(turn.role.encode() + b":\n")
        for block in turn.blocks:
            hashed.update(block + b"\n")
    return hashed.hexdigest()
