"""A digest of an organization's state that costs only what changed.

The digest is the sum, modulo 2**128, of the hashes of its parts (an incremental multiset hash: Bellare and Micciancio,
EUROCRYPT 1997), so a changed member is subtracted and added, and the order of changes does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from megaagent.events import Struct
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
        return list(self.pieces(len(self._state.dirty)))[-1] or ""

    def pieces(self, size: int) -> Iterator[str | None]:
        """The digest of the state as it is now, at the end of so many pieces of work that none of them is long.

        What changes between the pieces is not in it. They are to be used up before the next digest is begun.

        Args:
            size: members and debts in one piece.
        """
        state = self._state
        changed = [(id, state.members.get(id) or state.debts.get(id)) for id in state.dirty]
        state.dirty.clear()
        return self._reckoned(changed, state.run, size)

    def _reckoned(self, changed: Sequence[tuple[str, Struct | None]], run: Struct, size: int) -> Iterator[str | None]:
        for number, (id, part) in enumerate(changed, 1):
            new = _hash(_encoder.encode((id, part)))
            self._sum = (self._sum - self._parts.get(id, 0) + new) % (1 << 128)
            self._parts[id] = new
            if number % size == 0:
                yield None
        yield f"{(self._sum + _hash(_encoder.encode(run))) % (1 << 128):032x}"


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest(), "big")
