"""The acceptance check of the policies: what it finds when something is wrong with them."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from benchmarks.unconfined import start_copy

from megaagent.scenarios.policy import texts
from megaagent.scenarios.policy.check import CHECKS, check, judged
from megaagent.scenarios.policy.feedback import remark
from megaagent.scenarios.policy.nation import SECTIONS, Department, departments, measures, nation
from megaagent.scenarios.policy.script import entry


def policy(it: Department) -> str:
    """A policy as it is when all have done their part."""
    text = texts.policy_frame(it)
    joint = [measure.line for measure in measures() if it.name in (measure.lead, measure.partner)]
    for section, write in texts.WRITERS.items():
        text = text.replace(texts.mark(it.name, section), write(it, joint))
    text = text.replace(texts.first_part(it, flawed=True), texts.first_part(it, flawed=False))
    for section in SECTIONS:
        said = remark(it, section, 0)
        text = text.replace(said.after, f"{said.after} {said.answer}")
    return text


def ledger(it: Department) -> str:
    text = texts.feedback_frame(it)
    for section in SECTIONS:
        entries = [entry(section, n, f"{it.name}_{section}_{n + 1}", remark(it, section, n)) for n in range(2)]
        text = text.replace(texts.mark(it.name, section), "\n".join(entries))
    return text


@pytest.fixture
def files() -> dict[str, str]:
    found = {"framework.txt": texts.framework(nation())}
    for name, it in departments().items():
        found |= {f"policy_{name}.txt": policy(it), f"feedback_{name}.txt": ledger(it)}
    return found


def failed(files: dict[str, str]) -> dict[str, str]:
    return {found.name: found.detail for found in judged(files) if not found.passed}


def test_what_is_complete_passes(files: dict[str, str]) -> None:
    assert failed(files) == {}


SPOILS = {
    "all files are there": (r"\A(.|\n)*\Z", "", "policy_health.txt is missing"),
    "each policy has its sections": (r"^4\. Metrics$", "4. Figures", "no heading '4. Metrics'"),
    "objective and principles": (r"^- Need decides.*$", "", "fewer than three principles"),
    "laws and actions": (r"^[25]\. .*In force.*$", "", "has 4 laws"),
    "responsible office": (r"^Responsible office: .*$", "Responsible office: all", "no responsible office"),
    "metrics with baseline and target": (r"target 5 days", "target 13 days", "fewer than three metrics"),
    "timeline and review": (r"^Review: .*$", "Reviewed well.", "how often"),
    "budget": (r"^Total: 9,600", "Total: 9,700", "the parts make 9,600 and the total is 9,700"),
    "joint measures agree": (r"^(JM-02 .*)2029", r"\g<1>2030", "does not repeat JM-02"),
    "feedback was answered": (r"In force from .*\. If that date.*$", "", "laws-1: what is called done"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_each_check_finds_what_it_is_for(files: dict[str, str], name: str) -> None:
    pattern, instead, words = SPOILS[name]
    spoilt, count = re.subn(pattern, instead, files["policy_health.txt"], flags=re.MULTILINE)
    assert count, "the mutation changes nothing"
    assert words in failed(files | {"policy_health.txt": spoilt})[name]


def test_a_policy_copied_from_another_department_is_found(files: dict[str, str]) -> None:
    copied = files["policy_health.txt"].replace("HEALTH", "SPORT")
    assert "policy_health.txt and policy_sport.txt" in failed(files | {"policy_sport.txt": copied})["policies differ"]


@pytest.mark.parametrize("ending", ["declined: no", "done: it was changed", "perhaps"])
def test_an_answer_that_is_none_is_found(files: dict[str, str], ending: str) -> None:
    spoilt = re.sub(r"declined: .*", ending, files["feedback_water.txt"], count=1)
    assert "feedback_water.txt" in failed(files | {"feedback_water.txt": spoilt})["feedback was answered"]


def test_every_check_is_tried() -> None:
    assert {*SPOILS, "policies differ"} == set(CHECKS)


async def test_the_files_are_read_by_a_program_on_a_copy(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    checks = await check(partial(start_copy, folder=tmp_path))
    assert [each.name for each in checks if not each.passed] == []
    assert len(checks) == len(CHECKS)
