"""What is configured, and one cheap call of each: whatever can go wrong is one line with what to do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from megaagent.checkup import ask, ask_all, known_models
from megaagent.events import ToolCall, Usage
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.script import Script
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import Settings, changed

KEYS = {"OPENAI_API_KEY": "sesame", "ANTHROPIC_API_KEY": "sesame"}


def settings(**changes: Any) -> Settings:
    return changed(Settings(), {name.replace("__", "."): value for name, value in changes.items()}, "the test")


class Ready:
    """Does what it is asked to do."""

    def __init__(self, window: int = 10**6):
        self.window = window
        self.asked: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.asked.append(request)
        call = ToolCall("c1", "terminate", '{"report": "ready"}')
        return ModelResponse("", (call,), Usage(min(self.window, 3000), 10), "tool_calls", "m-1")

    async def close(self) -> None: ...


def test_what_is_configured_is_told_with_its_key_and_price():
    tree = settings(
        model__name="openai:gpt-4.1",
        model__tiers={"judge": "anthropic:claude-opus-5-5", "worker": "vllm:mine"},
        model__fallbacks=["deepseek:deepseek-chat"],
        model__prices={"vllm:mine": "1:2"},
    )
    known = {each.name: each for each in known_models(tree, {"OPENAI_API_KEY": "k"})}
    boss = known["openai:gpt-4.1"]
    assert (boss.tiers, boss.key, boss.endpoint, boss.problem) == (
        ("boss", "admin", "summarizer"),
        "set",
        "api.openai.com",
        "",
    )
    judge = known["anthropic:claude-opus-5-5"]
    assert (judge.tiers, judge.key) == (("judge",), "missing")
    assert judge.price is not None and "ANTHROPIC_API_KEY" in judge.problem
    worker = known["vllm:mine"]
    assert (worker.key, worker.price, worker.own_price) == ("not needed", (1.0, 2.0), True)
    assert known["deepseek:deepseek-chat"].fallback
    assert known_models(Settings(), {}) == []


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_model_that_answers_is_ok(provider: str):
    model = Ready()
    async with SimServer({"m": model}, key="sesame") as server:
        tree = settings(model__name=f"{provider}:m", model__base_url=server.url, model__price="2:8")
        [asked] = await ask_all([f"{provider}:m"], tree, KEYS)
    assert (asked.status, asked.model) == ("ok", "m-1")
    assert (asked.usage.prompt, asked.usage.completion) == (3000, 10)
    assert asked.cost == pytest.approx(0.00608)
    assert {"add_agent", "terminate"} <= {tool.name for tool in model.asked[0].tools}  # as a run would ask


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_wrong_key_and_unknown_model(provider: str):
    name = f"{provider}:m"
    async with SimServer({"m": Ready()}, key="another") as server:
        tree = settings(model__name=name, model__base_url=server.url)
        wrong = await ask(name, tree, KEYS)
        right = {f"{provider.upper()}_API_KEY": "another"}
        unknown = await ask(
            f"{provider}:typo", settings(model__name=f"{provider}:typo", model__base_url=server.url), right
        )
    assert wrong.status == unknown.status == "fail"
    assert f"the key is not accepted: set {provider.upper()}_API_KEY anew" in wrong.told
    assert "no such model, or not at this address" in unknown.told and "typo" in unknown.told
    assert "sesame" not in wrong.told


async def test_a_missing_key_and_an_absent_server_are_told_without_a_call():
    missing = await ask("openai:m", settings(model__name="openai:m"), {})
    assert missing.status == "fail" and "set OPENAI_API_KEY" in missing.told
    absent = await ask("openai:m", settings(model__name="openai:m", model__base_url="http://127.0.0.1:9/v1"), {})
    assert absent.status == "fail" and "nothing answers there" in absent.told


async def test_a_context_that_is_too_small():
    small = SimulatedModel(Script({}), latency=AT_ONCE, window=2000)
    async with SimServer({"m": small}) as server:
        for provider in ("openai", "anthropic"):
            tree = settings(model__name=f"{provider}:m", model__base_url=server.url)
            asked = await ask(f"{provider}:m", tree, {})
            assert asked.status == "fail" and "its context is too small for a run's rules and tools" in asked.told
    async with SimServer({"m": Ready(window=300)}) as server:  # one that reads only a part, and says nothing
        tree = settings(model__name="openai:m", model__base_url=server.url)
        asked = await ask("openai:m", tree, {})
        assert asked.status == "fail" and "num_ctx" in asked.told


Serve = Callable[[int, Any, str], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start(status: int, body: Any, kind: str = "application/json") -> str:
        async def handler(request: web.Request) -> web.Response:
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(status=status, text=text, content_type=kind)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/v1"))

    yield start
    for server in servers:
        await server.close()


SAYS = {"choices": [{"message": {"content": "hello there"}, "finish_reason": "stop"}]}
MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "hi"}],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
CASES: list[tuple[str, int, Any, str, str, str]] = [
    ("openai", 200, "<html>welcome</html>", "text/html", "fail", "does not speak this protocol"),
    ("openai", 200, MESSAGE, "application/json", "fail", "does not speak this protocol"),
    ("anthropic", 200, SAYS, "application/json", "fail", "does not speak this protocol"),
    ("anthropic", 404, "not here", "text/plain", "fail", "no such model, or not at this address"),
    ("openai", 400, {"error": {"message": "m does not support tools"}}, "application/json", "fail", "takes no tools"),
    ("openai", 302, "elsewhere", "text/plain", "fail", "correct the base URL"),
    ("openai", 200, SAYS, "application/json", "warn", "called no tool"),
    ("openai", 429, {"error": {"message": "Rate limit reached"}}, "application/json", "warn", "at its rate limit"),
    ("openai", 429, {"error": {"code": "insufficient_quota"}}, "application/json", "fail", "out of credit"),
    (
        "anthropic",
        529,
        {"error": {"type": "overloaded_error", "message": "Overloaded"}},
        "application/json",
        "warn",
        "try",
    ),
]


@pytest.mark.parametrize(("provider", "status", "body", "kind", "expected", "words"), CASES)
async def test_whatever_answers_there(
    serve: Serve, provider: str, status: int, body: Any, kind: str, expected: str, words: str
):
    url = await serve(status, body, kind)
    asked = await ask(f"{provider}:m", settings(model__name=f"{provider}:m", model__base_url=url), {})
    assert (asked.status, words in asked.told) == (expected, True), asked.told
    assert "no such model" not in asked.told or "no such model" in words  # one that is there is not sought in vain
    assert "\n" not in asked.told


VECTOR = {"data": [{"embedding": [0.1, 0.2, 0.3], "index": 0}], "usage": {"prompt_tokens": 9}}
VECTORS: list[tuple[int, Any, str, str]] = [
    (200, VECTOR, "ok", "vectors of 3 dimensions"),
    (401, {"error": {"message": "no such key"}}, "warn", "recall goes by words"),
    (200, SAYS, "warn", "does not speak this protocol"),
]


@pytest.mark.parametrize(("status", "body", "expected", "words"), VECTORS)
async def test_the_model_that_makes_vectors_is_asked_too(
    serve: Serve, status: int, body: Any, expected: str, words: str
):
    name = "openai:vectors"
    prices = {name: "0.02:0"}
    wished = settings(
        model__name="sim:gobang",
        model__embedding__name=name,
        model__embedding__base_url=await serve(status, body, "application/json"),
        model__prices=prices,
        simulation__speed=0,
    )
    [chat, vectors] = known_models(wished, {})
    assert chat.name == "sim:gobang" and vectors.tiers == ("embedding",)
    assert vectors.price == (0.02, 0.0) and not vectors.problem
    [asked] = await ask_all([name], wished, {})
    assert (asked.status, words in asked.told) == (expected, True), asked.told
    assert asked.usage.prompt == (9 if expected == "ok" else 0)


async def test_vectors_without_a_key_or_of_a_provider_that_makes_none():
    for name, problem in (("openai:x", "OPENAI_API_KEY"), ("anthropic:x", "makes no vectors")):
        wished = settings(model__embedding__name=name)
        assert problem in known_models(wished, {})[-1].problem
        [asked] = await ask_all([name], wished, {})
        assert asked.status == "fail" and problem in asked.told
