"""A digest of an organization's state that costs only what changed.

The digest is the sum, modulo 2**128, of the hashes of its parts (an incremental multiset hash: Bellare and Micciancio,
EUROCRYPT 1997), so a changed member is subtracted and added, and the order of changes does not matter.
"""

from __future__ import annotations

import hashlib

import msgspec

from megaagent.organization.state import State

_encoder = msgspec.json.Encoder(order="deterministic")


class StateDigest:
    """Keeps the digest of one `State` up to date.

    Args:
        state: the state; from now on this digest is the only one that clears its `dirty` set.
    """

    def __init__(self, state: State):
        self._state = state
        self._parts: dict[str, int] = {}
        self._sum = 0

    def value(self) -> str:
        """The digest of the state as it is now, 32 hex digits."""
        state = self._state
        for id in state.dirty:
            part = state.members.get(id) or state.debts.get(id)
            new = _hash(_encoder.encode((id, part)))
            self._sum = (self._sum - self._parts.get(id, 0) + new) % (1 << 128)
            self._parts[id] = new
        state.dirty.clear()
        run = _hash(_encoder.encode(state.run))
        return f"{(self._sum + run) % (1 << 128):032x}"


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "big")
