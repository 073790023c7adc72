"""megaagent models and megaagent doctor, as a person and as a program read them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.theatre import piped


async def test_without_a_model_the_providers_are_listed_with_their_keys(tmp_path: Path):
    done = await piped(tmp_path, "models", environ={"OPENAI_API_KEY": "k"})
    assert done.code == 0
    assert "OPENAI_API_KEY is set" in done.out
    assert "ANTHROPIC_API_KEY is missing" in done.out
    [other] = [line for line in done.out.splitlines() if "pydantic" in line]
    assert "needs no key" not in other and "pydantic-ai" in other
    told = json.loads((await piped(tmp_path, "models", "--json")).out)
    assert {"provider": "ollama", "address": "http://localhost:11434/v1", "key": "not needed"}.items() <= {
        **next(line for line in told["providers"] if line["provider"] == "ollama")
    }.items()


async def test_a_check_says_what_is_wrong_and_ends_so(tmp_path: Path):
    there = ("--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "--price", "1:2")
    done = await piped(tmp_path, "models", *there, "--check")
    assert done.code == 2
    assert "fail: nothing answers there" in done.out
    told = json.loads((await piped(tmp_path, "models", *there, "--check", "--json")).out)
    [model] = told["models"]
    assert model["check"]["status"] == "fail"
    assert model["price"] == [1.0, 2.0] and model["own_price"] is True


async def test_a_problem_is_told_once_and_the_price_is_that_of_a_usual_call(tmp_path: Path):
    done = await piped(tmp_path, "models", "--model", "anthropic:claude-sonnet-4-5", "--check")
    assert done.code == 2 and done.out.count("needs a key") == 1
    assert "$3 in, $15 out" in done.out  # and more for prompts of over 200,000 tokens


async def test_a_simulated_model_is_called_so(tmp_path: Path):
    done = await piped(tmp_path, "models", "--model", "sim:gobang", "--check")
    assert done.code == 0
    assert "no model was asked" in done.out
    assert "(simulated)" in done.out and "simulated $" in done.out


async def test_a_check_of_nothing(tmp_path: Path):
    done = await piped(tmp_path, "models", "--check")
    assert (done.code, "no model is named" in done.err) == (2, True)


async def test_the_doctor_finds_all_well_but_what_is_not(tmp_path: Path):
    done = await piped(tmp_path, "doctor", "--json")
    found = {each["what"]: each for each in json.loads(done.out)["findings"]}
    assert set(found) == {"python", "model", "sandbox", "git", "sqlite", "disk", "terminal", "browser", "extras"}
    assert found["model"]["status"] == "warn"
    assert found["sqlite"]["status"] == "ok"
    needed = [each for each in found.values() if each["status"] == "fail"]
    assert done.code == (2 if needed else 0)
    assert all(each["fix"] for each in found.values() if each["status"] != "ok")


async def test_the_doctor_says_which_key_is_missing(tmp_path: Path):
    done = await piped(tmp_path, "doctor", "--model", "anthropic:claude-opus-5-5")
    assert done.code == 2
    assert "fail  key" in done.out
    assert "set ANTHROPIC_API_KEY" in done.out


async def test_the_doctor_knows_when_no_price_is_known(tmp_path: Path):
    done = await piped(tmp_path, "doctor", "--model", "vllm:mine", "--offline")
    assert done.code == 2
    assert "fail  price" in done.out
    assert (await piped(tmp_path, "doctor", "--model", "vllm:mine", "--offline", "--price", "0:0")).code == 0


async def test_the_doctor_asks_the_model_that_is_named(tmp_path: Path):
    done = await piped(tmp_path, "doctor", "--model", "vllm:m", "--base-url", "http://127.0.0.1:9/v1", "--price", "0:0")
    assert done.code == 2
    assert "nothing answers there" in done.out
