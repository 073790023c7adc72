"""An MCP server by the official SDK whose tools change, told as the protocol has it since 2026-07-28.

python growing_server.py stdio|PORT
"""

from __future__ import annotations

import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

server: MCPServer[Any] = MCPServer("growing", log_level="ERROR")


def another() -> str:
    """Another tool."""
    return "here"


@server.tool()
async def grow(context: Context[Any]) -> str:
    """Offer another tool."""
    server.add_tool(another)
    await context.notify_tools_changed()
    return "grown"


if sys.argv[1].isdigit():
    server.run("streamable-http", port=int(sys.argv[1]))
else:
    server.run("stdio")
