"""Every fault of a model provider that the campaign plays, and what must be seen of each in the journal.

A fault of the way (`WAYS`) keeps the answer from arriving whole; a fault of the answer (`ANSWERS`) spoils what arrives.
What is cut carries `MARK`, so that nothing of it can take effect unseen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from campaigns.wire import BAD_BYTES, Exchange, Gone, Reply
from megaagent.events import Struct

if TYPE_CHECKING:
    from campaigns.faulty import FaultyServer

MARK: Final = "NEVER-TO-TAKE-EFFECT"
LATE: Final = 1.0  # seconds beyond the attempt's deadline after which a late answer comes

# What must be in the journal: another attempt (or the call's failure), the call's failure, a mended answer, something
# that the agent was told, the run's pause; or nothing, because nothing is wrong.
Shows: TypeAlias = Literal["attempt", "call", "repair", "told", "pause", "nothing"]
Way: TypeAlias = Callable[["FaultyServer", Exchange, Reply], Awaitable[None]]
Spoil: TypeAlias = Callable[[Reply, Random], None]


class Fault(Struct, frozen=True):
    """One fault.

    Attributes:
        way, spoil: how it is played: one of them.
        shows: what must be in the journal for each time that it was played.
        paid: the provider has worked on the attempt that failed, so the journal must keep a reservation for it.
        agents: played on agents below the boss only; otherwise on everybody's calls, the verifier's included.
        text: it spoils the text of arguments, which there is not where they are an object (a whole answer of the
            Messages API).
        lasts: goes on until a person has acted.
        times: how often it is played in a row.
    """

    shows: Shows
    way: Way | None = None
    spoil: Spoil | None = None
    paid: bool = False
    agents: bool = False
    text: bool = False
    lasts: bool = False
    times: int = 1


# -- the way ----------------------------------------------------------------------------------------------------------


async def _no_headers(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await x.silence()


async def _hang_up(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    x.hang_up()


async def _half(x: Exchange, reply: Reply) -> None:
    """Half of an answer whose call would do harm."""
    _write_mark(reply)
    if not x.stream:
        body = reply.whole()
        await x.whole(body[: len(body) // 2], headers={"Content-Length": str(len(body))})
        return
    events = list(reply.events())
    await x.begin_stream()
    for data in events[: max(2, len(events) - 3)]:  # neither the end of the arguments nor a reason for the end
        await x.event(data)


async def _stall(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await _half(x, reply)
    await x.silence()


async def _cut_body(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await _half(x, reply)
    await asyncio.sleep(0.02)
    x.hang_up()


async def _no_end(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    if not x.stream:
        await _cut_body(server, x, reply)
        return
    await _half(x, reply)
    await x.end_stream(mark=False)


async def _pings(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    if x.stream:
        await x.begin_stream()
    else:
        await x.write(b"HTTP/1.1 200 told\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    x.keep = False
    for _ in range(600):
        await x.ping()
        await asyncio.sleep(0.1)


async def _error_inside(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    error = x.told_inside("the upstream died")
    if not x.stream:
        await x.whole(error)
        return
    await _half(x, reply)
    await x.event(error)
    await x.end_stream()


async def _broken_sse(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    if not x.stream:
        await x.whole(b'{"choices": [{"message": {"content": ')
        return
    await _half(x, reply)
    await x.chunk(b'event: message\ndata: {"choices": [{"delta"\n: }]\n\n')
    await x.end_stream()


async def _html(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await x.whole(b"<!doctype html><p>Please log in to the network.</p>", headers={"Content-Type": "text/html"})


async def _empty_body(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await x.whole(b"")


async def _deep_answer(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await x.whole(b'{"choices":' * 10_000)


async def _late(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    _write_mark(reply)
    await asyncio.sleep(server.attempt_seconds + LATE)
    x.keep = False
    with suppress(Gone):
        await x.send(reply)


def _status(status: int, message: str, code: str | None = None) -> Way:
    async def way(server: FaultyServer, x: Exchange, reply: Reply) -> None:
        await x.error(status, message, code)

    return way


def _refused_for(seconds: float, **headers: str) -> Way:
    """A rate limit; no call may come before `seconds` are over."""

    async def way(server: FaultyServer, x: Exchange, reply: Reply) -> None:
        server.close_for(seconds)
        await x.error(429, "Rate limit reached for requests", "rate_limit_exceeded", **headers)

    return way


async def _refused_until(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    server.close_for(1.0)
    end = format_datetime(now + timedelta(seconds=1), usegmt=True)
    await x.error(429, "slow", "rate_limit_exceeded", Retry_After=end, Date=format_datetime(now, usegmt=True))


async def _bad_gateway(server: FaultyServer, x: Exchange, reply: Reply) -> None:
    await x.whole(b"<html><h1>502 Bad Gateway</h1></html>", 502, {"Content-Type": "text/html"})


# -- the answer -------------------------------------------------------------------------------------------------------


def _write_mark(reply: Reply) -> None:
    """The answer is one call that writes what must never be there."""
    arguments = json.dumps({"path": "harm.txt", "content": MARK + " x" * 2000})
    reply.text = None
    reply.calls = [{"id": "harm", "type": "function", "function": {"name": "write_file", "arguments": arguments}}]
    reply.finish = "tool_calls"


def _function(reply: Reply) -> dict[str, Any]:
    return reply.calls[0]["function"]


def _first(change: Callable[[str], str]) -> Spoil:
    """Change the arguments of the first call."""

    def spoil(reply: Reply, random: Random) -> None:
        _function(reply)["arguments"] = change(_function(reply)["arguments"])

    return spoil


def _before(name: str, arguments: str) -> Spoil:
    """Put another call before all others."""

    def spoil(reply: Reply, random: Random) -> None:
        call = {"id": f"call_{random.randrange(1 << 60):x}", "type": "function"}
        reply.calls.insert(0, {**call, "function": {"name": name, "arguments": arguments}})

    return spoil


def _says(text: str | None, finish: str = "stop", **more: Any) -> Spoil:
    """Text without calls."""

    def spoil(reply: Reply, random: Random) -> None:
        reply.text, reply.calls, reply.finish, reply.more = text, [], finish, more

    return spoil


def _half_call(reply: Reply, random: Random) -> None:
    _write_mark(reply)
    _function(reply)["arguments"] = _function(reply)["arguments"][:900]
    reply.finish = "length"


def _unclosed(reply: Reply, random: Random) -> None:
    _half_call(reply, random)
    reply.finish = "tool_calls"


def _no_choices(reply: Reply, random: Random) -> None:
    reply.choices = False


def _duplicate_key(arguments: str) -> str:
    key, value = next(iter(json.loads(arguments).items()))
    return f"{arguments.rstrip()[:-1]}, {json.dumps(key)}: {json.dumps(value)}}}"


def _single_quotes(arguments: str) -> str:
    return repr(json.loads(arguments))


def _doubled_name(reply: Reply, random: Random) -> None:
    _function(reply)["name"] *= 2


def _doubled_call(reply: Reply, random: Random) -> None:
    reply.calls.insert(0, reply.calls[0])


def _as_text(reply: Reply, random: Random) -> None:
    written = [
        json.dumps({"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])})
        for call in reply.calls
    ]
    one = random.random() < 0.5 and len(written) == 1
    reply.text = f"```json\n{written[0]}\n```" if one else "".join(f"<tool_call>\n{c}\n</tool_call>" for c in written)
    reply.calls, reply.finish = [], "stop"


def _missing_ids(reply: Reply, random: Random) -> None:
    for call in reply.calls:
        call["id"] = random.choice([None, ""])


def _repeated_ids(reply: Reply, random: Random) -> None:
    for call in reply.calls:
        call["id"] = "call_0"


def _odd_ids(reply: Reply, random: Random) -> None:
    for number, call in enumerate(reply.calls):
        call["id"] = f"call {number} é" + "x" * 200


def _many_calls(reply: Reply, random: Random) -> None:
    for number in range(200):
        _before("list_files", json.dumps({"pattern": f"{number}*"}))(reply, random)


def _no_usage(reply: Reply, random: Random) -> None:
    reply.usage = None


def _absurd_usage(reply: Reply, random: Random) -> None:
    reply.usage = random.choice(
        [
            {"prompt_tokens": -5, "completion_tokens": -1},
            {"prompt_tokens": 10**30, "completion_tokens": 3},
            {"prompt_tokens": 0, "completion_tokens": 0},
            {"prompt_tokens": 900, "completion_tokens": 10**9},
            {"prompt_tokens": "many", "completion_tokens": "few"},
            {"prompt_tokens": 4.5, "completion_tokens": None},
            [1, 2, 3],
            "none",
        ]
    )


def _cut_prompt(reply: Reply, random: Random) -> None:
    reply.usage = {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}


def _other_model(reply: Reply, random: Random) -> None:
    reply.model = random.choice(["another-model-v2", "m\0\ud800\u202e" + "x" * 10_000, 7])


_TOO_LONG = "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."

FAULTS: Final[dict[str, Fault]] = {
    # connections
    "no headers": Fault("attempt", _no_headers, paid=True),
    "hang-up before the answer": Fault("attempt", _hang_up, paid=True),
    "stall mid-stream": Fault("attempt", _stall, paid=True),
    "pings only": Fault("attempt", _pings, paid=True),
    "stream without end mark": Fault("attempt", _no_end, paid=True),
    "cut body": Fault("attempt", _cut_body, paid=True),
    "error event inside a 200": Fault("attempt", _error_inside, paid=True),
    "broken SSE": Fault("attempt", _broken_sse, paid=True),
    "broken UTF-8": Fault("repair", spoil=_before("recall", json.dumps({"query": f"a{BAD_BYTES}b"})), text=True),
    "HTML with 200": Fault("attempt", _html, paid=True),
    "empty body": Fault("attempt", _empty_body, paid=True),
    "answer of depth 10,000": Fault("attempt", _deep_answer, paid=True),
    "answer after the deadline": Fault("attempt", _late, paid=True),
    # statuses
    "408": Fault("attempt", _status(408, "timed out")),
    "409": Fault("attempt", _status(409, "conflict")),
    "429, Retry-After in seconds": Fault("attempt", _refused_for(1.0, Retry_After="1")),
    "429, Retry-After as a date": Fault("attempt", _refused_until),
    "429, Retry-After in milliseconds": Fault("attempt", _refused_for(0.6, retry_after_ms="600")),
    "429, Retry-After zero": Fault("attempt", _refused_for(0.0, Retry_After="0")),
    "429, Retry-After garbage": Fault("attempt", _refused_for(0.0, Retry_After="soon, perhaps")),
    "429, Retry-After huge": Fault("pause", _refused_for(0.0, Retry_After="86400"), lasts=True),
    "429 that means no money": Fault(
        "pause", _status(429, "You exceeded your current quota", "insufficient_quota"), lasts=True
    ),
    "402": Fault("pause", _status(402, "Insufficient Balance"), lasts=True),
    "401": Fault("pause", _status(401, "Incorrect API key provided", "invalid_api_key"), lasts=True),
    "403": Fault("pause", _status(403, "Country not supported"), lasts=True),
    "404 model": Fault("pause", _status(404, "The model does not exist", "model_not_found"), lasts=True),
    "400 for our history": Fault("call", _status(400, "messages[3] is invalid"), agents=True),
    "context overflow": Fault("call", _status(400, _TOO_LONG, "context_length_exceeded"), agents=True),
    "413": Fault("call", _status(413, "Payload Too Large"), agents=True),
    "500": Fault("attempt", _status(500, "The server had an error", "server_error")),
    "502": Fault("attempt", _bad_gateway),
    "503": Fault("attempt", _status(503, "overloaded")),
    "504": Fault("attempt", _status(504, "upstream timed out")),
    "529": Fault("attempt", _status(529, "Overloaded")),
    "content filter on the prompt": Fault("attempt", _status(400, "flagged", "content_filter")),
    # answers
    "content filter on the answer": Fault("attempt", spoil=_says(MARK, "content_filter"), paid=True),
    "refusal": Fault("attempt", spoil=_says(None, refusal="I cannot help with that."), paid=True),
    "length with text": Fault("told", spoil=_says("I will begin by", "length"), agents=True),
    "length with half a tool call": Fault("attempt", spoil=_half_call, paid=True, text=True),
    "empty message": Fault("attempt", spoil=_says(""), paid=True),
    "no choices": Fault("attempt", spoil=_no_choices, paid=True),
    "thinking only": Fault("attempt", spoil=_says(None, reasoning_content="hm"), paid=True),
    "bare text": Fault("told", spoil=_says("I have done it all."), agents=True),
    "repetition up to the limit": Fault("repair", spoil=_says("Once more. " * 4000, "length"), agents=True),
    # arguments
    "JSON in a fence": Fault("repair", spoil=_first(lambda text: f"```json\n{text}\n```"), agents=True, text=True),
    "JSON in single quotes": Fault("repair", spoil=_first(_single_quotes), agents=True, text=True),
    "talk after the JSON": Fault(
        "repair", spoil=_first(lambda text: f"{text}\nThis writes the file."), agents=True, text=True
    ),
    "duplicate keys": Fault("repair", spoil=_first(_duplicate_key), agents=True, text=True),
    "JSON within a string": Fault("repair", spoil=_first(json.dumps), agents=True, text=True),
    "doubled arguments": Fault("repair", spoil=_first(lambda text: text * 2), agents=True, text=True),
    "doubled name": Fault("repair", spoil=_doubled_name, agents=True),
    "doubled call": Fault("repair", spoil=_doubled_call, agents=True),
    "call written as text": Fault("repair", spoil=_as_text, agents=True),
    "unclosed JSON": Fault("told", spoil=_unclosed, agents=True, text=True),
    "NaN": Fault("told", spoil=_before("wait", '{"names": [], "reason": "", "minutes": NaN}'), agents=True, text=True),
    "arguments of 10 MB": Fault(
        "told", spoil=_before("write_file", json.dumps({"path": "harm.txt", "content": MARK * 500_000})), agents=True
    ),
    "arguments of depth 10,000": Fault(
        "told", spoil=_before("recall", '{"query":' * 10_000 + "1" + "}" * 10_000), agents=True, text=True
    ),
    "unknown tool": Fault("told", spoil=_before("paint_picture", '{"of": "a tree"}'), agents=True),
    "misspelt tool": Fault("told", spoil=_before("list_flies", '{"pattern": "*"}'), agents=True),
    "a name that no tool can have": Fault("told", spoil=_before("write file!\0é" * 20, "{}"), agents=True),
    "wrong types": Fault("told", spoil=_before("write_file", '{"path": 7, "content": ["x"]}'), agents=True),
    "200 calls in one answer": Fault("nothing", spoil=_many_calls, agents=True),
    "missing call ids": Fault("repair", spoil=_missing_ids, agents=True),
    "repeated call ids": Fault("nothing", spoil=_repeated_ids, agents=True, times=4),
    "ids that cannot be sent back": Fault("repair", spoil=_odd_ids, agents=True),
    "surrogates and NUL": Fault(
        "repair", spoil=_before("recall", '{"query": "a\\u0000\\ud800b"}'), agents=True, text=True
    ),
    "raw surrogates and NUL": Fault(
        "repair", spoil=_before("recall", '{"query": "a\0\ud800b"}'), agents=True, text=True
    ),
    "bidi characters": Fault("nothing", spoil=_before("recall", '{"query": "a\u202eb\u2066"}'), agents=True),
    # books
    "silently cut prompt": Fault("repair", spoil=_cut_prompt, agents=True),
    "missing usage": Fault("repair", spoil=_no_usage),
    "absurd usage": Fault("repair", spoil=_absurd_usage),
    "another model's name": Fault("nothing", spoil=_other_model),
}
