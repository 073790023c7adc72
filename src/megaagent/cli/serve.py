"""megaagent serve: the dashboard of the runs in a folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from megaagent.dashboard.address import Place

HELP = """\b
Examples:
  megaagent serve
  megaagent serve runs --port 9000
  megaagent serve --bind 192.0.2.7 --tls-cert cert.pem --tls-key key.pem

\b
It listens on this machine only unless told otherwise. Two links are
printed: one to see and steer, one to look only. Their tokens hold until
the server ends; one for looking only that lasts (for Prometheus, which
reads /metrics) is given with --read-token-file."""

PORT = 8642


def command(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="RUNS_DIR", help="Where runs are kept: megaagent-runs here, or $MEGAAGENT_RUNS."),
    ] = None,
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes any free one.")] = PORT,
    bind: Annotated[str, typer.Option("--bind", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A further name by which browsers may call it; may be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, as PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, as PEM.")] = None,
    read_token_file: Annotated[
        Path | None,
        typer.Option(
            "--read-token-file", metavar="FILE", help="A token of your own for looking only, such as Prometheus'."
        ),
    ] = None,
    without_tls: Annotated[
        bool, typer.Option("--without-tls", help="Serve other machines unprotected: others can listen in.")
    ] = False,
) -> int:
    import os

    from megaagent.dashboard.address import Place
    from megaagent.folder import runs_folder

    place = Place(bind, port, tuple(name or ()), tls_cert, tls_key, without_tls, read_token_file)
    asyncio.run(_serve(runs_folder(folder, os.environ).absolute(), place))
    return 0


async def _serve(runs: Path, place: Place) -> None:
    import signal

    from megaagent.dashboard.serving import serving

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with serving(runs, place) as links:
        print(f"the runs in {runs} (Ctrl-C ends this server, never a run)")
        print(f"to see and steer: {links.full}")
        print(f"to look only:     {links.read}", flush=True)
        await ended.wait()
