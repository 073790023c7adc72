"""The simulated model: plays a script at the pace and the price of a real one. No model is asked."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from hashlib import blake2b
from random import Random
from typing import Final

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Struct, ToolCall, Usage
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.script import Act, Says, Script
from megaagent.models.simulated_batches import SimulatedBatches
from megaagent.models.stage import Stage


class Latency(Struct, frozen=True):
    """How long an answer takes, in seconds: fixed + completion tokens + prompt tokens, times a log-normal factor.

    The figures were fitted to a real run with GPT-4.1 (design §7). `speed` divides the time; 0 seconds is `Latency(0,
    0, 0)`.
    """

    fixed: float = 1.19
    per_completion: float = 0.0087
    per_prompt: float = 0.000065
    sigma: float = 0.25
    speed: float = 1.0

    def mean(self, usage: Usage) -> float:
        """Seconds by the law, before chance and speed."""
        return self.fixed + self.per_completion * usage.completion + self.per_prompt * usage.prompt

    def seconds(self, usage: Usage, random: Random) -> float:
        mean = self.mean(usage)
        return mean * random.lognormvariate(0.0, self.sigma) / self.speed if mean else 0.0


AT_ONCE: Final = Latency(fixed=0.0, per_completion=0.0, per_prompt=0.0)


class SimulatedModel:
    """Answers as the script says.

    Tokens are counted by a law, not by a tokenizer: a quarter of the characters (rounded up) of each text, 4 for each
    message and 8 for each call. `Usage.cached` follows OpenAI's guide "Prompt caching": the longest beginning that an
    earlier request had too, from 1,024 tokens and in steps of 128; it is compared message by message.

    Everything about an answer follows from the seed and the request, except `cached`, which follows from the requests
    seen before as it does with a provider.

    Args:
        script: who says what.
        name: what the model calls itself in its answers.
        seed: of the latencies.
        window: tokens of prompt and answer that it takes; more is a context overflow.
        batch: seconds that a batch takes, before they are divided by the latency's speed; made up.
    """

    def __init__(
        self,
        script: Script,
        *,
        name: str = "sim",
        latency: Latency | None = None,
        seed: int = 0,
        window: int = 1_047_576,
        batch: float = 0.0,
    ):
        self._stage = Stage(script)
        self._name = name
        self._latency = latency or Latency()
        self._key = seed.to_bytes(8, signed=True)
        self._window = window
        self._cache = _PrefixCache()
        self.batches = SimulatedBatches(self._batched, batch / self._latency.speed)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer after the time that a real model would take.

        Raises:
            ModelError: "context_overflow"; "timeout", the answer would take longer than the request's deadline;
                "broken", the output limit cuts the only call.
        """
        response, digest = self._answered(request)
        draw = blake2b(digest, key=self._key, digest_size=8).digest()
        seconds = self._latency.seconds(response.usage, Random(int.from_bytes(draw)))
        if seconds > request.deadline:
            await asyncio.sleep(request.deadline)
            raise ModelError("timeout", f"no answer within {request.deadline:g} s")
        if seconds > 0:
            await asyncio.sleep(seconds)
        return response

    async def close(self) -> None:
        """Nothing is open."""

    async def _batched(self, request: ModelRequest) -> ModelResponse:
        """The answer to a request of a batch, which has taken its time already."""
        return self._answered(request)[0]

    def _answered(self, request: ModelRequest) -> tuple[ModelResponse, bytes]:
        """The answer, and a hash of the request."""
        prompt, cached, digest = self._cache.look_up(request)
        if prompt + request.max_output > self._window:
            detail = f"{prompt} tokens and {request.max_output} of output, the window is {self._window}"
            raise ModelError("context_overflow", detail, status=400)
        response = self._response(request, digest)
        usage = Usage(prompt, response.usage.completion, cached)
        return msgspec.structs.replace(response, usage=usage), digest

    def _response(self, request: ModelRequest, digest: bytes) -> ModelResponse:
        says = self._stage.next_answer(request)
        kept, cut = _within(says, request.max_output)
        if cut and not kept.text and not kept.acts:
            raise ModelError("broken", "the arguments of the only call were cut at the output limit")
        calls = tuple(
            ToolCall(f"call_{blake2b(digest + index.to_bytes(2), digest_size=12).hexdigest()}", act.tool, act.arguments)
            for index, act in enumerate(kept.acts)
        )
        finish = "length" if cut else "tool_calls" if calls else "stop"
        completion = min(request.max_output, _said_tokens(says))
        repairs = (f"dropped {len(says.acts) - len(kept.acts)} calls cut at the output limit",) if cut else ()
        return ModelResponse(kept.text, calls, Usage(completion=completion), finish, self._name, "", repairs)


