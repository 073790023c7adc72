"""Known predictions give known scores, and what is wrong with others is named and breaks nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.samples import GSM8K, HUMANEVAL, lines, written

from megaagent.errors import ConfigurationError
from megaagent.evaluation import BENCHMARKS, benchmark
from megaagent.evaluation.contract import Item, Mark, Prediction
from megaagent.evaluation.data import load, read_rows
from megaagent.evaluation.gsm8k import BY_LAST
from megaagent.evaluation.predictions import Found, read_predictions
from megaagent.evaluation.scoring import Marked, Summary, score_all, summed
from megaagent.evaluation.statistics import bootstrap, interval, pass_at_k, wilson

NAMES = ["humaneval", "mbpp", "gsm8k", "math"]
WRONG = {"humaneval": "    return None\n", "mbpp": "def shared(a, b): ...", "gsm8k": "#### 8", "math": "\\boxed{8}"}


async def scored(name: str, items: list[Item], predictions: list[Prediction]) -> Summary:
    return summed(items, await score_all(benchmark(name), items, predictions))


@pytest.mark.parametrize("name", NAMES)
async def test_right_answers_score_all_and_wrong_ones_nothing(name: str, tmp_path: Path) -> None:
    items = load(benchmark(name), written(tmp_path, name))
    assert len(items) == 3
    right = await scored(name, items, [Prediction(item.id, item.known or "") for item in items])
    assert (right.score, right.passed, right.answered) == (1.0, 3, 3)
    wrong = await scored(name, items, [Prediction(item.id, WRONG[name]) for item in items])
    assert (wrong.score, wrong.passed) == (0.0, 0)
    mixed = [Prediction(items[0].id, items[0].known or ""), Prediction(items[1].id, WRONG[name])]
    some = await scored(name, items, mixed)
    assert some.score == pytest.approx(1 / 3)  # who was not answered is wrong
    assert some.answered == 2


def found(tmp_path: Path, name: str, rows: list[Any]) -> Found:
    items = load(benchmark(name), written(tmp_path, name))
    return read_predictions(benchmark(name), items, lines(tmp_path / "predictions.jsonl", rows))


def test_bad_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {"task_id": "HumanEval/0", "completion": "x"}
    bad: list[Any] = [
        "{cut",
        [1],
        {"task_id": "HumanEval/9", "completion": "x"},
        {"task_id": "HumanEval/1"},
        {"task_id": "HumanEval/1", "completion": {"a": 1}},
        {"completion": "whose is it?"},
        {"task_id": None, "completion": "x"},
        {"task_id": "HumanEval/1", "completion": "x" * 2_000_001},
        "[" * 100_000,
    ]
    seen = found(tmp_path, "humaneval", [*bad, good])
    assert seen.predictions == (Prediction("HumanEval/0", "x"),)
    assert len(seen.rejected) == len(bad)
    assert {line.partition(":")[0] for line in seen.rejected} == {f"line {number}" for number in range(1, 10)}
    assert seen.missing == ("HumanEval/1", "HumanEval/2")


def test_those_beyond_the_limit_are_only_counted(tmp_path: Path) -> None:
    chosen = benchmark("gsm8k")
    items = load(chosen, written(tmp_path, "gsm8k"))
    answers = [{"task_id": n, "answer": "#### 1"} for n in (0, 1, 2, 2, 9)]
    path = lines(tmp_path / "predictions.jsonl", answers)
    seen = read_predictions(chosen, items[:1], path, beyond=items[1:])
    assert [p.id for p in seen.predictions] == ["0"] and seen.beyond == 3
    assert seen.rejected == ("line 5: there is no item '9'",) and not seen.missing and not seen.doubled
    with pytest.raises(ConfigurationError, match="a prediction for the first 1 items of GSM8K"):
        read_predictions(chosen, items[:1], lines(path, answers[1:3]), beyond=items[1:])


def test_of_several_answers_the_first_counts_unless_they_are_samples(tmp_path: Path) -> None:
    twice = [{"id": 0, "answer": "#### 7"}, {"id": 0, "answer": "#### 8"}, {"id": 1, "answer": "#### 1"}]
    seen = found(tmp_path, "gsm8k", twice)
    assert [p.text for p in seen.predictions] == ["#### 7", "#### 1"]
    assert seen.doubled == ("0",)
    rows = [{"task_id": f"HumanEval/{n}", "completion": "x"} for n in (0, 0, 1, 1, 2, 2, 2)]
    seen = found(tmp_path, "humaneval", rows)
    assert len(seen.predictions) == 7
    assert seen.doubled == ("HumanEval/2",)


def test_answers_are_found_by_question_or_by_their_order(tmp_path: Path) -> None:
    asked = found(tmp_path, "gsm8k", [{"question": "Ann has 3 pens  and buys 4. How many?", "answer": "#### 7"}])
    assert [p.id for p in asked.predictions] == ["0"]
    ordered = found(tmp_path, "gsm8k", [{"answer": f"#### {n}"} for n in range(3)])
    assert [(p.id, p.text) for p in ordered.predictions] == [("0", "#### 0"), ("1", "#### 1"), ("2", "#### 2")]
    with pytest.raises(ConfigurationError, match="does not say which item"):
        found(tmp_path, "gsm8k", [{"answer": "#### 7"}])


def test_the_right_answer_of_the_data_is_not_taken_for_a_prediction(tmp_path: Path) -> None:
    rows = [row | {"completion": "#### 0"} for row in GSM8K]
    seen = found(tmp_path, "gsm8k", rows)
    assert [p.text for p in seen.predictions] == ["#### 0"] * 3
    assert seen.sources == ("completion",)


def test_a_folder_has_one_file_for_each_item(tmp_path: Path) -> None:
    folder = tmp_path / "solutions"
    (folder / ".cache").mkdir(parents=True)
    (folder / ".cache" / "11.py").write_text("hidden")
    (folder / "11.py").write_text("a")
    (folder / "mbpp_12.py").write_text("b")
    (folder / "13.json").write_text(json.dumps({"code": "c"}))
    (folder / "77.py").write_text("d")
    (folder / "binary.py").write_bytes(b"\xff\xfe")
    os.mkfifo(folder / "task_11.py")
    (folder / "12.py").symlink_to("/etc/hostname")
    seen = read_predictions(benchmark("mbpp"), load(benchmark("mbpp"), written(tmp_path, "mbpp")), folder)
    assert {(p.id, p.text) for p in seen.predictions} == {("11", "a"), ("12", "b"), ("13", "c")}
    assert len(seen.rejected) == 4


def test_other_shapes_of_predictions(tmp_path: Path) -> None:
    items = load(benchmark("math"), written(tmp_path, "math"))
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"algebra/0": "\\boxed{1}", "algebra/1": ["\\boxed{2}"]}))
    assert [p.id for p in read_predictions(benchmark("math"), items, path).predictions] == ["algebra/0", "algebra/1"]
    path.write_text(json.dumps([{"unique_id": "test/precalculus/2.json", "response": "\\boxed{3}"}]))
    assert [p.id for p in read_predictions(benchmark("math"), items, path).predictions] == ["precalculus/2"]
    path.write_text("[]")
    with pytest.raises(ConfigurationError, match="nothing in it is a prediction"):
        read_predictions(benchmark("math"), items, path)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_predictions(benchmark("math"), items, tmp_path / "none.jsonl")


def test_a_folder_is_what_was_delivered_when_the_benchmark_is_a_scenario(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "assets").mkdir(parents=True)
    (folder / "main.py").write_text("print(1)")
    (folder / "assets" / "about.txt").write_text("a game")
    (folder / "picture.png").write_bytes(b"\xff\xd8")
    (folder / "hosts").symlink_to("/etc/hosts")
    chosen = benchmark("gobang")
    seen = read_predictions(chosen, load(chosen, None), folder)
    [prediction] = seen.predictions
    assert json.loads(prediction.text) == {"main.py": "print(1)", "assets/about.txt": "a game"}
    assert len(seen.rejected) == 2 and not seen.missing
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="nothing in it is a prediction"):
        read_predictions(chosen, load(chosen, None), tmp_path / "empty")


async def test_an_answer_alone_needs_no_box_and_a_text_does(tmp_path: Path) -> None:
    chosen = benchmark("math")
    items = load(chosen, written(tmp_path, "math"))
    right = items[0].data["answer"]
    path = tmp_path / "p.jsonl"
    for field, passed in (("answer", True), ("completion", False)):
        path.write_text(json.dumps({"id": items[0].id, field: right}) + "\n")
        [marked] = await score_all(chosen, items, read_predictions(chosen, items, path).predictions)
        assert marked.mark.passed is passed, field


async def test_a_file_of_a_folder_is_a_whole_program(tmp_path: Path) -> None:
    items = load(benchmark("humaneval"), written(tmp_path, "humaneval"))[:1]
    program = "def triple(n):\n    return n * 3\n"
    assert (await scored("humaneval", items, [Prediction("HumanEval/0", program, whole=True)])).passed == 1
    assert (await scored("humaneval", items, [Prediction("HumanEval/0", "    return n * 3\n", whole=True)])).passed == 0


class Fragile:
    """A benchmark whose scorer breaks."""

    name = title = "fragile"
    runs_programs = False
    seconds = 0.0

    async def score(self, item: Item, prediction: Prediction, judge: object) -> Mark:
        if prediction.text == "hostile":
            raise RecursionError("too deep")
        return Mark(True)


class Quoting(Fragile):
    """Says what was wrong in the prediction's own words."""

    async def score(self, item: Item, prediction: Prediction, judge: object) -> Mark:
        return Mark(False, f"wrong: {prediction.text}")


