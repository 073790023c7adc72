"""From a name to a model, or to what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from megaagent.errors import ConfigurationError
from megaagent.models import PROVIDERS, load, open_model, parse_model
from megaagent.models.contract import ChatMessage, ModelRequest
from megaagent.models.openai import OpenAIModel
from megaagent.models.script import Script
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel

PLAY = Script({})
SCRIPTS = {"play": f"{__name__}:PLAY"}


def test_names():
    assert parse_model("openai:gpt-4.1") == ("openai", "gpt-4.1")
    assert parse_model("ollama:qwen3:8b") == ("ollama", "qwen3:8b")
    assert parse_model("openrouter:openai/gpt-4.1") == ("openrouter", "openai/gpt-4.1")


@pytest.mark.parametrize(
    ("name", "said"),
    [("opnai:gpt", "did you mean openai"), ("gpt-4.1", "known are openai"), ("openai:", "say which model")],
)
def test_names_that_are_none(name: str, said: str):
    with pytest.raises(ConfigurationError, match=said):
        parse_model(name)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_of_the_table_opens(provider: str):
    name, url = ("test", None) if provider == "pydantic" else ("play", "http://localhost:1/v1")
    model = open_model(f"{provider}:{name}", environ={}, key="k", base_url=url, scripts={"play": "collections:deque"})
    assert callable(model.complete)
    assert callable(load(PROVIDERS[provider].opens))


@pytest.mark.parametrize("provider", [name for name, provider in PROVIDERS.items() if provider.key_variable])
def test_a_missing_key_says_what_to_set(provider: str):
    with pytest.raises(ConfigurationError) as caught:
        open_model(f"{provider}:m", environ={})
    for part in (PROVIDERS[provider].key_variable, "--base-url", "--scenario gobang --model sim:gobang"):
        assert str(part) in str(caught.value)


@pytest.mark.parametrize("provider", ["vllm", "ollama", "llamacpp"])
def test_servers_on_this_machine_need_no_key(provider: str):
    assert isinstance(open_model(f"{provider}:m", environ={}), OpenAIModel)


def test_a_provider_without_a_common_address_asks_for_it():
    with pytest.raises(ConfigurationError, match="--base-url"):
        open_model("azure:m", environ={"AZURE_OPENAI_API_KEY": "k"})


def test_an_unknown_script_names_those_that_there_are():
    with pytest.raises(ConfigurationError, match="sim:play"):
        open_model("sim:plya", environ={}, scripts=SCRIPTS)
    with pytest.raises(ConfigurationError, match="no scripts"):
        open_model("sim:play", environ={})


@pytest.mark.parametrize("by", ["argument", "environment"])
async def test_key_and_address_reach_the_server(by: str):
    request = ModelRequest("play", (ChatMessage("user", "hi"),))
    async with SimServer({"play": SimulatedModel(PLAY, latency=AT_ONCE)}, key="sesame") as server:
        if by == "argument":
            model = open_model("openai:play", environ={"OPENAI_API_KEY": "x"}, base_url=server.url, key="sesame")
        else:
            environ = {"OPENAI_API_KEY": "sesame", "OPENAI_BASE_URL": server.url}
            model = open_model("openai:play", environ=environ)
        answer = await model.complete(request)
        await model.close()
    assert "simulated" in answer.text


def test_the_table_is_light():
    code = "import sys, megaagent.models; print(*({'aiohttp', 'genai_prices', 'asyncio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
