"""An MCP server by the official SDK, over pipes or HTTP.

python odd_server.py stdio|PORT
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


if sys.argv[1].isdigit():
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run("stdio")