async def test_one_that_breaks_the_scorer_breaks_nothing_else() -> None:
    items = [Item("a", "", {}), Item("b", "", {})]
    marks = await score_all(Fragile(), items, [Prediction("a", "hostile"), Prediction("b", "")])  # type: ignore[arg-type]
    assert [m.mark.passed for m in marks] == [False, True]
    assert "RecursionError" in marks[0].mark.why


async def test_what_a_mark_quotes_can_be_stored() -> None:
    item = Item("a", "", {})
    [marked] = await score_all(Quoting(), [item], [Prediction("a", "half a character: \ud83d")])  # type: ignore[arg-type]
    assert not marked.mark.passed
    assert marked.mark.why.encode().decode() == "wrong: half a character: \ufffd"


async def test_numbers_that_stand_elsewhere_are_a_figure_beside_the_score(tmp_path: Path) -> None:
    items = load(benchmark("gsm8k"), written(tmp_path, "gsm8k"))
    [right, *_] = items
    number = (right.known or "").rpartition("#### ")[2]
    texts = [f"#### {number}", f"so 3 and\nthe answer is {number}.", f"\\boxed{{{number}.00}}", "3 of them", "none"]
    for text, passed, beside in zip(texts, (1, 0, 0, 0, 0), (1, 1, 1, 0, 0), strict=True):
        summary = await scored("gsm8k", [right], [Prediction(right.id, text)])
        assert (summary.passed, summary.parts) == (passed, {BY_LAST: (beside, 1)}), text


