"""megaagent trace: a run as OpenTelemetry spans and metrics."""

from __future__ import annotations

from math import inf
from typing import Annotated

import typer

from megaagent.cli.options import Chosen
from megaagent.errors import ConfigurationError, RunError

HELP = """\b
Examples:
  megaagent trace
  megaagent trace 20261121-0931 --endpoint http://127.0.0.1:4318
  megaagent trace --follow
  OTEL_EXPORTER_OTLP_ENDPOINT=https://otel.example.org megaagent trace

Sends by OTLP over HTTP, with the times at which things were. One trace for
each turn of an agent, linked to the turns that woke it; see docs/telemetry.md.
What was said is left out unless --content asks for it. Sent twice, a run has
the same ids. Needs: pip install 'megaagent[otel]'. megaagent run --otel sends
while the run goes on."""


def command(
    chosen: Chosen,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="Base address of an OTLP/HTTP receiver; by default what OTEL_EXPORTER_OTLP_ENDPOINT says, or "
            "http://localhost:4318.",
            show_default=False,
        ),
    ] = None,
    content: Annotated[
        bool, typer.Option("--content", help="Send what was said too: goal, roles, answers, arguments, results.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Send what the run does until it ends.")] = False,
) -> int:
    from megaagent.cli.words import plural
    from megaagent.telemetry.otlp import Sender
    from megaagent.telemetry.sending import Follower, send

    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(f"--endpoint {endpoint!r}: give an address such as http://127.0.0.1:4318")
    folder = chosen.folder()
    if follow:
        follower = Follower(folder, Sender(folder.id, endpoint), content=content)
        try:
            follower.wait()
        finally:
            sent = follower.close()
    else:
        sent = send(folder, Sender(folder.id, endpoint, rest=inf), content=content)
    if sent.problem:
        total = sent.spans + sent.tellings + sent.lost
        raise RunError(f"{sent.lost:,} of {total:,} spans and requests with metrics were not taken: {sent.problem}")
    print(f"sent {plural(sent.spans, 'span')}, and metrics of {plural(sent.tellings, 'moment')}")
    return 0
