"""Web pages for agents, as an MCP server with a list of hosts that may be asked.

    megaagent run "..." --model openai:gpt-4.1 --mcp examples/web/mcp.json --ask-before "web_*"

    python examples/web/server.py --allow docs.python.org --allow "*.wikipedia.org" \\
        --search "https://search.example.org/search?q={query}&format=json"

It is off unless you name it. Nothing is fetched from a host that is not on the list, nor from an address that is not
public (your own machine, your network, a cloud's metadata), wherever a name or a redirect points. The search takes the
JSON of SearXNG: {"results": [{"title", "url", "content"}]}; its host need not be on the list.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import socket
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

SECONDS = 20.0
LONGEST = 2_000_000  # bytes that are read of one answer
SHOWN = 40_000  # characters of a page that are given
REDIRECTS = 5
HITS = 10
TEXTS = ("text/", "application/json", "application/xml", "application/xhtml")
SILENT = {"script", "style", "noscript", "template", "svg"}

IsPublic = Callable[[str], bool]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return found.is_global and not found.is_multicast and (inner is None or is_public(str(inner)))


class PublicOnly(AbstractResolver):
    """Resolves names to public addresses; the connection goes to exactly these, so a name cannot change its mind."""

    def __init__(self, is_public: IsPublic, inner: AbstractResolver):
        self._is_public = is_public
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not found or not all(self._is_public(each["host"]) for each in found):
            raise ToolError(f"{host} is not on the public internet: it is not asked")
        return found

    async def close(self) -> None:
        await self._inner.close()


class Web:
    """What may be fetched, and how.

    Args:
        allowed: hosts, or patterns of them.
        search: the address of a search, with `{query}` in it.
        is_public: whether an address may be connected to.
        resolver: names to addresses.
        ports: that may be asked; None is any.
    """

    def __init__(
        self,
        allowed: Sequence[str],
        search: str | None = None,
        *,
        is_public: IsPublic = is_public,
        resolver: Callable[[], AbstractResolver] = ThreadedResolver,
        ports: Sequence[int] | None = (80, 443),
    ):
        self._allowed = [pattern.lower() for pattern in allowed]
        self._search = search
        self._is_public = is_public
        self._resolver = resolver
        self._ports = ports

    async def fetch(self, url: str) -> str:
        """The text of a page."""
        kind, text = await self._read(url, self._check_host)
        return (as_text(text) if "html" in kind else text)[:SHOWN]

    async def search(self, query: str) -> str:
        """Titles, addresses and first words of what a search finds."""
        if self._search is None:
            raise ToolError("no search is set up: fetch pages that you know instead")
        host = urlsplit(self._search).hostname
        _, text = await self._read(
            self._search.replace("{query}", quote(query)), lambda asked: None if asked == host else self._refuse(asked)
        )
        try:
            hits = json.loads(text)["results"][:HITS]
            lines = [f"{hit['title']}\n{hit['url']}\n{hit.get('content') or ''}".strip() for hit in hits]
        except (ValueError, KeyError, TypeError) as error:
            raise ToolError("the search gave an answer that cannot be read") from error
        return "\n\n".join(lines) or "nothing was found"

    async def _read(self, url: str, check_host: Callable[[str], None]) -> tuple[str, str]:
        connector = aiohttp.TCPConnector(resolver=PublicOnly(self._is_public, self._resolver()), use_dns_cache=False)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
                for _ in range(REDIRECTS + 1):
                    self._check(url, check_host)
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status in (301, 302, 303, 307, 308) and "Location" in answer.headers:
                            url = urljoin(url, answer.headers["Location"])
                            continue
                        return await _body(answer)
        except TimeoutError as error:
            raise ToolError(f"no answer within {SECONDS:g} s") from error
        except aiohttp.ClientError as error:
            raise ToolError(f"{url} cannot be fetched: {type(error).__name__}") from error
        raise ToolError(f"more than {REDIRECTS} redirects")

    def _check(self, url: str, check_host: Callable[[str], None]) -> None:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise ToolError(f"this is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise ToolError("only plain http and https addresses are fetched")
        if port is not None and self._ports is not None and port not in self._ports:
            raise ToolError(f"port {port} is not asked")
        check_host(host)
        if _is_number(host) and not self._is_public(host):
            raise ToolError(f"{host} is not on the public internet: it is not asked")

    def _check_host(self, host: str) -> None:
        if not any(fnmatchcase(host, pattern) for pattern in self._allowed):
            self._refuse(host)

    def _refuse(self, host: str) -> None:
        raise ToolError(f"{host} is not among the hosts that may be asked: {', '.join(self._allowed) or 'none'}")


def _is_number(host: str) -> bool:
    """Whether a host is an address and no name, in any spelling that a connection would take."""
    if ":" in host:
        return True
    try:
        socket.inet_aton(host)
    except OSError:
        return False
    return True


async def _body(answer: aiohttp.ClientResponse) -> tuple[str, str]:
    if answer.status >= 400:
        raise ToolError(f"the server answered {answer.status}")
    kind = answer.headers.get("Content-Type", "text/plain").lower()
    if not kind.startswith(TEXTS):
        raise ToolError(f"this is no text but {kind}")
    data = b""
    async for chunk in answer.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > LONGEST:
            raise ToolError(f"the answer has more than {LONGEST:,} bytes")
    return kind, data.decode(answer.charset or "utf-8", errors="replace")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in SILENT

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in SILENT))

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.parts.append(" ".join(data.split()))


def as_text(page: str) -> str:
    """The words of an HTML page."""
    words = _Words()
    words.feed(page)
    return "\n".join(words.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Web pages for agents.")
    parser.add_argument("--allow", action="append", default=[], metavar="HOST", help="may be asked; *.org is a pattern")
    parser.add_argument("--search", metavar="URL", help="a search that answers in JSON, with {query} in its address")
    options = parser.parse_args()
    web = Web(options.allow, options.search)
    server: MCPServer[Any] = MCPServer("web", log_level="ERROR")
    server.tool(description="Fetch a web page as text; only from hosts that the operator has allowed.")(web.fetch)
    if options.search:
        server.tool(description="Search the web.")(web.search)
    server.run("stdio")


if __name__ == "__main__":
    main()
