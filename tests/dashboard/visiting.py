"""Asking a server of the dashboard: with a client as browsers are, and byte by byte as others may be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any

import aiohttp

from megaagent.dashboard.serving import Links

PATIENCE = 30.0  # seconds, far beyond what any answer takes


class Visitor:
    """A browser that has entered with the full token, and one that may only look.

    Attributes:
        base: where the server is, such as http://127.0.0.1:4711.
        api: the run's own part of it.
    """

    def __init__(self, links: Links, run: str):
        self.base, _, self.token = links.full.partition("/#token=")
        self.read_token = links.read.partition("#token=")[2]
        self.host = self.base.removeprefix("http://")
        self.port = links.port
        self.run = run
        self.api = f"/api/runs/{run}"
        self.cookie = self.csrf = self.read_cookie = self.read_csrf = ""
        self._client = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def __aenter__(self) -> Visitor:
        self.cookie, self.csrf = await self.enter(self.token)
        self.read_cookie, self.read_csrf = await self.enter(self.read_token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def enter(self, token: str) -> tuple[str, str]:
        """The cookie and the CSRF token that a token is traded for."""
        async with self._client.post(
            f"{self.base}/api/session", json={"token": token}, headers={"Origin": self.base}
        ) as answer:
            assert answer.status == 200, await answer.text()
            cookie = next(iter(answer.cookies.values()))
            assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie["path"] == "/"
            return f"{cookie.key}={cookie.value}", (await answer.json())["csrf"]

    async def get(self, path: str, /, **params: Any) -> Any:
        """An answer as JSON; it must be one."""
        async with self._client.get(self.base + path, params=params, headers={"Cookie": self.cookie}) as answer:
            assert answer.status == 200, (path, await answer.text())
            return await answer.json()

    async def status(self, path: str, /, **params: Any) -> int:
        async with self._client.get(self.base + path, params=params, headers={"Cookie": self.cookie}) as answer:
            return answer.status

    async def post(self, path: str, value: Mapping[str, Any], /, **headers: str) -> tuple[int, str]:
        """Ask for a change as the page does."""
        given = {"Cookie": self.cookie, "Origin": self.base, "X-CSRF-Token": self.csrf, **headers}
        async with self._client.post(self.base + path, json=value, headers=given) as answer:
            return answer.status, await answer.text()

    async def control(self, **request: Any) -> tuple[int, str]:
        return await self.post(f"{self.api}/control", request)

    async def news(self, path: str, after: int | None = None) -> AsyncIterator[tuple[int, Any]]:
        """Events of a stream with their ids, as a browser that had heard up to `after`."""
        headers = {"Cookie": self.cookie} | ({} if after is None else {"Last-Event-ID": str(after)})
        async with self._client.get(self.base + path, headers=headers) as answer:
            assert answer.status == 200 and answer.content_type == "text/event-stream"
            id = -1
            async for line in answer.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    id = int(value)
                elif name == "data":
                    yield id, json.loads(value)


async def raw(port: int, request: bytes) -> tuple[int, bytes]:
    """The status and the rest of the answer to bytes that no decent client would send."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readline()
            rest = await reader.read(200_000)
        except ConnectionError:
            return 0, b""
        finally:
            writer.close()
    return (int(head.split()[1]) if head.startswith(b"HTTP/") else 0), rest
