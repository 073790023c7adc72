"""Batches: many requests handed to a provider at once, which answers them when it has time, at a lower price.

What all of them promise is here; each protocol's own module says how it is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, Protocol, TypeVar, cast, runtime_checkable

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Struct
from megaagent.models.contract import Model, ModelRequest, ModelResponse

Outcome = ModelResponse | ModelError
ANSWER_BYTES: Final = 8 << 20  # that one answer of a batch may have in the mean; they are all in memory at once


class Progress(Struct, frozen=True):
    """How a batch stands.

    Attributes:
        position: "ended" when no more answers will come; "unknown" when the provider has no such batch.
        answered: requests that are done, of `total`, as far as the provider tells.
        reason: why it came to nothing, when it did.
    """

    position: Literal["under way", "ended", "unknown"]
    answered: int = 0
    total: int = 0
    reason: str = ""


class Batches(Protocol):
    """The batches of one provider, model and key.

    Attributes:
        requests, bytes: of one batch, at most.
        finds: whether `find` can tell that there is none.
    """

    requests: int
    bytes: int
    finds: bool

    def size(self, request: ModelRequest) -> int:
        """Bytes of the request as it would be sent."""
        ...

    async def send(self, key: str, requests: Sequence[ModelRequest]) -> str:
        """Hand in a batch; returns the provider's name of it.

        Args:
            key: ours, by which `find` knows it; letters, digits and hyphens, at most 50.

        Raises:
            ModelError: it was not taken, or nobody knows (`maybe_paid`).
        """
        ...

    async def find(self, key: str) -> str | None:
        """The provider's name of the batch that was sent under this key; None when there is none, or none can be seen.

        Raises:
            ModelError: it could not be asked.
        """
        ...

    async def look(self, name: str) -> Progress:
        """How the batch stands.

        Raises:
            ModelError: it could not be asked.
        """
        ...

    async def answers(self, name: str, key: str, requests: Sequence[ModelRequest]) -> list[Outcome]:
        """What became of each request of an ended batch, in their order.

        An error that is `maybe_paid` may have been billed; all others were not.

        Args:
            requests: as they were sent, or as much of them as is still known.

        Raises:
            ModelError: they could not be fetched.
        """
        ...

    async def cancel(self, name: str) -> None:
        """Ask the provider to begin no more of it; what is done already is kept, and paid for.

        Raises:
            ModelError: it could not be asked.
        """
        ...


@runtime_checkable
class Batching(Protocol):
    """A model that can be asked by the batch."""

    @property
    def batches(self) -> Batches | None: ...


def batches_of(model: Model) -> Batches | None:
    """How the model is asked by the batch; None when it cannot be."""
    return model.batches if isinstance(model, Batching) else None


# -- shared by the protocols ------------------------------------------------------------------------------------------

_NAME: Final = re.compile(r"[\w.:-]{1,200}")
_Made = TypeVar("_Made", bound="Named")


class Named(msgspec.Struct):
    """A batch as a provider tells of it, as far as all of them agree."""

    id: str


def read_batch(data: bytes, kind: type[_Made]) -> _Made:
    """What a provider tells of a batch.

    Raises:
        ModelError: "broken", it is none.
    """
    try:
        batch = msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise ModelError("broken", f"what came is no batch: {error}") from None
    if not _NAME.fullmatch(batch.id):
        raise ModelError("broken", f"what came is no name of a batch: {batch.id[:80]!r}")
    return batch


def custom_id(key: str, number: int) -> str:
    """How a request of a batch is called in it."""
    return f"{key}-{number}"


def number_of(name: object, key: str, count: int) -> int | None:
    """Which request an id names; None when it is none of ours."""
    prefix, _, number = name.rpartition("-") if isinstance(name, str) else ("", "", "")
    if prefix != key or not number.isascii() or not number.isdecimal() or len(number) > len(str(count)):
        return None  # Python refuses to read a number of thousands of digits
    return int(number) if int(number) < count else None


def lines_of(data: bytes) -> list[dict[str, msgspec.Raw]]:
    """The objects of a JSONL file; lines that are none are left out."""
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    found: list[dict[str, msgspec.Raw]] = []
    for line in data.splitlines():
        try:
            found.append(decoder.decode(line))
        except (ValueError, RecursionError):
            continue
    return found


def raws_of(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """The fields of an object, unread; none of anything else."""
    try:
        return msgspec.json.decode(raw or b"{}", type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return {}


def value_of(raw: msgspec.Raw | None) -> object:
    """The value of a field; None when it is missing or cannot be read."""
    try:
        return cast("object", msgspec.json.decode(raw)) if raw is not None else None
    except (ValueError, RecursionError):
        return None


def fields_of(value: object) -> dict[str, object]:
    """The fields of an object; none of anything else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def not_done(why: str) -> ModelError:
    """A request that the provider has not worked on, and does not bill."""
    return ModelError("timeout", why)


def unanswered(why: str) -> ModelError:
    """A request of which the provider says nothing although its batch has ended."""
    error = ModelError("broken", why)
    error.maybe_paid = True
    return error
