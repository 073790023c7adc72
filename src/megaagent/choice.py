"""The choice of models: who answers for each tier, what it costs, and the adapters that a run opens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Final, get_args

import msgspec
from msgspec.structs import replace

from megaagent.descriptors import open_for_calls
from megaagent.errors import ConfigurationError
from megaagent.events import Tier, Usage
from megaagent.models import PROVIDERS, address_of, endpoint_of, open_model, parse_model
from megaagent.models.batches import Batches, batches_of
from megaagent.models.breaker import Breaker
from megaagent.models.contract import Model, ModelRequest, ModelResponse
from megaagent.models.gate import Gate
from megaagent.models.prices import Price, cost_of, parse_price, worst_case
from megaagent.models.settings import TierSettings
from megaagent.models.vectors import open_embedder
from megaagent.organization.asking import Voice
from megaagent.organization.economy import Bulk
from megaagent.organization.likeness import Source
from megaagent.redaction import Secrets, passwords_in
from megaagent.runtimes.ray_wire import Asked
from megaagent.settings import Settings

FIRST_PROMPT: Final = 3_000  # tokens of the shortest prompt: rules, tools and a goal
SCENARIOS: Final = "megaagent.scenarios"  # the room above that knows scripts of simulated models by name


class Adapters(dict[str, Model]):
    """The bare adapters of a run by `provider:name`, the gate before each, and the breaker before its endpoint.

    Attributes:
        secrets: what the environment holds that no fact may tell.
        network: as the settings say, with no more connections than this process may open.
        source: of vectors for recall.
    """

    def __init__(self, names: Iterable[str], settings: Settings, secrets: Secrets):
        super().__init__()
        self.secrets = secrets
        self.network = replace(settings.model.network, connections=open_for_calls(settings.model.network.connections))
        most = min(settings.gate.most, self.network.connections)
        bounded = replace(settings.gate, most=most, start=min(settings.gate.start, most))
        elsewhere = settings.runtime.kind != "local"
        self.gates = {name: Gate(settings.gate if elsewhere or name.startswith("sim:") else bounded) for name in names}
        self.breakers: dict[str, Breaker] = {}
        self.source: Source | None = None

    def another(self, settings: Settings, environ: Mapping[str, str]) -> Adapters:
        """The same models behind the same gates for one run of several; closing these closes nothing.

        Breakers are the run's own, since their changes are facts of its journal.
        """
        one = Adapters(self, settings, self.secrets)
        one.gates = self.gates
        one.source = embedding_of(settings, environ)
        one.update({name: _Lasting(model) for name, model in self.items()})
        endpoints = {name: endpoint_of(name, environ=environ, base_url=_url(name, settings)) for name in self}
        breakers = {endpoint: Breaker(endpoint, settings.breaker) for endpoint in endpoints.values()}
        one.breakers = {name: breakers[endpoint] for name, endpoint in endpoints.items()}
        return one

    async def close(self) -> None:
        """Close every model."""
        for model in self.values():
            await model.close()


class _Lasting:
    """A model that others use too: the end of one run is not its end."""

    def __init__(self, model: Model):
        self._model = model

    @property
    def batches(self) -> Batches | None:
        return batches_of(self._model)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        return await self._model.complete(request)

    async def close(self) -> None:
        """Who opened it closes it."""


def open_models(settings: Settings, environ: Mapping[str, str], given: Mapping[str, Model]) -> Adapters:
    """The bare adapters of all tiers; what a provider tells of its limits, its gate learns.

    When models are asked by workers elsewhere there are gates and breakers, and no adapters.

    Args:
        given: ready-made models by name; adapters that were opened already are taken as they are.
    """
    if settings.runtime.kind != "local":
        return _gates_only(settings, environ, given)
    if isinstance(given, Adapters) and set(all_names(settings)) <= set(given):
        return given
    scripts: Mapping[str, str] = import_module(SCENARIOS).SCRIPTS
    speed = settings.simulation.speed or math.inf
    secrets = Secrets.of(environ)
    _check_secrets(settings, secrets)
    adapters = Adapters(all_names(settings), settings, secrets)
    adapters.source = embedding_of(settings, environ)
    breakers: dict[str, Breaker] = {}
    for name, gate in adapters.gates.items():
        url = _url(name, settings)
        try:
            endpoint = endpoint_of(name, environ=environ, base_url=url)
            adapters[name] = given.get(name) or open_model(
                name,
                environ=environ,
                base_url=url,
                stream=settings.model.stream,
                limits=gate.learn,
                scripts=scripts,
                seed=settings.simulation.seed,
                speed=speed,
                network=adapters.network,
                cache=settings.model.cache,
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{_named_by(name, settings)} {error}") from error
        adapters.breakers[name] = breakers.setdefault(endpoint, Breaker(endpoint, settings.breaker))
    return adapters


def bulk_of(adapters: Mapping[str, Model], settings: Settings) -> dict[str, Bulk]:
    """Which of the models take batches, and how much cheaper that is.

    Raises:
        ConfigurationError: the settings ask for economy, and none does.
    """
    bulk: dict[str, Bulk] = {}
    for name, model in adapters.items():
        batches, own = batches_of(model), settings.economy.discount
        discount = PROVIDERS[parse_model(name)[0]].batch_discount if own is None else own
        if batches is not None and discount is not None:
            bulk[name] = Bulk(batches, discount)
    if settings.economy.on and not bulk:
        able = ", ".join(name for name, provider in PROVIDERS.items() if provider.batch_discount is not None)
        raise ConfigurationError(
            f"--economy: none of {', '.join(adapters)} is known to take batches ({able} do). If yours does, say by "
            "what share they are cheaper: --set economy.discount=0.5"
        )
    return bulk


def _gates_only(settings: Settings, environ: Mapping[str, str], given: Mapping[str, Model]) -> Adapters:
    """What stays at the head when workers ask the models; their keys need not be here."""
    if settings.economy.on:
        raise ConfigurationError("--economy: batches are handed in by this process; use it with --runtime local")
    if given:
        raise ConfigurationError(
            f"runtime.kind {settings.runtime.kind}: models that are ready-made objects cannot be sent to workers; name "
            "them as provider:model"
        )
    secrets = Secrets.of(environ)
    _check_secrets(settings, secrets)
    adapters = Adapters(all_names(settings), settings, secrets)
    breakers: dict[str, Breaker] = {}
    for asked in asked_models(settings, environ):
        adapters.breakers[asked.name] = breakers.setdefault(asked.endpoint, Breaker(asked.endpoint, settings.breaker))
    return adapters


def asked_models(settings: Settings, environ: Mapping[str, str]) -> tuple[Asked, ...]:
    """The models as workers are told of them: without keys, and without addresses that hold a password.

    Raises:
        ConfigurationError: a name cannot be right wherever it is asked.
    """
    scripts: Mapping[str, str] = import_module(SCENARIOS).SCRIPTS
    found: list[Asked] = []
    for name in all_names(settings):
        try:
            provider, model = parse_model(name)
            if provider == "sim" and model not in scripts:
                raise ConfigurationError(f"{name}: no such simulated model; there are {', '.join(scripts)}")
        except ConfigurationError as error:
            raise ConfigurationError(f"{_named_by(name, settings)} {error}") from error
        url = _url(name, settings)
        address = url or address_of(provider, environ)
        endpoint = endpoint_of(name, environ=environ, base_url=url)
        found.append(Asked(name, None if address and passwords_in(address) else address, endpoint))
    return tuple(found)


def embedding_of(settings: Settings, environ: Mapping[str, str]) -> Source | None:
    """The embedding model that the settings name, opened; None when they name none.

    Raises:
        ConfigurationError: it cannot be asked, or no cap could hold what it costs.
    """
    name = settings.model.embedding.name
    embedder = open_embedder(settings.model.embedding, environ=environ, network=settings.model.network)
    if name is None or embedder is None:
        return None
    own = settings.model.prices.get(name)
    price = parse_price(own) if own else None
    if cost_of(Usage(1), name, price) is None and settings.budget.tokens is None:
        raise ConfigurationError(
            f"the price of {name} is not known, so no money cap can hold: give --max-tokens N, or say in the settings "
            f'what it costs: [model.prices] "{name}" = "0.02:0" (dollars per million tokens; "0:0" for one of your own)'
        )
    return Source(embedder, name, price)


def _named_by(name: str, settings: Settings) -> str:
    """Where a model is named: what a person would change."""
    if name == settings.model.name:
        return "--model"
    if name in settings.model.fallbacks:
        return "--fallback"
    return f"model.tiers.{next(tier for tier, each in tier_names(settings).items() if each == name)}"


def _check_secrets(settings: Settings, secrets: Secrets) -> None:
    """Settings are recorded, and a run goes on from what is recorded: a secret in them would be kept, or be lost."""
    told = msgspec.json.encode(settings).decode()
    if settings.model.base_url and passwords_in(settings.model.base_url):
        raise ConfigurationError(
            "--base-url holds a password or a key, which the journal would keep. Give the address in the environment "
            "instead, as OPENAI_BASE_URL (or that of your provider), and the key as OPENAI_API_KEY"
        )
    if secrets.hide(told) != told:
        raise ConfigurationError(
            "the settings hold a secret that is also in the environment, and the journal would keep it: take it out "
            "of the settings file and of --set"
        )


def check_price(settings: Settings) -> None:
    """A money cap must be able to hold before anything is spent."""
    names = all_names(settings)
    unpriced = [name for name in names if cost_of(Usage(1, 1), name, price_of(name, settings)) is None]
    if unpriced and settings.budget.tokens is None:
        raise ConfigurationError(
            f"the price of {', '.join(unpriced)} is not known, so no money cap can hold: give --max-tokens N, or "
            "--price IN:OUT in dollars per million tokens (0:0 for a model of your own)"
        )
    voices = [*voices_of(settings).values(), *(voice_of(name, settings) for name in settings.model.fallbacks)]
    least = FIRST_PROMPT + max(voice.max_output for voice in voices)
    dearest = max(cost_of(worst_case(FIRST_PROMPT, v.max_output, hour=v.hour), v.name, v.price) or 0.0 for v in voices)
    room = 1.0 - settings.budget.reserve
    if settings.budget.tokens is not None and settings.budget.tokens * room < least:
        raise ConfigurationError(
            f"a cap of {settings.budget.tokens:,} tokens has no room for one call, which reserves at least {least:,}: "
            "raise --max-tokens, or lower limits.output"
        )
    if settings.budget.cost is not None and settings.budget.cost * room < dearest:
        raise ConfigurationError(
            f"a cap of ${settings.budget.cost:g} has no room for one call, which reserves at least ${dearest:.2f}: "
            "raise --max-cost, or lower limits.output"
        )


def is_simulated(settings: Settings) -> bool:
    return any(name.startswith("sim:") for name in all_names(settings))


def tier_names(settings: Settings) -> dict[Tier, str]:
    return {tier: settings.model.of_tier(tier).name or "" for tier in get_args(Tier)}


def all_names(settings: Settings) -> list[str]:
    """Every model that may be asked."""
    return sorted({*tier_names(settings).values(), *settings.model.fallbacks})


def voices_of(settings: Settings) -> dict[Tier, Voice]:
    """Who answers for each tier, and how."""
    return {tier: _voice(settings.model.of_tier(tier), settings) for tier in get_args(Tier)}


def voice_of(name: str, settings: Settings) -> Voice:
    """The model with what holds for all tiers."""
    return _voice(TierSettings(name, settings.model.temperature, None, settings.model.effort), settings)


def _voice(tier: TierSettings, settings: Settings) -> Voice:
    name = tier.name or ""
    most = tier.output or settings.limits.output
    hour = name.startswith("anthropic:") and settings.model.cache == "1h"
    return Voice(name, name, price_of(name, settings), most, tier.temperature, tier.effort, hour)


def shares_address(name: str, settings: Settings) -> bool:
    """Whether the base URL and the price that were given hold for this model: for all but fallbacks elsewhere."""
    own = (settings.model.name or "").partition(":")[0]
    return name in tier_names(settings).values() or name.partition(":")[0] == own


def _url(name: str, settings: Settings) -> str | None:
    return settings.model.base_url if shares_address(name, settings) else None


def price_of(name: str, settings: Settings) -> Price | None:
    """The user's own price of the model, if one was given."""
    own = settings.model.prices.get(name)
    given = own or (settings.model.price if shares_address(name, settings) else None)
    return parse_price(given) if given else None
