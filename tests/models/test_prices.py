"""What a call costs: as the price list says, for flat prices, for those that depend on length, and for one's own."""

from __future__ import annotations

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megaagent.events import Usage
from megaagent.models.prices import Price, cost_of, parse_price, worst_case

LISTED = [
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4.1-mini"),
    ("openai", "gpt-5"),
    ("openai", "gpt-4"),
    ("openrouter", "openai/gpt-4.1"),
    ("openrouter", "google/gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"),
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-sonnet-4-5"),
]


@pytest.mark.parametrize(("provider", "name"), LISTED)
@given(
    fresh=st.integers(0, 400_000),
    cached=st.integers(0, 400_000),
    written=st.integers(0, 400_000),
    completion=st.integers(0, 100_000),
)
def test_the_cost_is_that_of_the_list(provider: str, name: str, fresh: int, cached: int, written: int, completion: int):
    usage = Usage(fresh + cached + written, completion, cached, written=written)
    listed = genai_prices.Usage(
        input_tokens=fresh + cached + written,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=completion,
    )
    expected = float(genai_prices.calc_price(listed, name, provider_id=provider).total_price)
    assert cost_of(usage, f"{provider}:{name}") == pytest.approx(expected, rel=1e-9)


def test_a_price_of_ones_own_comes_first():
    assert cost_of(Usage(2_000_000, 1_000_000, 1_000_000), "openai:gpt-4.1", Price(3, 9, 1)) == 13.0


def test_what_is_written_to_the_cache_may_cost_more():
    assert cost_of(Usage(3_000_000, 0, 1_000_000, written=1_000_000), "x:y", parse_price("3:15:0.3:3.75")) == 7.05
    worst = cost_of(worst_case(1_000_000, 0), "anthropic:claude-opus-5-5")
    plain = cost_of(Usage(1_000_000, 0), "anthropic:claude-opus-5-5")
    assert worst is not None and plain is not None and worst > plain
    assert cost_of(worst_case(1_000_000, 0), "openai:gpt-4.1") == cost_of(Usage(1_000_000, 0), "openai:gpt-4.1")


def test_an_unknown_model_has_no_price():
    assert cost_of(Usage(10, 10), "openai:no-such-model-at-all") is None
    assert cost_of(Usage(10, 10), "ollama:gpt-4.1") is None
