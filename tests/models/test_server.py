"""The loopback server, asked by the official client."""

from __future__ import annotations

import asyncio
import json
from typing import get_args

import aiohttp
import openai
import pytest

from megaagent.errors import Fault, ModelError
from megaagent.events import Usage
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse
from megaagent.models.openai import OpenAIModel
from megaagent.models.script import Part, Playing, Script, read_file, say, talk
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel


def worker(me: Part) -> Playing:
    yield say(talk("boss", "grüße " * 50), read_file("a.py"), text="working " * 20)
    return f"read: {me.last.text}"


MODEL = SimulatedModel(Script({"worker": worker}), latency=AT_ONCE)
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "", "parameters": {"type": "object"}}}
    for name in ("talk", "read_file", "terminate")
]
START = [{"role": "system", "content": "You are worker (boss/worker), an ordinary agent."}]


def client(server: SimServer, key: str = "k") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, api_key=key, max_retries=0)


async def test_the_official_client_whole():
    async with SimServer({"play": MODEL}) as server, client(server) as asking:
        assert [model.id async for model in asking.models.list()] == ["play"]
        first = await asking.chat.completions.create(model="play", messages=START, tools=TOOLS)  # type: ignore[arg-type]
        message = first.choices[0].message
        assert message.content == "working " * 20
        assert [call.function.name for call in message.tool_calls] == ["talk", "read_file"]
        assert json.loads(message.tool_calls[0].function.arguments)["message"] == "grüße " * 50
        assert first.choices[0].finish_reason == "tool_calls"
        assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
        results = [{"role": "tool", "tool_call_id": call.id, "content": "text"} for call in message.tool_calls]
        history = [*START, message.model_dump(exclude_none=True), *results]
        second = await asking.chat.completions.create(model="play", messages=history, tools=TOOLS)  # type: ignore[arg-type]
        assert json.loads(second.choices[0].message.tool_calls[0].function.arguments) == {"report": "read: text"}
        assert [line.usage.prompt for line in server.bill] == [first.usage.prompt_tokens, second.usage.prompt_tokens]


async def test_the_official_client_streaming():
    async with SimServer({"play": MODEL}) as server, client(server) as asking:
        text, calls, usage, finish = "", dict[int, list[str]](), None, None
        stream = await asking.chat.completions.create(
            model="play", messages=START, tools=TOOLS, stream=True, stream_options={"include_usage": True}  # type: ignore[arg-type]
        )  # fmt: skip
        async for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
                for call in choice.delta.tool_calls or ():
                    parts = calls.setdefault(call.index, ["", ""])
                    parts[0] += call.function.name or ""
                    parts[1] += call.function.arguments or ""
        assert text == "working " * 20
        assert [name for name, _ in calls.values()] == ["talk", "read_file"]
        assert json.loads(calls[0][1])["message"] == "grüße " * 50
        assert finish == "tool_calls"
        assert usage is not None
        assert server.bill[0].usage == Usage(
            usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens
        )


async def test_the_official_client_gets_its_own_errors():
    async with SimServer({"play": MODEL}, key="right") as server:
        async with client(server, "wrong") as asking:
            with pytest.raises(openai.AuthenticationError):
                await asking.chat.completions.create(model="play", messages=START)  # type: ignore[arg-type]
            with pytest.raises(openai.AuthenticationError):
                await asking.models.list()
        async with client(server, "right") as asking:
            with pytest.raises(openai.NotFoundError):
                await asking.chat.completions.create(model="other", messages=START)  # type: ignore[arg-type]
            with pytest.raises(openai.BadRequestError):
                await asking.chat.completions.create(model="play", messages=[{"role": "king"}])  # type: ignore[list-item]
        assert server.bill == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "play"}', b'{"model": 3, "messages": []}', b"\xff"])
async def test_a_body_that_is_no_request(body: bytes):
    async with (
        SimServer({"play": MODEL}) as server,
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/chat/completions", data=body) as reply,
    ):
        assert reply.status == 400
        assert (await reply.json())["error"]["type"] == "invalid_request_error"


class Faulty:
    """Fails with the fault that the conversation asks for."""

    async def complete(self, request: ModelRequest) -> ModelResponse:
        fault: Fault = request.messages[0].text  # type: ignore[assignment]
        raise ModelError(fault, "as asked", retry_after=9.0 if fault == "rate_limit" else None)

    async def close(self) -> None: ...


@pytest.mark.parametrize("fault", get_args(Fault))
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_faults_survive_the_journey(fault: Fault, stream: bool):
    # A gateway cannot tell its own trouble from its provider's: these come out as trouble of the provider.
    changed = {"connection": "overloaded", "timeout": "overloaded", "broken": "overloaded", "empty": "overloaded"}
    async with SimServer({"play": Faulty()}) as server:
        model = OpenAIModel(server.url, stream=stream)
        with pytest.raises(ModelError) as caught:
            await model.complete(ModelRequest("play", (ChatMessage("user", fault),)))
        await model.close()
    assert caught.value.fault == changed.get(fault, fault)
    assert caught.value.retry_after == (9.0 if fault == "rate_limit" else None)


async def test_many_at_once():
    async with SimServer({"play": MODEL}) as server:
        model = OpenAIModel(server.url)
        requests = [
            ModelRequest("play", (ChatMessage("system", f"You are w{n} (boss/w{n}), an ordinary agent."),))
            for n in range(200)
        ]
        answers = await asyncio.gather(*map(model.complete, requests))
        await model.close()
        assert [f"I am w{n}." in answer.text for n, answer in enumerate(answers)] == [True] * 200
        assert len(server.bill) == 200
