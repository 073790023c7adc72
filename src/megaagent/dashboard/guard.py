"""Who may ask, and from where. Every request passes here first, and what is not allowed is refused.

A page on another site can make a browser send requests here. Three things stop it: the host that the request names
must be ours exactly (a foreign name that was made to point at this machine is not), the cookie goes to no request that
another site began, and what changes something must carry our own origin and a token that only our page can read.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from typing import Final, Literal

from aiohttp import web

from megaagent.events import Struct

Scope = Literal["full", "read"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SESSIONS: Final = 64  # browsers at once; the one that came first is forgotten
CSRF: Final = "X-CSRF-Token"
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final = {
    "Server": "megaagent",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}


class Session(Struct, frozen=True):
    """One browser that has shown a token."""

    scope: Scope
    csrf: str


class Guard:
    """The rules of one server.

    Args:
        hosts: what a request's Host header may be, exactly, port included.
        port: of the server; cookies are not told apart by port, so it is part of their name.
        secure: it is served over TLS.
        watcher: a further token that admits to looking only and outlasts this server, such as Prometheus'.

    Attributes:
        token: admits whoever shows it to everything.
        read_token: admits to looking only.
    """

    def __init__(self, hosts: Collection[str], port: int, *, secure: bool = False, watcher: str = ""):
        self.token = secrets.token_urlsafe(32)
        self.read_token = secrets.token_urlsafe(32)
        self._readers = [self.read_token, *([watcher] if watcher else [])]
        self._hosts = frozenset(hosts)
        scheme = "https" if secure else "http"
        self._origins = frozenset(f"{scheme}://{host}" for host in hosts)
        self._secure = secure
        self._cookie = f"megaagent_{port}"
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._check_place(request)
        if request.method in ("GET", "HEAD"):
            if not is_public(request.path):
                self.session(request)
        elif request.method == "POST":
            self._check_change(request)
        else:
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "POST"])
        return await handler(request)

    def enter(self, token: str) -> tuple[str, Session]:
        """A new session for whoever shows a token: the cookie's value, and the session.

        Raises:
            HTTPForbidden: it is none of ours.
        """
        scope = self._scope(token)
        if scope is None:
            raise web.HTTPForbidden(text="this token is not valid: it changes with every start of the server")
        key, session = secrets.token_urlsafe(32), Session(scope, secrets.token_urlsafe(32))
        self._sessions[key] = session
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return key, session

    def set_cookie(self, response: web.StreamResponse, key: str) -> None:
        response.set_cookie(self._cookie, key, httponly=True, samesite="Strict", secure=self._secure, path="/")

    def session(self, request: web.Request) -> Session:
        """The session of a request, by its cookie or, from programs, by a token.

        Raises:
            HTTPUnauthorized: it has none.
        """
        given = request.headers.get("Authorization", "")
        if given.startswith("Bearer "):
            scope = self._scope(given.removeprefix("Bearer "))
            if scope is not None:
                return Session(scope, "")
        else:
            session = self._sessions.get(request.cookies.get(self._cookie, ""))
            if session is not None:
                return session
        raise web.HTTPUnauthorized(text="open the link that megaagent serve printed; it carries the token")

    def _scope(self, token: str) -> Scope | None:
        given = token.encode(errors="replace")
        if hmac.compare_digest(given, self.token.encode()):
            return "full"
        if any(hmac.compare_digest(given, token.encode()) for token in self._readers):
            return "read"
        return None

    def _check_place(self, request: web.Request) -> None:
        named = request.headers.getall("Host", [])
        if len(named) != 1 or named[0] not in self._hosts:
            raise web.HTTPMisdirectedRequest(text="this server does not answer to that name")
        if request.url.is_absolute() and request.raw_path.startswith(("http:", "https:")):
            raise web.HTTPBadRequest(text="this is no proxy")
        site = request.headers.get("Sec-Fetch-Site", "none")
        followed = request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if site not in ("none", "same-origin") and not followed:
            raise web.HTTPForbidden(text="asked by another site")

    def _check_change(self, request: web.Request) -> None:
        origin = request.headers.getall("Origin", [])
        by_program = "Authorization" in request.headers  # no browser adds it to what another site began
        if (origin or not by_program) and (len(origin) != 1 or origin[0] not in self._origins):
            raise web.HTTPForbidden(text="asked by another origin")
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="say it in application/json")
        if request.path == "/api/session":
            return  # the token is in the body
        session = self.session(request)
        if session.scope != "full":
            raise web.HTTPForbidden(text="this token is for looking only")
        if not by_program and not hmac.compare_digest(request.headers.get(CSRF, "").encode(), session.csrf.encode()):
            raise web.HTTPForbidden(text=f"the header {CSRF} is missing or wrong: reload the page")


def is_public(path: str) -> bool:
    """Whether what lies there holds nothing of any run: the empty page and its own files."""
    return path == "/" or path.startswith("/static/")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries; a signal of the application, so that errors carry it too."""
    response.headers.update(HEADERS)
    if not is_public(request.path):
        response.headers["Cache-Control"] = "no-store"
