"""How adapters use the network."""

from __future__ import annotations

from typing import Literal

from megaagent.events import Struct

CacheTime = Literal["5m", "1h"]  # for which Anthropic keeps a prompt that is not used


class NetworkSettings(Struct, frozen=True):
    """Bounds of one adapter's connections.

    Attributes:
        connections: at most so many at once; a gate in front keeps to less.
        connect: seconds to reach the server, TLS included.
        stall: seconds without a byte after which a stream that has begun is given up.
        answer_bytes: the longest answer that is read.
        proxies: use the proxy that the environment names, except for this machine.
    """

    connections: int = 2000
    connect: float = 20.0
    stall: float = 90.0
    answer_bytes: int = 64 << 20
    proxies: bool = True
