"""An MCP server by the official SDK, over pipes, HTTP, or the older SSE transport.

python odd_server.py stdio|PORT|sse [PORT]
"""

from __future__ import annotations

import os
import sys
from typing import Any

from mcp.server.mcpserver import MCPServer

server: MCPServer[Any] = MCPServer("odd", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def environment(name: str) -> str:
    """A variable of the server's environment."""
    return os.environ.get(name, "(none)")


@server.tool()
def fail(words: str) -> str:
    """Fail."""
    raise ValueError(words)


@server.resource("note://today", name="today", description="What is to be done.", mime_type="text/plain")
def today() -> str:
    return "water the plants"


@server.resource("note://picture", name="picture", mime_type="image/png")
def picture() -> bytes:
    return b"x" * 300


@server.resource("note://{day}/old", name="old notes")
def old(day: str) -> str:
    if day == "never":
        raise ValueError("there is no such day")
    return f"nothing on {day}"


if sys.argv[1] == "sse":
    server.run("sse", port=int(sys.argv[2]))
elif sys.argv[1].isdigit():
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run("stdio")
