"""The provider layer: what a model is, and the table of those that can be asked.

A provider of the OpenAI-compatible kind is one line in `PROVIDERS`. One with a protocol of its own is a module with a
function that takes an `Opening` and returns a `Model`, and one line.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

from megaagent.errors import ConfigurationError
from megaagent.events import Struct
from megaagent.models.contract import Model
from megaagent.models.limits import Limits
from megaagent.models.network import CacheTime, NetworkSettings
from megaagent.models.quirks import Quirks


class Provider(Struct, frozen=True):
    """One line of the table.

    Attributes:
        opens: dotted path, `module:function`, of what makes the model from an `Opening`.
        base_url: where it is, unless told otherwise; None when that must be told.
        key_variable: the environment variable of its key; None when it needs none.
        address_variable: the environment variable of its address that its own tools use, beside our
            `PROVIDER_BASE_URL`.
        batch_discount: share of the price by which calls are cheaper that go by the batch (November 2026); None when it
            takes no batches, or only for models that are set up for them.
    """

    opens: str
    base_url: str | None = None
    key_variable: str | None = None
    quirks: Quirks = Quirks()
    address_variable: str | None = None
    batch_discount: float | None = None


class Opening(msgspec.Struct, frozen=True):
    """All that is known when a model is opened; `key` and `base_url` are those that will be used."""

    provider: Provider
    name: str
    base_url: str | None
    key: str | None
    stream: bool
    limits: Callable[[Limits], None] | None
    scripts: Mapping[str, str]
    seed: int
    speed: float
    network: NetworkSettings = NetworkSettings()
    api_version: str | None = None  # of Azure
    cache: CacheTime = "5m"

    def __repr__(self) -> str:
        return f"Opening({self.name!r}, {self.base_url!r})"


_OPENAI: Final = "megaagent.models:open_openai"

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": Provider(
        _OPENAI,
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        Quirks(max_tokens="max_completion_tokens", schema=True),
        batch_discount=0.5,
    ),
    "anthropic": Provider(
        "megaagent.models:open_anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", batch_discount=0.5
    ),
    # Its base URL is that of one's own resource (see `azure_address`).
    "azure": Provider(
        "megaagent.models:open_azure",
        None,
        "AZURE_OPENAI_API_KEY",
        Quirks(max_tokens="max_completion_tokens", key_header="api-key", schema=True),
        "AZURE_OPENAI_ENDPOINT",
    ),
    "gemini": Provider(
        _OPENAI,
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        Quirks(extra_back=True, schema=True),
    ),
    "openrouter": Provider(
        _OPENAI,
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        Quirks(details_back=True, effort="reasoning", schema=True),
    ),
    "deepseek": Provider(
        _OPENAI,
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        Quirks(reasoning_back="reasoning_content", reasoning_always=True, switch=True),
    ),
    "vllm": Provider(_OPENAI, "http://localhost:8000/v1", None, Quirks(reasoning_back="reasoning", schema=True)),
    "ollama": Provider(_OPENAI, "http://localhost:11434/v1", None, Quirks(reasoning_back="reasoning", schema=True)),
    "llamacpp": Provider(
        _OPENAI, "http://localhost:8080/v1", None, Quirks(reasoning_back="reasoning_content", schema=True)
    ),
    "pydantic": Provider("megaagent.models:open_foreign"),
    "sim": Provider("megaagent.models:open_simulated", batch_discount=0.5),
}

SIMULATED_BATCH: Final = 600.0  # seconds that a simulated provider takes for a batch; made up

_REHEARSE: Final = "or rehearse without a provider: --scenario gobang --model sim:gobang"


def parse_model(name: str) -> tuple[str, str]:
    """Split `provider:name`; the name may hold further colons.

    Raises:
        ConfigurationError: no such provider, with the nearest that there are; or no name.
    """
    provider, colon, model = name.partition(":")
    if provider not in PROVIDERS:
        near = get_close_matches(provider, PROVIDERS, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigurationError(
            f"{name!r}: unknown provider {provider!r}; {hint}known are {', '.join(PROVIDERS)}; "
            "any other OpenAI-compatible server: --model openai:NAME --base-url URL"
        )
    if not colon or not model.strip():
        raise ConfigurationError(f"{name!r}: say which model, as {provider}:NAME")
    return provider, model.strip()


def open_model(
    name: str,
    *,
    environ: Mapping[str, str],
    base_url: str | None = None,
    key: str | None = None,
    stream: bool = True,
    limits: Callable[[Limits], None] | None = None,
    scripts: Mapping[str, str] | None = None,
    seed: int = 0,
    speed: float = 1.0,
    network: NetworkSettings | None = None,
    cache: CacheTime = "5m",
) -> Model:
    """The bare adapter of a model: no gate, no retry, no budget.

    Args:
        name: `provider:name`.
        environ: where keys are looked for, and `PROVIDER_BASE_URL` (`OPENAI_BASE_URL`, `VLLM_BASE_URL`, ...).
        base_url, key: take precedence over the environment. With a base URL a key is sent if there is one.
        stream: ask for answers piece by piece.
        limits: told what each answer says about rate limits.
        scripts: simulated models by name, each the dotted path `module:attribute` of a `Script`.
        seed, speed: of a simulated model: of its latencies, and how much faster than a real one it answers (`math.inf`:
            at once).
        network: how it uses the network.
        cache: how long Anthropic is to keep prompts that are not used.

    Raises:
        ConfigurationError: what is missing, and what to set.
    """
    provider_name, model = parse_model(name)
    provider = PROVIDERS[provider_name]
    base_url = base_url or address_of(provider_name, environ)
    key = key or (environ.get(provider.key_variable) if provider.key_variable else None) or None
    if provider.key_variable and not key and not base_url:
        raise ConfigurationError(
            f"{name} needs a key: set {provider.key_variable}, or point to a server of your own with --base-url URL, "
            f"{_REHEARSE}"
        )
    opening = Opening(
        provider,
        model,
        base_url or provider.base_url,
        key,
        stream,
        limits,
        scripts or {},
        seed,
        speed,
        network or NetworkSettings(),
        environ.get("OPENAI_API_VERSION") or None,
        cache,
    )
    return cast("Callable[[Opening], Model]", load(provider.opens))(opening)


def endpoint_of(name: str, *, environ: Mapping[str, str], base_url: str | None = None) -> str:
    """What a model's endpoint is called where people read it: its host, or the model itself when it has none.

    Takes what `open_model` takes.
    """
    provider_name, _ = parse_model(name)
    url = base_url or address_of(provider_name, environ) or PROVIDERS[provider_name].base_url
    parts = urlsplit(url.strip()) if url else None
    # Neither a password nor a key that an address may hold is for people.
    return (parts.netloc.rpartition("@")[2] or name) if parts else name


def address_of(provider: str, environ: Mapping[str, str]) -> str | None:
    """Where the environment says that the provider is."""
    theirs = PROVIDERS[provider].address_variable
    return environ.get(f"{provider.upper()}_BASE_URL") or (environ.get(theirs) if theirs else None) or None


def load(path: str) -> Any:
    """What a dotted path `module:attribute` names; imported only now."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def open_openai(opening: Opening) -> Model:
    """An OpenAI-compatible server."""
    from megaagent.models.openai import OpenAIModel  # brings aiohttp

    if opening.base_url is None:
        raise ConfigurationError(f"{opening.name}: this provider has no common address; give it with --base-url URL")
    return OpenAIModel(
        opening.base_url,
        opening.key,
        stream=opening.stream,
        quirks=opening.provider.quirks,
        settings=opening.network,
        limits=opening.limits,
    )


