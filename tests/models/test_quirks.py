"""What each server that speaks chat completions wants, and wants not: as small data, and learned from refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from megaagent.errors import ModelError
from megaagent.events import ToolCall
from megaagent.models import PROVIDERS, azure_address, endpoint_of, open_model
from megaagent.models.chat_requests import RequestEncoder
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.openai import OpenAIModel
from megaagent.models.quirks import Quirks

TOOL = ToolSpec("say", "says", {"type": "object", "properties": {}})
LOOK = ToolSpec("look", "looks", {"type": "object", "properties": {}})
USER = ChatMessage("user", "hi")

Serve = Callable[[Callable[[dict[str, Any]], tuple[int, Any]]], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A provider that answers each body as the test's function does, with a status and a document."""
    servers: list[TestServer] = []

    async def start(answer: Callable[[dict[str, Any]], tuple[int, Any]]) -> str:
        async def handler(request: web.Request) -> web.Response:
            status, document = answer(await request.json())
            if isinstance(document, bytes):
                return web.Response(status=status, body=document, content_type="text/event-stream")
            return web.json_response(document, status=status)

        app = web.Application()
        app.router.add_post("/v1/chat/completions", handler)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/v1"))

    yield start
    for server in servers:
        await server.close()


def says(message: dict[str, Any]) -> tuple[int, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return 200, {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


def refuses(words: str) -> tuple[int, Any]:
    return 400, {"error": {"message": words, "type": "invalid_request_error", "code": None}}


def body(provider: str, *messages: ChatMessage, **more: Any) -> dict[str, Any]:
    request = ModelRequest("m", (USER, *messages), (TOOL,), **more)
    return json.loads(RequestEncoder(PROVIDERS[provider].quirks, stream=True).encode(request))


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "effort", "expected"),
    [
        ("openai", "high", {"reasoning_effort": "high"}),
        ("gemini", "none", {"reasoning_effort": "none"}),
        ("openrouter", "low", {"reasoning": {"effort": "low"}}),
        ("deepseek", "none", {"thinking": {"type": "disabled"}}),
        ("deepseek", "max", {"reasoning_effort": "max"}),
        ("vllm", None, {}),
    ],
)
def test_how_much_to_think_is_said_in_the_providers_way(provider: str, effort: str | None, expected: dict[str, Any]):
    sent = body(provider, effort=effort)
    names = ("reasoning_effort", "reasoning", "thinking")
    assert {name: sent[name] for name in names if name in sent} == expected


def test_the_output_limit_has_the_providers_name():
    for provider, line in PROVIDERS.items():
        sent = body(provider)
        assert sent[line.quirks.max_tokens] == 8192
        assert len({"max_tokens", "max_completion_tokens"} & set(sent)) == 1


def test_reasoning_goes_back_where_it_is_wanted():
    call = (ToolCall("c", "say", "{}"),)
    thought, silent = ChatMessage("assistant", "", call, reasoning="why"), ChatMessage("assistant", "", call)
    expected = {
        "deepseek": "reasoning_content",
        "llamacpp": "reasoning_content",
        "vllm": "reasoning",
        "ollama": "reasoning",
    }
    for provider in PROVIDERS:
        sent = body(provider, thought)["messages"][1]
        fields = {name for name in ("reasoning", "reasoning_content") if name in sent}
        assert fields == ({expected[provider]} if provider in expected else set())
    assert body("deepseek", silent)["messages"][1]["reasoning_content"] == ""
    assert "reasoning" not in body("vllm", silent)["messages"][1]


def test_a_call_that_must_be_made_is_asked_for():
    assert body("deepseek", must_call="say")["tool_choice"] == "required"
    two = ModelRequest("m", (USER,), (TOOL, LOOK), must_call="say")
    sent = json.loads(RequestEncoder(Quirks(), stream=False).encode(two))
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "say"}}
    assert "tool_choice" not in body("openai")


@pytest.mark.parametrize(
    ("base", "version", "expected"),
    [
        ("https://r.openai.azure.com", None, "https://r.openai.azure.com/openai/v1"),
        ("https://r.openai.azure.com/", None, "https://r.openai.azure.com/openai/v1"),
        (
            "https://r.openai.azure.com",
            "2024-10-21",
            "https://r.openai.azure.com/openai/deployments/gpt?api-version=2024-10-21",
        ),
        ("https://gateway.example/mine/v1", "2024-10-21", "https://gateway.example/mine/v1"),
    ],
)
def test_where_a_deployment_in_azure_is(base: str, version: str | None, expected: str):
    assert azure_address(base, "gpt", version) == expected


