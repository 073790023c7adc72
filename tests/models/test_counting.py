"""Tokens and prices."""

from __future__ import annotations

import subprocess
import sys

import pytest

from megaagent.errors import ConfigurationError
from megaagent.events import ToolCall, Usage
from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec
from megaagent.models.prices import Price, cost_of, parse_price
from megaagent.models.tokens import message_tokens, request_tokens, text_tokens, tools_tokens


def test_the_law_of_tokens():
    assert text_tokens("") == 0
    assert text_tokens("a" * 300) == 100
    assert text_tokens("漢" * 100) == 100
    assert text_tokens("\ud800") == 1
    plain = ChatMessage("user", "a" * 300)
    assert message_tokens(plain) == 104
    assert message_tokens(ChatMessage("assistant", "", (ToolCall("c", "talk", "x" * 296),))) == 4 + 12 + 2 + 99
    tools = (ToolSpec("f", "does f", {"type": "object"}),)
    assert tools_tokens(()) == 0
    assert request_tokens(ModelRequest("m", (plain, plain), tools)) == 208 + tools_tokens(tools)


def test_a_running_sum_is_the_whole():
    messages = tuple(ChatMessage("user", "word ü " * n) for n in range(20))
    assert sum(map(message_tokens, messages)) == request_tokens(ModelRequest("m", messages))


def test_prices_need_no_network():
    code = """
import sys
def hook(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"prices used the network: {event} {arguments}")
sys.addaudithook(hook)
from megaagent.events import Usage
from megaagent.models.prices import cost_of
print(cost_of(Usage(1000, 100), "openai:gpt-4.1"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 0


def test_prices_of_known_models():
    usage = Usage(prompt=1_000_000, completion=100_000, cached=200_000)
    known = cost_of(usage, "openai:gpt-4.1")
    assert known is not None
    assert 0.5 < known < 10.0
    assert cost_of(usage, "sim:gobang") == known
    assert cost_of(usage, "openrouter:openai/gpt-4.1") is not None
    cheaper = cost_of(Usage(prompt=1_000_000, completion=100_000, cached=900_000), "openai:gpt-4.1")
    assert cheaper is not None
    assert cheaper < known


@pytest.mark.parametrize("model", ["openai:no-such-model", "ollama:llama3", "vllm:openai/gpt-oss-20b", "elsewhere:x"])
def test_an_unknown_price_is_none_until_one_is_given(model: str):
    usage = Usage(prompt=1_000_000, completion=1_000_000, cached=500_000)
    assert cost_of(usage, model) is None
    assert cost_of(usage, model, Price(2, 8)) == pytest.approx(10.0)
    assert cost_of(usage, model, parse_price("2:8:0.5")) == pytest.approx(1.0 + 0.25 + 8.0)


@pytest.mark.parametrize("text", ["", "2", "2:8:1:1:1:1", "a:b", "-1:2", "2:inf", "nan:1"])
def test_a_price_that_is_none(text: str):
    with pytest.raises(ConfigurationError, match="IN:OUT"):
        parse_price(text)
