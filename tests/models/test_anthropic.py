"""The adapter of Anthropic's Messages API: against the loopback server with its refusals, and against odd answers."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from megaagent.errors import ModelError
from megaagent.events import ToolCall, Usage
from megaagent.models.anthropic import AnthropicModel
from megaagent.models.blocks import Document, MessageReading
from megaagent.models.claude import family_of
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.faults import Secrets
from megaagent.models.limits import Allowance, Limits
from megaagent.models.messages import MessagesEncoder
from megaagent.models.network import NetworkSettings
from megaagent.models.prices import Price, cost_of, worst_case
from megaagent.models.served_rules import Body, check
from megaagent.models.server import SimServer
from megaagent.models.sse import EventStream

KEY = "local-very-secret-0123456789"
TOOLS = (
    ToolSpec("look", "looks", {"type": "object", "properties": {}}),
    ToolSpec("say", "says", {"type": "object", "properties": {"text": {"type": "string"}}}),
)
RULES = ChatMessage("system", "The rules of all.")
ROLE = ChatMessage("system", "You are ann.")
BOUND = "claude-opus-5-5"  # of the models that refuse a thought whose beginning was changed

pytestmark = pytest.mark.filterwarnings("error")


def ask(*messages: ChatMessage, model: str = BOUND, **more: Any) -> ModelRequest:
    return ModelRequest(model, (RULES, ROLE, *messages), TOOLS, 4096, deadline=20.0, **more)


def body_of(request: ModelRequest) -> dict[str, Any]:
    return json.loads(MessagesEncoder(stream=False).encode(request)[0])


USER = ChatMessage("user", "begin")


# -- requests ---------------------------------------------------------------------------------------------------------


def test_the_shared_beginning_the_role_and_the_end_are_marked_for_the_cache():
    call = ToolCall("c1", "look", "{}")
    history = (USER, ChatMessage("assistant", "", (call,)), ChatMessage("tool", "seen", call_id="c1"))
    body = body_of(ask(*history, ChatMessage("user", "<status>"), lasting=5))
    assert [("cache_control" in block, block["text"]) for block in body["system"]] == [
        (True, "The rules of all."),
        (True, "You are ann."),
    ]
    marked = [[("cache_control" in block) for block in turn["content"]] for turn in body["messages"]]
    assert marked == [[True], [False], [True, False]]  # the last request's end, this one's; not what is for once only
    assert [block["type"] for block in body["messages"][-1]["content"]] == ["tool_result", "text"]


def test_the_beginning_of_two_agents_is_the_same_byte_for_byte():
    one, two = (MessagesEncoder(stream=True).encode(ask(ChatMessage("user", text)))[0] for text in ("a", "b"))
    other = msgspec.structs.replace(ask(USER), messages=(RULES, ChatMessage("system", "You are bob."), USER))
    three = MessagesEncoder(stream=True).encode(other)[0]
    bodies = [json.loads(each) for each in (one, two, three)]
    assert bodies[0]["tools"] == bodies[1]["tools"] == bodies[2]["tools"]
    assert bodies[0]["system"][0] == bodies[2]["system"][0]


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (BOUND, None, {}),
        (BOUND, "high", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (BOUND, "none", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-4-6", "low", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-sonnet-4-5-20250929", "high", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("claude-haiku-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("claude-opus-4-20250514", "max", {"thinking": {"type": "enabled", "budget_tokens": 3276}}),
        ("claude-sonnet-4-5", None, {}),
        ("claude-sonnet-4-5", "none", {}),
        ("claude-3-5-haiku-latest", "high", {}),
        ("claude-3-7-sonnet-latest", "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    ],
)
def test_each_line_of_models_is_told_in_its_way_how_much_to_think(model: str, effort: str | None, expected: Any):
    body = body_of(ask(USER, model=model, effort=effort))
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == expected


def test_a_temperature_and_a_forced_tool_are_sent_only_where_they_are_taken():
    old = body_of(ask(USER, model="claude-sonnet-4-5", temperature=0.5, must_call="say"))
    assert (old["temperature"], old["tool_choice"]) == (0.5, {"type": "tool", "name": "say"})
    thinking = body_of(ask(USER, model="claude-sonnet-4-5", temperature=0.5, must_call="say", effort="low"))
    new = body_of(ask(USER, model=BOUND, temperature=0.5, must_call="say"))
    for body in (thinking, new):
        assert "temperature" not in body and "tool_choice" not in body


def test_a_sole_tool_is_asked_for_as_an_answer_of_its_schema_where_the_model_can():
    one = {"must_call": "say"}
    for model, bound in ((BOUND, True), ("claude-sonnet-4-5", True), ("claude-opus-4-1", False), ("other", False)):
        request = msgspec.structs.replace(ask(USER, model=model, **one), tools=TOOLS[1:])
        body = body_of(request)
        assert ("output_config" in body, "tools" in body) == (bound, not bound)
        if bound:
            told = body["output_config"]["format"]
            assert told["type"] == "json_schema"
            assert told["schema"]["additionalProperties"] is False
    thinking = body_of(msgspec.structs.replace(ask(USER, effort="high", **one), tools=TOOLS[1:]))
    assert set(thinking["output_config"]) == {"effort", "format"}


async def test_a_server_that_takes_no_schema_is_asked_for_a_call():
    bodies: list[dict[str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        if "format" in bodies[-1].get("output_config", {}):
            error = {"type": "invalid_request_error", "message": "output_config.format: Extra inputs are not permitted"}
            return web.json_response({"type": "error", "error": error}, status=400)
        call = {"type": "tool_use", "id": "c1", "name": "say", "input": {"text": "hi"}}
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"type": "message", "role": "assistant", "model": "m", "content": [call], "stop_reason": "tool_use"}
        return web.json_response({**message, "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/messages", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        model = AnthropicModel(str(server.make_url("/")), KEY)
        request = msgspec.structs.replace(ask(USER, effort="high", must_call="say"), tools=TOOLS[1:])
        for _ in range(2):
            assert [call.name for call in (await model.complete(request)).calls] == ["say"]
        await model.close()
    assert len(bodies) == 3
    assert bodies[-1]["output_config"] == {"effort": "high"}


async def test_a_cache_of_an_hour_is_asked_for_counted_and_priced():
    one = json.loads(MessagesEncoder(stream=False, ttl="1h").encode(ask(USER))[0])
    assert {json.dumps(block["cache_control"]) for block in one["system"]} == {'{"type": "ephemeral", "ttl": "1h"}'}
    written = Usage(1000, 10, 200, 0, 700, 400)
    price = Price(5.0, 25.0, 0.5, 6.25, 10.0)
    assert price.cost(written) == pytest.approx((100 * 5 + 200 * 0.5 + 300 * 6.25 + 400 * 10 + 10 * 25) / 1e6)
    for model in ("claude-opus-4-5", "claude-sonnet-4-5"):  # a flat price, and one by length
        hour, minutes = (
            cost_of(worst_case(100_000, 0, hour=each), f"anthropic:{model}") or 0.0 for each in (True, False)
        )
        assert hour / minutes == pytest.approx(2 / 1.25)


def test_later_models_are_taken_to_be_like_the_newest():
    assert family_of("claude-something-7") == family_of(BOUND)
    assert family_of("gobang").thinking == "budget"  # another's model


texts = st.sampled_from(["", " ", "words", "mehr Wörter 🎈", "\ud800"])
calls = st.lists(
    st.builds(
        ToolCall,
        st.just("c"),
        st.sampled_from(["look", "no such"]),
        st.sampled_from(["{}", '{"a": 1}', "not json", ""]),
    ),
    max_size=3,
)
said = st.one_of(
    st.builds(ChatMessage, st.just("user"), texts),
    st.builds(ChatMessage, st.just("system"), texts),
    st.builds(ChatMessage, st.just("assistant"), texts, calls.map(tuple)),
    st.builds(ChatMessage, st.just("tool"), texts, call_id=st.sampled_from(["a.b:c0", "a.b:c1", "a.b:c2", "other"])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(said, max_size=12), st.integers(0, 14))
def test_any_conversation_becomes_one_that_the_api_takes(messages: list[ChatMessage], lasting: int):
    numbers = itertools.count()  # no id comes twice in a conversation: answers are mended so

    def numbered(message: ChatMessage) -> ChatMessage:
        own = [msgspec.structs.replace(call, id=f"a.b:c{next(numbers)}") for call in message.calls]
        return msgspec.structs.replace(message, calls=tuple(own))

    request = ask(USER, *map(numbered, messages), lasting=lasting + 2, model="claude-sonnet-4-5", effort="high")
    data, _ = MessagesEncoder(stream=True).encode(request)
    body = msgspec.json.decode(data, type=Body)
    check(body)
    roles = [turn.role for turn in body.messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]


def test_the_loopback_server_refuses_what_the_api_refuses():
    good = body_of(ask(USER))
    check(msgspec.convert(good, Body))
    use = {"type": "tool_use", "id": "c1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "x"}
    text = {"type": "text", "text": "x"}
    called = {"role": "assistant", "content": [use]}
    begin = {"role": "user", "content": "begin"}
    wrong: dict[str, dict[str, Any]] = {
        "Field required": {"max_tokens": None},
        "immediately after": {"messages": [begin, called, {"role": "user", "content": [text]}]},
        "unexpected `tool_use_id`": {"messages": [{"role": "user", "content": [result]}]},
        "must come first": {"messages": [begin, called, {"role": "user", "content": [text, result]}]},
        "non-whitespace": {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]},
        "first message": {"messages": [{"role": "assistant", "content": "x"}, begin]},
        "prefill": {"messages": [begin, {"role": "assistant", "content": "x"}]},
        "role must be": {"messages": [begin, {"role": "system", "content": "x"}, begin]},
        "maximum of 4": {"system": [{**text, "cache_control": {"type": "ephemeral"}}] * 5},
        "greater than `thinking": {"thinking": {"type": "enabled", "budget_tokens": 4096}},
        "forces tool use": {"thinking": {"type": "adaptive"}, "tool_choice": {"type": "any"}},
        "Expected `thinking`": {
            "messages": [begin, called, {"role": "user", "content": [result]}],
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
    }
    for words, change in wrong.items():
        with pytest.raises(ModelError, match=words.replace("(", r"\(")):
            check(msgspec.convert({**good, **change}, Body))


# -- conversations with thoughts --------------------------------------------------------------------------------------


class Scripted:
    """Answers one after another, and remembers what it was asked."""

    def __init__(self, answers: Sequence[ModelResponse]):
        self.answers = list(answers)
        self.asked: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.asked.append(request)
        return self.answers[len(self.asked) - 1]

    async def close(self) -> None: ...


def looks(number: int) -> ModelResponse:
    return ModelResponse(f"look {number}", (ToolCall(f"c{number}", "look", "{}"),), Usage(100, 10), "tool_calls", "m")


def as_kept(answer: ModelResponse) -> ChatMessage:
    return ChatMessage("assistant", answer.text, answer.calls, None, answer.reasoning, answer.echo)


@asynccontextmanager
async def served(*answers: ModelResponse, stream: bool = True) -> AsyncIterator[AnthropicModel]:
    async with SimServer({BOUND: Scripted(answers)}, key=KEY, thoughts=True) as server:
        model = AnthropicModel(server.root, KEY, stream=stream)
        yield model
        await model.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_thoughts_go_back_unchanged_under_an_unchanged_beginning(stream: bool):
    """The server refuses every thought before which anything has changed; the status changes with every step."""
    kept = [USER]
    async with served(*map(looks, range(5)), stream=stream) as model:
        for step in range(5):
            status = ChatMessage("user", f"<status>{step}</status>")
            answer = await model.complete(ask(*kept, status, lasting=len(kept) + 2))
            assert answer.repairs == ()
            assert answer.reasoning == "A simulated thought before 1 calls."
            assert "signature" in answer.echo
            result = ChatMessage("tool", f"seen {step}", call_id=answer.calls[0].id)
            kept += [as_kept(answer), result]
    blocks = [each for turn in body_of(ask(*kept))["messages"] for each in turn["content"]]
    assert [each["type"] for each in blocks].count("thinking") == 5
    assert [each["text"] for each in blocks if "<status>" in each.get("text", "")] == [
        f"<status>{step}</status>" for step in range(5)
    ]


async def test_after_the_beginning_was_summarized_thoughts_from_before_are_left_out():
    async with served(*map(looks, range(3))) as model:
        first = await model.complete(ask(USER, ChatMessage("user", "<status>"), lasting=3))
        result = ChatMessage("tool", "seen", call_id="c0")
        summary = ChatMessage("user", "<summary>all that was</summary>")
        second = await model.complete(ask(summary, as_kept(first), result, ChatMessage("user", "<s>"), lasting=5))
        assert second.repairs == ()  # the server would have refused the old thought, and it was not sent
        more = ChatMessage("tool", "seen", call_id="c1")
        third = await model.complete(ask(summary, as_kept(first), result, as_kept(second), more))
        assert third.repairs == ()


async def test_thoughts_of_another_model_or_with_a_key_hidden_in_them_are_left_out():
    async with served(*map(looks, range(3))) as model:
        answer = as_kept(await model.complete(ask(USER)))
    result = ChatMessage("tool", "seen", call_id="c0")

    def kinds(message: ChatMessage, name: str = BOUND) -> list[str]:
        body = body_of(ask(USER, message, result, model=name))
        return [block["type"] for block in body["messages"][1]["content"]]

    assert kinds(answer) == ["thinking", "text", "tool_use"]
    assert kinds(answer, "claude-fable-5-1") == ["text", "tool_use"]
    hidden = msgspec.structs.replace(answer, echo=answer.echo.replace("simulated", "[hidden]"))
    assert kinds(hidden) == ["text", "tool_use"]
    broken = msgspec.structs.replace(answer, echo=answer.echo[:-5])
    assert kinds(broken) == ["text", "tool_use"]


async def test_a_refused_thought_is_not_sent_again():
    """A server may know of a reason that we do not; the call goes on without the thought."""
    async with served(*map(looks, range(3))) as model:
        first = await model.complete(ask(USER))
        echo = msgspec.json.decode(first.echo)
        echo["blocks"][0]["signature"] = "of somebody else"
        from megaagent.models.claude import checked

        echo["check"] = checked(tuple(echo["blocks"]))
        message = msgspec.structs.replace(as_kept(first), echo=msgspec.json.encode(echo).decode())
        answer = await model.complete(ask(USER, message, ChatMessage("tool", "seen", call_id="c0")))
        assert answer.repairs == ("the server refuses signature: asked again without",)


# -- answers ----------------------------------------------------------------------------------------------------------

Serve = Callable[[Any], Awaitable[str]]


@pytest.fixture
async def provider() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start(handler: Any) -> str:
        app = web.Application()
        app.router.add_post("/v1/messages", handler)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        return str(server.make_url("/"))

    yield start
    for server in servers:
        await server.close()


def events(*documents: Any) -> bytes:
    lines = [b"event: %s\ndata: %s\n\n" % (d["type"].encode(), json.dumps(d).encode()) for d in documents]
    return b"".join(lines)


def start(**usage: int) -> dict[str, Any]:
    told = {"input_tokens": 7, "output_tokens": 1, **usage}
    return {"type": "message_start", "message": {"id": "x", "model": "m-1", "content": [], "usage": told}}


def block(index: int, begun: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def text(index: int, *parts: str) -> list[dict[str, Any]]:
    deltas = [{"type": "text_delta", "text": part} for part in parts]
    return block(index, {"type": "text", "text": ""}, *deltas)


def use(index: int, *parts: str, id: str = "toolu_1", name: str = "say") -> list[dict[str, Any]]:
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return block(index, {"type": "tool_use", "id": id, "name": name, "input": {}}, *deltas)


def end(stop: str = "end_turn", **more: Any) -> list[dict[str, Any]]:
    usage = {"output_tokens": 9}
    return [{"type": "message_delta", "delta": {"stop_reason": stop, **more}, "usage": usage}, {"type": "message_stop"}]


def sends(data: bytes | dict[str, Any], status: int = 200, **headers: str) -> Any:
    async def handler(request: web.Request) -> web.Response:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        kind = "text/event-stream" if body.startswith(b"event") else "application/json"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, content_type=kind, headers=named)

    return handler


async def answer_to(provider: Serve, handler: Any, request: ModelRequest | None = None, **more: Any) -> ModelResponse:
    model = AnthropicModel(await provider(handler), KEY, **more)
    try:
        return await model.complete(request or ask(USER))
    finally:
        await model.close()


async def test_a_stream_is_put_together_from_its_events(provider: Serve):
    data = events(
        start(cache_read_input_tokens=100, cache_creation_input_tokens=20),
        {"type": "ping"},
        *text(0, "Hel", "lo"),
        *use(1, "", '{"te', 'xt": "hi"}'),
        *use(2, name="look", id="toolu_2"),
        {"type": "something_new", "whatever": [1]},
        *end("tool_use"),
    )
    answer = await answer_to(provider, sends(data))
    assert answer.text == "Hello"
    assert answer.calls == (ToolCall("toolu_1", "say", '{"text": "hi"}'), ToolCall("toolu_2", "look", "{}"))
    assert (answer.finish, answer.model, answer.repairs, answer.echo) == ("tool_calls", "m-1", (), "")
    assert answer.usage == Usage(127, 9, 100, written=20)


async def test_the_order_of_interleaved_thoughts_is_kept(provider: Serve):
    def thinks(index: int, words: str) -> list[dict[str, Any]]:
        deltas = [{"type": "thinking_delta", "thinking": words}, {"type": "signature_delta", "signature": f"s{index}"}]
        return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)

    hidden = block(2, {"type": "redacted_thinking", "data": "zzz"})
    first = [*thinks(0, "a"), *text(1, "first"), *hidden, *use(3, "{}")]
    then = [*thinks(4, "b"), *text(5, "then"), *use(6, "{}", id="toolu_2")]
    data = events(start(), *first, *then, *end("tool_use"))
    answer = await answer_to(provider, sends(data))
    assert answer.text == "firstthen"
    assert answer.reasoning == "a\nb"
    results = [ChatMessage("tool", "x", call_id=call.id) for call in answer.calls]
    blocks = body_of(ask(USER, as_kept(answer), *results))["messages"][1]["content"]
    assert [b["type"] for b in blocks] == [
        "thinking", "text", "redacted_thinking", "tool_use", "thinking", "text", "tool_use",
    ]  # fmt: skip
    assert (blocks[0]["signature"], blocks[1]["text"], blocks[2]["data"], blocks[5]["text"]) == (
        "s0",
        "first",
        "zzz",
        "then",
    )


CUT = events(start(), *text(0, "half"))
FAULTS: dict[str, tuple[Any, str, str]] = {
    "cut in the middle": (sends(CUT), "broken", "the middle"),
    "an error within": (
        sends(CUT + events({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})),
        "overloaded",
        "Overloaded",
    ),
    "declined": (
        sends(events(start(), *end("refusal", stop_details={"type": "refusal", "category": "cyber"}))),
        "refused",
        "cyber",
    ),
    "nothing said": (sends(events(start(), *end())), "empty", "neither"),
    "another protocol": (sends({"choices": [{"message": {"content": "hi"}}]}), "broken", "speak"),
    "no JSON": (sends(b"hello"), "broken", "hello"),
    "a web page": (sends(b"<html>"), "broken", "base URL"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_of_an_answer_is_known_for_what_it_is(provider: Serve, name: str):
    handler, fault, words = FAULTS[name]
    with pytest.raises(ModelError) as caught:
        await answer_to(provider, handler)
    assert caught.value.fault == fault
    assert words in caught.value.detail
    assert KEY not in caught.value.detail


REFUSALS = [
    (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", "context_overflow"),
    (
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
        "context_overflow",
    ),
    (400, "invalid_request_error", "messages: something else", "bad_request"),
    (400, "invalid_request_error", "You have reached your specified API usage limits.", "no_money"),
    (401, "authentication_error", f"invalid x-api-key {KEY}", "unauthorized"),
    (402, "billing_error", "Your credit balance is too low", "no_money"),
    (403, "permission_error", "Your API key does not have permission", "unauthorized"),
    (404, "not_found_error", "model: claude-no-such", "not_found"),
    (413, "request_too_large", "Request exceeds the maximum size", "context_overflow"),
    (429, "rate_limit_error", "This request would exceed your rate limit", "rate_limit"),
    (500, "api_error", "Internal server error", "overloaded"),
    (504, "timeout_error", "timed out", "overloaded"),
    (529, "overloaded_error", "Overloaded", "overloaded"),
]


@pytest.mark.parametrize(("status", "kind", "message", "fault"), REFUSALS)
async def test_each_refusal_is_known_for_what_it_is(provider: Serve, status: int, kind: str, message: str, fault: str):
    document = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    with pytest.raises(ModelError) as caught:
        await answer_to(provider, sends(document, status, **({} if status == 402 else {"retry_after": "12"})))
    assert (caught.value.fault, caught.value.status) == (fault, status)
    assert caught.value.retry_after == (12.0 if status == 429 or status >= 500 else None)
    assert KEY not in str(caught.value)


async def test_the_limits_in_the_headers_are_told(provider: Serve):
    told: list[Limits] = []
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "40",
        "anthropic-ratelimit-requests-reset": "2026-11-21T10:00:12Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "29000",
        "Date": "Sat, 21 Nov 2026 10:00:00 GMT",
    }
    await answer_to(provider, sends(events(start(), *text(0, "hi"), *end()), **headers), limits=told.append)
    assert told == [Limits(Allowance(50, 40, 12.0), Allowance(30000, 29000, None))]


async def test_a_call_that_the_output_limit_cut_is_never_handed_on(provider: Serve):
    data = events(start(), *text(0, "I say"), *use(1, '{"text": "ha'), *end("max_tokens"))
    answer = await answer_to(provider, sends(data))
    assert (answer.finish, answer.text, answer.calls) == ("length", "I say", ())


async def test_what_the_server_refuses_is_left_out_from_then_on(provider: Serve):
    bodies: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        if "temperature" in bodies[-1]:
            told = {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}
            return web.json_response({"type": "error", "error": told}, status=400)
        message = {
            "type": "message",
            "model": "m",
            "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn",
        }
        return web.json_response({**message, "usage": {"input_tokens": 1, "output_tokens": 1}})

    model = AnthropicModel(await provider(handler), KEY, stream=False)
    request = ask(USER, model="claude-sonnet-4-5", temperature=0.2)
    first, second = await model.complete(request), await model.complete(request)
    await model.close()
    assert first.repairs == ("the server refuses temperature: asked again without",)
    assert second.repairs == ()
    assert ["temperature" in body for body in bodies] == [True, False, False]


async def test_headers_are_those_that_the_api_asks_for(provider: Serve):
    seen: dict[str, str] = {}

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.update(request.headers)
        return await sends(events(start(), *text(0, "hi"), *end()))(request)

    await answer_to(provider, handler)
    assert (seen["x-api-key"], seen["anthropic-version"]) == (KEY, "2023-06-01")


async def test_a_stall_within_an_answer_is_a_timeout(provider: Serve):
    async def handler(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        await reply.write(CUT)
        await asyncio.sleep(20)
        return reply

    with pytest.raises(ModelError) as caught:
        await answer_to(provider, handler, settings=NetworkSettings(stall=0.05))
    assert (caught.value.fault, caught.value.maybe_paid) == ("timeout", True)
    assert caught.value.usage == Usage(7, 1)


# -- the loopback server, asked by the official client ----------------------------------------------------------------


async def test_the_official_client_understands_the_loopback_server():
    anthropic = pytest.importorskip("anthropic")
    tools = [{"name": t.name, "description": t.description, "input_schema": t.parameters} for t in TOOLS]
    options: dict[str, Any] = {"model": BOUND, "max_tokens": 1000, "tools": tools}
    async with SimServer({BOUND: Scripted([looks(0), looks(1)])}, key=KEY, thoughts=True) as server:
        client = anthropic.AsyncAnthropic(base_url=server.root, api_key=KEY, max_retries=0)
        first = await client.messages.create(messages=[{"role": "user", "content": "begin"}], **options)
        assert [each.type for each in first.content] == ["thinking", "text", "tool_use"]
        assert first.stop_reason == "tool_use"
        history = [
            {"role": "user", "content": "begin"},
            {"role": "assistant", "content": first.model_dump(exclude_none=True)["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c0", "content": "seen"}]},
        ]
        async with client.messages.stream(messages=history, **options) as stream:
            second = await stream.get_final_message()
        assert [each.type for each in second.content] == ["thinking", "text", "tool_use"]
        assert second.usage.output_tokens == 10
        history[0]["content"] = "begin otherwise"
        with pytest.raises(anthropic.BadRequestError, match="different conversation"):
            await client.messages.create(messages=history, **options)
        wrong = anthropic.AsyncAnthropic(base_url=server.root, api_key="wrong", max_retries=0)
        with pytest.raises(anthropic.AuthenticationError):
            await wrong.messages.create(messages=[{"role": "user", "content": "begin"}], **options)
        await client.close()
        await wrong.close()


# -- however it is cut ------------------------------------------------------------------------------------------------

WHOLE = events(
    start(cache_read_input_tokens=5),
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "grüße"},
        {"type": "signature_delta", "signature": "s"},
    ),
    *text(1, "Hel", "lo 🎈"),
    *use(2, "", '{"te', 'xt": "hi\\u00fc"}'),
    *end("tool_use"),
)


def read(data: bytes, *, cuts: Sequence[int] = ()) -> ModelResponse:
    """The answer to a stream that comes in pieces."""
    request = ask(USER)
    _, sent = MessagesEncoder(stream=True).encode(request)
    reading = MessageReading(request, Secrets(KEY), msgspec.json.Decoder(Document), sent)
    stream, whole = EventStream(), False
    places = [0, *sorted(cuts), len(data)]
    for begin, stop in itertools.pairwise(places):
        whole = max([whole, *map(reading.take, stream.feed(data[begin:stop]))])
    whole = max([whole, *map(reading.take, stream.finish())])
    return reading.response(whole=whole)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_a_stream_may_be_cut_into_pieces_anywhere(cuts: list[int]):
    assert read(WHOLE, cuts=cuts) == read(WHOLE)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_of_a_stream_that_ends_early_nothing_is_handed_on_that_is_not_whole(length: int):
    try:
        answer = read(WHOLE[:length])
    except ModelError as error:
        assert error.fault == "broken"
        return
    assert answer == read(WHOLE)  # only its very end was missing


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(WHOLE)))
def test_whatever_is_in_a_stream_ends_as_an_answer_or_a_known_fault(noise: bytes, at: int):
    try:
        read(WHOLE[:at] + noise + WHOLE[at:])
    except ModelError:
        return
