"""Servers that are reached over HTTP: streamable HTTP, the older SSE transport, and what proves who we are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from megaagent.tools.mcp.config import ServerConfig
from megaagent.tools.mcp.transport import LONGEST, Streams

CONNECTING: Final = 30.0  # seconds
IDLE: Final = 24 * 3600.0  # seconds that an SSE connection may say nothing; calls have deadlines of their own
LOGIN: Final = (
    'it does not let us in (HTTP {status}). Put a key into its entry, such as "headers": {{"Authorization": "Bearer '
    '${{NAME}}"}}, or "oauth" with "client_id", "client_secret" and "issuer"'
)


class Door(TokenStorage):
    """How we come in at a server: the tokens that its authorization gave us, in memory only, and whether it let us in.

    Attributes:
        tokens: all that there were; they are secrets.
        status: of its last answer.
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.status = 200
        self._tokens: OAuthToken | None = None

    def told(self) -> str | None:
        """What its last answer says of it, if that was an error."""
        if self.status < 400:
            return None
        if self.status in (401, 403):
            return LOGIN.format(status=self.status)
        return f"it answered with HTTP {self.status}: look whether an MCP server is at this url, and of which type"

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens
        self.tokens += [token for token in (tokens.access_token, tokens.refresh_token) if token]

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None  # the operator gives it

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None: ...


@asynccontextmanager
async def over_http(config: ServerConfig, door: Door) -> AsyncGenerator[Streams]:
    """Reach a server over streamable HTTP, or over SSE when its type says so."""
    assert config.url is not None
    auth = _authorization(config, door)
    if config.type == "sse":

        def client_of(
            headers: dict[str, str] | None = None,
            timeout: httpx2.Timeout | None = None,
            auth: httpx2.Auth | None = None,
        ) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(headers=headers, timeout=timeout, auth=auth, transport=_Bounded(door))

        async with sse_client(
            config.url, config.headers, CONNECTING, IDLE, httpx_client_factory=client_of, auth=auth
        ) as streams:
            yield streams[0], streams[1]
        return
    timeout = httpx2.Timeout(CONNECTING, read=config.seconds + CONNECTING)
    async with (
        httpx2.AsyncClient(headers=config.headers, timeout=timeout, auth=auth, transport=_Bounded(door)) as client,
        streamable_http_client(config.url, http_client=client, max_sse_event_size=LONGEST) as streams,
    ):
        yield streams[0], streams[1]


def _authorization(config: ServerConfig, door: Door) -> httpx2.Auth | None:
    login = config.oauth
    if login is None:
        return None
    assert config.url is not None
    return ClientCredentialsOAuthProvider(
        config.url, door, login.client_id, login.client_secret, login.method, login.scope, login.issuer
    )


class _Bounded(httpx2.AsyncHTTPTransport):
    """Breaks off an answer that is too long (the SDK bounds only the events of a stream), and notices a closed door."""

    def __init__(self, door: Door):
        super().__init__()
        self._door = door

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        self._door.status = response.status_code
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            # It would be unpacked before it is counted, a thousand times as large and all at once.
            await response.aclose()
            raise httpx2.ReadError("the server sent a compressed answer, which was not asked for")
        if "text/event-stream" not in response.headers.get("content-type", ""):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream):
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LONGEST:
                raise httpx2.ReadError(f"the server sent an answer of more than {LONGEST:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
