"""megaagent serve-sim: a simulated model behind the address of a provider, in either protocol."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from megaagent.errors import ConfigurationError

HELP = """\b
Example:
  megaagent serve-sim gobang --speed 10
  megaagent run --scenario gobang --price 2:8 \\
      --model openai:gobang --base-url http://127.0.0.1:8901/v1
  megaagent serve-sim gobang --protocol anthropic --thoughts

It listens on this machine only. No model is asked: the answers come from a script."""


class Protocol(StrEnum):
    """What is spoken; named as the provider whose it is."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


def command(
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="Which simulated model: gobang, ...")],
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes any free one.")] = 8901,
    speed: Annotated[float, typer.Option("--speed", metavar="X", min=0, help="0 answers at once.")] = 1.0,
    key: Annotated[str | None, typer.Option("--key", metavar="KEY", help="That callers must send.")] = None,
    protocol: Annotated[
        Protocol, typer.Option("--protocol", help="Of chat completions, or of Anthropic's messages; both are served.")
    ] = Protocol.OPENAI,
    thoughts: Annotated[
        bool, typer.Option("--thoughts", help="Over Anthropic's: think before every answer, aloud and signed.")
    ] = False,
    batch: Annotated[float, typer.Option("--batch", metavar="SECONDS", min=0, help="That a batch takes.")] = 10.0,
) -> int:
    import math

    from megaagent.models import open_model
    from megaagent.scenarios import SCRIPTS

    model = open_model(f"sim:{script}", environ={}, scripts=SCRIPTS, speed=speed or math.inf)
    try:
        asyncio.run(_serve(script, model, port, key, protocol, thoughts, batch))
    except OSError as error:
        raise ConfigurationError(f"--port {port}: cannot listen there ({error.strerror})") from error
    return 0


async def _serve(
    script: str, model: object, port: int, key: str | None, protocol: Protocol, thoughts: bool, batch: float
) -> None:
    import signal
    from typing import cast

    from megaagent.models.contract import Model
    from megaagent.models.served_batches import BatchPace
    from megaagent.models.server import SimServer

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    pace = BatchPace(batch)
    async with SimServer({script: cast("Model", model)}, key=key, port=port, thoughts=thoughts, batches=pace) as server:
        url = server.url if protocol is Protocol.OPENAI else server.root
        print(f"a simulated model, {script}, listens at {url} (Ctrl-C ends it)")
        secret = f"{protocol.value.upper()}_API_KEY={key} " if key else ""
        example = f"megaagent run GOAL --price 2:8 --model {protocol.value}:{script} --base-url {url}"
        print(f"try: {secret}{example}", flush=True)
        await ended.wait()
    print(f"{len(server.bill)} calls were answered")
