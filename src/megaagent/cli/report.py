"""megaagent report: what was done, for people and for programs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megaagent.cli.options import Chosen, shown
from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.folder import RunFolder

HELP = """\b
Examples:
  megaagent report
  megaagent report 20261121-0931 --output for-the-team.html
  megaagent report --format md
  megaagent report --format json | jq .stages
  megaagent report --format svg --output organization.svg

The page is one file that can be mailed: it needs no network and holds no
script. It is written to report.html in the run's folder unless --output says
where; the other formats are printed. Runs that go on, have failed or whose
journal is damaged have a report too, as far as they can be read."""


class Format(StrEnum):
    """What can be made of a run."""

    html = "html"
    md = "md"
    json = "json"
    svg = "svg"


def command(
    chosen: Chosen,
    format: Annotated[
        Format | None,
        typer.Option("--format", help="A page, Markdown, data, or a picture of the organization.", show_default="html"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where it goes; - prints it.", show_default=False),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of --format json, and leave.")
    ] = False,
) -> int:
    if schema:
        import json

        from megaagent.report.document import schema as of_reports

        print(json.dumps(of_reports(), indent=2))
        return 0
    wanted, folder = format or _by_ending(output), chosen.folder()
    made = _made(folder, wanted)
    if output is None and wanted is Format.html:
        output = folder.page
    if output is None or str(output) == "-":
        sys.stdout.write(made)
        return 0
    making = output.with_name(f".{output.name}.making")
    try:
        making.write_text(made, encoding="utf-8")
        making.replace(output)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {output}: {error.strerror}. Say another place with --output."
        ) from error
    print(shown(output))
    return 0


def _by_ending(output: Path | None) -> Format:
    """What the name of the file asks for."""
    ending = output.suffix.removeprefix(".").lower() if output is not None else ""
    return {"md": Format.md, "json": Format.json, "svg": Format.svg}.get(ending, Format.html)


def _made(folder: RunFolder, format: Format) -> str:
    import asyncio

    from megaagent.cli.reading import opened
    from megaagent.cli.words import clean_block, clean_json
    from megaagent.readings.summary import standing
    from megaagent.report.gathering import gathered, report_of

    with opened(folder) as reader:
        gathering = gathered(reader)
    report = report_of(gathering, asyncio.run(standing(folder)))
    match format:
        case Format.html:
            from megaagent.report.page import page

            return page(report, gathering)
        case Format.svg:
            from megaagent.report.picture import picture

            return picture(report)
        case Format.json:
            import msgspec

            return clean_json(msgspec.json.format(msgspec.json.encode(report)).decode()) + "\n"
        case Format.md:
            from megaagent.report.markdown import markdown

            return clean_block(markdown(gathering)) + "\n"