def test_pass_at_k_is_the_unbiased_estimator() -> None:
    assert pass_at_k(1, 1, 1) == 1.0
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(5, 2, 2) == pytest.approx(1 - (3 * 2) / (5 * 4))
    assert pass_at_k(200, 0, 100) == 0.0
    assert pass_at_k(10, 9, 2) == 1.0
    for wrong in ((1, 1, 2), (1, 2, 1), (3, 1, 0)):
        with pytest.raises(ValueError):
            pass_at_k(*wrong)
    items = [Item(id, "", {}) for id in "ab"]
    marks = [Marked("a", n, Mark(n == 0)) for n in range(10)] + [Marked("b", n, Mark(n < 5)) for n in range(10)]
    summary = summed(items, marks)
    assert summary.pass_at == {1: pytest.approx(0.3), 10: pytest.approx(1.0)}
    assert summary.score == pytest.approx(0.3)


def test_few_items_that_are_right_in_part_have_wide_intervals() -> None:
    assert interval([0.75]) == pytest.approx(wilson(0.75, 1))  # type: ignore[arg-type]
    low, high = interval([0.75])
    assert low < 0.3 and high > 0.95
    assert interval([0.5] * 20) == (0.5, 0.5)


def test_intervals() -> None:
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4901, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == pytest.approx(1.0) and wilson(0, 0) == (0.0, 1.0)
    assert interval([1.0, 0.0]) == wilson(1, 2)
    low, high = bootstrap([0.2, 0.4, 0.9, 0.5] * 10)
    assert 0.4 < low < 0.5 < high < 0.6


@pytest.mark.parametrize("name", NAMES)
def test_data_that_is_wrong_is_named(name: str, tmp_path: Path) -> None:
    chosen = benchmark(name)
    with pytest.raises(ConfigurationError, match="item 1 of the data"):
        load(chosen, lines(tmp_path / "a.jsonl", [{"x": 1}]))
    with pytest.raises(ConfigurationError, match="line 2: not JSON"):
        load(chosen, lines(tmp_path / "a.jsonl", [{"x": 1}, "{"]))
    with pytest.raises(ConfigurationError, match="no item"):
        load(chosen, lines(tmp_path / "a.jsonl", []))
    with pytest.raises(ConfigurationError, match="No such file"):
        load(chosen, tmp_path / "none")
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(ConfigurationError, match="gz"):
        load(chosen, tmp_path / "a.jsonl.gz")


def test_one_item_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="HumanEval/0 is in it twice"):
        load(benchmark("humaneval"), lines(tmp_path / "a.jsonl", [HUMANEVAL[0], HUMANEVAL[0]]))


def test_half_a_character_in_the_data_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(
        '{"question": "whole \\ud83d\\ude00", "answer": "#### 1"}\n{"question": "\\ud83d", "answer": "#### 2"}\n'
    )
    with pytest.raises(ConfigurationError, match=r"line 2: half a character, '\\ud83d'"):
        load(benchmark("gsm8k"), path)


def test_without_a_path_datasets_is_asked(tmp_path: Path) -> None:
    def load_dataset(path: str, part: str, *, split: str) -> Any:
        assert (path, part, split) == ("openai/openai_humaneval", "openai_humaneval", "test")
        return HUMANEVAL

    def fails(path: str, part: str, *, split: str) -> Any:
        raise OSError("offline")

    assert len(load(benchmark("humaneval"), None, load_dataset)) == 3
    with pytest.raises(ConfigurationError, match=r"offline.*--data PATH"):
        load(benchmark("humaneval"), None, fails)


def test_rows_of_a_folder_know_their_place(tmp_path: Path) -> None:
    assert [row["path"] for row in read_rows(written(tmp_path, "math"))][-1] == "precalculus/2.json"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean humaneval"):
        benchmark("human-eval")
    assert set(NAMES) <= set(BENCHMARKS)
