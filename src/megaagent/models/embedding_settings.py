"""Which model makes vectors for `recall`."""

from __future__ import annotations

from megaagent.events import Struct


class EmbeddingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The model that makes vectors for `recall`; without a name recall goes by words alone.

    Attributes:
        name: `provider:model` of an OpenAI-compatible server; `sim:words` is made up from the letters of words.
        base_url: of the server; that of the provider unless given.
        dimensions: of the vectors, where the model lets one choose; fewer take less room.
    """

    name: str | None = None
    base_url: str | None = None
    dimensions: int | None = None
