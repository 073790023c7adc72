"""What no run may show, whatever agents, files and programs have put into it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from megaagent import events as ev
from megaagent.cli.drawing import frame, outline
from megaagent.cli.facts import Teller
from megaagent.cli.panorama import Panorama
from megaagent.cli.words import UNICODE, clean_json
from megaagent.events import ENGINE, PERSON, VERIFIER, Record
from megaagent.models.chat_requests import RequestEncoder
from megaagent.models.contract import Model, ModelRequest, ModelResponse
from megaagent.models.quirks import Quirks
from megaagent.organization.limits import Limits
from megaagent.report import report
from megaagent.testing import Rehearsal
from megaagent.workspace.paths import is_clean

# What a terminal would obey (C0 but line end and tab, DEL, C1), and what reorders or hides what is read.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
TOOL_NAME = re.compile("[a-zA-Z0-9_-]{1,64}")  # what OpenAI and Anthropic take in a history
TAG = re.compile(r"<(/?)(mail|status|summary)\b", re.IGNORECASE)


def obeyed(text: str) -> str:
    """The first thing in a text that a terminal would obey, with what stands around it; empty when there is none."""
    found = OBEYED.search(text)
    return "" if found is None else ascii(text[max(0, found.start() - 30) : found.end() + 30])


class Overheard:
    """A model that keeps the requests that it was sent."""

    def __init__(self, model: Model):
        self._model = model
        self.requests: list[ModelRequest] = []

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self.requests.append(request)
        return await self._model.complete(request)

    async def close(self) -> None:
        await self._model.close()


def problems_of(run: Rehearsal, requests: Sequence[ModelRequest]) -> Iterator[str]:
    """What is wrong with a rehearsed run, beyond what its own case looks for."""
    yield from _forged(run.records)
    yield from _unanswered(run.records)
    yield from _too_large(run.records)
    yield from (f"a file {path!a} is in the workspace" for path in run.files if not is_clean(path))
    yield from _not_kept(run.records)
    yield from _shown(run.records)
    encoder = RequestEncoder(Quirks(), stream=False)
    yield from dict.fromkeys(problem for request in requests for problem in _invalid(encoder.encode(request)))


def _forged(records: Iterable[Record]) -> Iterator[str]:
    reported: dict[str, str] = {}
    for record in records:
        if isinstance(record.event, ev.WorkReported):
            reported[record.agent] = record.event.report
        elif isinstance(record.event, ev.MessageSent):
            sender, by_engine = record.event.message.sender, record.step == 0
            # The engine itself hands on a report, and in no step of anybody's.
            handed_on = by_engine and reported.get(sender, "")[:100] in record.event.message.text
            if sender != record.agent and sender not in (ENGINE, PERSON, VERIFIER) and not handed_on:
                yield f"{record.agent} sent a message as {sender}"
        elif isinstance(record.event, ev.AgentRecruited) and record.event.id != "boss":
            superior, _, name = record.event.id.rpartition("/")
            if superior != record.agent or not re.fullmatch(r"[A-Za-z_]\w{0,49}", name, re.ASCII):
                yield f"{record.agent} recruited {record.event.id!a}"


def _unanswered(records: Iterable[Record]) -> Iterator[str]:
    open_calls: dict[str, list[str]] = {}
    for record in records:
        if isinstance(record.event, ev.ModelAnswered) and record.agent.partition("/")[0] == "boss":
            if record.event.call.endswith("/summary"):
                continue  # whatever it calls, nothing is done
            if open_calls.get(record.agent):
                yield f"{record.agent}: calls without a result"
            open_calls[record.agent] = [call.id for call in record.event.calls]
        elif isinstance(record.event, ev.ToolReturned):
            waiting = open_calls.get(record.agent, [])
            if not waiting or waiting.pop(0) != record.event.call_id:
                yield f"{record.agent}: a result that no call asked for"


def _too_large(records: Iterable[Record]) -> Iterator[str]:
    limits = Limits()
    for record in records:
        if isinstance(record.event, ev.ToolReturned) and len(record.event.text) > 4 * limits.shown + 200:
            yield f"a result of {len(record.event.text)} characters was given to {record.agent}"
        if isinstance(record.event, ev.MessageSent) and len(record.event.message.text) > limits.messages + 2_000:
            yield f"a message of {len(record.event.message.text)} characters was sent by {record.agent}"


def _not_kept(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        data = msgspec.json.encode(record)
        if msgspec.json.decode(data, type=Record) != record:
            yield f"fact {record.position} is not read back as it was written"
        if found := obeyed(clean_json(data.decode())):
            yield f"show --json prints {found}"


def _shown(records: Sequence[Record]) -> Iterator[str]:
    """Every picture of a run that the command line and the report draw."""
    teller, panorama = Teller(UNICODE), Panorama()
    for record in records:
        panorama.take_in(record)
        line = teller.line(record, 0.0, 100)
        if found := obeyed(line + teller.words(record)):
            yield f"a line of {type(record.event).__name__} prints {found}"
        if "\n" in line:
            yield f"a line of {type(record.event).__name__} is several"
    pictures = [*frame(panorama, panorama.last, 100, 30, UNICODE), *outline(panorama, 100, UNICODE)]
    for picture in pictures:
        if found := obeyed(picture.plain):
            yield f"the live view prints {found}"
    if found := obeyed(report(records)):
        yield f"the report holds {found}"


def _invalid(body: bytes) -> Iterator[str]:
    """What a provider would refuse in a request, by OpenAI's rules for a conversation."""
    try:
        messages: list[dict[str, Any]] = json.loads(body.decode())["messages"]
    except ValueError as error:
        yield f"a request is no JSON: {error}"
        return
    if b"\\u0000" in body or re.search(rb"\\u[dD][89a-fA-F]", body):
        yield "a request holds NUL or a lone surrogate"
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield "a request answers a call that was not made"
            else:
                waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            yield "a request leaves calls unanswered"
        calls: list[dict[str, Any]] = message.get("tool_calls", [])
        waiting = [call["id"] for call in calls]
        if len(set(waiting)) < len(waiting):
            yield "a request has two calls of one id"
        for call in calls:
            if not TOOL_NAME.fullmatch(call["function"]["name"]):
                yield f"a request calls {call['function']['name'][:80]!a}, which no provider takes"
            if not call["id"] or len(call["id"]) > 64 or not call["id"].isprintable():
                yield f"a request has the call id {call['id'][:80]!a}"
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                yield "a request has arguments that are no object"
    if waiting:
        yield "a request ends with calls unanswered"


class Watch:
    """Says how long something took, when that is too long."""

    def __init__(self, seconds: float):
        self._most = seconds
        self._began = time.monotonic()

    def problems(self) -> Iterator[str]:
        took = time.monotonic() - self._began
        if took > self._most:
            yield f"it took {took:.1f} s, more than {self._most:g}"