async def test_a_deployment_in_azure_is_asked_with_its_version():
    seen: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.path_qs, request.headers["api-key"]))
        return web.json_response(says({"content": "hi"})[1])

    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        environ = {
            "AZURE_OPENAI_ENDPOINT": str(server.make_url("/")),
            "AZURE_OPENAI_API_KEY": "k",
            "OPENAI_API_VERSION": "2024-10-21",
        }
        assert endpoint_of("azure:gpt", environ=environ) == f"127.0.0.1:{server.port}"
        model = open_model("azure:gpt", environ=environ, stream=False)
        await model.complete(ModelRequest("gpt", (USER,)))
        await model.close()
    assert seen == [("/openai/deployments/gpt/chat/completions?api-version=2024-10-21", "k")]


# -- what goes back ---------------------------------------------------------------------------------------------------


def events(*deltas: dict[str, Any]) -> bytes:
    choices = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    choices.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return b"".join(b"data: %s\n\n" % json.dumps(each).encode() for each in choices) + b"data: [DONE]\n\n"


async def exchange(serve: Serve, quirks: Quirks, first: tuple[int, Any]) -> tuple[ModelResponse, dict[str, Any]]:
    """What an answer is read as, and how it is sent back."""
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        bodies.append(body)
        return first if len(bodies) == 1 else says({"content": "done"})

    model = OpenAIModel(await serve(answer), quirks=quirks)
    got = await model.complete(ModelRequest("m", (USER,), (TOOL,)))
    said = ChatMessage("assistant", got.text, got.calls, None, got.reasoning, got.echo)
    results = [ChatMessage("tool", "ok", call_id=call.id) for call in got.calls]
    await model.complete(ModelRequest("m", (USER, said, *results), (TOOL,)))
    await model.close()
    return got, bodies[1]["messages"][1]


async def test_signed_reasoning_goes_back_as_it_came(serve: Serve):
    def detail(**more: Any) -> dict[str, Any]:
        return {"reasoning_details": [{"type": "reasoning.text", "index": 0, **more}]}

    call = {
        "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "say", "arguments": "{}"}}]
    }
    sealed = {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "xyz"}]}
    stream = events(detail(text="I th"), detail(text="ink", format="f"), detail(signature="s"), sealed, call)
    _, sent = await exchange(serve, PROVIDERS["openrouter"].quirks, (200, stream))
    assert sent["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "text": "I think", "format": "f", "signature": "s"},
        {"type": "reasoning.encrypted", "index": 1, "data": "xyz"},
    ]


async def test_the_signature_of_a_call_goes_back_with_it(serve: Serve):
    signed = {"google": {"thought_signature": "abc"}}
    calls = [
        {"index": 0, "id": "c1", "function": {"name": "say", "arguments": "{}"}, "extra_content": signed},
        {"index": 1, "id": "c2", "function": {"name": "say", "arguments": '{"a": 1}'}},
    ]
    _, sent = await exchange(serve, PROVIDERS["gemini"].quirks, (200, events({"tool_calls": calls})))
    assert [call.get("extra_content") for call in sent["tool_calls"]] == [signed, None]


async def test_a_call_of_another_model_goes_to_gemini_without_its_signature(serve: Serve):
    call = {"index": 0, "id": "c1", "function": {"name": "say", "arguments": "{}"}}
    _, sent = await exchange(serve, PROVIDERS["gemini"].quirks, (200, events({"tool_calls": [call]})))
    assert sent["tool_calls"][0]["extra_content"]["google"]["thought_signature"] == "skip_thought_signature_validator"


# -- what a server refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", "temperature"),
        ("Unsupported parameter: 'max_tokens' is not supported, use 'max_completion_tokens' instead.", "max_tokens"),
        ("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"),
        ("[{'type': 'extra_forbidden', 'msg': 'Extra inputs are not permitted: stream_options'}]", "stream_options"),
        ("tool_choice is not supported in thinking mode", "tool_choice"),
    ],
)
async def test_what_a_server_refuses_is_not_sent_again(serve: Serve, words: str, field: str):
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        bodies.append(body)
        return refuses(words) if field in body else says({"content": "hi"})

    model = OpenAIModel(await serve(answer))
    request = ModelRequest("m", (USER,), (TOOL,), temperature=0.2, effort="low", must_call="say")
    first, second = await model.complete(request), await model.complete(request)
    await model.close()
    assert first.repairs == (f"the server refuses {field}: asked again without",)
    assert second.repairs == ()
    assert [field in body for body in bodies] == [True, False, False]
    assert all(len({"max_tokens", "max_completion_tokens"} & set(body)) == 1 for body in bodies)


