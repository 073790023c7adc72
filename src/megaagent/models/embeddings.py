"""Vectors from `POST /embeddings` of OpenAI-compatible servers.

Source: OpenAI API reference, "Create embeddings" (November 2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from megaagent.errors import ModelError
from megaagent.events import Usage
from megaagent.models.answers import count_of
from megaagent.models.http import HTTPModel
from megaagent.models.tokens import text_tokens
from megaagent.models.vectors import DEADLINE, MOST_TEXTS, Embedded, packed

MOST_DIMENSIONS: Final = 65_536  # every vector is kept in the journal


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Answer(msgspec.Struct):
    data: list[_Vector]
    usage: Any = None


class HTTPEmbedder:
    """An embedding model behind `POST {base_url}/embeddings`.

    Args:
        http: the connection to its server.
    """

    def __init__(self, http: HTTPModel, model: str, dimensions: int | None = None):
        self._http = http
        self._more = {} if dimensions is None else {"dimensions": dimensions}
        self._model = model

    async def embed(self, texts: Sequence[str]) -> Embedded:
        vectors: list[bytes] = []
        tokens = 0
        for start in range(0, len(texts), MOST_TEXTS):
            some = [text or " " for text in texts[start : start + MOST_TEXTS]]  # an empty text is refused
            body = {"model": self._model, "input": some, "encoding_format": "float", **self._more}
            here = sum(map(text_tokens, some))
            try:
                data = await self._http.side_request(
                    "POST", "/embeddings", msgspec.json.encode(body), deadline=DEADLINE
                )
                vectors += self._read(data, len(some))
            except ModelError as error:  # what was answered before it is paid for
                if tokens or error.maybe_paid:
                    error.usage = Usage(tokens + (here if error.maybe_paid else 0))
                raise
            tokens += self._counted(data) or here
        return Embedded(tuple(vectors), tokens)

    async def close(self) -> None:
        await self._http.close()

    def _read(self, data: bytes, count: int) -> list[bytes]:
        try:
            answer = msgspec.json.decode(data, type=_Answer)
        except (ValueError, RecursionError) as error:
            raise _no_use(f"what came is no embedding: {error}") from None
        found = sorted(answer.data, key=lambda vector: vector.index)
        sizes = {len(vector.embedding) for vector in found}
        if len(found) != count or len(sizes) != 1 or not min(sizes):
            raise _no_use(f"{len(found)} vectors of {sorted(sizes)[:5]} dimensions came for {count} texts")
        places = [vector.index for vector in found]
        if any(places) and places != list(range(count)):
            raise _no_use(f"vectors came for the texts {places[:5]} of {count}: nobody knows which is whose")
        if max(sizes) > MOST_DIMENSIONS:
            raise _no_use(f"vectors of {max(sizes):,} dimensions came, more than {MOST_DIMENSIONS:,}")
        return [packed(vector.embedding) for vector in found]

    def _counted(self, data: bytes) -> int | None:
        usage: Any = msgspec.json.decode(data, type=_Answer).usage
        return count_of(usage.get("prompt_tokens")) if isinstance(usage, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _no_use(why: str) -> ModelError:
    """An answer that was given, and is billed, but is none."""
    error = ModelError("broken", why)
    error.maybe_paid = True
    return error
