"""Tools of MCP servers, by the official SDK (the extra `mcp`), which is imported when a server is named."""
