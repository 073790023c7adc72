"""megaagent doctor: whether all that a run needs is there, and what to do where it is not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megaagent.cli.exits import CONFIGURATION
from megaagent.cli.options import AsJson, Models, Runs, Set

if TYPE_CHECKING:
    from megaagent.cli.examination import Finding

HELP = """\b
Examples:
  megaagent doctor
  megaagent doctor --model anthropic:claude-sonnet-4-5
  megaagent doctor --offline --json

Each line is ok, warn or fail, with what to do. A model that is named is asked once, which costs about a cent, unless
--offline is given. The exit code is 2 when something that a run needs has failed."""


def command(
    models: Models,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Settings in a TOML file.", show_default=False)
    ] = None,
    set_: Set = None,
    runs: Runs = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the models.")] = False,
    json: AsJson = False,
) -> int:
    import asyncio

    from megaagent.cli.configured import assignment, configured
    from megaagent.cli.examination import examine
    from megaagent.cli.words import print_json

    tree = configured(settings, [*map(assignment, set_ or []), *models.changes().items()])
    found = asyncio.run(examine(tree, os.environ, runs, ask_models=not offline))
    if json:
        print_json({"findings": [_told(finding) for finding in found]})
    else:
        for finding in found:
            _print(finding)
    return CONFIGURATION if any(finding.status == "fail" for finding in found) else 0


def _print(finding: Finding) -> None:
    from megaagent.cli.words import clean, glyphs_for

    glyphs = glyphs_for(sys.stdout)
    print(f"{finding.status:<5} {finding.what:<9} {clean(finding.told)}")
    if finding.fix:
        print(f"{'':16}{glyphs.arrow} {clean(finding.fix)}")


def _told(finding: Finding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in type(finding).__struct_fields__}