# -- tokens -----------------------------------------------------------------------------------------------------------


def _tokens(text: str) -> int:
    return math.ceil(len(text) / 4)


def _message_tokens(message: ChatMessage) -> int:
    return 4 + _tokens(message.text) + sum(8 + _tokens(call.name + call.arguments) for call in message.calls)


def _act_tokens(act: Act) -> int:
    return 8 + _tokens(act.tool + act.arguments)


def _said_tokens(says: Says) -> int:
    return max(1, _tokens(says.text) + sum(map(_act_tokens, says.acts)))


def _within(says: Says, limit: int) -> tuple[Says, bool]:
    """What an output limit leaves: a text is cut, calls are whole or not there."""
    if _said_tokens(says) <= limit:
        return says, False
    left = limit - _tokens(says.text)
    acts: list[Act] = []
    for act in says.acts:
        left -= _act_tokens(act)
        if left < 0:
            break
        acts.append(act)
    return Says(tuple(acts), says.text[: limit * 4]), True


class _PrefixCache:
    """Which beginnings of requests were seen, as a chain of hashes over their messages; the oldest are forgotten.

    A link of the chain is found by the one before it and Python's hash of the message, which a string keeps; so a
    message that was seen at this place is not hashed again, and no text is held.
    """

    _SIZE: Final = 1 << 17
    _LEAST: Final = 1024
    _STEP: Final = 128

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[bytes, int], tuple[int, bytes]] = OrderedDict()
        self._tools: tuple[tuple[ToolSpec, ...], bytes] = ((), b"[]")

    def look_up(self, request: ModelRequest) -> tuple[int, int, bytes]:
        """Tokens of the prompt, how many of them are cached, and a hash of the request; from now on it is seen."""
        tools = self._encoded(request.tools)
        total = math.ceil(len(tools) / 4) if request.tools else 0
        known, unbroken = 0, True
        digest = blake2b(request.model.encode() + b"\0" + tools, digest_size=16).digest()
        for message in request.messages:
            place = digest, hash(message)
            link = self._seen.get(place)
            unbroken = unbroken and link is not None
            if link is None:
                link = self._seen[place] = _message_tokens(message), _chained(message, digest)
            else:
                self._seen.move_to_end(place)
            total, digest = total + link[0], link[1]
            known = total if unbroken else known
        while len(self._seen) > self._SIZE:
            self._seen.popitem(last=False)
        return total, known // self._STEP * self._STEP if known >= self._LEAST else 0, digest

    def _encoded(self, tools: tuple[ToolSpec, ...]) -> bytes:
        if tools is not self._tools[0]:
            self._tools = (tools, msgspec.json.encode(tools))
        return self._tools[1]


def _chained(message: ChatMessage, before: bytes) -> bytes:
    calls = (part for call in message.calls for part in (call.id, call.name, call.arguments))
    words = "\0".join((message.role, message.text, message.call_id or "", *calls))
    return blake2b(words.encode("utf-8", "surrogatepass"), key=before, digest_size=16).digest()
