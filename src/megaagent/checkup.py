"""Which models are configured, and whether each can be asked: one cheap call with a run's own rules and tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final, Literal, get_args

from megaagent.agent.prompts import Prompts
from megaagent.choice import SCENARIOS, all_names, price_of, shares_address, tier_names
from megaagent.errors import ConfigurationError, ModelError
from megaagent.events import Struct, Tier, Usage
from megaagent.models import PROVIDERS, endpoint_of, open_model, parse_model
from megaagent.models.advice import advice
from megaagent.models.contract import ChatMessage, Model, ModelRequest, ModelResponse
from megaagent.models.prices import cost_of, parse_price
from megaagent.models.vectors import open_embedder
from megaagent.settings import Settings
from megaagent.tools import toolbox

OUTPUT: Final = 2_000  # tokens of the check's answer at most; a model that thinks needs some for that
PATIENCE: Final = 120.0  # seconds
ASKED: Final = (
    "This is a check of the connection, and there is no work to do. Call terminate once, with the report: ready"
)


class Known(Struct, frozen=True):
    """A model that a run may ask.

    Attributes:
        tiers: whose it is; none when it is a fallback only, and `embedding` when it makes vectors for `recall`.
        endpoint: where it is asked.
        key: whether a key is there; "not needed" when the provider asks for none.
        price: dollars per million tokens of prompt and of completion; None when it is not known.
        own_price: that is what the user gave.
        problem: why it cannot be opened, and what to do.
    """

    name: str
    tiers: tuple[str, ...]
    fallback: bool
    endpoint: str
    key_variable: str | None
    key: Literal["set", "missing", "not needed"]
    price: tuple[float, float] | None
    own_price: bool = False
    problem: str = ""


class Asked(Struct, frozen=True):
    """What came of asking.

    Attributes:
        status: "ok"; "warn", it answers but agents may have trouble; "fail", no run can use it now.
        told: in words, with what to do.
        model: under which name it answered.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    told: str
    seconds: float = 0.0
    model: str = ""
    usage: Usage = Usage()
    cost: float | None = None


def known_models(settings: Settings, environ: Mapping[str, str]) -> list[Known]:
    """Every model that a run with these settings may ask, the one that makes vectors among them.

    Raises:
        ConfigurationError: a name is none.
    """
    tiers = tier_names(settings)
    found = [_known(name, settings, environ, tiers) for name in all_names(settings) if name]
    vectors = settings.model.embedding.name
    return found if vectors is None else [*found, _known_embedding(vectors, settings, environ)]


def _known_embedding(name: str, settings: Settings, environ: Mapping[str, str]) -> Known:
    variable = PROVIDERS[parse_model(name)[0]].key_variable
    own = settings.model.prices.get(name)
    cost = cost_of(Usage(1000), name, parse_price(own) if own else None)
    problem = ""
    try:
        open_embedder(settings.model.embedding, environ=environ, network=settings.model.network)
    except ConfigurationError as error:
        problem = str(error)
    url = settings.model.embedding.base_url
    there = variable is not None and bool(environ.get(variable))
    return Known(
        name,
        ("embedding",),
        False,
        endpoint_of(name, environ=environ, base_url=url),
        variable,
        "set" if there else "not needed" if variable is None or (url and not problem) else "missing",
        None if cost is None else (round(cost * 1000, 6), 0.0),
        own is not None,
        problem,
    )


def _known(name: str, settings: Settings, environ: Mapping[str, str], tiers: Mapping[Tier, str]) -> Known:
    provider = PROVIDERS[parse_model(name)[0]]
    url = settings.model.base_url if shares_address(name, settings) else None
    there = provider.key_variable is not None and bool(environ.get(provider.key_variable))
    own = price_of(name, settings)
    # A thousand of each: some models have a higher price for calls with very long prompts.
    prompt, completion = cost_of(Usage(1000), name, own), cost_of(Usage(0, 1000), name, own)
    problem = ""
    try:
        _open(name, settings, environ)
    except ConfigurationError as error:
        problem = str(error)
    return Known(
        name,
        tuple(tier for tier in get_args(Tier) if tiers[tier] == name),
        name in settings.model.fallbacks,
        endpoint_of(name, environ=environ, base_url=url),
        provider.key_variable,
        "set" if there else "not needed" if provider.key_variable is None or (url and not problem) else "missing",
        None if prompt is None or completion is None else (round(prompt * 1000, 6), round(completion * 1000, 6)),
        own is not None,
        problem,
    )


