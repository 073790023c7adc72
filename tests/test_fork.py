"""Forks: another run from any point of one, whose folder stays as it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.test_launch import boss, git, models

from megaagent import ConfigurationError, Result, RunError, replay, resume, start
from megaagent import events as ev
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.fork import fork
from megaagent.journal import open_reader
from megaagent.models.contract import Model, ModelRequest, ModelResponse
from megaagent.models.script import Part, Playing, Script, review, say, wait, write_file
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel


def ann(me: Part) -> Playing:
    yield write_file("part.txt", "hers\n")
    return "part.txt"


def other_boss(me: Part) -> Playing:
    """Says what it was told besides, and what ann has made."""
    while not me.reported("ann"):
        yield wait([], "her part")
    letter = me.heard("person", "person")
    yield say(write_file("told.txt", letter.text if letter else "nothing"), review(["ann"]))
    return "a different end"


SAME = Script({"boss": boss, "ann": ann})


async def played(runs: Path, script: Script = SAME) -> Result:
    async with start("Two small files.", model="sim:test", models=models(script), runs=runs) as live:
        return await live.result()


async def forked(folder: Path, at: int, models: Mapping[str, Model], **options: Any) -> Result:
    async with fork(RunFolder(folder), at=at, models=models, **options) as live:
        return await live.result()


async def test_from_every_fact_a_run_goes_on_and_its_parent_is_untouched(tmp_path: Path):
    parent = await played(tmp_path)
    before, past = fingerprint(parent.folder), records_of(parent.folder)
    for at in range(4, len(past)):
        child = await forked(parent.folder, at, models(SAME))
        assert child.completed, at
        assert sorted(path.name for path in child.path.iterdir()) == ["own.txt", "part.txt"]
        facts = records_of(child.folder)
        own = next(n for n, record in enumerate(facts) if isinstance(record.event, ev.RunForked))
        assert own >= at
        assert facts[:own] == past[:own]
        assert facts[own].event.parent == parent.run and facts[own].event.position == own
        assert len({record.time for record in past[at - 1 : own]}) == 1, "only what was recorded together comes along"
        ids = [record.event.message.id for record in facts if isinstance(record.event, ev.MessageSent)]
        assert len(ids) == len(set(ids)), "no message is sent twice"
        calls = [record.event.call for record in facts if isinstance(record.event, ev.ModelAnswered)]
        assert len(calls) == len(set(calls)), "no answer is bought again"
        assert replay(RunFolder(child.folder)).problems == ()
        assert fingerprint(parent.folder) == before


async def test_another_model_another_script_and_a_word_from_a_person(tmp_path: Path):
    parent = await played(tmp_path)
    recruited = position_of(parent.folder, ev.AgentRecruited, 2)
    other = SimulatedModel(Script({"boss": other_boss, "ann": ann}), name="sim:other", latency=AT_ONCE)
    child = await forked(
        parent.folder, recruited, {"sim:other": other}, changes={"model.name": "sim:other"}, say="Mind the gap."
    )
    assert (child.status, child.text) == ("completed", "a different end")
    assert (child.path / "told.txt").read_text() == "Mind the gap."
    assert parent.folder.parent == child.folder.parent and parent.run != child.run
    mine = [r for r in records_of(child.folder) if isinstance(r.event, ev.CallIntended)]
    assert mine[-1].event.model == "sim:other"


async def test_other_prompts(tmp_path: Path):
    asked: list[str] = []

    class Noting(SimulatedModel):
        async def complete(self, request: ModelRequest) -> ModelResponse:
            asked.append(request.messages[0].text)
            return await super().complete(request)

    parent = await played(tmp_path / "runs")
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "rules.md").write_text("Rules of another kind.")
    noting = {"sim:test": Noting(SAME, name="sim:test", latency=AT_ONCE)}
    child = await forked(parent.folder, 4, noting, changes={"prompts": str(prompts)})
    assert child.completed
    assert "Rules of another kind." in asked


async def test_a_fork_keeps_its_own_settings_when_it_is_resumed_and_forked_again(tmp_path: Path):
    parent = await played(tmp_path)
    other: dict[str, Model] = {"sim:other": SimulatedModel(SAME, name="sim:other", latency=AT_ONCE)}
    async with fork(RunFolder(parent.folder), at=4, models=other, changes={"model.name": "sim:other"}) as live:
        folder = live.folder
        async for record in live:
            if isinstance(record.event, ev.ModelAnswered):
                break  # leaving the block calls everything off, as a crash would
    async with resume(folder, models=other) as live:
        result = await live.result()
    assert result.completed
    again = await forked(folder.path, len(records_of(folder.path)) - 3, other)
    assert again.completed
    kinds = [type(record.event) for record in records_of(again.folder)]
    assert kinds.count(ev.RunForked) == 2
    assert replay(RunFolder(again.folder)).problems == ()


async def test_a_run_that_is_going_on_can_be_forked(tmp_path: Path):
    slow = models(SAME, Latency(fixed=0.05, per_completion=0, per_prompt=0, sigma=0))
    async with start("Two small files.", model="sim:test", models=slow, runs=tmp_path) as live:
        async for record in live:
            if isinstance(record.event, ev.FileCommitted):
                break
        child = await forked(live.folder.path, record.position, models(SAME))
        parent = await live.result()
    assert child.completed and parent.completed
    for result in (child, parent):
        assert replay(RunFolder(result.folder)).problems == ()


async def test_a_run_whose_engine_vanished_is_forked_without_a_trace(tmp_path: Path):
    """Its log lies beside the journal still; reading it in place would write there."""
    held = asyncio.Event()

    class Holding(SimulatedModel):
        """Answers the first call and no other, so that nothing moves while the folder is copied."""

        answered = False

        async def complete(self, request: ModelRequest) -> ModelResponse:
            if self.answered:
                held.set()
                await asyncio.Event().wait()
            self.answered = True
            return await super().complete(request)

    holding: dict[str, Model] = {"sim:test": Holding(SAME, name="sim:test", latency=AT_ONCE)}
    async with start("Two small files.", model="sim:test", models=holding, runs=tmp_path / "a") as live:
        await held.wait()
        crashed = tmp_path / "b" / live.folder.id
        await asyncio.to_thread(copy_as_it_is, live.folder.path, crashed)
    assert (crashed / "journal.db-wal").stat().st_size > 0
    before, past = fingerprint(crashed), records_of(live.folder.path)
    commit = next(n for n, record in enumerate(past, 1) if isinstance(record.event, ev.FileCommitted))
    child = await forked(crashed, commit, models(SAME))
    assert child.completed
    assert fingerprint(crashed) == before


async def test_what_was_in_flight_stays_with_the_parent(tmp_path: Path):
    parent = await played(tmp_path)
    at = position_of(parent.folder, ev.CallIntended, 1)
    async with fork(RunFolder(parent.folder), at=at, models=models(SAME)) as live:
        result = await live.result()
        assert live.state.run.reserved_tokens == 0
    assert result.completed


async def test_later_commits_of_the_parent_are_not_there(tmp_path: Path):
    def late(me: Part) -> Playing:
        yield write_file("one.txt", "1\n")
        yield write_file("two.txt", "2\n")
        return "two files"

    def early(me: Part) -> Playing:
        yield write_file("one.txt", "1\n")
        yield write_file("three.txt", "3\n")
        return "another file"

    parent = await played(tmp_path, Script({"boss": late}))
    at = position_of(parent.folder, ev.FileCommitted, 1)
    child = await forked(parent.folder, at, models(Script({"boss": early})))
    assert sorted(path.name for path in child.path.iterdir()) == ["one.txt", "three.txt"]
    assert len(git(child.folder / "workspace.git", "log", "--format=%h", "main").split()) == 3


@pytest.mark.parametrize(
    ("at", "options", "words"),
    [
        (100_000, {}, "there is no fact 100000 in .*; the last is"),
        (0, {}, "nothing can go on from fact 0: a run begins with 4 facts"),
        (3, {}, "nothing can go on from fact 3"),
        (-1, {}, "nothing can go on from fact -1"),
        (8, {"say": "  "}, "what is to be said to the boss is empty"),
        (8, {"changes": {"budget.cost": 0}}, "budget.cost must be more than 0"),
        (8, {"changes": {"limits.agents": "many"}}, "limits.agents: Expected"),
        (8, {"changes": {"limits.agnets": 3}}, "unknown field limits.agnets"),
        (8, {"changes": {"model.name": "opnai:gpt"}}, "did you mean openai"),
        (8, {"changes": {"model.name": "vllm:x"}}, "--max-tokens"),
        (8, {"changes": {"prompts": "/nowhere"}}, "/nowhere is not a folder of prompts"),
        (8, {"tools": [lambda: None]}, "tool"),
    ],
)
async def test_what_cannot_work_is_told_and_nothing_is_made(
    tmp_path: Path, at: int, options: dict[str, Any], words: str
):
    parent = await played(tmp_path)
    before = fingerprint(parent.folder), list(tmp_path.iterdir())
    with pytest.raises((RunError, ConfigurationError), match=words):
        await forked(parent.folder, at, models(SAME), environ={}, **options)
    assert (fingerprint(parent.folder), list(tmp_path.iterdir())) == before


async def test_the_end_of_a_run_and_what_has_happened_are_not_contradicted(tmp_path: Path):
    parent = await played(tmp_path)
    end = len(records_of(parent.folder))
    before = fingerprint(parent.folder), list(tmp_path.iterdir())
    for at, changes, words in (
        (end, {}, f"fact {end} of .* is its end"),
        (end - 1, {"budget.tokens": 5}, "budget.tokens cannot be 5: .* tokens are used already"),
        (end - 1, {"budget.cost": 1e-9}, "is spent already"),
        (end - 1, {"limits.agents": 1}, "limits.agents cannot be 1: the run has recruited 2 already"),
        (end - 1, {"limits.depth": 1}, "limits.depth cannot be 1: the run is 2 levels deep"),
    ):
        with pytest.raises((RunError, ConfigurationError), match=words):
            await forked(parent.folder, at, models(SAME), changes=changes)
    assert (fingerprint(parent.folder), list(tmp_path.iterdir())) == before


def records_of(folder: Path) -> list[Record]:
    with closing(open_reader(RunFolder(folder).journal)) as reader:
        return list(reader.records())


def position_of(folder: Path, kind: type[ev.Event], number: int) -> int:
    """Of the fact that is the so-manieth of its kind."""
    return [record.position for record in records_of(folder) if isinstance(record.event, kind)][number - 1]


def copy_as_it_is(source: Path, target: Path) -> None:
    """What a killed engine leaves: the files as they are now, without those who hold them open."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.is_file() and path.name != "journal.db-shm":
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder, with its content and the time of its last change."""
    return {
        str(
            path
        ): f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ''}"
        for path in sorted([folder, *folder.rglob("*")])
        if path.is_dir() or path.is_file()
    }
