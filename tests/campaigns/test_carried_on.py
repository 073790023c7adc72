"""Steps that an engine left half done, carried on by the next: found by the crash campaign, each kept here."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megaagent import Result, RunError, Settings, replay, resume, start
from megaagent import events as ev
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.script import Part, Playing, Script, call, edit_file, exec_python_file, say, text, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.organization.state import State
from megaagent.settings import changed
from megaagent.tools import Tool


class Spoiled:
    """A run whose engine is called off inside the tool `hang`, and that a second engine carries on."""

    def __init__(self, runs: Path):
        self._runs = runs
        self._hanging = asyncio.Event()
        self._first = True
        self.done: Counter[str] = Counter()

    async def play(self, boss: Callable[[Part], Playing], *, reads: bool = False) -> Result:
        """Args:
        reads: `hang` only looks, so nothing is recorded before it.
        """
        models: Any = {"sim:test": SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)}
        tools = [self.deposit, Tool(self._hang, name="hang", reads=reads)]
        async with start("Do it.", model="sim:test", models=models, tools=tools, runs=self._runs) as live:
            folder = live.folder
            await asyncio.wait_for(self._hanging.wait(), 20)
        async with resume(folder, models=models, tools=tools) as live:
            result = await live.result()
        assert replay(folder).problems == ()
        return result

    async def _hang(self, key: str = "hang") -> str:
        """Take long, the first time."""
        self.done[key] += 1
        if self._first:
            self._first = False
            self._hanging.set()
            await asyncio.Event().wait()
        return "done"

    def deposit(self, key: str) -> str:
        """Leave a trace."""
        self.done[key] += 1
        return f"deposited {key}"


def facts(result: Result, kind: type[ev.Event]) -> list[Any]:
    reader = open_reader(RunFolder(result.folder).journal)
    try:
        return [record.event for record in reader.records(kinds=[kind])]
    finally:
        reader.close()


async def test_a_user_s_tool_is_never_run_twice_and_only_the_one_under_way_is_in_doubt(tmp_path: Path):
    spoiled = Spoiled(tmp_path)

    def boss(me: Part) -> Playing:
        yield say(write_file("a.txt", "a\n"), call("deposit", key="before"), call("hang"), call("deposit", key="after"))
        return " / ".join(result.text for result in me.results)

    result = await spoiled.play(boss)
    assert spoiled.done == {"before": 1, "hang": 1, "after": 1}
    wrote, before, hung, after = result.text.split(" / ")
    assert wrote.startswith("Wrote a.txt")
    assert (before, after) == ("deposited before", "deposited after")
    assert "whether it took effect is unknown" in hung


async def test_an_edit_that_reached_the_workspace_is_taken_over(tmp_path: Path):
    def boss(me: Part) -> Playing:
        yield write_file("a.txt", "old line\n")
        yield say(edit_file("a.txt", "old", "new"), call("hang"))
        return me.results[-2].text

    result = await Spoiled(tmp_path).play(boss, reads=True)
    assert result.text.startswith("Wrote a.txt")
    assert (result.path / "a.txt").read_text() == "new line\n"
    assert len(facts(result, ev.FileCommitted)) == 2


async def test_kept_files_that_reached_the_workspace_are_taken_over(tmp_path: Path):
    def boss(me: Part) -> Playing:
        yield write_file("make.py", "open('made.txt', 'w').write('made')\n")
        yield exec_python_file("make.py", stdin="")
        yield say(call("keep_files", paths=["made.txt"]), call("hang"))
        return me.results[-2].text

    result = await Spoiled(tmp_path).play(boss, reads=True)
    assert result.text.startswith("Committed made.txt")
    assert [fact.path for fact in facts(result, ev.FileCommitted)] == ["make.py", "made.txt"]


async def test_an_answer_without_calls_is_corrected_also_by_the_next_engine(tmp_path: Path):
    def boss(me: Part) -> Playing:
        yield text("I shall think about it.")
        return "done" if me.notices else "nobody told me that nothing was done"

    models: Any = {"sim:test": SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)}
    async with start("Do it.", model="sim:test", models=models, runs=tmp_path) as live:
        folder = (await live.result()).folder
    cut_after(folder / "journal.db", "ModelAnswered")
    async with resume(RunFolder(folder), models=models) as live:
        result = await live.result()
    assert result.text == "done"
    assert len(facts(result, ev.AgentCorrected)) == 1


async def test_what_an_engine_left_undone_after_the_end_is_made_up_for(tmp_path: Path):
    def boss(me: Part) -> Playing:
        yield write_file("a.txt", "a\n")
        return "done"

    models: Any = {"sim:test": SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)}
    async with start("Do it.", model="sim:test", models=models, runs=tmp_path) as live:
        result = await live.result()
    (result.folder / "report.md").unlink()
    shutil.rmtree(result.path)
    for words in ("were missing, and are there now", "there is nothing to resume"):
        with pytest.raises(RunError, match=words):
            async with resume(RunFolder(result.folder), models=models):
                pass
        assert (result.path / "a.txt").read_text() == "a\n"
        assert "ended as **completed**" in (result.folder / "report.md").read_text()


def test_a_lost_program_is_remembered_when_the_next_engine_dies_too():
    state = State()
    events: list[ev.AnyEvent] = [
        ev.AgentRecruited("boss", "the boss", "all"),
        ev.ProgramStarted("boss#1.0", ("python", "a.py"), "none", "0" * 40),
        ev.RunResumed("1"),
        ev.AgentPaused("boss", "let it rest"),
        ev.RunResumed("1"),
    ]
    for position, event in enumerate(events, 1):
        state.apply(Record(position, 1, 0.0, "boss", 1, event))
    assert (state.members["boss"].program, state.members["boss"].lost) == (None, "boss#1.0")


def cut_after(journal: Path, kind: str, like: str = "%") -> None:
    """Take away every row after the first of that kind (and text), as if the engine had died then."""
    connection = sqlite3.connect(journal)
    first = "SELECT min(position) FROM record WHERE kind = ? AND CAST(body AS TEXT) LIKE ?"
    [last] = connection.execute(first, (kind, like)).fetchone()
    connection.execute("DELETE FROM record WHERE position > ?", (last,))
    connection.commit()
    connection.close()


async def test_a_summary_that_was_paid_for_is_used_by_the_next_engine(tmp_path: Path):
    def boss(me: Part) -> Playing:
        if not me.summary:
            yield write_file("a.txt", "a long line\n" * 500)
        return "done"

    model = SimulatedModel(Script({"boss": boss}), name="sim:test", latency=AT_ONCE)
    models: Any = {"sim:test": model}
    short = changed(Settings(), {"limits.context": 1_000}, "test")
    async with start("Do it.", model="sim:test", models=models, runs=tmp_path, settings=short) as live:
        folder = (await live.result()).folder
    cut_after(folder / "journal.db", "ModelAnswered", "%/summary%")
    async with resume(RunFolder(folder), models=models) as live:
        result = await live.result()
    assert result.text == "done"
    calls = [answer.call for answer in facts(result, ev.ModelAnswered)]
    assert len(calls) == len(set(calls))
    assert sum(call.endswith("/summary") for call in calls) == 1
    assert len(facts(result, ev.ContextCompacted)) == 1
