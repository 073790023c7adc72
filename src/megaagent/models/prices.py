"""What a call costs, in US dollars."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Final, cast

from megaagent.errors import ConfigurationError
from megaagent.events import Struct, Usage

SIMULATED_AS: Final = "openai:gpt-4.1"  # the model whose price and speed simulated models are given

# Our provider names -> those of genai-prices. Servers of one's own have no price per token that anyone could know.
_KNOWN: Final = {
    "openai": "openai",
    "azure": "azure",
    "openrouter": "openrouter",
    "deepseek": "deepseek",
    "anthropic": "anthropic",
    "gemini": "google",
}

# The same for providers of pydantic-ai that are called otherwise there.
_FOREIGN: Final = {"google-cloud": "google", "openai-chat": "openai", "bedrock": "aws", "xai": "x-ai"}


class Price(Struct, frozen=True):
    """US dollars per million tokens.

    Attributes:
        cached, written: of the part of the prompt that was read from the provider's cache, or written to it; as
            `prompt` unless told otherwise.
        hour: of what was written to be kept for an hour; twice `prompt` unless told otherwise, as Anthropic has it.
    """

    prompt: float
    completion: float
    cached: float | None = None
    written: float | None = None
    hour: float | None = None

    def cost(self, usage: Usage) -> float:
        cached = self.prompt if self.cached is None else self.cached
        written = self.prompt if self.written is None else self.written
        hour = 2 * self.prompt if self.hour is None else self.hour
        fresh = max(0, usage.prompt - usage.cached - usage.written)
        stored = usage.cached * cached + (usage.written - usage.hour) * written + usage.hour * hour
        return (fresh * self.prompt + stored + usage.completion * self.completion) / 1e6


def parse_price(text: str) -> Price:
    """Read `IN:OUT`, `IN:OUT:CACHED`, `IN:OUT:CACHED:WRITTEN` or `IN:OUT:CACHED:WRITTEN:HOUR`, in dollars per million.

    Raises:
        ConfigurationError: it is not of that form, or a number is negative.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3, 4, 5) or not all(0 <= number < float("inf") for number in numbers):
        raise ConfigurationError(
            f"--price {text!r}: give dollars per million tokens as IN:OUT[:CACHED[:WRITTEN]], for example 2:8:0.5"
        )
    return Price(*numbers)


def cost_of(usage: Usage, model: str, price: Price | None = None) -> float | None:
    """The cost of one call, or None when the price of the model is not known.

    Args:
        usage: what the provider counted; an estimate gives an estimated cost.
        model: `provider:name`. A simulated model is given the price of `SIMULATED_AS`; whoever shows the figure says
            that it is a simulated cost.
        price: the user's own price, which takes precedence.
    """
    if price is not None:
        return price.cost(usage)
    provider, _, name = model.partition(":")
    if provider == "sim":
        provider, _, name = SIMULATED_AS.partition(":")
    if provider == "pydantic":
        provider, _, name = name.partition(":")
        known = _FOREIGN.get(provider, provider)
    elif provider in _KNOWN:
        known = _KNOWN[provider]
    else:
        return None
    try:
        flat = _flat_price(known, name)
        return flat.cost(usage) if flat is not None else _looked_up(usage, known, name)
    except LookupError:
        return None


def worst_case(prompt: int, completion: int, *, hour: bool = False) -> Usage:
    """The dearest usage of so many tokens: nothing of the prompt is cached yet, and all of it will be.

    Args:
        hour: it is to be kept for an hour.
    """
    return Usage(prompt, completion, written=prompt, hour=prompt if hour else 0)


def prices_version() -> str:
    """Which table of prices the costs are reckoned by."""
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


def _looked_up(usage: Usage, provider: str, name: str) -> float:
    import genai_prices  # takes a third of a second to import, and many commands need no price

    tokens = genai_prices.Usage(
        input_tokens=usage.prompt,
        cache_read_tokens=usage.cached,
        cache_write_tokens=usage.written,
        **({"cache_write_1h_tokens": usage.hour} if usage.hour else {}),
        output_tokens=usage.completion,
    )
    return float(genai_prices.calc_price(tokens, name, provider_id=provider).total_price)


@cache  # looking it up takes longer than the rest of what is done for an answer
def _flat_price(provider: str, name: str) -> Price | None:
    """The price of a token when it is the same at any hour and for any length of prompt, else None.

    Raises:
        LookupError: the model is not known.
    """
    import genai_prices
    from genai_prices.types import ModelPrice

    found = genai_prices.calc_price(genai_prices.Usage(input_tokens=1), name, provider_id=provider).model.prices
    if not isinstance(found, ModelPrice):
        return None
    told = (
        found.input_mtok,
        found.output_mtok,
        found.cache_read_mtok,
        found.cache_write_mtok,
        getattr(found, "cache_write_1h_mtok", None),
    )
    if told[0] is None or told[1] is None or not all(price is None or isinstance(price, Decimal) for price in told):
        return None
    return Price(*(None if price is None else float(cast("Decimal", price)) for price in told))  # pyright: ignore[reportArgumentType]
