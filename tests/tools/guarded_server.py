"""An MCP server by the official SDK that lets in who has a token, with the authorization server that gives them.

    python guarded_server.py PORT SECRET [KEY]

It takes the header `Authorization: Bearer KEY`, and tokens that its own `/token` gave for the client
`robot` with SECRET. A token is good for 5 requests, so that another must be asked for.
"""

from __future__ import annotations

import base64
import sys
from collections import Counter
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

PORT, SECRET, *KEYS = int(sys.argv[1]), sys.argv[2], *sys.argv[3:]
HERE = f"http://127.0.0.1:{PORT}"
GOOD_FOR = 5

server: MCPServer[Any] = MCPServer("guarded", log_level="ERROR")
used: Counter[str] = Counter()


@server.tool()
def tokens() -> str:
    """The tokens that were given out."""
    return " ".join(used) or "none"


async def resource(request: Request) -> Response:
    return JSONResponse({"resource": f"{HERE}/mcp", "authorization_servers": [HERE]})


async def about(request: Request) -> Response:
    told = {"issuer": HERE, "authorization_endpoint": f"{HERE}/authorize", "token_endpoint": f"{HERE}/token"}
    return JSONResponse(told | {"response_types_supported": ["code"]})


async def token(request: Request) -> Response:
    form = await request.form()
    basic = base64.b64encode(f"robot:{SECRET}".encode()).decode()
    if form.get("grant_type") != "client_credentials" or request.headers.get("authorization") != f"Basic {basic}":
        return JSONResponse({"error": "invalid_client"}, status_code=401)
    name = f"token-of-the-robot-{len(used)}"
    used[name] = 0
    return JSONResponse({"access_token": name, "token_type": "Bearer", "expires_in": 3600})


class Guard:
    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._lets_in(Request(scope)):
            hint = f'Bearer resource_metadata="{HERE}/.well-known/oauth-protected-resource/mcp"'
            await Response(status_code=401, headers={"WWW-Authenticate": hint})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _lets_in(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given in used and used[given] < GOOD_FOR:
            used[given] += 1
            return True
        return given in KEYS


inside = server.streamable_http_app()
open_to_all = [
    Route("/.well-known/oauth-protected-resource/mcp", resource),
    Route("/.well-known/oauth-authorization-server", about),
    Route("/token", token, methods=["POST"]),
]
app = Starlette(
    routes=[*open_to_all, Route("/mcp", Guard(inside))], lifespan=lambda _: inside.router.lifespan_context(inside)
)
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="error")
