"""Vectors of texts, for finding what means the same in other words."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import mul
from typing import Final, Protocol

from megaagent.errors import ConfigurationError
from megaagent.events import Struct
from megaagent.models import PROVIDERS, open_model, parse_model
from megaagent.models.embedding_settings import EmbeddingSettings
from megaagent.models.http import HTTPModel
from megaagent.models.network import NetworkSettings
from megaagent.models.tokens import text_tokens

MOST_TEXTS: Final = 512  # of one call; the documented limits are 2,048 texts and 300,000 tokens
LONGEST: Final = 4_000  # characters of a text that a vector is made of
DEADLINE: Final = 30.0  # seconds of one call: an agent waits for it
_SCALE: Final = 127


class Embedded(Struct, frozen=True):
    """Vectors in the order of their texts, each of one signed byte per dimension; and the tokens that were counted."""

    vectors: tuple[bytes, ...]
    tokens: int


class Embedder(Protocol):
    """Makes vectors of texts."""

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """
        Raises:
            ModelError: it could not be asked, or what came is none.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def open_embedder(
    settings: EmbeddingSettings, *, environ: Mapping[str, str], network: NetworkSettings | None = None
) -> Embedder | None:
    """What the settings name; None when they name nothing.

    Raises:
        ConfigurationError: it cannot be asked for vectors; or what else `open_model` raises.
    """
    if settings.name is None:
        return None
    provider, model = parse_model(settings.name)
    if provider == "sim":
        return SimulatedEmbedder(settings.dimensions or 256)
    if not PROVIDERS[provider].opens.endswith(("open_openai", "open_azure")):
        raise ConfigurationError(
            f"model.embedding.name {settings.name!r}: {provider} makes no vectors here; name a model of an "
            "OpenAI-compatible server, such as openai:text-embedding-3-small"
        )
    from megaagent.models.embeddings import HTTPEmbedder  # brings aiohttp

    opened = open_model(settings.name, environ=environ, base_url=settings.base_url, network=network)
    assert isinstance(opened, HTTPModel)
    return HTTPEmbedder(opened, model, settings.dimensions)


class SimulatedEmbedder:
    """Vectors from groups of three letters: words of one stem are alike, synonyms are not. No model is asked."""

    def __init__(self, dimensions: int = 256):
        self._dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> Embedded:
        return Embedded(tuple(map(self._vector, texts)), sum(map(text_tokens, texts)))

    async def close(self) -> None:
        """Nothing is open."""

    def _vector(self, text: str) -> bytes:
        return packed(letters(text, self._dimensions))


def letters(text: str, dimensions: int) -> list[float]:
    """How often each group of three letters is in the words of a text, hashed into so many dimensions."""
    sums = [0.0] * dimensions
    for word in text.lower().split():
        padded = f" {word} "
        for start in range(len(padded) - 2):
            digest = blake2b(padded[start : start + 3].encode("utf-8", "surrogatepass"), digest_size=4).digest()
            sums[int.from_bytes(digest) % dimensions] += 1.0
    return sums if any(sums) else [1.0, *sums[1:]]


def packed(vector: Sequence[float]) -> bytes:
    """The direction of a vector, in one signed byte per dimension."""
    largest = max(map(abs, vector), default=0.0)
    if not largest or not math.isfinite(largest):
        return bytes(len(vector))
    return array("b", (round(_SCALE * (value / largest)) for value in vector)).tobytes()


def likeness(one: bytes, other: bytes) -> float:
    """The cosine of the angle between two packed vectors; 0 when they cannot be compared."""
    a, b = array("b", one), array("b", other)
    if len(a) != len(b):
        return 0.0
    norm = math.sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return sum(map(mul, a, b)) / norm if norm else 0.0
