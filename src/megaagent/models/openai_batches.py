"""OpenAI's Batch API: a file of requests is uploaded, a batch is made of it, its answers are files again.

Source: OpenAI API reference, "Batch", "Files", "The request input object", "The request output object"; guide "Batch
API" (November 2026). Others speak it too (Azure, Groq, Together, Novita).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from uuid import uuid4

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
from megaagent.models.contract import ModelRequest
from megaagent.models.counting import with_usage
from megaagent.models.faults import Secrets, error_inside, error_of_answer
from megaagent.models.http import HTTPModel, Reading

ENDPOINT: Final = "/v1/chat/completions"  # as a batch names it, wherever the server is
LISTED: Final = 100  # batches of an account that are looked through for one of ours
FILE_BYTES: Final = 1 << 30
_NOT_DONE: Final = ("batch_expired", "batch_cancelled")
_ENDED: Final = ("completed", "failed", "expired", "cancelled")


class Whole(Protocol):
    """The part of the protocol's dialect that a batch needs: whole answers, no stream."""

    def encode(self, request: ModelRequest) -> tuple[bytes, str]: ...

    def reading(self, request: ModelRequest, sent: str, secrets: Secrets) -> Reading: ...


class _Batch(Named):
    status: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: Any = None
    request_counts: Any = None


class OpenAIBatches:
    """Batches of chat completions.

    Args:
        http: the model's connection.
        dialect: of the protocol, asking for whole answers.
    """

    requests = 50_000
    bytes = 190_000_000
    finds = True

    def __init__(self, http: HTTPModel, dialect: Whole):
        self._http = http
        self._dialect = dialect

    def size(self, request: ModelRequest) -> int:
        return len(self._dialect.encode(request)[0]) + 200

    async def send(self, key: str, requests: Sequence[ModelRequest]) -> str:
        lines = [
            msgspec.json.encode(
                {
                    "custom_id": custom_id(key, number),
                    "method": "POST",
                    "url": ENDPOINT,
                    "body": msgspec.Raw(self._dialect.encode(request)[0]),
                }
            )
            for number, request in enumerate(requests)
        ]
        file = await self._upload(f"{key}.jsonl", b"\n".join(lines) + b"\n")
        asked = {
            "input_file_id": file,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {"megaagent": key},
        }
        return read_batch(await self._http.side_request("POST", "/batches", msgspec.json.encode(asked)), _Batch).id

    async def find(self, key: str) -> str | None:
        data = await self._http.side_request("GET", "/batches", query={"limit": str(LISTED)})
        listed = fields_of(value_of(msgspec.Raw(data))).get("data")
        for entry in listed if isinstance(listed, list) else ():  # pyright: ignore[reportUnknownVariableType]
            fields = fields_of(entry)  # pyright: ignore[reportUnknownArgumentType]
            if fields_of(fields.get("metadata")).get("megaagent") == key and isinstance(fields.get("id"), str):
                return str(fields["id"])
        return None

    async def look(self, name: str) -> Progress:
        try:
            batch = await self._retrieve(name)
        except ModelError as error:
            if error.status != 404:
                raise
            return Progress("unknown", reason=error.detail)
        counts = fields_of(batch.request_counts)
        done, failed, total = (_count(counts.get(each)) for each in ("completed", "failed", "total"))
        position = "ended" if _position(batch) in _ENDED else "under way"
        return Progress(position, done + failed, total, self._reason(batch))

    async def answers(self, name: str, key: str, requests: Sequence[ModelRequest]) -> list[Outcome]:
        batch = await self._retrieve(name)
        if _position(batch) not in _ENDED:  # to ask singly what it may answer still would be to pay for it twice
            raise ModelError("broken", f"the batch had ended, and now it is {batch.status[:80]!r}")
        found: dict[int, Outcome] = {}
        most = min(FILE_BYTES, len(requests) * ANSWER_BYTES)
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                data = await self._http.side_request("GET", f"/files/{file}/content", deadline=600.0, most=most)
                for line in lines_of(data):
                    number = number_of(value_of(line.get("custom_id")), key, len(requests))
                    if number is not None and number not in found:
                        found[number] = self._outcome(line, requests[number])
        why = self._reason(batch) or "its batch has ended without a word about it"
        rest = unanswered(why) if _position(batch) == "completed" else not_done(why)
        return [found.get(number, rest) for number in range(len(requests))]

    async def cancel(self, name: str) -> None:
        await self._http.side_request("POST", f"/batches/{name}/cancel")

    async def _upload(self, name: str, data: bytes) -> str:
        boundary = uuid4().hex
        purpose = f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        file = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        body = b"".join([purpose.encode(), file.encode(), data, f"\r\n--{boundary}--\r\n".encode()])
        kind = f"multipart/form-data; boundary={boundary}"
        answer = await self._http.side_request("POST", "/files", body, kind=kind, deadline=600.0)
        id = fields_of(value_of(msgspec.Raw(answer))).get("id")
        if not isinstance(id, str) or not id:
            raise ModelError("broken", "the server took a file and told no id of it")
        return id

    async def _retrieve(self, name: str) -> _Batch:
        return read_batch(await self._http.side_request("GET", f"/batches/{name}"), _Batch)

    def _reason(self, batch: _Batch) -> str:
        position = _position(batch)
        if position in ("expired", "cancelled"):
            return "the batch was cancelled" if position == "cancelled" else "the batch has expired"
        told = fields_of(batch.errors).get("data")
        first = fields_of(told[0]) if isinstance(told, list) and told else {}  # pyright: ignore[reportUnknownArgumentType]
        words = self._http.secrets.hide(str(first.get("message") or ""))[:300]
        return f"the batch has failed: {words or 'no explanation'}" if position == "failed" else ""

    def _outcome(self, line: dict[str, msgspec.Raw], request: ModelRequest) -> Outcome:
        try:
            return self._answer(line, request)
        except ModelError as error:
            return error

    def _answer(self, line: dict[str, msgspec.Raw], request: ModelRequest) -> Outcome:
        refused = fields_of(value_of(line.get("error")))
        if refused.get("code") in _NOT_DONE:
            return not_done(self._http.secrets.hide(str(refused.get("message") or refused["code"]))[:300])
        response = raws_of(line.get("response"))
        status, body = _count(value_of(response.get("status_code"))), bytes(response.get("body") or b"")
        if not response or not body:
            return error_inside(refused or {"message": "an empty line"}, self._http.secrets)
        if status != 200:
            return error_of_answer(status or 500, {}, body, self._http.secrets)
        sent, tool = self._dialect.encode(request)
        reading = self._dialect.reading(request, tool, self._http.secrets)
        try:
            reading.take(body)
            answer = reading.response(whole=True)
        except ModelError as error:
            error.maybe_paid = True
            error.usage = reading.usage() if reading.counted else None
            raise
        return with_usage(request, len(sent) if request.messages else 0, answer, counted=reading.counted)


def _position(batch: _Batch) -> str:
    """Its status, as the reference writes it (some servers use capitals); an unknown one is none of an end."""
    return batch.status.lower().replace("canceled", "cancelled")


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0
