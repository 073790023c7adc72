"""megaagent mcp: MegaAgent as an MCP server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from megaagent.cli.options import Model, Runs
from megaagent.errors import ConfigurationError

HELP = """Programs that speak the Model Context Protocol can then start runs, watch them, write to their agents,
fetch what was made, and stop them. It speaks over standard input and output, so a client starts it.

\b
Examples, as a client starts it, and as its file of servers says so:
  megaagent mcp --model openai:gpt-4.1 --max-cost 5
  {"mcpServers": {"megaagent": {"command": "megaagent", "args": ["mcp"]}}}

\b
Runs go on when the client leaves. Approvals, budgets and answers to agents'
questions stay with people: megaagent approve, budget, answer, or serve."""


def command(
    model: Model = None,
    max_cost: Annotated[
        float, typer.Option("--max-cost", metavar="DOLLARS", help="Cap of money of each run; clients may ask for less.")
    ] = 10.0,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="A TOML file, for each run.", show_default=False)
    ] = None,
    runs: Runs = None,
) -> int:
    import os
    from importlib.util import find_spec

    from megaagent.folder import runs_folder
    from megaagent.models import parse_model
    from megaagent.settings import load

    if find_spec("mcp") is None or find_spec("mcp_types") is None:
        raise ConfigurationError("this needs the official SDK, version 2: pip install 'megaagent[mcp]'")
    if not 0 < max_cost < float("inf"):
        raise ConfigurationError(f"--max-cost must be more than 0 and finite, not {max_cost}")
    # What is wrong is told now, and not with the first run.
    if settings is not None:
        load(settings)
    if model is not None:
        parse_model(model)
    from megaagent.cli.mcp_server import Office, server_of

    office = Office(runs_folder(runs, os.environ).absolute(), model, max_cost, settings)
    try:
        asyncio.run(server_of(office).run_stdio_async())
    finally:
        office.close()
    return 0
