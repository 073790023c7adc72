"""Gobang and the national policy: what is scored of a deliverable, and the panel of judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from megaagent.evaluation import benchmark
from megaagent.evaluation.contract import Prediction
from megaagent.evaluation.data import load
from megaagent.evaluation.gobang import FOUR, GAMES
from megaagent.evaluation.panel import JUDGES, judged, majority, opinion_in, paid_for
from megaagent.evaluation.paper import PAPER
from megaagent.evaluation.policy import LINT, lint
from megaagent.evaluation.programs import judging
from megaagent.events import Usage
from megaagent.models.contract import ChatMessage
from megaagent.scenarios.gobang.texts import write_deliverable
from megaagent.scenarios.policy.nation import departments

POLICY = """1. Objective and principles
Objective: Reach what has to be reached for all who live in the republic.
- One.
- Two.
- Three.
2. Laws and actions
{laws}
3. Responsible office
Responsible office: the office that answers for all of it.
4. Metrics
- something: baseline 1, target 2
- another: baseline 10, target 5
- a third: baseline 3, target 4
5. Timeline and review
2027-01: begun
2028-02: half done
2029-03: nearly
2030-04: done
Review: every year by parliament
6. Budget and joint measures
Total: 30 million crowns
- one: 10 million crowns
- two: 20 million crowns
"""
LAW = "Some Act: a law that says what, for whom and how much of it, in force from 2028"


def nation(**other: str) -> dict[str, str]:
    laws = "\n".join(f"{n}. {LAW}" for n in range(1, 6))
    files = {f"policy_{name}.txt": POLICY.format(laws=laws) for name in departments()}
    files["framework.txt"] = "\n".join(f"{name} 100" for name in departments())
    return files | other


async def test_policies_are_linted_one_by_one() -> None:
    assert not any(lint(nation()).values())
    few = POLICY.format(laws=f"1. {LAW}")
    bare = nation(
        **{"policy_health.txt": few.replace("Review: every year by parliament\n", ""), "policy_energy.txt": ""}
    )
    found = lint(bare)
    assert found["health"] == ["five specific laws or actions", "review cadence"]
    assert found["energy"] == list(LINT)
    chosen = benchmark("policy")
    [item] = load(chosen, None)
    mark = await chosen.score(item, Prediction("policy", json.dumps(bare)), None)
    assert not mark.passed and mark.share == pytest.approx(29 / 31)
    assert mark.parts["review cadence"] == (29, 31) and mark.parts["objective"] == (30, 31)
    assert (await chosen.score(item, Prediction("policy", json.dumps(nation())), None)).share == 1.0
    assert (await chosen.score(item, Prediction("policy", "{}"), None)).share == 0.0


async def test_a_panel_is_asked_once_and_most_of_it_decide(tmp_path: Path) -> None:
    asked: list[str] = []
    kept = tmp_path / "panel.jsonl"

    async def ask(messages: tuple[ChatMessage, ...], output: int) -> tuple[str, Usage, float]:
        document = messages[-1].text.partition("The document ")[2].partition(":")[0]
        asked.append(document)
        judge = int(messages[0].text.partition("(")[2].partition(")")[0])
        if document == "policy_a.txt":
            words = "Agree: good."
        elif document == "policy_b.txt":
            words = "disagree, since" if judge <= 3 else "agree"
        else:
            words = "agree" if judge <= 2 else "disagree" if judge <= 4 else "what?"
        return words, Usage(100, 10), 0.01

    files = {"policy_a.txt": "a", "policy_b.txt": "b", "policy_c.txt": "c", "feedback_a.txt": "no document of theirs"}
    verdicts = await judged("goal", files, ("policy_*.txt",), ask, kept)
    assert verdicts.opinions == {"policy_a.txt": "agree", "policy_b.txt": "disagree", "policy_c.txt": "neutral"}
    assert len(asked) == 3 * JUDGES and verdicts.cost == pytest.approx(0.15) and paid_for(kept) == pytest.approx(0.15)
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    again = await judged("goal", files, ("policy_*.txt",), ask, kept)
    assert len(asked) == 3 * JUDGES + 1 and again.opinions == verdicts.opinions


def test_opinions() -> None:
    assert [opinion_in(w) for w in ("Agree.", "I disagree", "neutral", "", "disagreement")] == [
        "agree",
        "disagree",
        "neutral",
        "neutral",
        "neutral",
    ]
    assert majority(["agree", "agree", "disagree", "neutral"]) == "neutral"


@pytest.mark.slow
async def test_the_shipped_game_passes_and_a_broken_one_does_not(tmp_path: Path) -> None:
    folder = write_deliverable(tmp_path / "game")
    files = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    chosen = benchmark("gobang")
    [item] = load(chosen, None)
    async with judging() as judge:
        mark = await chosen.score(item, chosen.answer(item, "", files), judge)
        assert mark.passed and mark.share == 1.0, mark.why
        assert mark.parts["games won against a random player"] == (GAMES, GAMES)
        broken = files | {"main.py": "print('hello')"}
        mark = await chosen.score(item, chosen.answer(item, "", broken), judge)
        assert not mark.passed and mark.share == 0.0
        assert {name: mark.parts[name] for name in FOUR} == dict.fromkeys(FOUR, (0, 1))


def test_the_papers_figures_are_labelled() -> None:
    assert PAPER["mbpp"].score == 92.2 and PAPER["humaneval"].score == 93.3
    assert PAPER["math"].score == 69.0 and PAPER["gsm8k"].score == 93.0
    assert (PAPER["gobang"].agents, PAPER["gobang"].seconds) == (7, 800)
    assert (PAPER["policy"].agents, PAPER["policy"].seconds) == (590, 2991)
    assert {figures.model for figures in PAPER.values()} == {"GPT-4o"}
