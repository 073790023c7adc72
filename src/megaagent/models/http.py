"""One HTTP exchange with a model provider, whatever protocol it speaks: deadlines, streams, limits, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from megaagent.errors import ConfigurationError, ModelError
from megaagent.events import Usage, storable
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.counting import with_usage
from megaagent.models.faults import Secrets, error_of_answer
from megaagent.models.limits import Limits, read_limits
from megaagent.models.network import NetworkSettings
from megaagent.models.patience import Patience
from megaagent.models.sse import EventStream
from megaagent.redaction import passwords_in

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Reading(Protocol):
    """One answer as it is read."""

    def take(self, data: bytes) -> bool:
        """Take the whole answer, or one event of a stream; True when it was the last.

        Raises:
            ModelError: it is none, or it tells an error.
        """
        ...

    def response(self, *, whole: bool) -> ModelResponse:
        """The answer, mended where that is safe; `whole`: the provider's own mark of the end was seen.

        Raises:
            ModelError: it is refused, empty or broken.
        """
        ...

    @property
    def counted(self) -> bool:
        """Whether the provider told the usage."""
        ...

    def usage(self) -> Usage: ...


Sent = TypeVar("Sent")


class Dialect(Protocol[Sent]):
    """What is particular to a protocol; `path` is where requests go, below the base URL."""

    @property
    def path(self) -> str: ...

    def encode(self, request: ModelRequest) -> tuple[bytes, Sent]:
        """The body of the request, and what its reading must know of it."""
        ...

    def reading(self, request: ModelRequest, sent: Sent, secrets: Secrets) -> Reading: ...

    def adapt(self, error: ModelError) -> str:
        """Leave out from now on what a server has refused as invalid; in words what that is, or "" for nothing."""
        ...


class HTTPModel:
    """A model behind `POST {base_url}{dialect.path}`.

    Args:
        base_url: what comes before the dialect's path; a path given whole is understood.
        credentials: headers that carry the key; what they hold is taken out of all that is told.
        stream: the answer was asked for piece by piece, so that a stall is noticed before the deadline.
        headers: sent with every request.
        limits: told what each answer's headers say about rate limits.

    Raises:
        ConfigurationError: the URL or the key cannot be used.
    """

    def __init__(
        self,
        dialect: Dialect[Any],
        base_url: str,
        key: str | None,
        credentials: Mapping[str, str],
        *,
        stream: bool,
        headers: Mapping[str, str] | None = None,
        settings: NetworkSettings | None = None,
        limits: Callable[[Limits], None] | None = None,
    ):
        self._dialect = dialect
        self._url, self._host = endpoint(base_url, dialect.path)
        self._target = URL(self._url)  # read once
        self._root = self._target.path.removesuffix(dialect.path)
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if stream else "application/json",
            "Accept-Encoding": "identity",  # a compressing proxy would hold back the pieces of a stream
            **(headers or {}),
            **credentials,
        }
        self.secrets = Secrets(key.strip() if key else None, *passwords_in(base_url))
        self._settings = settings or NetworkSettings()
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer the request once, within its deadline.

        Raises:
            ModelError: of every fault; the text never holds the key.
        """
        adapted: list[str] = []
        while True:
            try:
                response = await self._attempt(request)
            except ModelError as error:
                # Such a refusal costs nothing, and there are few things that can be left out.
                left_out = self._dialect.adapt(error) if error.fault == "bad_request" else ""
                if not left_out:
                    raise
                adapted.append(left_out)
            else:
                return msgspec.structs.replace(response, repairs=(*adapted, *response.repairs)) if adapted else response

    async def _attempt(self, request: ModelRequest) -> ModelResponse:
        data, sent = self._dialect.encode(request)
        body, size = _Body(data), len(data)
        del data  # whoever waits for an answer holds it no more
        answer = self._dialect.reading(request, sent, self.secrets)
        try:
            with _Faults(self._host, self.secrets):
                response = await self._exchange(request, body, answer)
        except ModelError as error:
            if error.maybe_paid and answer.counted:
                error.usage = answer.usage()
            raise
        return with_usage(request, size, response, counted=answer.counted)

    async def _exchange(self, request: ModelRequest, body: _Body, answer: Reading) -> ModelResponse:
        """Send the request and collect the answer."""
        with Patience(self._host, request.deadline, self._settings.stall) as patience:
            async with self._post(body) as reply:
                if self._limits and (limits := read_limits(reply.headers)):
                    self._limits(limits)
                pieces = _Pieces(reply, patience, self._settings.answer_bytes, self._host)
                if reply.status != 200:
                    raise error_of_answer(reply.status, reply.headers, await pieces.joined(), self.secrets)
                try:
                    return answer.response(whole=await self._read(reply, pieces, answer))
                except ModelError as error:
                    raise _maybe_paid(error) from None

    async def side_request(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        *,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        deadline: float = 120.0,
        most: int | None = None,
    ) -> bytes:
        """Ask the same server for something else than an answer; the whole of what it sends.

        Args:
            path: below the base URL.
            kind: media type of `data`.
            deadline: seconds.
            most: bytes that are read; as the settings say for an answer unless told otherwise.

        Raises:
            ModelError: of every fault; `maybe_paid` says that the server may have done what was asked.
        """
        url = self._target.with_path(self._root + path, keep_query=True).update_query(dict(query or {}))
        headers = {"Accept": "*/*", "Content-Type": kind}
        with _Faults(self._host, self.secrets), Patience(self._host, deadline, self._settings.stall) as patience:
            asked = self._open().request(method, url, data=data, headers=headers, allow_redirects=False)
            async with asked as reply:
                pieces = _Pieces(reply, patience, most or self._settings.answer_bytes, self._host)
                body = await pieces.joined()
                if reply.status != 200:
                    raise error_of_answer(reply.status, reply.headers, body, self.secrets)
                return body

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _post(self, body: _Body) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        # No redirects: one would take the key and the conversation to another place.
        return self._open().post(self._target, data=body, allow_redirects=False)

    def _open(self) -> aiohttp.ClientSession:
        """The one session, made inside the loop that uses it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=self._settings.connections),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=self._settings.proxies and urlsplit(self._url).hostname not in _LOOPBACK,
            )
        return self._session

    async def _read(self, reply: aiohttp.ClientResponse, pieces: _Pieces, answer: Reading) -> bool:
        """Collect the answer, by what came and not by what was asked; returns whether its end was seen."""
        kind = reply.content_type
        if kind == "text/event-stream":
            return await self._read_stream(pieces, answer)
        body = await pieces.joined()
        if kind == "text/html" or body.lstrip()[:1] == b"<":
            text = storable(self.secrets.hide(body[:4096].decode("utf-8", "replace")))[:120]
            raise ModelError("broken", f"{self._host} sent a web page; is the base URL right? {text!r}", status=200)
        answer.take(body)
        return True

    async def _read_stream(self, pieces: _Pieces, answer: Reading) -> bool:
        stream = EventStream()
        while piece := await pieces.next():
            for data in stream.feed(piece):
                if answer.take(data):
                    await pieces.drain()
                    return True
        return max(map(answer.take, list(stream.finish())), default=False)


class _Faults:
    """What goes wrong on the network inside the `with` block, as the faults that it is.

    Raises:
        ModelError: on leaving the block.
    """

    __slots__ = ("_host", "_secrets")

    def __init__(self, host: str, secrets: Secrets):
        self._host = host
        self._secrets = secrets

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not isinstance(error, aiohttp.ClientError | OSError):
            return
        told = self._secrets.hide(str(error) or type(error).__name__)[:300]
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            fault = "timeout" if isinstance(error, TimeoutError) else "connection"
            raise ModelError(fault, f"{self._host}: {told}".replace(" ssl:default", "")) from None
        if isinstance(error, aiohttp.ClientPayloadError):
            raise _maybe_paid(ModelError("broken", f"{self._host}: the answer was cut: {told}")) from None
        raise _maybe_paid(ModelError("connection", f"{self._host}: {told}")) from None


class _Body(aiohttp.payload.Payload):
    """The body of one request, let go as soon as it is sent: of those who wait for answers there may be thousands."""

    _autoclose = True  # there is nothing to close

    def __init__(self, data: bytes):
        super().__init__(None, content_type="application/json")
        self._data: bytes | None = data
        self._size = len(data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._taken().decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        data, self._data = self._taken(), None
        await writer.write(data)

    def _taken(self) -> bytes:
        if self._data is None:
            raise aiohttp.ClientConnectionError("the request was sent already and is not sent again by itself")
        return self._data


class _Pieces:
    """The body of an answer as it comes, bounded."""

    def __init__(self, reply: aiohttp.ClientResponse, patience: Patience, most: int, host: str):
        self._content = reply.content
        self._patience = patience
        self._left = self._most = most
        self._host = host

    async def next(self) -> bytes:
        """What has come since; empty at the end."""
        piece = await self._content.readany()
        self._patience.heard()
        self._left -= len(piece)
        if self._left < 0:
            raise ModelError("broken", f"{self._host}: an answer of over {self._most} bytes")
        return piece

    async def joined(self) -> bytes:
        """All that is left."""
        pieces: list[bytes] = []
        while piece := await self.next():
            pieces.append(piece)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Read the end of a body whose content is known, so that its connection can be used again; not for long."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(0.5):
                while await self.next():
                    pass


def _maybe_paid(error: ModelError) -> ModelError:
    error.maybe_paid = True
    return error


def endpoint(base_url: str, path: str) -> tuple[str, str]:
    """The full URL, and the host by which messages name it (an URL may hold a password).

    Raises:
        ConfigurationError: it is no URL of a server.
    """
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("--base-url: give an address such as http://localhost:8000/v1")
    whole = parts.path.rstrip("/").removesuffix(path) + path
    return parts._replace(path=whole).geturl(), f"{host}:{port}" if port else host


def usable_key(key: str | None) -> str | None:
    """The key without blanks around it; None when there is none.

    Raises:
        ConfigurationError: it has characters that no key can have.
    """
    if not key or not key.strip():
        return None
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the key has characters that no key can have; was it copied whole?")
    return key