def _open(name: str, settings: Settings, environ: Mapping[str, str]) -> Model:
    return open_model(
        name,
        environ=environ,
        base_url=settings.model.base_url if shares_address(name, settings) else None,
        stream=settings.model.stream,
        scripts=import_module(SCENARIOS).SCRIPTS,
        network=settings.model.network,
    )


async def ask_all(names: Sequence[str], settings: Settings, environ: Mapping[str, str]) -> list[Asked]:
    """Ask each model once, all side by side."""
    chats = all_names(settings)
    asking = [(ask if name in chats else ask_for_vectors)(name, settings, environ) for name in names]
    return list(await asyncio.gather(*asking))


async def ask_for_vectors(name: str, settings: Settings, environ: Mapping[str, str]) -> Asked:
    """Ask the embedding model for one vector, as `recall` would."""
    try:
        embedder = open_embedder(settings.model.embedding, environ=environ, network=settings.model.network)
    except ConfigurationError as error:
        return Asked(name, "fail", str(error))
    assert embedder is not None, "the settings name it"
    began = time.monotonic()
    try:
        embedded = await embedder.embed([ASKED])
    except ModelError as error:
        # Recall goes by words then, so a run can go on without it.
        return Asked(name, "warn", f"{advice(error, _key(name))}; recall goes by words meanwhile", _since(began))
    finally:
        with suppress(Exception):
            await embedder.close()
    usage, own = Usage(embedded.tokens), settings.model.prices.get(name)
    made = f"it makes vectors of {len(embedded.vectors[0])} dimensions"
    told = "vectors are made of letters; no model was asked" if name.startswith("sim:") else made
    return Asked(name, "ok", told, _since(began), name, usage, cost_of(usage, name, parse_price(own) if own else None))


async def ask(name: str, settings: Settings, environ: Mapping[str, str]) -> Asked:
    """Ask a model once, as a run would: with the rules, all tools, and one thing to do."""
    try:
        model = _open(name, settings, environ)
    except ConfigurationError as error:
        return Asked(name, "fail", str(error))
    rules = Prompts().text("rules")
    request = ModelRequest(
        parse_model(name)[1],
        (ChatMessage("system", rules), ChatMessage("user", ASKED)),
        toolbox().specs,
        max_output=OUTPUT,
        deadline=PATIENCE,
        lasting=2,
    )
    began = time.monotonic()
    try:
        response = await model.complete(request)
    except ModelError as error:
        return Asked(name, "fail" if error.fault in _NO_USE else "warn", advice(error, _key(name)), _since(began))
    finally:
        with suppress(Exception):
            await model.close()
    status, told = _judged(response)
    if name.startswith("sim:"):
        told = "a script answers; no model was asked"
    cost = cost_of(response.usage, name, price_of(name, settings))
    return Asked(name, status, told, _since(began), response.model, response.usage, cost)


def _key(name: str) -> str:
    return PROVIDERS[parse_model(name)[0]].key_variable or "the key"


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _judged(response: ModelResponse) -> tuple[Literal["ok", "warn", "fail"], str]:
    if response.prompt_cut:
        return "fail", (
            f"it seems to read only {response.usage.prompt:,} tokens of a prompt: give it a larger context "
            "(Ollama: num_ctx; llama.cpp: --ctx-size; vLLM: --max-model-len)"
        )
    if not response.calls:
        return "warn", "it answers, but called no tool where it should: it may be no good as an agent"
    mended = f"; mended: {'; '.join(response.repairs)}" if response.repairs else ""
    return "ok", f"it answers, and calls tools{mended}"


# What no run can go on with; the others pass, or concern a single answer.
_NO_USE: Final = frozenset(
    {"connection", "unauthorized", "no_money", "not_found", "bad_request", "context_overflow", "broken"}
)
