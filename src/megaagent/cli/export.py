"""megaagent export: a run to hand on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from megaagent.cli.options import Seen
from megaagent.errors import ConfigurationError

HELP = """The archive (.tar.gz) holds events.jsonl, the files of the workspace, and report.md; keys that stand in the
environment, what looks like a key, and every --redact TEXT are taken out of all of them. With --whole it holds the run
as it is, journal and workspace, which can be unpacked among other runs and be resumed there; nothing is taken out.

\b
Examples:
  megaagent export
  megaagent export 20261121-0931 --output run.tar.gz --redact "ACME Ltd"
  megaagent export --events | jq -c 'select(.event.kind == "ModelAnswered")'
  megaagent export --events --output events.jsonl --host http://127.0.0.1:8642
  megaagent export --whole && tar -xzf RUN.tar.gz -C ../megaagent-runs"""


def command(
    seen: Seen,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where it goes: RUN.tar.gz here; with --events it is printed.",
            show_default=False,
        ),
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="Only the facts, one JSON object per line.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="The run as it is, with nothing taken out.")] = False,
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", metavar="TEXT", help="Take this out too; may be given again.", show_default=False),
    ] = None,
) -> int:
    from megaagent.cli.options import Chosen, shown
    from megaagent.cli.packing import Blinds, lines, packed, packed_whole
    from megaagent.cli.words import clean_json

    if whole and (events or redact):
        raise ConfigurationError("--whole is the run as it is: --events and --redact exclude it")
    if seen.host is not None and not events:
        raise ConfigurationError("with --host only the facts can be had: add --events, or export where the run is")
    blinds = Blinds(redact or (), os.environ)
    if events:
        with seen.sight() as sight:
            if output is None or str(output) == "-":
                for line in lines(sight.records(), blinds):
                    sys.stdout.write(clean_json(line.decode()))  # it may be a terminal that reads it
                return 0
            with _making(output) as making, making.open("wb") as file:
                file.writelines(lines(sight.records(), blinds))
        print(shown(output))
        return 0
    seen.check()
    folder = Chosen(seen.run, seen.runs).folder()
    output = output or Path(f"{folder.id}.tar.gz")
    with _making(output) as making:
        packed_whole(folder, making) if whole else packed(folder, making, blinds)
    print(shown(output))
    return 0


class _making:  # noqa: N801  # used like a function
    """A file beside the one that is asked for, which takes its place when everything is written."""

    def __init__(self, output: Path):
        if output.exists():
            raise ConfigurationError(f"--output {output}: it exists; say another place, or remove it")
        self._output = output
        self._making = output.with_name(f".{output.name}.making")

    def __enter__(self) -> Path:
        try:
            self._making.write_bytes(b"")
        except OSError as error:
            raise ConfigurationError(f"--output {self._output}: {error.strerror}") from error
        return self._making

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        if kind is None:
            self._making.replace(self._output)
        else:
            self._making.unlink(missing_ok=True)
