"""The commands as a user types them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.samples import GSM8K, HUMANEVAL, lines, written

MEGAAGENT = [sys.executable, "-c", "from megaagent.cli import main; main()"]


def call(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")} | more
    command = [*MEGAAGENT, *words]
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=240, check=False)


def test_predictions_are_scored_and_trouble_is_named(tmp_path: Path) -> None:
    data = written(tmp_path, "humaneval")
    rows: list[Any] = [
        {"task_id": "HumanEval/0", "completion": HUMANEVAL[0]["canonical_solution"]},
        {"task_id": "HumanEval/1", "completion": "    import os\n    os._exit(0)\n"},
        {"task_id": "HumanEval/7", "completion": "x"},
        "{",
    ]
    samples = lines(tmp_path / "samples.jsonl", rows)
    done = call("eval", "score", "humaneval", "--data", str(data), "--predictions", str(samples), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "HumanEval: 33.3% of 3 items" in done.stdout
    assert re.search(r"no prediction, counted as wrong: 1\n +HumanEval/2", done.stdout)
    assert "line 3: there is no item 'HumanEval/7'" in done.stdout and "line 4: not JSON" in done.stdout
    assert "HumanEval/1: its process ended (exit code 0)" in done.stdout
    out = tmp_path / "out.jsonl"
    words = ("--predictions", str(samples), "--out", str(out), "--json")
    done = call("eval", "score", "humaneval", "--data", str(data), *words, cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["summary"]["passed"] == 1 and told["missing"] == ["HumanEval/2"]
    assert [json.loads(line)["passed"] for line in out.read_text().splitlines()] == [True, False, False]
    words = ("--predictions", str(samples), "--out", str(tmp_path / "none" / "out.jsonl"))
    done = call("eval", "score", "humaneval", "--data", str(data), *words, cwd=tmp_path)
    assert done.returncode == 2 and "No such file" in done.stderr and not done.stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("eval", "gsm9k"), "did you mean gsm8k"),
        (("eval", "gsm8k", "--model", "sim:answers"), "--data PATH"),
        (("eval", "gsm8k", "--data", "none.jsonl", "--model", "sim:answers"), "none.jsonl: No such file"),
        (("eval", "score", "gsm8k", "--data", "{data}"), "Give --predictions"),
        (("eval", "gsm8k", "--data", "{data}"), "no model is named"),
        (("eval", "gsm8k", "--data", "{data}", "--model", "openai:gpt-4o"), "set OPENAI_API_KEY"),
        (("eval", "gsm8k", "--data", "{data}", "--model", "sim:answers", "--arm", "ful"), "did you mean full"),
        (("eval", "gsm8k", "--data", "{data}", "--model", "sim:answers-200"), "percent"),
        (("eval", "gsm8k", "--data", "{data}", "--model", "sim:answers", "--max-cost", "0.001"), "raise --max-cost"),
        (("eval", "gobang", "--data", "{data}"), "needs no data"),
        (("eval", "gobang", "--model", "sim:answers-50"), "there is sim:gobang"),
        (("eval", "gsm8k", "--data", "{data}", "--model", "sim:reference"), "sim:answers-NN"),
        (("eval", "gsm8k", "--data", "{data}", "--model", "sim:gobang"), "sim:answers-NN"),
        (("eval", "score", "--predictions", "x"), "eval score NAME --predictions"),
        (("eval", "score", "gsm8k", "--predictions", "x", "--arm", "full", "--model", "x:y"), "out --arm, a model;"),
        (("eval", "one", "two", "three"), "not understood"),
        (("estimate", "x", "--model", "vllm:x"), "give --price"),
        (("estimate", "x"), "no model is named"),
        (("estimate", "x", "--model", "openai:gpt-4.1", "--agents", "0"), "--agents must be"),
        (("estimate", "x", "--model", "openai:gpt-4.1", "--tpm", "500"), "--tpm 500 has no room for one call"),
        (("estimate", "--like", "nothing", "--model", "openai:gpt-4.1"), "nothing"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(words: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    data = written(tmp_path, "gsm8k")
    done = call(*(word.replace("{data}", str(data)) for word in words), cwd=tmp_path)
    assert done.returncode in (2, 8)
    assert done.stderr.startswith("megaagent: error: ") and problem in done.stderr and "Traceback" not in done.stderr
    assert not done.stdout
    assert not (tmp_path / "megaagent-evals").exists() or not list((tmp_path / "megaagent-evals").rglob("journal.db"))


@pytest.mark.slow
def test_an_evaluation_that_is_killed_goes_on(tmp_path: Path) -> None:
    data = lines(
        tmp_path / "more.jsonl", [row | {"question": f"{n}: {row['question']}"} for n in range(4) for row in GSM8K]
    )
    words = ["eval", "gsm8k", "--data", str(data), "--model", "sim:answers-50", "--parallel", "2"]
    results = tmp_path / "megaagent-evals" / "gsm8k-sim-answers-50" / "results.jsonl"
    running = subprocess.Popen([*MEGAAGENT, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (results.exists() and results.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = results.read_text().splitlines()
    assert 3 <= len(before) < 24
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [json.loads(line) for line in before] == rows[: len(before)]
    assert len(rows) == len({(row["arm"], row["id"]) for row in rows}) == 24
    assert re.search(r"full +12 +50\.0%", done.stdout) and re.search(r"single +12 +50\.0%", done.stdout)
    assert "score 93.0%; not to be set beside a simulation" in done.stdout
    assert "no cap for all" in done.stdout and " 1 agents" not in done.stdout
    page = (results.parent / "page.html").read_text()
    assert "no model was asked" in page
    runs = list((results.parent / "runs").glob("*/*/*/journal.db"))
    assert len(runs) == 24  # one run for each item and arm: none was begun anew


def test_an_estimate(tmp_path: Path) -> None:
    words = ("estimate", "Write a converter", "--agents", "4", "--model", "openai:gpt-4.1", "--rpm", "60")
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for figure in ("money", "time", "tokens", "cache share", "no model was asked", "60 requests a minute"):
        assert figure in done.stdout
    told = json.loads(call(*words, "--json", cwd=tmp_path).stdout)["estimate"]
    assert told["low"]["cost"] < told["expected"]["cost"] < told["high"]["cost"]
    alone = call("estimate", "policy", "--agents", "590", "--model", "openai:gpt-4.1", cwd=tmp_path).stdout
    assert "range: none, one run was played" in alone and " to " not in alone.partition("shape:")[0]
    assert list(tmp_path.iterdir()) == []
