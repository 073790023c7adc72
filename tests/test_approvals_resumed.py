"""What becomes of a call that waits for a person, or was just approved, when the engine dies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.campaigns.test_carried_on import cut_after, facts

from megaagent import Result, Settings, replay, resume, start
from megaagent import events as ev
from megaagent.folder import RunFolder
from megaagent.launch import Run
from megaagent.models.script import Part, Playing, Script, call, say, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import changed


async def approving(live: Run, most: int = 1) -> Result:
    """See a run to its end, as a person who approves what is asked."""
    result = asyncio.ensure_future(live.result())
    for _ in range(most):
        while not live.state.run.approvals and not result.done():
            await asyncio.sleep(0.01)
        if not result.done():
            await live.control.approve(remark="go on")
    return await result


class Paying:
    """A run whose boss pays once, with a person there to be asked."""

    def __init__(self, runs: Path):
        self.paid: list[int] = []
        models: Any = {"sim:test": SimulatedModel(Script({"boss": self.boss}), name="sim:test", latency=AT_ONCE)}
        self.options: dict[str, Any] = {"models": models, "tools": [self.pay]}
        self.runs = runs

    def pay(self, amount: int) -> str:
        """Pay somebody."""
        self.paid.append(amount)
        return f"paid {amount}"

    def boss(self, me: Part) -> Playing:
        yield say(write_file("a.txt", "a\n"), call("pay", amount=5))
        return me.last.text

    async def first(self) -> RunFolder:
        settings = changed(Settings(), {"attended": True, "tools.ask_before": ["pay"]}, "test")
        async with start("Pay.", model="sim:test", settings=settings, runs=self.runs, **self.options) as live:
            result = await approving(live)
        assert result.text == "[approved by a person: go on]\npaid 5" and self.paid == [5]
        assert replay(live.folder).problems == ()
        return live.folder

    async def again(self, folder: RunFolder) -> Result:
        async with resume(folder, **self.options) as live:
            result = await approving(live)
        assert replay(folder).problems == ()
        return result


@pytest.mark.parametrize(
    ("cut", "asked", "answered", "paid"),
    [("ApprovalAsked", 2, 1, [5]), ("ApprovalAnswered", 1, 1, [5]), ("ToolBegun", 1, 1, [])],
)
async def test_it_is_asked_again_made_once_or_told_as_unknown(
    tmp_path: Path, cut: str, asked: int, answered: int, paid: list[int]
):
    paying = Paying(tmp_path)
    folder = await paying.first()
    cut_after(folder.journal, cut)
    paying.paid.clear()  # what the lost end of the journal told of
    result = await paying.again(folder)
    assert paying.paid == paid
    assert ("whether it took effect is unknown" in result.text) == (not paid)
    assert len(facts(result, ev.ApprovalAsked)) == asked
    assert len(facts(result, ev.ApprovalAnswered)) == answered
    assert [fact.ruling for fact in facts(result, ev.ApprovalAnswered)] == ["approve"] * answered


async def test_an_engine_that_is_stopped_while_it_waits_asks_again(tmp_path: Path):
    paying = Paying(tmp_path)
    settings = changed(Settings(), {"attended": True, "tools.ask_before": ["pay"]}, "test")
    async with start("Pay.", model="sim:test", settings=settings, runs=tmp_path, **paying.options) as live:
        while not live.state.run.approvals:
            await asyncio.sleep(0.01)
        folder = live.folder
    assert paying.paid == []
    result = await paying.again(folder)
    assert result.completed and paying.paid == [5]
    assert len(facts(result, ev.ApprovalAsked)) == 2
