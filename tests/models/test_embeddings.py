"""Vectors over HTTP: the protocol, and what a server may send instead."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import openai
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from megaagent import events as ev
from megaagent import start
from megaagent.errors import ConfigurationError, ModelError
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.launch import resume
from megaagent.models.embedding_settings import EmbeddingSettings
from megaagent.models.script import Part, Playing, Script, recall, text
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.models.vectors import MOST_TEXTS, Embedder, likeness, open_embedder
from megaagent.settings import Settings, changed


def opened(url: str, name: str = "openai:v") -> Embedder:
    embedder = open_embedder(EmbeddingSettings(name, url), environ={"OPENAI_API_KEY": "sesame"})
    assert embedder is not None
    return embedder


async def test_vectors_come_in_the_order_of_their_texts_however_many():
    async with SimServer({}, key="sesame") as server:
        embedder = opened(server.url)
        texts = [f"swimmers swim {number}" for number in range(MOST_TEXTS + 3)]
        embedded = await embedder.embed([*texts, ""])
        assert len(embedded.vectors) == MOST_TEXTS + 4
        assert embedded.tokens == sum(call.usage.prompt for call in server.bill)
        assert len(server.bill) == 2
        [alone] = (await embedder.embed([texts[-1]])).vectors
        assert likeness(alone, embedded.vectors[MOST_TEXTS + 2]) == pytest.approx(1.0)
        await embedder.close()


async def test_the_official_client():
    async with SimServer({}) as server, openai.AsyncOpenAI(base_url=server.url, api_key="k") as client:
        made = await client.embeddings.create(model="v", input=["one", "two"], encoding_format="float", dimensions=8)
        assert [len(each.embedding) for each in made.data] == [8, 8]
        assert made.usage.prompt_tokens > 0


ODD = {
    "no JSON": b"<html>",
    "too few": b'{"data": []}',
    "ragged": b'{"data": [{"embedding": [1], "index": 0}, {"embedding": [1, 2], "index": 1}]}',
    "empty": b'{"data": [{"embedding": [], "index": 0}, {"embedding": [], "index": 1}]}',
    "words": b'{"data": [{"embedding": ["a"], "index": 0}, {"embedding": ["b"], "index": 1}]}',
    "doubled": b'{"data": [{"embedding": [1], "index": 1}, {"embedding": [2], "index": 1}]}',
    "beyond": b'{"data": [{"embedding": [1], "index": 0}, {"embedding": [2], "index": 7}]}',
    "deep": b'{"data": [], "usage": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "wide": b'{"data": [{"embedding": [' + b",".join([b"1"] * 70_000) + b"]}]}",
}


@pytest.mark.parametrize("odd", ODD)
async def test_what_is_no_embedding_is_a_fault(odd: str):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=ODD[odd], content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/embeddings", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        embedder = opened(str(server.make_url("/v1")))
        with pytest.raises(ModelError) as error:
            await embedder.embed(["one"] if odd == "wide" else ["one", "two"])
        assert error.value.fault == "broken"
        assert error.value.usage is not None and error.value.usage.prompt > 0  # it was given, and is billed
        await embedder.close()


async def test_what_was_answered_before_a_fault_is_told_as_paid():
    answers = iter([200, 500])

    async def answer(request: web.Request) -> web.Response:
        status, texts = next(answers), (await request.json())["input"]
        data = [{"embedding": [1e308, -1e308], "index": number} for number in range(len(texts))]
        return web.json_response({"data": data, "usage": {"prompt_tokens": 77}}, status=status)

    app = web.Application()
    app.router.add_post("/v1/embeddings", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        embedder = opened(str(server.make_url("/v1")))
        with pytest.raises(ModelError) as error:
            await embedder.embed(["text"] * (MOST_TEXTS + 1))
        assert error.value.status == 500
        assert error.value.usage is not None and error.value.usage.prompt == 77
        await embedder.close()


def test_a_provider_without_vectors_is_told_before_anything_is_spent():
    with pytest.raises(ConfigurationError, match="makes no vectors"):
        open_embedder(EmbeddingSettings("anthropic:claude"), environ={"ANTHROPIC_API_KEY": "k"})
    with pytest.raises(ConfigurationError, match="unknown provider"):
        open_embedder(EmbeddingSettings("openia:v"), environ={})


def thoughtful(me: Part) -> Playing:
    yield text("I remember the swimmers in the lake.")
    yield recall("one who is swimming")
    while True:
        yield text("thinking")


def test_vectors_are_in_the_journal_and_are_not_bought_again_when_the_run_goes_on(tmp_path: Path):
    settings = changed(
        Settings(),
        {
            "model.embedding.name": "vllm:v",
            "model.prices": {"vllm:v": "0.02:0"},
            "budget.steps": 3,
            "limits.corrections": 50,
        },
        "test",
    )

    async def main() -> list[list[int]]:
        async with SimServer({"play": SimulatedModel(Script({"boss": thoughtful}), latency=AT_ONCE)}) as server:
            more = {"model.embedding.base_url": server.url, "model.price": "1:1"}
            chosen = changed(settings, more, "test")
            run = start("Think.", model="vllm:play", base_url=server.url, settings=chosen, runs=tmp_path)
            async with run as live:
                result = await live.result()
            folder = RunFolder(result.folder)
            async with resume(folder, changes={"budget.steps": 6}) as live:
                await live.result()
            with closing(open_reader(folder.journal)) as reader:
                told = [r.event for r in reader.records(kinds=[ev.TextsEmbedded])]
                assert reader.verify().problem == ""
                return [list(fact.positions) for fact in told if isinstance(fact, ev.TextsEmbedded)]

    embedded = asyncio.run(main())
    positions = [position for some in embedded for position in some]
    assert positions
    assert len(positions) == len(set(positions))
