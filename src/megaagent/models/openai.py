"""Chat completions over HTTP: OpenAI and the many servers that speak its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from megaagent.errors import ConfigurationError, ModelError
from megaagent.events import Usage, storable
from megaagent.models.chat import Answer, Piece, Quirks, RequestEncoder, decode_piece
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.faults import Secrets, error_inside, error_of_answer
from megaagent.models.limits import Limits, read_limits
from megaagent.models.network import NetworkSettings
from megaagent.models.patience import Patience
from megaagent.models.sse import EventStream
from megaagent.models.tokens import request_tokens, text_tokens
from megaagent.redaction import passwords_in

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class OpenAIModel:
    """A model behind `POST {base_url}/chat/completions`.

    Args:
        base_url: up to and including the version, such as `https://api.openai.com/v1`.
        key: sent as the quirks say; None for servers that ask for none.
        stream: ask for the answer piece by piece, so that a stall is noticed before the deadline.
        quirks: how the provider departs from the common protocol.
        headers: sent with every request.
        limits: told what each answer's headers say about rate limits.

    Raises:
        ConfigurationError: the URL or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        stream: bool = True,
        quirks: Quirks | None = None,
        headers: Mapping[str, str] | None = None,
        settings: NetworkSettings | None = None,
        limits: Callable[[Limits], None] | None = None,
    ):
        quirks = quirks or Quirks()
        self._url, self._host = _endpoint(base_url)
        self._target = URL(self._url)  # read once
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if stream else "application/json",
            "Accept-Encoding": "identity",  # a compressing proxy would hold back the pieces of a stream
            **(headers or {}),
            **_credentials(key, quirks.key_header),
        }
        self._secrets = Secrets(key.strip() if key else None, *passwords_in(base_url))
        self._settings = settings or NetworkSettings()
        self._limits = limits
        self._encoder = RequestEncoder(quirks, stream=stream)
        self._decoder = msgspec.json.Decoder(Piece)
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Answer the request once, within its deadline.

        Raises:
            ModelError: of every fault; the text never holds the key.
        """
        answer = Answer(hide=self._secrets.hide_known, request=request)
        body = self._encoder.encode(request)
        try:
            response = await self._exchange(request, body, answer)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            fault = "timeout" if isinstance(error, TimeoutError) else "connection"
            raise ModelError(fault, f"{self._host}: {self._told(error)}".replace(" ssl:default", "")) from None
        except aiohttp.ClientPayloadError as error:
            raise _maybe_paid(ModelError("broken", f"{self._host}: the answer was cut: {self._told(error)}")) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _maybe_paid(ModelError("connection", f"{self._host}: {self._told(error)}")) from None
        except ModelError as error:
            if error.maybe_paid and answer.counted:
                error.usage = answer.usage()
            raise
        return _with_usage(request, len(body), response, counted=answer.counted)

    async def _exchange(self, request: ModelRequest, body: bytes, answer: Answer) -> ModelResponse:
        """Send the request and collect the answer."""
        with Patience(self._host, request.deadline, self._settings.stall) as patience:
            async with self._post(body) as reply:
                if self._limits and (limits := read_limits(reply.headers)):
                    self._limits(limits)
                pieces = _Pieces(reply, patience, self._settings.answer_bytes, self._host)
                if reply.status != 200:
                    raise error_of_answer(reply.status, reply.headers, await pieces.joined(), self._secrets)
                try:
                    return answer.response(whole=await self._read(reply, pieces, answer))
                except ModelError as error:
                    raise _maybe_paid(error) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _post(self, body: bytes) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
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

    async def _read(self, reply: aiohttp.ClientResponse, pieces: _Pieces, answer: Answer) -> bool:
        """Collect the answer, by what came and not by what was asked; returns whether its end was seen."""
        kind = reply.content_type
        if kind == "text/event-stream":
            return await self._read_stream(pieces, answer)
        body = await pieces.joined()
        if kind == "text/html" or body.lstrip()[:1] == b"<":
            text = storable(self._secrets.hide(body[:4096].decode("utf-8", "replace")))[:120]
            raise ModelError("broken", f"{self._host} sent a web page; is the base URL right? {text!r}", status=200)
        self._take(body, answer)
        return True

    async def _read_stream(self, pieces: _Pieces, answer: Answer) -> bool:
        stream = EventStream()
        while piece := await pieces.next():
            for data in stream.feed(piece):
                if data.startswith(b"[DONE]"):
                    await pieces.drain()
                    return True
                self._take(data, answer)
        for data in stream.finish():
            if data.startswith(b"[DONE]"):
                return True
            self._take(data, answer)
        return False

    def _take(self, data: bytes, answer: Answer) -> None:
        error = answer.add(decode_piece(data, self._decoder, self._secrets.hide))
        if error is not None:
            raise error_inside(error, self._secrets)

    def _told(self, error: BaseException) -> str:
        return self._secrets.hide(str(error) or type(error).__name__)[:300]


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


_TIMES_THE_LIMIT: Final = 10  # times the allowed output, beyond which no count of an answer is believed
_SPARSE: Final = 12  # bytes of a request for each prompt token, beyond which the provider has read only a part of it
_LONG: Final = 8_000  # bytes from which that can be told


def _maybe_paid(error: ModelError) -> ModelError:
    error.maybe_paid = True
    return error


def _with_usage(request: ModelRequest, sent: int, response: ModelResponse, *, counted: bool) -> ModelResponse:
    """The answer with a usage that can be: an estimate of ours where the provider told none, or one beyond reason.

    A call that nobody counted must not look free. No tokenizer makes more tokens than there are bytes, give or take
    what a chat template adds; and text of over twelve bytes a token, on the whole of a long request, there is none.

    Args:
        sent: bytes of the request.
        counted: the provider told a usage.
    """
    usage = response.usage
    said = [response.text, response.reasoning, *(call.name + call.arguments for call in response.calls)]
    most = _TIMES_THE_LIMIT * request.max_output + sum(map(len, said))
    note = "the provider told no usage that can be" if not counted else ""
    if counted and (usage.prompt > sent + 10_000 or usage.completion > most):
        note = f"the provider told an absurd usage ({usage.prompt:,} and {usage.completion:,} tokens)"
    if note:
        usage = Usage(prompt=request_tokens(request), completion=sum(map(text_tokens, said)))
        note += "; it is an estimate"
        return msgspec.structs.replace(response, usage=usage, repairs=(*response.repairs, note))
    if sent > _LONG and usage.prompt < sent // _SPARSE:
        note = f"the provider counted {usage.prompt:,} prompt tokens in {sent:,} bytes: it has cut the prompt, it seems"
        return msgspec.structs.replace(response, repairs=(*response.repairs, note), prompt_cut=True)
    return response


def _endpoint(base_url: str) -> tuple[str, str]:
    """The full URL, and the host by which messages name it (an URL may hold a password)."""
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = parts = None
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError("--base-url: give an address such as http://localhost:8000/v1")
    path = parts.path.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
    return parts._replace(path=path).geturl(), f"{host}:{port}" if port else host


def _credentials(key: str | None, header: str) -> dict[str, str]:
    if not key or not key.strip():
        return {}
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError("the key has characters that no key can have; was it copied whole?")
    return {header: f"Bearer {key}" if header == "Authorization" else key}
