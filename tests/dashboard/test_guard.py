"""Who may ask, and from where: hostile requests of which none may be answered as if it were a decent one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.dashboard.visiting import Visitor, raw

from megaagent import events as ev
from megaagent.folder import RunFolder
from megaagent.journal import open_reader

FILE = b'{"path": "part.md", "text": "owned"}'
PAUSE = b'{"do": "pause"}'
NO_ENGINE = b"is not going on"  # what a change is told that was let through to this run
Build = Callable[[Visitor], bytes]


def ask(
    visitor: Visitor, path: str = "", method: str = "GET", body: bytes | None = None, **changes: str | list[str] | None
) -> bytes:
    """A request as our own page would send it, but for what is changed; None leaves a header out."""
    headers: dict[str, str | list[str] | None] = {"Host": visitor.host, "Cookie": visitor.cookie, "Connection": "close"}
    if method == "POST":
        headers |= {"Origin": visitor.base, "X-CSRF-Token": visitor.csrf, "Content-Type": "application/json"}
        body = PAUSE if body is None else body
    if body is not None:
        headers["Content-Length"] = str(len(body))
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{method} {path or visitor.api + '/organization'} HTTP/1.1"]
    for name, value in headers.items():
        lines += [f"{name}: {each}" for each in ([value] if isinstance(value, str) else value or [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def change(visitor: Visitor, **changes: Any) -> bytes:
    """The same for a request that would pause the run."""
    return ask(visitor, f"{visitor.api}/control", "POST", **changes)


def look(path: str) -> Build:
    return lambda visitor: ask(visitor, visitor.api + path)


HOSTILE: dict[str, Build] = {
    # without a session, or with somebody else's
    "no cookie": lambda v: ask(v, Cookie=None),
    "wrong cookie": lambda v: ask(v, Cookie=v.cookie[:-4] + "AAAA"),
    "cookie of another port": lambda v: ask(v, Cookie=v.cookie.replace(f"_{v.port}", "_1")),
    "the token as a cookie": lambda v: ask(v, Cookie=f"megaagent_{v.port}={v.token}"),
    "the token in the address": lambda v: ask(v, f"{v.api}/organization?token={v.token}", Cookie=None),
    "wrong bearer": lambda v: ask(v, Cookie=None, Authorization="Bearer " + "A" * 43),
    "empty bearer": lambda v: ask(v, Cookie=None, Authorization="Bearer "),
    "basic login": lambda v: ask(v, Cookie=None, Authorization="Basic YTpi"),
    "stream without a session": lambda v: ask(v, f"{v.api}/changes", Cookie=None),
    "list without a session": lambda v: ask(v, "/api/runs", Cookie=None),
    "websocket": lambda v: ask(v, Cookie=None, Connection="Upgrade", Upgrade="websocket"),
    "enter with a wrong token": lambda v: ask(v, "/api/session", "POST", b'{"token": "x"}'),
    "enter with an empty token": lambda v: ask(v, "/api/session", "POST", b'{"token": ""}'),
    "enter with no token": lambda v: ask(v, "/api/session", "POST", b"{}"),
    "enter from another origin": lambda v: ask(
        v, "/api/session", "POST", f'{{"token": "{v.token}"}}'.encode(), Origin="http://evil.example"
    ),
    # under a foreign name (DNS rebinding)
    "foreign host": lambda v: ask(v, Host="evil.example"),
    "foreign host, our port": lambda v: ask(v, Host=f"evil.example:{v.port}"),
    "foreign host, the page itself": lambda v: ask(v, "/", Host=f"evil.example:{v.port}"),
    "foreign host, a file of the page": lambda v: ask(v, "/static/app.css", Host=f"evil.example:{v.port}"),
    "no host": lambda v: ask(v, Host=None),
    "empty host": lambda v: ask(v, Host=""),
    "two hosts": lambda v: ask(v, Host=[v.host, "evil.example"]),
    "host without port": lambda v: ask(v, Host="127.0.0.1"),
    "host with another port": lambda v: ask(v, Host="127.0.0.1:1"),
    "host with a dot at its end": lambda v: ask(v, Host=f"localhost.:{v.port}"),
    "host in another spelling": lambda v: ask(v, Host=f"127.1:{v.port}"),
    "host as a number": lambda v: ask(v, Host=f"2130706433:{v.port}"),
    "host below ours": lambda v: ask(v, Host=f"a.localhost:{v.port}"),
    "host with a user": lambda v: ask(v, Host=f"{v.host}@evil.example"),
    "host behind a proxy's name": lambda v: ask(v, Host="evil.example", X_Forwarded_Host=v.host),
    "foreign absolute address": lambda v: ask(v, f"http://evil.example{v.api}/organization"),
    "our absolute address": lambda v: ask(v, f"{v.base}{v.api}/organization"),
    # begun by another site
    "read by another site": lambda v: ask(v, Sec_Fetch_Site="cross-site"),
    "read by a neighbour": lambda v: ask(v, Sec_Fetch_Site="same-site"),
    "navigated to data by another site": lambda v: ask(v, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"),
    "script of ours in another site": lambda v: ask(v, "/static/js/main.js", Sec_Fetch_Site="cross-site"),
    "change without origin": lambda v: change(v, Origin=None),
    "change from origin null": lambda v: change(v, Origin="null"),
    "change from another origin": lambda v: change(v, Origin="http://evil.example"),
    "change from another port": lambda v: change(v, Origin="http://127.0.0.1:1"),
    "change from https": lambda v: change(v, Origin=v.base.replace("http:", "https:")),
    "change from a longer origin": lambda v: change(v, Origin=f"{v.base}.evil.example"),
    "change from two origins": lambda v: change(v, Origin=[v.base, "http://evil.example"]),
    "change by another site": lambda v: change(v, Sec_Fetch_Site="cross-site"),
    "change by a bearer from another origin": lambda v: change(
        v, Cookie=None, Authorization=f"Bearer {v.token}", Origin="http://evil.example"
    ),
    "change without CSRF token": lambda v: change(v, X_CSRF_Token=None),
    "change with a wrong CSRF token": lambda v: change(v, X_CSRF_Token="A" * 43),
    "change with an empty CSRF token": lambda v: change(v, X_CSRF_Token=""),
    "change with another session's CSRF token": lambda v: change(v, X_CSRF_Token=v.read_csrf),
    "change as a form": lambda v: change(v, Content_Type="application/x-www-form-urlencoded"),
    "change as text": lambda v: change(v, Content_Type="text/plain"),
    "change as parts": lambda v: change(v, Content_Type="multipart/form-data; boundary=x"),
    # by who may only look
    "change with the reading session": lambda v: change(v, Cookie=v.read_cookie, X_CSRF_Token=v.read_csrf),
    "change with the reading token": lambda v: change(v, Cookie=None, Authorization=f"Bearer {v.read_token}"),
    "fork with the reading token": lambda v: ask(
        v, f"{v.api}/fork", "POST", b'{"at": 5}', Cookie=None, Authorization=f"Bearer {v.read_token}"
    ),
    "start with the reading token": lambda v: ask(
        v, "/api/runs", "POST", b'{"scenario": "gobang"}', Cookie=None, Authorization=f"Bearer {v.read_token}"
    ),
    "write a file with the reading token": lambda v: ask(
        v, f"{v.api}/file", "POST", FILE, Cookie=None, Authorization=f"Bearer {v.read_token}"
    ),
    "write a file with the reading session": lambda v: ask(
        v, f"{v.api}/file", "POST", FILE, Cookie=v.read_cookie, X_CSRF_Token=v.read_csrf
    ),
    "approve with the reading session": lambda v: change(
        v, body=b'{"do": "approve"}', Cookie=v.read_cookie, X_CSRF_Token=v.read_csrf
    ),
    "approve from another origin": lambda v: change(v, body=b'{"do": "approve"}', Origin="http://evil.example"),
    "approve without CSRF token": lambda v: change(v, body=b'{"do": "approve"}', X_CSRF_Token=None),
    "write a file without CSRF token": lambda v: ask(v, f"{v.api}/file", "POST", FILE, X_CSRF_Token=None),
    "write a file from another origin": lambda v: ask(v, f"{v.api}/file", "POST", FILE, Origin="http://evil.example"),
    "write a file as a form": lambda v: ask(
        v, f"{v.api}/file", "POST", b"path=x&text=y", Content_Type="application/x-www-form-urlencoded"
    ),
    "metrics without a token": lambda v: ask(v, "/metrics", Cookie=None),
    "metrics with a wrong token": lambda v: ask(v, "/metrics", Cookie=None, Authorization="Bearer " + "A" * 43),
    "metrics with the token in the address": lambda v: ask(v, f"/metrics?token={v.read_token}", Cookie=None),
    "metrics under a foreign name": lambda v: ask(v, "/metrics", Host=f"evil.example:{v.port}"),
    "metrics read by another site": lambda v: ask(v, "/metrics", Sec_Fetch_Site="cross-site"),
    "metrics by POST": lambda v: ask(v, "/metrics", "POST", b"{}"),
    # other methods
    "PUT": lambda v: ask(v, method="PUT", body=b"{}"),
    "PATCH": lambda v: ask(v, method="PATCH", body=b"{}"),
    "DELETE": lambda v: ask(v, method="DELETE"),
    "OPTIONS": lambda v: ask(v, f"{v.api}/control", "OPTIONS", Origin="http://evil.example"),
    "TRACE": lambda v: ask(v, method="TRACE"),
    "change by GET": lambda v: ask(v, f"{v.api}/control?do=pause"),
    "change by an overridden method": lambda v: ask(v, f"{v.api}/control", X_HTTP_Method_Override="POST"),
    # paths that lead elsewhere
    "out of the page's files": lambda v: ask(v, "/static/../server.py"),
    "out of the page's files, encoded": lambda v: ask(v, "/static/%2e%2e/server.py"),
    "out of the page's files, twice": lambda v: ask(v, "/static/..%2f..%2f..%2fjournal.db"),
    "absolute file of the page": lambda v: ask(v, "/static//etc/passwd"),
    "run above the folder": lambda v: ask(v, "/api/runs/..%2f..%2fetc/organization"),
    "run by its path": lambda v: ask(v, "/api/runs/%2ftmp/organization"),
    "run by a part of its name": lambda v: ask(v, f"/api/runs/{v.run[:8]}/organization"),
    "file above": look("/file?path=../journal.db"),
    "file above, encoded": look("/file?path=..%2f..%2fjournal.db"),
    "text above": look("/text?path=../journal.db"),
    "text of Git, encoded": look("/text?path=%2egit%2fconfig"),
    "absolute text": look("/text?path=/etc/passwd"),
    "absolute file": look("/file?path=/etc/passwd"),
    "file of Git": look("/file?path=.git/config"),
    "file of Windows": look("/file?path=..%5c..%5cjournal.db"),
    "file with NUL": look("/file?path=part.md%00.png"),
    "file at an option": look("/file?path=part.md&revision=--help"),
    "file at an expression": look("/file?path=part.md&revision=main%5E%7B/x%7D"),
    "history above": look("/history?path=../x"),
    "change of a file above": look("/change?path=../x&new=abcdef1"),
    # nonsense
    "too large": lambda v: change(v, body=b'{"do": "send", "text": "' + b"x" * 100_000 + b'"}'),
    "too deep": lambda v: change(v, body=b"[" * 60_000),
    "no JSON": lambda v: change(v, body=b"pause"),
    "no UTF-8": lambda v: change(v, body=b'{"do": "\xff"}'),
    "file that is too large": lambda v: ask(v, f"{v.api}/file", "POST", b'{"path": "' + b"x" * 1_000_000 + b'"}'),
    "file with an unknown field": lambda v: ask(v, f"{v.api}/file", "POST", b'{"path": "a", "as": "root"}'),
    "file that is no text": lambda v: ask(v, f"{v.api}/file", "POST", b'{"path": "a", "text": {"a": 1}}'),
    "unknown verb": lambda v: change(v, body=b'{"do": "shell", "text": "id"}'),
    "unknown field": lambda v: change(v, body=b'{"do": "pause", "as": "root"}'),
    "stream after nonsense": lambda v: ask(v, f"{v.api}/changes", Last_Event_ID="1; DROP TABLE record"),
    "stream after less than nothing": lambda v: ask(v, f"{v.api}/facts", Last_Event_ID="-1"),
    "page before nonsense": look("/journal?before=1e9"),
    "page of an unknown kind": look("/journal?kinds=x');--"),
    "time that is none": look("/timeline?start=nan&end=inf"),
    "time that ends before it begins": look("/timeline?start=5&end=1"),
    "agent that is none": look("/agent?id=boss%2Fnobody"),
    "fact that is none": look("/fact?position=999999999"),
    "two lengths": lambda v: change(v, Transfer_Encoding="chunked"),
    "header within a header": lambda v: ask(v, X_A="b\r\nHost: evil.example"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_request_is_not_answered_as_a_decent_one(name: str, visitor: Visitor, run: RunFolder) -> None:
    status, rest = await raw(visitor.port, HOSTILE[name](visitor))
    assert not 200 <= status < 400, (name, status, rest[:300])
    assert NO_ENGINE not in rest, (name, "it came through to the run")
    for secret in (visitor.token, visitor.read_token, visitor.csrf, visitor.cookie.partition("=")[2]):
        assert secret.encode() not in rest
    reader = open_reader(run.journal)
    assert not list(reader.records(kinds=[ev.HumanSpoke, ev.RunPaused]))
    reader.close()


async def test_decent_requests_are_answered(visitor: Visitor) -> None:
    decent: dict[str, bytes] = {
        "with a cookie": ask(visitor),
        "with a bearer": ask(visitor, Cookie=None, Authorization=f"Bearer {visitor.token}"),
        "only looking": ask(visitor, Cookie=visitor.read_cookie),
        "by another of our names": ask(visitor, Host=f"localhost:{visitor.port}"),
        "the page": ask(visitor, "/", Cookie=None),
        "the page by a link elsewhere": ask(visitor, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate"),
        "a file of the page": ask(visitor, "/static/js/main.js", Cookie=None),
        "a scraper": ask(visitor, "/metrics", Cookie=None, Authorization=f"Bearer {visitor.read_token}"),
    }
    for name, request in decent.items():
        status, rest = await raw(visitor.port, request)
        assert status == 200, (name, rest[:300])


async def test_a_decent_change_reaches_the_run(visitor: Visitor) -> None:
    """No engine is there: that is what is said, and nothing about the request."""
    for request in (
        change(visitor),
        change(visitor, Cookie=None, Authorization=f"Bearer {visitor.token}", Origin=None),
    ):
        status, rest = await raw(visitor.port, request)
        assert status == 409 and NO_ENGINE in rest


async def test_every_answer_carries_the_strict_policy(visitor: Visitor) -> None:
    for request in (ask(visitor, "/", Cookie=None), ask(visitor), ask(visitor, Cookie=None), ask(visitor, "/nothing")):
        _, rest = await raw(visitor.port, request)
        head = rest.partition(b"\r\n\r\n")[0].decode().lower()
        assert "content-security-policy: default-src 'none'; script-src 'self'" in head
        assert "unsafe" not in head and "require-trusted-types-for 'script'" in head
        assert "x-content-type-options: nosniff" in head and "referrer-policy: no-referrer" in head
        assert "frame-ancestors 'none'" in head and "access-control-allow-origin" not in head


async def test_the_page_holds_no_script_and_no_style_of_its_own(visitor: Visitor) -> None:
    _, rest = await raw(visitor.port, ask(visitor, "/", Cookie=None))
    page = rest.partition(b"\r\n\r\n")[2].decode()
    assert "<style" not in page and " style=" not in page and " on" not in page.replace(" one", "")
    assert page.count("<script") == page.count("<script src=") == 2
    assert "http:" not in page and "https:" not in page


async def test_sessions_are_bounded(visitor: Visitor) -> None:
    """The browser that came first is forgotten, not the server's memory filled."""
    for _ in range(70):
        await visitor.enter(visitor.read_token)
    assert await visitor.status("/api/runs") == 401
