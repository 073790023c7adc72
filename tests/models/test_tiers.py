"""Which model answers for each tier, with which settings, and at what price."""

from __future__ import annotations

from pathlib import Path

import pytest

from megaagent import ConfigurationError, run
from megaagent import events as ev
from megaagent.choice import all_names, check_price, price_of, voices_of
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.prices import Price
from megaagent.models.script import Part, Playing, Script, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.organization.asking import Voice
from megaagent.settings import Settings, changed, load

FILE = """
[model]
name = "openai:gpt-4.1"
temperature = 0.7
effort = "low"
fallbacks = ["anthropic:claude-sonnet-4-5"]

[model.prices]
"vllm:mine" = "1:2"

[model.tiers]
worker = "vllm:mine"

[model.tiers.judge]
effort = "high"
output = 4000
temperature = 0.0
"""


def read(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    return load(file)


def test_each_tier_has_its_model_and_what_differs_for_it(tmp_path: Path):
    settings = read(tmp_path, FILE)
    voices = voices_of(settings)
    assert voices["boss"] == Voice("openai:gpt-4.1", "openai:gpt-4.1", None, 16_384, 0.7, "low")
    assert voices["judge"] == Voice("openai:gpt-4.1", "openai:gpt-4.1", None, 4000, 0.0, "high")
    assert voices["worker"] == Voice("vllm:mine", "vllm:mine", Price(1, 2), 16_384, 0.7, "low")
    assert all_names(settings) == ["anthropic:claude-sonnet-4-5", "openai:gpt-4.1", "vllm:mine"]
    assert price_of("openai:gpt-4.1", settings) is None
    check_price(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[model.tiers]\njuge = "openai:m"', "juge"),
        ('[model.tiers.judge]\nefort = "high"', "model.tiers.judge.efort.*name, temperature, output, effort"),
        ('[model.tiers.judge]\neffort = "huge"', "model.tiers.judge.effort must be one of none"),
        ('[model]\neffort = "huge"', "model.effort must be one of none"),
        ("[model.tiers.judge]\noutput = 0", "model.tiers.judge.output must be more than 0"),
        ('[model.prices]\n"vllm:mine" = "cheap"', "IN:OUT"),
    ],
)
def test_what_is_wrong_in_a_settings_file_is_named(tmp_path: Path, text: str, said: str):
    with pytest.raises(ConfigurationError, match=said):
        read(tmp_path, text)


def test_what_a_tier_may_say_in_one_call_counts_before_anything_is_spent():
    changes = {"model.name": "openai:gpt-4.1", "model.tiers.judge": {"output": 900_000}, "budget.cost": 5.0}
    with pytest.raises(ConfigurationError, match="no room for one call"):
        check_price(changed(Settings(), changes, "the test"))


def test_the_table_of_prices_is_told_by_the_run(tmp_path: Path):
    def boss(me: Part) -> Playing:
        yield write_file("a.txt", "a")
        return "a.txt"

    models = {"sim:test": SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)}
    result = run("One file.", model="sim:test", models=models, runs=tmp_path)
    reader = open_reader(RunFolder(result.folder).journal)
    [began] = [record.event for record in reader.records(kinds=[ev.RunStarted])]
    reader.close()
    assert isinstance(began, ev.RunStarted)
    assert began.prices.startswith("genai-prices ")
