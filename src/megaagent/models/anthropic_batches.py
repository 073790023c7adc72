"""Anthropic's Message Batches: the requests go in one call, the results are read when processing has ended.

Source: Claude API reference, "Message Batches"; guide "Batch processing" (November 2026). A batch carries no name of
ours, so one whose creation was cut off cannot be found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from megaagent.errors import ModelError
from megaagent.models.batches import (
    ANSWER_BYTES,
    Named,
    Outcome,
    Progress,
    custom_id,
    fields_of,
    lines_of,
    not_done,
    number_of,
    raws_of,
    read_batch,
    unanswered,
    value_of,
)
from megaagent.models.blocks import MessageReading
from megaagent.models.contract import ModelRequest
from megaagent.models.counting import with_usage
from megaagent.models.faults import Secrets, error_inside
from megaagent.models.http import HTTPModel
from megaagent.models.layout import Layout

PATH: Final = "/v1/messages/batches"
FILE_BYTES: Final = 1 << 30


class Whole(Protocol):
    """The part of the protocol's dialect that a batch needs: whole answers, no stream."""

    def encode(self, request: ModelRequest) -> tuple[bytes, Layout]: ...

    def reading(self, request: ModelRequest, sent: Layout, secrets: Secrets) -> MessageReading: ...


class _Batch(Named):
    processing_status: str = ""
    request_counts: Any = None


class AnthropicBatches:
    """Batches of messages.

    Args:
        http: the model's connection.
        dialect: of the protocol, asking for whole answers.
    """

    requests = 100_000
    bytes = 240_000_000
    finds = False

    def __init__(self, http: HTTPModel, dialect: Whole):
        self._http = http
        self._dialect = dialect

    def size(self, request: ModelRequest) -> int:
        return len(self._dialect.encode(request)[0]) + 200

    async def send(self, key: str, requests: Sequence[ModelRequest]) -> str:
        asked = [
            {"custom_id": custom_id(key, number), "params": msgspec.Raw(self._dialect.encode(request)[0])}
            for number, request in enumerate(requests)
        ]
        data = msgspec.json.encode({"requests": asked})
        return read_batch(await self._http.side_request("POST", PATH, data, deadline=600.0), _Batch).id

    async def find(self, key: str) -> str | None:
        return None

    async def look(self, name: str) -> Progress:
        try:
            batch = read_batch(await self._http.side_request("GET", f"{PATH}/{name}"), _Batch)
        except ModelError as error:
            if error.status != 404:
                raise
            return Progress("unknown", reason=error.detail)
        counts = {each: count for each, count in fields_of(batch.request_counts).items() if isinstance(count, int)}
        total = sum(counts.values())
        position = "ended" if batch.processing_status == "ended" else "under way"
        return Progress(position, total - counts.get("processing", 0), total)

    async def answers(self, name: str, key: str, requests: Sequence[ModelRequest]) -> list[Outcome]:
        # Not by the URL that the batch tells: the key goes to no other place than the one that was configured.
        most = min(FILE_BYTES, len(requests) * ANSWER_BYTES)
        data = await self._http.side_request("GET", f"{PATH}/{name}/results", deadline=600.0, most=most)
        found: dict[int, Outcome] = {}
        for line in lines_of(data):
            number = number_of(value_of(line.get("custom_id")), key, len(requests))
            if number is not None and number not in found:
                found[number] = self._outcome(line.get("result"), requests[number])
        rest = unanswered("its batch has ended without a word about it")
        return [found.get(number, rest) for number in range(len(requests))]

    async def cancel(self, name: str) -> None:
        await self._http.side_request("POST", f"{PATH}/{name}/cancel")

    def _outcome(self, raw: msgspec.Raw | None, request: ModelRequest) -> Outcome:
        result = raws_of(raw)
        match value_of(result.get("type")):
            case "succeeded":
                try:
                    return self._answer(bytes(result.get("message") or b""), request)
                except ModelError as error:
                    return error
            case "errored":
                return error_inside(fields_of(value_of(result.get("error"))), self._http.secrets)
            case "canceled":
                return not_done("the batch was cancelled")
            case "expired":
                return not_done("the batch has expired")
            case other:
                return unanswered(f"its result is of a kind that is not known: {str(other)[:80]!r}")

    def _answer(self, body: bytes, request: ModelRequest) -> Outcome:
        sent, layout = self._dialect.encode(request)
        reading = self._dialect.reading(request, layout, self._http.secrets)
        try:
            reading.take(body)
            answer = reading.response(whole=True)
        except ModelError as error:
            error.maybe_paid = True
            error.usage = reading.usage() if reading.counted else None
            raise
        if not request.messages:  # under a beginning that is not known any more, its thoughts could not be sent back
            return with_usage(request, 0, msgspec.structs.replace(answer, echo=""), counted=reading.counted)
        return with_usage(request, len(sent), answer, counted=reading.counted)
