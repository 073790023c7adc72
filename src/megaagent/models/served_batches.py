"""The loopback server's batches: OpenAI's Batch API with its files, and Anthropic's Message Batches.

A batch waits for as long as it is told to, then its requests are answered by the same simulated models that answer
single calls. What the providers refuse is refused here too.

Source: OpenAI API reference, "Batch", "Files"; Claude API reference, "Message Batches" (November 2026).
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from megaagent.events import Struct

Answered = tuple[int, Any]  # status and document, as a single call would be answered
Answer = Callable[[bytes], Awaitable[Answered]]

_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_OPENAI: Final = 50_000
_MOST_ANTHROPIC: Final = 100_000
_COMPLETIONS: Final = "/v1/chat/completions"


class BatchPace(Struct, frozen=True):
    """How the server works on batches.

    Attributes:
        seconds: from the creation of a batch to its answers.
        window: seconds after which a batch expires; a day with the providers.
        left_over: so many of the last requests of each batch are never worked on.
        refuses: a reason for which every batch fails when it is validated; OpenAI's only.
    """

    seconds: float = 0.1
    window: float = 86_400.0
    left_over: int = 0
    refuses: str = ""


class _Asked(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw = msgspec.Raw()
    params: msgspec.Raw = msgspec.Raw()
    method: str = "POST"
    url: str = ""


class _Creation(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None


class _Creations(msgspec.Struct):
    requests: list[_Asked]


class _Batch:
    """One batch on its way; `outcomes` by the place of the request."""

    def __init__(self, id: str, asked: list[_Asked], window: float):
        self.id = id
        self.asked = asked
        self.outcomes: dict[int, Answered] = {}
        self.created = time.time()
        self.expires = self.created + window
        self.ended: float | None = None
        self.how = "in_progress"  # or: completed, expired, cancelled, failed
        self.cancelled: float | None = None
        self.input = ""
        self.metadata: dict[str, str] | None = None
        self.errors: list[dict[str, Any]] = []
        self.stop = asyncio.Event()

    @property
    def left(self) -> list[int]:
        return [number for number in range(len(self.asked)) if number not in self.outcomes]


class BatchDesk:
    """Takes batches of both protocols.

    Args:
        complete, message: answer one request of each protocol, whole.
        may: whether the caller has the key.

    Attributes:
        created: how many batches were made.
    """

    def __init__(self, pace: BatchPace, complete: Answer, message: Answer, may: Callable[[web.Request], bool]):
        self._pace = pace
        self._complete = complete
        self._message = message
        self._may = may
        self._files: dict[str, tuple[str, bytes]] = {}
        self._batches: dict[str, _Batch] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.created = 0

    def register(self, app: web.Application) -> None:
        add = app.router.add_route
        add("POST", "/v1/files", self._guarded(self._upload))
        add("GET", "/v1/files/{id}/content", self._guarded(self._content))
        add("POST", "/v1/batches", self._guarded(self._create))
        add("GET", "/v1/batches", self._guarded(self._list))
        add("GET", "/v1/batches/{id}", self._guarded(self._retrieve))
        add("POST", "/v1/batches/{id}/cancel", self._guarded(self._cancel))
        add("POST", "/v1/messages/batches", self._guarded(self._create_messages, anthropic=True))
        add("GET", "/v1/messages/batches/{id}", self._guarded(self._retrieve_messages, anthropic=True))
        add("GET", "/v1/messages/batches/{id}/results", self._guarded(self._results, anthropic=True))
        add("POST", "/v1/messages/batches/{id}/cancel", self._guarded(self._cancel_messages, anthropic=True))

    async def close(self) -> None:
        """Leave what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _guarded(
        self, handle: Callable[[web.Request], Awaitable[web.Response]], *, anthropic: bool = False
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            try:
                if not self._may(request):
                    raise _Refused(401, "the key is missing or wrong")
                return await handle(request)
            except _Refused as refused:
                kind = {401: "authentication_error", 404: "not_found_error"}.get(refused.status)
                told: dict[str, Any] = {"type": kind or "invalid_request_error", "message": str(refused)}
                if anthropic:
                    return _json({"type": "error", "error": told}, refused.status)
                return _json({"error": {**told, "param": None, "code": None}}, refused.status)

        return guarded

    def _new(self, asked: list[_Asked], id: str, answer: Answer) -> _Batch:
        batch = self._batches[id] = _Batch(id, asked, self._pace.window)
        self.created += 1
        task = asyncio.create_task(self._work(batch, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch

    async def _work(self, batch: _Batch, answer: Answer) -> None:
        pace = self._pace
        if batch.errors:
            batch.how, batch.ended = "failed", time.time()
            return
        await self._pause(batch, min(pace.seconds, pace.window))
        done = range(len(batch.asked) - pace.left_over if pace.seconds <= pace.window else 0)
        for number in () if batch.stop.is_set() else done:
            batch.outcomes[number] = await answer(bytes(batch.asked[number].body) or bytes(batch.asked[number].params))
        if batch.left and not batch.stop.is_set():
            await self._pause(batch, pace.window - pace.seconds)
        batch.how = "cancelled" if batch.stop.is_set() else "expired" if batch.left else "completed"
        batch.ended = time.time()

    async def _pause(self, batch: _Batch, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await batch.stop.wait()
        except TimeoutError:
            pass

    def _batch(self, request: web.Request, prefix: str) -> _Batch:
        id = request.match_info["id"]
        if not id.startswith(prefix) or id not in self._batches:
            raise _Refused(404, f"No batch found with id '{id}'.")
        return self._batches[id]

    # -- OpenAI -------------------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if form.get("purpose") != "batch" or not isinstance(file, web.FileField):
            raise _Refused(400, "a file for batches has the fields purpose=batch and file")
        data = file.file.read()
        id = f"file-{next(self._numbers)}"
        self._files[id] = (file.filename, data)
        return _json(self._file(id))

    def _file(self, id: str) -> dict[str, Any]:
        name, data = self._files[id]
        told = {"id": id, "object": "file", "bytes": len(data), "created_at": int(time.time()), "filename": name}
        return {**told, "purpose": "batch", "status": "processed"}

    async def _content(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        if id not in self._files:
            raise _Refused(404, f"No such File object: {id}")
        return web.Response(body=self._files[id][1], content_type="application/octet-stream")

    async def _create(self, request: web.Request) -> web.Response:
        try:
            made = msgspec.json.decode(await request.read(), type=_Creation)
        except ValueError as error:
            raise _Refused(400, f"the body is not a valid request: {error}") from None
        if made.completion_window != "24h":
            raise _Refused(400, f"Invalid value: {made.completion_window!r}. Value must be '24h'.")
        if made.endpoint != _COMPLETIONS:
            raise _Refused(400, f"Invalid value: {made.endpoint!r}. Supported here is {_COMPLETIONS!r}.")
        if made.input_file_id not in self._files:
            raise _Refused(400, f"No such File object: {made.input_file_id}")
        asked, errors = _read_lines(self._files[made.input_file_id][1])
        if self._pace.refuses:
            errors = [{"code": "invalid_request", "message": self._pace.refuses, "param": None, "line": None}]
        batch = self._new(asked, f"batch_{next(self._numbers)}", self._complete)
        batch.input, batch.metadata, batch.errors = made.input_file_id, made.metadata, errors
        return _json(self._told(batch))

    async def _list(self, request: web.Request) -> web.Response:
        newest = [batch for id, batch in reversed(self._batches.items()) if id.startswith("batch_")]
        some = newest[: int(request.query.get("limit", "20"))]
        return _json({"object": "list", "data": [self._told(batch) for batch in some], "has_more": some != newest})

    async def _retrieve(self, request: web.Request) -> web.Response:
        return _json(self._told(self._batch(request, "batch_")))

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batch(request, "batch_")
        if batch.ended is not None:
            raise _Refused(409, f"Cannot cancel a batch with status '{batch.how}'.")
        batch.cancelled = batch.cancelled or time.time()
        batch.stop.set()
        return _json(self._told(batch))

    def _told(self, batch: _Batch) -> dict[str, Any]:
        going = "cancelling" if batch.cancelled else "in_progress"
        ended = batch.ended is not None
        good = [number for number, (status, _) in batch.outcomes.items() if status == 200]
        told: dict[str, Any] = {
            "id": batch.id,
            "object": "batch",
            "endpoint": _COMPLETIONS,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "input_file_id": batch.input,
            "completion_window": "24h",
            "status": batch.how if ended else going,
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(batch.created),
            "expires_at": int(batch.expires),
            "metadata": batch.metadata,
            "request_counts": {
                "total": 0 if batch.how == "failed" else len(batch.asked),
                "completed": len(good),
                "failed": len(batch.outcomes) - len(good) + (len(batch.left) if batch.how == "expired" else 0),
            },
        }
        if ended and batch.how != "failed":
            told["output_file_id"] = self._kept(f"{batch.id}-output", _output(batch, good))
            told["error_file_id"] = self._kept(f"{batch.id}-error", _errors(batch))
        return told

    def _kept(self, name: str, lines: list[dict[str, Any]]) -> str | None:
        if not lines:
            return None
        id = f"file-{name}"
        self._files[id] = (f"{name}.jsonl", b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return id

    # -- Anthropic ----------------------------------------------------------------------------------------------

    async def _create_messages(self, request: web.Request) -> web.Response:
        if "anthropic-version" not in request.headers:
            raise _Refused(400, "anthropic-version: header is required")
        try:
            asked = msgspec.json.decode(await request.read(), type=_Creations).requests
        except ValueError as error:
            raise _Refused(400, f"the request body is not valid: {error}") from None
        if not 1 <= len(asked) <= _MOST_ANTHROPIC:
            raise _Refused(400, f"requests: List should have 1 to {_MOST_ANTHROPIC} items")
        for number, each in enumerate(asked):
            if not _ID.fullmatch(each.custom_id):
                raise _Refused(400, f"requests.{number}.custom_id: String should match '^[a-zA-Z0-9_-]{{1,64}}$'")
            params = _object(each.params)
            if params.get("stream"):
                raise _Refused(400, f"requests.{number}.params.stream: streaming is not supported in batches")
        if len({each.custom_id for each in asked}) < len(asked):
            raise _Refused(400, "requests: custom_id must be unique within a batch")
        return _json(self._message_batch(self._new(asked, f"msgbatch_{next(self._numbers)}", self._message), request))

    async def _retrieve_messages(self, request: web.Request) -> web.Response:
        return _json(self._message_batch(self._batch(request, "msgbatch_"), request))

    async def _cancel_messages(self, request: web.Request) -> web.Response:
        batch = self._batch(request, "msgbatch_")
        if batch.ended is None:
            batch.cancelled = batch.cancelled or time.time()
            batch.stop.set()
        return _json(self._message_batch(batch, request))

    async def _results(self, request: web.Request) -> web.Response:
        batch = self._batch(request, "msgbatch_")
        if batch.ended is None:
            raise _Refused(404, f"batch {batch.id} has no results before it has ended")
        lines = (
            msgspec.json.encode({"custom_id": each.custom_id, "result": _result(batch, number)}) + b"\n"
            for number, each in reversed(list(enumerate(batch.asked)))  # results come in any order
        )
        return web.Response(body=b"".join(lines), content_type="application/x-jsonl")

    def _message_batch(self, batch: _Batch, request: web.Request) -> dict[str, Any]:
        ended = batch.ended is not None
        good = sum(status == 200 for status, _ in batch.outcomes.values())
        left = len(batch.left)
        counts = {"processing": 0 if ended else len(batch.asked), "succeeded": 0, "errored": 0}
        if ended:
            counts |= {"succeeded": good, "errored": len(batch.outcomes) - good}
        counts["canceled"] = left if ended and batch.how == "cancelled" else 0
        counts["expired"] = left if ended and batch.how == "expired" else 0
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if batch.cancelled else "in_progress",
            "request_counts": counts,
            "created_at": _moment(batch.created),
            "expires_at": _moment(batch.expires),
            "ended_at": _moment(batch.ended) if batch.ended is not None else None,
            "cancel_initiated_at": _moment(batch.cancelled) if batch.cancelled is not None else None,
            "archived_at": None,
            "results_url": f"{request.url.origin()}/v1/messages/batches/{batch.id}/results" if ended else None,
        }


class _Refused(Exception):
    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


def _read_lines(data: bytes) -> tuple[list[_Asked], list[dict[str, Any]]]:
    """The requests of an uploaded file, and what is wrong with it."""
    asked: list[_Asked] = []
    errors: list[dict[str, Any]] = []

    def wrong(code: str, message: str, line: int | None = None) -> None:
        errors.append({"code": code, "message": message, "param": None, "line": line})

    for number, line in enumerate(data.splitlines(), 1):
        try:
            asked.append(msgspec.json.decode(line, type=_Asked))
        except ValueError as error:
            wrong("invalid_json_line", f"This line is not parseable as valid JSON: {error}", number)
            continue
        if (asked[-1].method, asked[-1].url) != ("POST", _COMPLETIONS) or not bytes(asked[-1].body):
            wrong("invalid_request", "The method, the URL or the body is not that of the batch.", number)
        elif _object(asked[-1].body).get("stream"):
            wrong("invalid_request", "Streaming is not supported in batches.", number)
    if not asked:
        wrong("empty_file", "The input file is empty.")
    if len(asked) > _MOST_OPENAI:
        wrong("too_many_tasks", f"The file has more than {_MOST_OPENAI:,} requests.")
    if len({each.custom_id for each in asked}) < len(asked):
        wrong("duplicate_custom_id", "The custom_id of a line must be unique in its file.")
    if len({str(_object(each.body).get("model")) for each in asked}) > 1:
        wrong("mismatched_model", "All requests of a file must be for one model.")
    return asked, errors


def _object(raw: msgspec.Raw) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(bytes(raw) or b"{}", type=dict[str, Any])
    except ValueError:
        return {}


def _output(batch: _Batch, good: list[int]) -> list[dict[str, Any]]:
    return [_line(batch, number, *batch.outcomes[number]) for number in reversed(good)]


def _errors(batch: _Batch) -> list[dict[str, Any]]:
    bad = [_line(batch, number, status, body) for number, (status, body) in batch.outcomes.items() if status != 200]
    why = {
        "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
        "cancelled": ("batch_cancelled", "This request was not executed since its batch was cancelled."),
    }
    if batch.how in why:
        code, message = why[batch.how]
        for number in batch.left:
            line = {"id": f"batch_req_{number}", "custom_id": batch.asked[number].custom_id, "response": None}
            bad.append({**line, "error": {"code": code, "message": message}})
    return bad


def _line(batch: _Batch, number: int, status: int, body: Any) -> dict[str, Any]:
    response = {"status_code": status, "request_id": f"req_{number}", "body": body}
    line = {"id": f"batch_req_{number}", "custom_id": batch.asked[number].custom_id}
    return {**line, "response": response, "error": None}


def _result(batch: _Batch, number: int) -> dict[str, Any]:
    if number not in batch.outcomes:
        return {"type": "canceled" if batch.how == "cancelled" else "expired"}
    status, document = batch.outcomes[number]
    return {"type": "succeeded", "message": document} if status == 200 else {"type": "errored", "error": document}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), status=status, content_type="application/json")
