"""Opens the dashboard: socket, guard and server, for as long as somebody needs them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from megaagent.dashboard.address import Place, hosts_of, listen, tls_of, watcher_of
from megaagent.dashboard.guard import Guard
from megaagent.dashboard.runs import Runs
from megaagent.dashboard.server import Dashboard
from megaagent.events import Struct


class Links(Struct, frozen=True):
    """What a person opens in a browser; the token is behind `#`, which browsers send to nobody.

    Attributes:
        full: to see and to steer.
        read: to look only.
        port: where it listens.
    """

    full: str
    read: str
    port: int


@asynccontextmanager
async def serving(runs: Path, place: Place, only: str | None = None) -> AsyncGenerator[Links]:
    """Serve the runs in a folder, or one of them, until the context is left.

    Raises:
        ConfigurationError: it cannot be served there.
    """
    tls, watcher = tls_of(place), watcher_of(place)
    listening = listen(place)
    port: int = listening.getsockname()[1]
    try:
        hosts = hosts_of(place, port)
    except BaseException:
        listening.close()
        raise
    guard = Guard(hosts, port, secure=tls is not None, watcher=watcher)
    dashboard = Dashboard(Runs(runs, only), guard)
    await dashboard.start(listening, tls)
    base = f"{'https' if tls else 'http'}://{hosts[0]}/"
    try:
        yield Links(f"{base}#token={guard.token}", f"{base}#token={guard.read_token}", port)
    finally:
        await dashboard.close()