async def test_another_refusal_stays_one(serve: Serve):
    model = OpenAIModel(await serve(lambda body: refuses("Invalid value for 'temperature': it must be a number")))
    with pytest.raises(ModelError) as caught:
        await model.complete(ModelRequest("m", (USER,), temperature=0.2))
    await model.close()
    assert caught.value.fault == "bad_request"


@pytest.mark.parametrize(
    "words",
    [
        "registry.ollama.ai/library/phi does not support tools",
        "No endpoints found that support tool use.",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    ],
)
async def test_a_model_without_tools_is_told_in_one_line(serve: Serve, words: str):
    model = OpenAIModel(await serve(lambda body: refuses(words)))
    with pytest.raises(ModelError) as caught:
        await model.complete(ModelRequest("m", (USER,), (TOOL,)))
    await model.close()
    assert caught.value.fault == "not_found"
    assert "this model takes no tools" in caught.value.detail


# -- answers that are bound to a schema -------------------------------------------------------------------------------

VERDICT = ToolSpec(
    "verdict",
    "says so",
    {
        "type": "object",
        "properties": {"confirmed": {"type": "boolean"}, "gaps": {"type": "array"}},
        "required": ["confirmed"],
    },
)
ASKED = ModelRequest("m", (USER,), (VERDICT,), must_call="verdict")
BOUND = Quirks(schema=True)


def test_the_only_tool_that_must_be_called_is_asked_for_as_an_answer_of_its_schema():
    sent = json.loads(RequestEncoder(BOUND, stream=False).encode(ASKED))
    assert "tools" not in sent and "tool_choice" not in sent
    told = sent["response_format"]["json_schema"]
    assert (sent["response_format"]["type"], told["name"], told["strict"]) == ("json_schema", "verdict", True)
    assert told["schema"]["additionalProperties"] is False
    assert told["schema"]["required"] == ["confirmed", "gaps"]
    assert VERDICT.parameters["required"] == ["confirmed"]  # the tool itself is as it was
    two = msgspec.structs.replace(ASKED, tools=(VERDICT, LOOK))
    assert "response_format" not in json.loads(RequestEncoder(BOUND, stream=False).encode(two))


async def test_what_comes_is_a_call_for_everybody_above(serve: Serve):
    model = OpenAIModel(await serve(lambda body: says({"content": ' {"confirmed": true, "gaps": []} '})), quirks=BOUND)
    answer = await model.complete(ASKED)
    await model.close()
    assert [(call.name, json.loads(call.arguments)) for call in answer.calls] == [
        ("verdict", {"confirmed": True, "gaps": []})
    ]
    assert (answer.text, answer.finish) == ("", "tool_calls")


@pytest.mark.parametrize("how", ["refuses", "ignores"])
async def test_a_server_that_binds_no_answers_is_asked_for_a_call_from_then_on(serve: Serve, how: str):
    bodies: list[dict[str, Any]] = []
    call = {"id": "c1", "type": "function", "function": {"name": "verdict", "arguments": '{"confirmed": true}'}}

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        bodies.append(body)
        if "response_format" not in body:
            return says({"content": None, "tool_calls": [call]})
        if how == "ignores":
            return says({"content": "It is all there."})
        return refuses("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.")

    model = OpenAIModel(await serve(answer), quirks=BOUND)
    if how == "ignores":
        with pytest.raises(ModelError, match="does not keep to the schema") as caught:
            await model.complete(ASKED)
        assert (caught.value.fault, caught.value.maybe_paid) == ("broken", True)
    for _ in range(2):
        assert [call.name for call in (await model.complete(ASKED)).calls] == ["verdict"]
    await model.close()
    assert ["response_format" in body for body in bodies] == [True, False, False]
    assert bodies[-1]["tool_choice"] == "required"


async def test_an_answer_that_was_cut_is_no_reason_to_ask_otherwise(serve: Serve):
    cut = {"index": 0, "message": {"role": "assistant", "content": '{"confirmed": tr'}, "finish_reason": "length"}
    document = {"model": "m", "choices": [cut], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        bodies.append(body)
        return 200, document

    model = OpenAIModel(await serve(answer), quirks=BOUND, stream=False)
    assert (await model.complete(ASKED)).calls == ()
    await model.complete(ASKED)
    await model.close()
    assert all("response_format" in body for body in bodies)
