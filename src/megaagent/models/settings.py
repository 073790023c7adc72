"""Which model answers for whom, and how it is reached."""

from __future__ import annotations

import msgspec

from megaagent.errors import ConfigurationError
from megaagent.events import Struct, Tier
from megaagent.models.embedding_settings import EmbeddingSettings
from megaagent.models.network import CacheTime, NetworkSettings
from megaagent.models.prices import parse_price

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class TierSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What differs for one tier; what is not said is as for all.

    Attributes:
        name: `provider:model`.
        output: completion tokens of one call, at most.
        effort: how much it is to think (see `ModelSettings`).
    """

    name: str | None = None
    temperature: float | None = None
    output: int | None = None
    effort: str | None = None


class ModelSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which model answers, and how it is reached. Keys are never part of settings: they come from the environment.

    Attributes:
        name: `provider:model` for every tier that `tiers` does not name.
        tiers: of boss, admin, worker, judge and summarizer: `provider:model`, or a table of name, temperature, output
            and effort.
        base_url: of a server that speaks the provider's protocol.
        effort: how much a model is to think: none, minimal, low, medium, high, xhigh or max, as far as it knows them;
            the provider's own default when it is not set.
        price: dollars per million tokens, `IN:OUT[:CACHED[:WRITTEN]]`; needed for a money cap when a price is unknown.
        prices: the same for single models, by `provider:model`.
        fallbacks: `provider:model`, asked in this order while the model of a tier is not available. The base URL and
            the price hold for those of the provider of `name`; others have those of their provider.
        network: how an adapter uses the network.
        cache: how long Anthropic keeps a prompt that is not used, 5m or 1h; an hour costs twice the price to write, and
            pays where agents rest for longer than five minutes.
        embedding: the model that makes vectors for `recall`.
    """

    name: str | None = None
    tiers: dict[Tier, TierSettings | str] = msgspec.field(default_factory=dict[Tier, TierSettings | str])
    base_url: str | None = None
    stream: bool = True
    temperature: float | None = None
    effort: str | None = None
    price: str | None = None
    prices: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    fallbacks: tuple[str, ...] = ()
    network: NetworkSettings = NetworkSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    cache: CacheTime = "5m"

    def of_tier(self, tier: Tier) -> TierSettings:
        """What holds for the tier, with what holds for all filled in."""
        own = self.tiers.get(tier, TierSettings())
        own = TierSettings(own) if isinstance(own, str) else own
        return TierSettings(
            own.name or self.name,
            self.temperature if own.temperature is None else own.temperature,
            own.output,
            own.effort or self.effort,
        )


def check_models(settings: ModelSettings, source: str) -> None:
    """Refuse values of the right type that make no sense.

    Raises:
        ConfigurationError: names the field.
    """
    tables = {f"model.tiers.{tier}": each for tier, each in settings.tiers.items() if isinstance(each, TierSettings)}
    for where, tier in {"model": TierSettings(effort=settings.effort), **tables}.items():
        if tier.effort is not None and tier.effort not in EFFORTS:
            raise ConfigurationError(
                f"{source}: {where}.effort must be one of {', '.join(EFFORTS)}, not {tier.effort!r}"
            )
        if tier.output is not None and tier.output <= 0:
            raise ConfigurationError(f"{source}: {where}.output must be more than 0, not {tier.output}")
    for price in settings.prices.values():
        parse_price(price)