def open_azure(opening: Opening) -> Model:
    """A deployment in Azure; `azure:NAME` is its name."""
    if opening.base_url is None:
        raise ConfigurationError(
            "azure: which resource? Set AZURE_OPENAI_ENDPOINT=https://RESOURCE.openai.azure.com, or give --base-url"
        )
    address = azure_address(opening.base_url, opening.name, opening.api_version)
    return open_openai(msgspec.structs.replace(opening, base_url=address))


def azure_address(base_url: str, deployment: str, api_version: str | None) -> str:
    """Where a deployment is asked.

    A resource's bare address becomes that of its v1 API, which needs no version; with a version (`OPENAI_API_VERSION`)
    that of the deployment. An address that names more is taken as it is.
    """
    parts = urlsplit(base_url.strip())
    if parts.path.rstrip("/") not in ("", "/openai"):
        return base_url
    if api_version is None:
        return parts._replace(path="/openai/v1").geturl()
    return parts._replace(path=f"/openai/deployments/{deployment}", query=f"api-version={api_version}").geturl()


def open_anthropic(opening: Opening) -> Model:
    """Anthropic's Messages API, or a server that speaks it."""
    from megaagent.models.anthropic import AnthropicModel  # brings aiohttp

    assert opening.base_url is not None  # the table has one
    return AnthropicModel(
        opening.base_url,
        opening.key,
        stream=opening.stream,
        settings=opening.network,
        limits=opening.limits,
        ttl=opening.cache,
    )


def open_foreign(opening: Opening) -> Model:
    """What pydantic-ai can ask; `pydantic:google:gemini-2.5-pro` is its `google:gemini-2.5-pro`."""
    if opening.base_url is not None:
        raise ConfigurationError(
            f"pydantic:{opening.name}: pydantic-ai knows its addresses itself, and takes others from the environment; "
            "leave --base-url away"
        )
    try:
        from megaagent.models.foreign import ForeignModel
    except ImportError as error:
        raise ConfigurationError(
            f"pydantic:{opening.name} needs pydantic-ai: pip install 'megaagent[providers]' ({error})"
        ) from error
    return ForeignModel(opening.name)


def open_simulated(opening: Opening) -> Model:
    """A script, played in this process."""
    from megaagent.models.simulated import Latency, SimulatedModel

    path = opening.scripts.get(opening.name)
    if path is None:
        near = get_close_matches(opening.name, opening.scripts, n=1, cutoff=0.5) or sorted(opening.scripts)
        known = f"there are {', '.join(f'sim:{each}' for each in near)}" if near else "no scripts are known here"
        raise ConfigurationError(f"sim:{opening.name}: no such simulated model; {known}")
    return SimulatedModel(
        load(path),
        name=f"sim:{opening.name}",
        latency=Latency(speed=opening.speed),
        seed=opening.seed,
        batch=SIMULATED_BATCH,
    )
