"""From a row as it lies in a store to what readers give, with words for what is damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from megaagent.errors import RunError
from megaagent.events import Record
from megaagent.journal.codec import Codec

LOOK: Final = "see megaagent check-journal, then megaagent repair"


def record_of(row: Sequence[Any], codec: Codec, place: object, blob: Callable[[str], bytes | None] | None) -> Record:
    """The record of a row.

    Args:
        row: `schema.COLUMNS`.
        place: where the journal is, for errors.
        blob: gives a long body by its digest, None when it is missing; without it the markers stay.

    Raises:
        RunError: it cannot be read, or a body is missing.
    """

    def fetch(digest: str) -> bytes:
        data = blob(digest) if blob is not None else None
        if data is None:
            raise RunError(f"the journal {place}: the content {digest} is missing; {LOOK}")
        return data

    position, epoch, time, agent, step, kind, body = row
    try:
        event = codec.event(kind, body, fetch if blob is not None else None)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise RunError(f"the journal {place}: row {position} ({kind}) cannot be read: {error}; {LOOK}") from error
    return Record(position, epoch, time, agent, step, event)
