"""Batches of both protocols: what goes wrong in them, and the loopback server asked by the official clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from megaagent.errors import ModelError
from megaagent.models.anthropic import AnthropicModel
from megaagent.models.batches import ANSWER_BYTES, Batches
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse
from megaagent.models.openai import OpenAIModel
from megaagent.models.script import Part, Playing, Script
from megaagent.models.served_batches import BatchPace
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel


def worker(me: Part) -> Playing:
    return "done"
    yield


def asked(number: int = 0) -> ModelRequest:
    role = ChatMessage("system", f"You are worker{number} (boss/worker{number}), an ordinary agent.")
    return ModelRequest("play", (role, ChatMessage("user", f"question {number}")), max_output=100)


MODEL = SimulatedModel(Script({}, default=worker), latency=AT_ONCE)
PROTOCOLS = ("openai", "anthropic")


def model_of(protocol: str, server: SimServer) -> OpenAIModel | AnthropicModel:
    return OpenAIModel(server.url, "k") if protocol == "openai" else AnthropicModel(server.root, "k")


async def ended(batches: Batches, name: str) -> str:
    async with asyncio.timeout(20):
        while (progress := await batches.look(name)).position == "under way":
            await asyncio.sleep(0.02)
    return progress.reason


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_an_expired_batch_has_done_is_kept_and_the_rest_was_not_paid(protocol: str):
    async with SimServer({"play": MODEL}, batches=BatchPace(0.02, window=0.1, left_over=2)) as server:
        model = model_of(protocol, server)
        requests = [asked(number) for number in range(5)]
        name = await model.batches.send("k", requests)
        await ended(model.batches, name)
        outcomes = await model.batches.answers(name, "k", requests)
        assert [isinstance(each, ModelResponse) for each in outcomes] == [True, True, True, False, False]
        for late in outcomes[3:]:
            assert isinstance(late, ModelError)
            assert (late.fault, late.maybe_paid) == ("timeout", False)
            assert "expired" in late.detail
        assert [billed.batched for billed in server.bill] == [True] * 3
        await model.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_cancelled_batch_keeps_what_is_done(protocol: str):
    async with SimServer({"play": MODEL}, batches=BatchPace(0.02, left_over=1)) as server:
        model = model_of(protocol, server)
        name = await model.batches.send("k", [asked(0), asked(1)])
        async with asyncio.timeout(20):
            while not server.bill:
                await asyncio.sleep(0.01)
        assert (await model.batches.look(name)).position == "under way"
        await model.batches.cancel(name)
        await ended(model.batches, name)
        done, left = await model.batches.answers(name, "k", [asked(0), asked(1)])
        assert isinstance(done, ModelResponse)
        assert isinstance(left, ModelError)
        assert (left.fault, left.maybe_paid) == ("timeout", False)
        assert "cancel" in left.detail
        await model.close()


async def test_a_batch_that_fails_its_validation_says_why_and_cost_nothing():
    async with SimServer(
        {"play": MODEL}, batches=BatchPace(0.02, refuses="the quota of sk-abcdef123456 is used")
    ) as server:
        model = OpenAIModel(server.url, "sesame")
        name = await model.batches.send("k", [asked()])
        reason = await ended(model.batches, name)
        assert "the quota of" in reason
        assert "abcdef" not in reason
        [outcome] = await model.batches.answers(name, "k", [asked()])
        assert isinstance(outcome, ModelError)
        assert not outcome.maybe_paid
        await model.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_without_batches_and_a_wrong_key_are_told(protocol: str):
    async with SimServer({"play": MODEL}) as server:
        model = model_of(protocol, server)
        with pytest.raises(ModelError) as error:
            await model.batches.send("k", [asked()])
        assert error.value.status in (404, 405)
        await model.close()
    async with SimServer({"play": MODEL}, key="sesame", batches=BatchPace()) as server:
        model = model_of(protocol, server)
        with pytest.raises(ModelError) as error:
            await model.batches.send("k", [asked()])
        assert error.value.fault == "unauthorized"
        await model.close()


async def test_a_batch_is_found_again_by_our_name_of_it():
    async with SimServer({"play": MODEL}, batches=BatchPace()) as server:
        model = OpenAIModel(server.url, "k")
        names = [await model.batches.send(f"key-{number}", [asked()]) for number in range(3)]
        assert await model.batches.find("key-1") == names[1]
        assert await model.batches.find("key-9") is None
        await model.close()


async def test_the_official_openai_client():
    async with (
        SimServer({"play": MODEL}, batches=BatchPace(0.02)) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as client,
    ):
        body = {"model": "play", "messages": [{"role": "user", "content": "hello"}]}
        line = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body}
        data = json.dumps(line).encode() + b"\n"
        file = await client.files.create(file=("in.jsonl", data), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        async with asyncio.timeout(20):
            while batch.status != "completed":
                await asyncio.sleep(0.02)
                batch = await client.batches.retrieve(batch.id)
        assert batch.request_counts is not None
        assert batch.request_counts.completed == 1
        assert batch.output_file_id is not None
        answer = json.loads((await client.files.content(batch.output_file_id)).text)
        assert answer["custom_id"] == "one"
        assert answer["response"]["status_code"] == 200
        assert [each.id async for each in client.batches.list()] == [batch.id]
        again = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert (await client.batches.cancel(again.id)).status == "cancelling"


async def test_the_official_anthropic_client():
    async with (
        SimServer({"play": MODEL}, batches=BatchPace(0.02)) as server,
        anthropic.AsyncAnthropic(base_url=server.root, api_key="k", max_retries=0) as client,
    ):
        params = {"model": "play", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
        made = await client.messages.batches.create(
            requests=[{"custom_id": "one", "params": params}, {"custom_id": "two", "params": params}]  # type: ignore[list-item]
        )
        async with asyncio.timeout(20):
            while made.processing_status != "ended":
                await asyncio.sleep(0.02)
                made = await client.messages.batches.retrieve(made.id)
        assert made.request_counts.succeeded == 2
        results = [each async for each in await client.messages.batches.results(made.id)]
        assert {each.custom_id for each in results} == {"one", "two"}
        assert {each.result.type for each in results} == {"succeeded"}
        with pytest.raises(anthropic.BadRequestError, match="custom_id"):
            await client.messages.batches.create(requests=[{"custom_id": "a b", "params": params}])  # type: ignore[list-item]


class Lying:
    """A server of batches that says what it is told to."""

    def __init__(self, *batches: dict[str, Any], results: bytes = b""):
        self.batches = list(batches)
        self.results = results

    async def told(self, request: web.Request) -> web.Response:
        batch = self.batches.pop(0) if len(self.batches) > 1 else self.batches[0]
        return web.json_response({"id": "b", **batch})

    async def file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.results)

    @asynccontextmanager
    async def model(self, protocol: str) -> AsyncGenerator[OpenAIModel | AnthropicModel]:
        app = web.Application()
        app.router.add_get("/v1/batches/b", self.told)
        app.router.add_get("/v1/files/{file}/content", self.file)
        app.router.add_get("/v1/messages/batches/b", self.told)
        app.router.add_get("/v1/messages/batches/b/results", self.file)
        async with TestServer(app, host="127.0.0.1") as server:
            root = str(server.make_url("/")).rstrip("/")
            model = OpenAIModel(f"{root}/v1", "k") if protocol == "openai" else AnthropicModel(root, "k")
            yield model
            await model.close()


async def test_only_a_status_that_is_an_end_ends_a_batch():
    stand: dict[str, Any] = {"status": "IN_PROGRESS", "request_counts": {"completed": 10**30}}
    lying = Lying(stand, {"status": "queued"}, {"status": "COMPLETED"}, {"status": "in_progress"})
    async with lying.model("openai") as model:
        first = await model.batches.look("b")
        assert (first.position, first.answered) == ("under way", 0)
        assert (await model.batches.look("b")).position == "under way"
        assert (await model.batches.look("b")).position == "ended"
        with pytest.raises(ModelError, match="had ended, and now it is"):  # what it may answer still is not asked again
            await model.batches.answers("b", "k", [asked()])


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_answers_under_names_that_are_none_answer_nothing(protocol: str):
    names = ["k-" + "9" * 5_000, "k-01", "k-7", "k--1", "../k-0", "", 0, None, "other-0"]
    results = b"\n".join(json.dumps({"custom_id": name}).encode() for name in names) + b"\n" + b"[" * 100_000
    ended = {"status": "completed", "processing_status": "ended", "output_file_id": "f"}
    async with Lying(ended, results=results).model(protocol) as model:
        outcomes = await model.batches.answers("b", "k", [asked(), asked()])
        assert [getattr(each, "maybe_paid", None) for each in outcomes] == [True, True]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_results_are_not_larger_than_so_many_answers_can_be(protocol: str):
    ended = {"status": "completed", "processing_status": "ended", "output_file_id": "f"}
    async with Lying(ended, results=b"x" * (ANSWER_BYTES + 1)).model(protocol) as model:
        with pytest.raises(ModelError, match="an answer of over"):
            await model.batches.answers("b", "k", [asked()])
