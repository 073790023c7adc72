"""The OpenAI-compatible adapter against a provider that misbehaves in every way that is known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from megaagent.errors import ConfigurationError, ModelError
from megaagent.events import ToolCall
from megaagent.models.chat import Answer, Piece, decode_piece
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.limits import Allowance, Limits
from megaagent.models.network import NetworkSettings
from megaagent.models.openai import OpenAIModel
from megaagent.models.quirks import Quirks
from megaagent.models.sse import EventStream

KEY = "local-very-secret-0123456789"
ASK = ModelRequest("m", (ChatMessage("user", "hi"),), deadline=20.0)

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]

pytestmark = pytest.mark.filterwarnings("error")


def tool_call(name: str | None, arguments: Any, call_id: str | None = "c1", **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def whole(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "x", "model": "m-1", "choices": [choice], "usage": usage, **more}


def delta(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "x", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


USAGE = {"id": "x", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def as_stream(*events: Any, done: bool = True) -> bytes:
    lines = [b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) for event in events]
    return b"\n\n".join([*lines, *([b"data: [DONE]"] if done else []), b""])


def pieces_of(document: dict[str, Any]) -> bytes:
    """The same answer as a stream that sends it whole."""
    choice = document["choices"][0]
    calls = [{"index": i, **call} for i, call in enumerate(choice["message"].get("tool_calls") or [])]
    said = {**choice["message"], **({"tool_calls": calls} if calls else {})}
    return as_stream(delta(said), delta({}, choice["finish_reason"]), USAGE)


def sends(body: bytes | str, status: int = 200, kind: str = "application/json", headers: dict[str, str] | None = None):
    async def handler(request: web.Request) -> web.Response:
        data = body if isinstance(body, bytes) else body.encode()
        return web.Response(status=status, body=data, content_type=kind, headers=headers)

    return handler


def refuses(status: int, message: str = "no", code: Any = None, kind: str | None = None, **headers: str):
    error = {"error": {"message": message, "type": kind, "code": code, "param": None}}
    return sends(json.dumps(error), status, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def ask(serve: Serve, handler: Any, stream: bool, request: ModelRequest = ASK, **options: Any) -> ModelResponse:
    model = OpenAIModel(await serve(handler), KEY, stream=stream, **options)
    try:
        return await model.complete(request)
    finally:
        await model.close()


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

OVERFLOW = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."
REFUSALS = {
    "wrong key": (refuses(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"), "unauthorized"),
    "forbidden": (refuses(403, "Country not supported", "unsupported_country_region_territory"), "unauthorized"),
    "moderated": (refuses(403, "Your input was flagged by moderation", 403), "refused"),
    "no such model": (refuses(404, "The model `m` does not exist", "model_not_found"), "not_found"),
    "no such model, as 400": (refuses(400, "Model Not Exist", kind="invalid_request_error"), "not_found"),
    "wrong address": (sends("<html>nothing here</html>", 404, "text/html"), "not_found"),
    "redirect": (sends("", 302, headers={"Location": "http://elsewhere.example/"}), "not_found"),
    "slow down": (refuses(429, "Rate limit reached for requests", "rate_limit_exceeded", "requests"), "rate_limit"),
    "no quota": (refuses(429, "You exceeded your current quota", "insufficient_quota"), "no_money"),
    "no credit": (refuses(402, "Insufficient Balance"), "no_money"),
    "never fits": (
        refuses(429, "Request too large for m on TPM", "rate_limit_exceeded"),
        "context_overflow",
    ),
    "overflow, OpenAI": (refuses(400, OVERFLOW, "context_length_exceeded"), "context_overflow"),
    "overflow, vLLM": (
        sends(json.dumps({"object": "error", "message": OVERFLOW, "type": "BadRequestError", "code": 400}), 400),
        "context_overflow",
    ),
    "overflow, llama.cpp": (
        refuses(400, "the request exceeds the available context size", 400, "exceed_context_size_error"),
        "context_overflow",
    ),
    "overflow, as 500": (refuses(500, "the request exceeds the available context size"), "context_overflow"),
    "filtered, Azure": (
        refuses(400, "The response was filtered due to Azure's content management policy", "content_filter"),
        "refused",
    ),
    "bad request": (refuses(400, "Invalid value for 'temperature'", kind="invalid_request_error"), "bad_request"),
    "unprocessable": (sends('{"detail": [{"msg": "field required"}]}', 422), "bad_request"),
    "server error": (refuses(500, "The server had an error", "server_error"), "overloaded"),
    "gateway page": (sends("<html><h1>502 Bad Gateway</h1></html>", 502, "text/html"), "overloaded"),
    "overloaded": (refuses(529, "Overloaded"), "overloaded"),
    "request timeout": (refuses(408, "timed out"), "timeout"),
    # a 200 that is none
    "page with 200": (sends("<!doctype html><p>Welcome</p>", 200, "text/html"), "broken"),
    "page with 200 and a lie": (sends("<!doctype html><p>Welcome</p>"), "broken"),
    "nothing with 200": (sends(""), "broken"),
    "half of a JSON": (sends('{"choices": [{"mess'), "broken"),
    "another JSON": (sends('["choices"]'), "broken"),
    "no choices": (sends('{"id": "x", "choices": []}'), "broken"),
    "error with 200": (sends('{"error": {"message": "Provider returned error", "code": 502}}'), "overloaded"),
    "rate limit with 200": (sends('{"error": {"message": "slow down", "code": 429}}'), "rate_limit"),
    "bare error with 200": (sends('{"error": "something went wrong"}'), "overloaded"),
}


@both
@pytest.mark.parametrize("case", REFUSALS)
async def test_every_refusal_has_its_fault(serve: Serve, case: str, stream: bool):
    handler, fault = REFUSALS[case]
    with pytest.raises(ModelError) as caught:
        await ask(serve, handler, stream)
    assert caught.value.fault == fault
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value.__cause__)


@pytest.mark.parametrize("told", ["sk-other-0123456789", "Bearer abcdef0123456789", "api_key=abcdef0123456789"])
async def test_a_key_that_is_not_ours_is_not_told_either(serve: Serve, told: str):
    with pytest.raises(ModelError, match=r"\[key\]") as caught:
        await ask(serve, refuses(400, f"upstream said: {told} is wrong"), False)
    assert "0123456789" not in str(caught.value)


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "empty": (whole({"content": ""}), "empty"),
    "only spaces": (whole({"content": " \n"}), "empty"),
    "all thought, no answer": (whole({"content": None, "reasoning_content": "hm"}, "length"), "empty"),
    "content filter": (whole({"content": "Once upon a"}, "content_filter"), "refused"),
    "refusal": (whole({"content": None, "refusal": "I can't help with that."}), "refused"),
    "cut call": (whole({"tool_calls": [tool_call("write_file", '{"path": "a')]}, "length"), "broken"),
    "cut before arguments": (whole({"tool_calls": [tool_call("write_file", "")]}, "length"), "broken"),
    "call without name": (whole({"tool_calls": [tool_call("", "{}")]}, "tool_calls"), "broken"),
}


@both
@pytest.mark.parametrize("case", ANSWERS)
async def test_every_bad_answer_has_its_fault(serve: Serve, case: str, stream: bool):
    document, fault = ANSWERS[case]
    handler = sends(pieces_of(document), kind="text/event-stream") if stream else sends(json.dumps(document))
    with pytest.raises(ModelError) as caught:
        await ask(serve, handler, stream)
    assert caught.value.fault == fault


STREAMS = {
    "cut in the text": (as_stream(delta({"content": "Once"}), done=False), "broken"),
    "cut in a call": (as_stream(delta({"tool_calls": [tool_call("f", '{"a', index=0)]}), done=False), "broken"),
    "cut in an event": (as_stream(delta({"content": "Once"}), done=False) + b'data: {"choi', "broken"),
    "nothing at all": (b"", "broken"),
    "only the end": (as_stream(), "broken"),
    "error event": (
        as_stream(delta({"content": "On"}), {"error": {"message": "upstream died", "code": 502}, "choices": []}),
        "overloaded",
    ),
    "overflow event": (
        as_stream({"error": {"message": OVERFLOW, "code": "context_length_exceeded"}}),
        "context_overflow",
    ),
    "error in a choice": (
        as_stream({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "busy"}}]}),
        "rate_limit",
    ),
    "junk event": (as_stream(delta({"content": "On"}), b"garbage"), "broken"),
}


@pytest.mark.parametrize("case", STREAMS)
async def test_every_bad_stream_has_its_fault(serve: Serve, case: str):
    body, fault = STREAMS[case]
    with pytest.raises(ModelError) as caught:
        await ask(serve, sends(body, kind="text/event-stream"), True)
    assert caught.value.fault == fault


# -- the connection ---------------------------------------------------------------------------------------------------


def hangs_up(first: bytes, *, kind: str = "text/event-stream"):
    """Sends a beginning, then breaks the connection without ending the body."""

    async def handler(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": kind})
        if first:
            await reply.prepare(request)
            await reply.write(first)
        assert request.transport is not None
        request.transport.abort() if not first else request.transport.close()
        return reply

    return handler


@both
async def test_a_connection_that_breaks_before_the_answer(serve: Serve, stream: bool):
    with pytest.raises(ModelError) as caught:
        await ask(serve, hangs_up(b""), stream)
    assert caught.value.fault == "connection"


@both
async def test_a_connection_that_breaks_within_the_answer(serve: Serve, stream: bool):
    first = as_stream(delta({"content": "Once"}), done=False) if stream else b'{"choices": [{"message"'
    kind = "text/event-stream" if stream else "application/json"
    with pytest.raises(ModelError) as caught:
        await ask(serve, hangs_up(first, kind=kind), stream)
    assert caught.value.fault == "broken"


@both
async def test_nobody_listens(stream: bool):
    probe = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    model = OpenAIModel(f"http://user:{KEY}@127.0.0.1:{port}/v1", stream=stream)
    with pytest.raises(ModelError) as caught:
        await model.complete(ASK)
    await model.close()
    assert caught.value.fault == "connection"
    assert KEY not in str(caught.value)


def never_ends(first: bytes = b""):
    async def handler(request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if first:
            await reply.prepare(request)
            await reply.write(first)
        await asyncio.Event().wait()
        return reply

    return handler


@both
async def test_the_deadline(serve: Serve, stream: bool):
    request = msgspec.structs.replace(ASK, deadline=0.1)
    with pytest.raises(ModelError, match=r"within 0\.1 s") as caught:
        await ask(serve, never_ends(), stream, request)
    assert caught.value.fault == "timeout"


@both
async def test_a_stall_within_an_answer(serve: Serve, stream: bool):
    with pytest.raises(ModelError, match="nothing came") as caught:
        await ask(serve, never_ends(as_stream(delta({"content": "On"}), done=False)), stream,
                  settings=NetworkSettings(stall=0.1))  # fmt: skip
    assert caught.value.fault == "timeout"


@both
async def test_one_connection_serves_call_after_call(serve: Serve, stream: bool):
    ports: set[int] = set()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream" if stream else "application/json"})
        await reply.prepare(request)
        document = whole({"content": "ok"})
        await reply.write(pieces_of(document) if stream else json.dumps(document).encode())
        await asyncio.sleep(0.01)  # the end of the body comes on its own, after the last event
        return reply

    model = OpenAIModel(await serve(handler), KEY, stream=stream)
    for _ in range(5):
        assert (await model.complete(ASK)).text == "ok"
    await model.close()
    assert len(ports) == 1


async def test_an_end_that_never_comes_costs_no_answer(serve: Serve):
    body = pieces_of(whole({"content": "ok"}))
    assert (await ask(serve, never_ends(body), True)).text == "ok"


async def test_an_endless_answer_is_bounded(serve: Serve):
    with pytest.raises(ModelError, match="over 1000 bytes") as caught:
        await ask(serve, sends(b" " * 5000), False, settings=NetworkSettings(answer_bytes=1000))
    assert caught.value.fault == "broken"


async def test_a_call_off_is_a_call_off_and_no_fault(serve: Serve):
    model = OpenAIModel(await serve(never_ends()), KEY)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await model.complete(ASK)
    await model.close()


# -- waiting ----------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "1.5"}, 1.5),
        ({"Retry_After": "7", "retry_after_ms": "250"}, 0.25),
        ({"Date": "Sat, 21 Nov 2026 10:00:00 GMT", "Retry_After": "Sat, 21 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"Retry_After": "Sat, 21 Nov 2015 10:00:30 GMT"}, 0.0),
        ({"Retry_After": "soon"}, None),
        ({}, None),
        (
            {
                "x_ratelimit_limit_requests": "60", "x_ratelimit_remaining_requests": "0",
                "x_ratelimit_reset_requests": "1m2.5s",
                "x_ratelimit_limit_tokens": "1000", "x_ratelimit_remaining_tokens": "10",
                "x_ratelimit_reset_tokens": "2h",
            },
            62.5,
        ),
    ],
)  # fmt: skip
async def test_how_long_the_provider_asks_to_wait(
    serve: Serve, stream: bool, headers: dict[str, str], seconds: float | None
):
    with pytest.raises(ModelError) as caught:
        await ask(serve, refuses(429, "slow down", **headers), stream)
    assert caught.value.fault == "rate_limit"
    assert caught.value.retry_after == seconds


async def test_a_spending_limit_that_refills_is_waited_for(serve: Serve):
    with pytest.raises(ModelError) as caught:
        await ask(serve, refuses(402, "in-flight budget", Retry_After="3"), True)
    assert (caught.value.fault, caught.value.retry_after) == ("rate_limit", 3.0)


async def test_limits_are_told(serve: Serve):
    headers = {
        "x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-limit-tokens": "160000", "x-ratelimit-remaining-tokens": "150000",
        "x-ratelimit-reset-tokens": "6m0s",
    }  # fmt: skip
    told: list[Limits] = []
    await ask(serve, sends(json.dumps(whole({"content": "ok"})), headers=headers), False, limits=told.append)
    assert told == [Limits(Allowance(5000, 4999, 0.012), Allowance(160000, 150000, 360.0))]
    assert told[0].requests is not None
    assert told[0].requests.rate == pytest.approx(1 / 0.012)


# -- mending ----------------------------------------------------------------------------------------------------------


async def answer_of(serve: Serve, message: dict[str, Any], finish: str, stream: bool) -> ModelResponse:
    document = whole(message, finish)
    handler = sends(pieces_of(document), kind="text/event-stream") if stream else sends(json.dumps(document))
    return await ask(serve, handler, stream)


@both
async def test_a_cut_call_is_dropped_and_the_whole_ones_kept(serve: Serve, stream: bool):
    calls = [tool_call("talk", '{"to": "a"}', "c1"), tool_call("write_file", '{"path": "b', "c2")]
    answer = await answer_of(serve, {"content": "both", "tool_calls": calls}, "length", stream)
    assert [call.name for call in answer.calls] == ["talk"]
    assert answer.finish == "length"
    assert "write_file" in answer.repairs[0]


@both
async def test_missing_and_repeated_ids_are_replaced(serve: Serve, stream: bool):
    ids = ["same", "same", None, ""] if not stream else ["same", None, "", None]
    calls = [tool_call("f", f'{{"n": {n}}}', call_id) for n, call_id in enumerate(ids)]
    answer = await answer_of(serve, {"tool_calls": calls}, "tool_calls", stream)
    assert [json.loads(call.arguments)["n"] for call in answer.calls] == [0, 1, 2, 3]
    assert len({call.id for call in answer.calls}) == 4
    assert all(call.id for call in answer.calls)
    assert answer.calls[0].id == "same"
    assert len(answer.repairs) == 3


@both
async def test_text_that_nothing_can_store_is_cleaned(serve: Serve, stream: bool):
    calls = [tool_call("write\0file", '{"text": "a\\u0000b\\ud800c \\ud83c\\udf88 \\\\u0000"}')]
    answer = await answer_of(serve, {"content": "x\0y\ud800z 🎈", "tool_calls": calls}, "tool_calls", stream)
    assert answer.text == "x\ufffdy\ufffdz 🎈"
    assert answer.calls[0].name == "write\ufffdfile"
    assert json.loads(answer.calls[0].arguments) == {"text": "a\ufffdb\ufffdc 🎈 \\u0000"}
    assert answer.repairs


@both
async def test_arguments_that_are_empty_or_an_object(serve: Serve, stream: bool):
    calls = [tool_call("stop_program", "", "c1"), tool_call("talk", {"to": "a"}, "c2")]
    answer = await answer_of(serve, {"tool_calls": calls}, "stop", stream)
    assert [json.loads(call.arguments) for call in answer.calls] == [{}, {"to": "a"}]
    assert answer.finish == "tool_calls"


async def test_an_answer_that_nobody_counted_does_not_look_free(serve: Serve):
    document = whole({"content": "some words"})
    del document["usage"]
    answer = await ask(serve, sends(json.dumps(document)), False)
    assert answer.usage.prompt > 0
    assert answer.usage.completion > 0
    assert "estimate" in answer.repairs[0]


ABSURD: list[Any] = [
    {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": 10**30, "completion_tokens": 2},
    {"prompt_tokens": 7, "completion_tokens": 10**9}, {"prompt_tokens": "7", "completion_tokens": None},
    {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": True, "completion_tokens": 1}, [1], "none", 7,
]  # fmt: skip


@both
@pytest.mark.parametrize("usage", ABSURD, ids=str)
async def test_a_usage_that_cannot_be_costs_no_answer_and_is_not_believed(serve: Serve, stream: bool, usage: Any):
    body = as_stream(delta({"content": "some words"}, "stop"), {"choices": [], "usage": usage})
    document = json.dumps(whole({"content": "some words"}) | {"usage": usage})
    answer = await ask(serve, sends(body, kind="text/event-stream") if stream else sends(document), stream)
    assert answer.text == "some words"
    assert 0 < answer.usage.prompt < 100
    assert 0 < answer.usage.completion < 100
    assert "estimate" in answer.repairs[0]


@both
@pytest.mark.parametrize(("told", "cut"), [(300, True), (9_000, False)])
async def test_a_prompt_that_was_cut_without_a_word_is_noticed(serve: Serve, stream: bool, told: int, cut: bool):
    long = ModelRequest("m", (ChatMessage("user", "word " * 6000),), deadline=20.0)
    document = whole({"content": "ok"}) | {"usage": {"prompt_tokens": told, "completion_tokens": 1}}
    answer = await ask(serve, sends(json.dumps(document)), stream, long)
    assert answer.prompt_cut == cut
    assert bool(answer.repairs) == cut
    assert answer.usage.prompt == told


@both
async def test_an_id_that_the_conversation_has_had_is_replaced(serve: Serve, stream: bool):
    had = ToolCall("call_0", "f", "{}")
    talk = (
        ChatMessage("user", "hi"),
        ChatMessage("assistant", "", (had,)),
        ChatMessage("tool", "ok", call_id="call_0"),
    )
    document = whole({"tool_calls": [tool_call("f", "{}", "call_0"), tool_call("f", '{"n": 1}', "x y")]}, "tool_calls")
    handler = sends(pieces_of(document), kind="text/event-stream") if stream else sends(json.dumps(document))
    answer = await ask(serve, handler, stream, ModelRequest("m", talk, deadline=20.0))
    assert {call.id for call in answer.calls}.isdisjoint({"call_0", "x y"})
    assert len(answer.repairs) == 2


@both
async def test_a_call_that_came_twice_is_made_once(serve: Serve, stream: bool):
    calls = [tool_call("f", '{"n": 1}', "c1"), tool_call("f", '{"n": 1}', "c1"), tool_call("f", '{"n": 1}', "c2")]
    if stream:
        document = sends(as_stream(*(delta({"tool_calls": [{**c, "index": n}]}) for n, c in enumerate(calls)),
                                   delta({}, "tool_calls"), USAGE), kind="text/event-stream")  # fmt: skip
    else:
        document = sends(json.dumps(whole({"tool_calls": calls}, "tool_calls")))
    answer = await ask(serve, document, stream)
    assert [call.id for call in answer.calls] == ["c1", "c2"]
    assert "came twice" in answer.repairs[0]


PAID = {
    "nothing came": (never_ends(), True),
    "it was cut": (hangs_up(as_stream(delta({"content": "Once"}), done=False)), True),
    "it was empty": (sends(json.dumps(whole({"content": ""}))), True),
    "it was refused": (refuses(503, "overloaded"), False),
    "slow down": (refuses(429, "slow down"), False),
}


@both
@pytest.mark.parametrize("case", PAID)
async def test_whether_an_attempt_may_have_been_paid_for(serve: Serve, stream: bool, case: str):
    handler, paid = PAID[case]
    with pytest.raises(ModelError) as caught:
        await ask(serve, handler, stream, msgspec.structs.replace(ASK, deadline=0.3))
    assert caught.value.maybe_paid == paid
    assert (caught.value.usage is not None) == (case == "it was empty")


async def test_nobody_is_paid_for_a_connection_that_never_was():
    model = OpenAIModel("http://no-such-host.invalid/v1")
    with pytest.raises(ModelError) as caught:
        await model.complete(ASK)
    await model.close()
    assert caught.value.fault == "connection"
    assert not caught.value.maybe_paid


@both
async def test_usage_in_all_its_places(serve: Serve, stream: bool):
    usage = {
        "prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }  # fmt: skip
    body = as_stream(delta({"content": "a"}, "stop"), {"choices": [], "usage": usage})
    document = json.dumps(whole({"content": "a"}) | {"usage": usage})
    answer = await ask(serve, sends(body, kind="text/event-stream") if stream else sends(document), stream)
    counted = answer.usage
    assert (counted.prompt, counted.completion, counted.cached, counted.reasoning) == (100, 20, 64, 5)


async def test_what_came_decides_how_it_is_read(serve: Serve):
    document = whole({"content": "hello"})
    assert (await ask(serve, sends(json.dumps(document)), True)).text == "hello"
    assert (await ask(serve, sends(pieces_of(document), kind="text/event-stream"), False)).text == "hello"


# -- streams of calls as servers really send them ---------------------------------------------------------------------


def started(name: str | None, call_id: str | None, **more: Any) -> dict[str, Any]:
    return tool_call(name, "", call_id, **more)


def part(arguments: str, **more: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments}, **more}


A, B = '{"a": 1}', '{"b": 2}'
SHAPES = {
    "OpenAI": [[started("f", "x", index=0)], [part('{"a"', index=0)], [part(": 1}", index=0)],
               [started("g", "y", index=1)], [part(B, index=1)]],
    "interleaved": [[started("f", "x", index=0), started("g", "y", index=1)], [part('{"b"', index=1)],
                    [part('{"a"', index=0)], [part(": 2}", index=1), part(": 1}", index=0)]],
    "no index, whole (Gemini)": [[tool_call("f", A, "x"), tool_call("g", B, "y")]],
    "no index, no id, whole": [[tool_call("f", A, None)], [tool_call("g", B, "")]],
    "no index, in pieces": [[started("f", "x")], [part('{"a"')], [part(": 1}")], [started("g", "y")], [part(B)]],
    "always index 0 (Ollama)": [[tool_call("f", A, "x", index=0)], [tool_call("g", B, "y", index=0)]],
    "always index 0, no ids": [[tool_call("f", A, None, index=0)], [tool_call("g", B, None, index=0)]],
    "id repeated": [[started("f", "x", index=0)], [tool_call(None, A, "x", index=0)], [started("g", "y", index=1)],
                    [tool_call("g", B, "y", index=1)]],
    "index counts on": [[started("f", "x", index=0)], [part('{"a"', index=1)], [part(": 1}", index=2)],
                        [tool_call("g", B, "y", index=3)]],
    "indexes with holes": [[tool_call("f", A, "x", index=1)], [tool_call("g", B, "y", index=5)]],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
async def test_calls_are_put_together(serve: Serve, shape: str):
    events = [delta({"tool_calls": calls}) for calls in SHAPES[shape]]
    body = as_stream(*events, delta({}, "tool_calls"), USAGE)
    answer = await ask(serve, sends(body, kind="text/event-stream"), True)
    assert [(call.name, call.arguments) for call in answer.calls] == [("f", A), ("g", B)]


STREAM = b"\xef\xbb\xbf: PROCESSING\r\n\r\n" + as_stream(
    delta({"role": "assistant", "content": ""}),
    delta({"reasoning_content": "thinking"}),
    delta({"content": "Grüße\n🎈"}),
    delta({"tool_calls": [started("f", "x", index=0)]}),
    delta({"tool_calls": [part('{"a":', index=0)]}),
    delta({"tool_calls": [part(' "é"}', index=0), tool_call("g", B, "y", index=1)]}),
    delta({}, "tool_calls"),
    USAGE,
).replace(b"\n\ndata: [", b"\r\n\r\nevent: end\rid: 3\r\ndata:[")


def collected(chunks: list[bytes]) -> ModelResponse:
    stream, answer, decoder = EventStream(), Answer(), msgspec.json.Decoder(Piece)
    events = [data for chunk in chunks for data in stream.feed(chunk)]
    for data in [*events, *stream.finish()]:
        if data != b"[DONE]":
            assert answer.add(decode_piece(data, decoder)) is None
    return answer.response()


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_any_cut_of_the_bytes_gives_the_same_answer(cuts: list[int]):
    edges = [0, *sorted(cuts), len(STREAM)]
    answer = collected([STREAM[a:b] for a, b in pairwise(edges)])
    assert answer == collected([STREAM])
    assert answer.text == "Grüße\n🎈"
    assert answer.calls == (ToolCall("x", "f", '{"a": "é"}'), ToolCall("y", "g", B))
    assert answer.reasoning == "thinking"


# -- the request ------------------------------------------------------------------------------------------------------


async def sent_by(serve: Serve, request: ModelRequest, **options: Any) -> tuple[dict[str, Any], web.Request]:
    seen: list[tuple[dict[str, Any], web.Request]] = []

    async def handler(got: web.Request) -> web.Response:
        seen.append((await got.json(), got))
        return web.json_response(whole({"content": "ok"}))

    model = OpenAIModel(await serve(handler), KEY, **options)
    await model.complete(request)
    again = await model.complete(request)
    await model.close()
    assert again.text == "ok"
    assert seen[0][0] == seen[1][0]  # what is kept of the first is right for the second
    return seen[0]


TALK = (
    ChatMessage("system", "rules"),
    ChatMessage("user", "mail \ud800\0"),
    ChatMessage("assistant", "", (ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "f", '{"cut')), reasoning="why"),
    ChatMessage("tool", "done", call_id="c1"),
    ChatMessage("tool", "Error: not JSON", call_id="c2"),
)


async def test_the_request_on_the_wire(serve: Serve):
    tools = (ToolSpec("f", "does f", {"type": "object", "properties": {"a": {"type": "integer"}}}),)
    body, got = await sent_by(serve, ModelRequest("gpt", TALK, tools, 55, 0.5), stream=True, headers={"X-Run": "r1"})
    assert got.headers["Authorization"] == f"Bearer {KEY}"
    assert got.headers["X-Run"] == "r1"
    assert body == {
        "model": "gpt",
        "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "mail \ufffd\ufffd"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    tool_call("f", '{"a": 1}', "c1"),
                    tool_call("f", '{"malformed_arguments": "{\\"cut"}', "c2"),
                ],
            },
            {"role": "tool", "content": "done", "tool_call_id": "c1"},
            {"role": "tool", "content": "Error: not JSON", "tool_call_id": "c2"},
        ],
        "max_tokens": 55,
        "temperature": 0.5,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "does f",
                    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
                },
            }
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_quirks(serve: Serve):
    quirks = Quirks("max_completion_tokens", "api-key", "reasoning_content")
    body, got = await sent_by(serve, ModelRequest("gpt", TALK), stream=False, quirks=quirks)
    assert body["max_completion_tokens"] == 8192
    assert "max_tokens" not in body
    assert "stream" not in body
    assert got.headers["api-key"] == KEY
    assert "Authorization" not in got.headers
    assert body["messages"][2]["reasoning_content"] == "why"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "http://[::1/v1", ""])
def test_a_base_url_that_is_none(url: str):
    with pytest.raises(ConfigurationError, match="base-url"):
        OpenAIModel(url)


def test_a_key_that_was_not_copied_whole():
    with pytest.raises(ConfigurationError, match="copied whole") as caught:
        OpenAIModel("http://localhost/v1", "sk-ab\ncd")
    assert "sk-ab" not in str(caught.value)
