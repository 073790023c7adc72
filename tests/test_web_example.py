"""The example of a web server for agents: it asks nobody whom it should not, however it is asked."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

pytest.importorskip("mcp", reason="the extra mcp is not installed")

FILE = Path(__file__).parent.parent / "examples" / "web" / "server.py"
SPEC = importlib.util.spec_from_file_location("web_example", FILE)
assert SPEC is not None and SPEC.loader is not None
example: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)


class Names(AbstractResolver):
    """Names that point where the test wants."""

    def __init__(self, **addresses: str):
        self._addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self._addresses[host.partition(".")[0]]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None: ...


@asynccontextmanager
async def site(pages: dict[str, Callable[[], web.Response]]) -> AsyncIterator[int]:
    """A site on this machine, which the test calls public; its port."""

    async def answer(request: web.Request) -> web.Response:
        return pages[request.path_qs]()

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def local(**addresses: str) -> dict[str, Any]:
    return {"is_public": lambda address: address == "127.0.0.1", "resolver": lambda: Names(**addresses), "ports": None}


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
     "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "nonsense"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str):
    assert not example.is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_that_are(address: str):
    assert example.is_public(address)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/", "http://017700000001/",
     "http://127.1/", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/", "http://localhost/",
     "http://inside.example.org/", "http://inside.example.org./", "file:///etc/passwd", "ftp://docs.example.org/",
     "http://docs.example.org@127.0.0.1/", "http://user:pw@docs.example.org/", "http://docs.example.org:22/",
     "http:///x", "http://docs.example.org:99999/", "gopher://127.0.0.1/", "//127.0.0.1/", "javascript:alert(1)"],
)  # fmt: skip
async def test_whom_it_does_not_ask(url: str):
    names = {"inside": "10.0.0.5", "localhost": "127.0.0.1", "docs": "127.0.0.1"}
    fetching = example.Web(["*"], resolver=lambda: Names(**names))
    with pytest.raises(example.ToolError):
        await fetching.fetch(url)


@pytest.mark.parametrize("url", ["http://evil.com/", "http://docs.example.org.evil.com/", "http://example.org/"])
async def test_only_hosts_on_the_list_are_asked(url: str):
    names = Names(evil="93.184.216.34", docs="93.184.216.34", example="93.184.216.34")
    with pytest.raises(example.ToolError, match=r"not among the hosts that may be asked: docs\.example\.org"):
        await example.Web(["docs.example.org"], resolver=lambda: names).fetch(url)
    assert names.asked == []


async def test_a_page_is_given_as_text():
    page = "<title>T</title><script>evil()</script><p>Hello <b>you</b></p><style>p{}</style>"
    async with site({"/": lambda: web.Response(text=page, content_type="text/html")}) as port:
        fetching = example.Web(["docs.example.org"], **local(docs="127.0.0.1"))
        assert await fetching.fetch(f"http://docs.example.org:{port}/") == "T\nHello\nyou"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://evil.com/", "not among the hosts"),
        ("http://inside.example.org/", "not on the public internet"),
        ("file:///etc/passwd", "only plain http"),
        ("/loop", "more than 5 redirects"),
    ],
)
async def test_a_redirect_leads_nowhere_else(location: str, words: str):
    def moved() -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    async with site({"/": moved, "/loop": moved}) as port:
        fetching = example.Web(["*.example.org"], **local(docs="127.0.0.1", inside="10.0.0.5"))
        with pytest.raises(example.ToolError, match=words):
            await fetching.fetch(f"http://docs.example.org:{port}/")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: web.Response(status=404), "the server answered 404"),
        (lambda: web.Response(body=b"\x89PNG", content_type="image/png"), "this is no text but image/png"),
        (lambda: web.Response(text="x" * 3_000_000), "more than 2,000,000 bytes"),
    ],
)
async def test_what_is_no_page_is_told(answer: Any, words: str):
    async with site({"/": answer}) as port:
        with pytest.raises(example.ToolError, match=words):
            await example.Web(["*"], **local(docs="127.0.0.1")).fetch(f"http://docs.example.org:{port}/")


async def test_a_search_gives_addresses():
    found = {"results": [{"title": "Bread", "url": "http://a.org/", "content": "Rye."}, {"title": "T", "url": "u"}]}

    def page() -> web.Response:
        return web.Response(text=json.dumps(found), content_type="application/json")

    async with site({"/search?q=rye%20bread": page}) as port:
        searching = example.Web([], f"http://find.example.org:{port}/search?q={{query}}", **local(find="127.0.0.1"))
        assert await searching.search("rye bread") == "Bread\nhttp://a.org/\nRye.\n\nT\nu"
    with pytest.raises(example.ToolError, match="no search is set up"):
        await example.Web([]).search("x")


async def test_it_is_a_server_with_the_tools_that_it_was_given():
    from mcp import Client, StdioServerParameters

    for options, names in (([], ["fetch"]), (["--search", "http://find.example.org/?q={query}"], ["fetch", "search"])):
        server = StdioServerParameters(
            command=sys.executable, args=[str(FILE), "--allow", "docs.example.org", *options]
        )
        async with Client(server) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == names
            refused = await client.call_tool("fetch", {"url": "http://169.254.169.254/"})
            assert refused.is_error and "not among the hosts" in str(refused.content)
