"""The question about the tools of a server: one at a time, and only about what they are now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from megaagent import events as ev
from megaagent.equipment import ChangeQuestion
from megaagent.events import Fact
from megaagent.organization.approvals import Approvals
from megaagent.organization.state import State
from megaagent.tools.rules import ToolSettings


class Asked:
    """Approvals over a journal that takes its time."""

    def __init__(self) -> None:
        self.facts: list[ev.AnyEvent] = []
        self.rulings: list[tuple[str, ev.Ruling]] = []
        self.approvals = Approvals(ToolSettings(), True, State(), self._append, lambda: 0.0)
        self.question = ChangeQuestion(self.approvals)

    async def _append(self, facts: Sequence[Fact], bodies: object = ()) -> bool:
        for _ in range(5):
            await asyncio.sleep(0)
        self.facts += [fact.event for fact in facts]
        return True

    async def put(self, words: str) -> None:
        await self.question.put("raw", [words] if words else [], lambda ruling: self.rulings.append((words, ruling)))

    @property
    def open(self) -> list[str]:
        """Whom nobody has answered, as the journal has it."""
        found: dict[str, str] = {}
        for event in self.facts:
            if isinstance(event, ev.ApprovalAsked):
                found[event.id] = event.effect[1]
            if isinstance(event, ev.ApprovalAnswered):
                del found[event.id]  # asked before it is answered
        return list(found.values())


@pytest.mark.parametrize("pauses", [0, 1, 3, 7, 30])
async def test_of_changes_that_come_at_once_only_the_last_is_asked_about(pauses: int) -> None:
    asked = Asked()
    puts: list[asyncio.Task[None]] = []
    for words in ("one", "two", "three", "four"):
        puts.append(asyncio.create_task(asked.put(words)))
        for _ in range(pauses):
            await asyncio.sleep(0)
    await asyncio.gather(*puts)
    assert asked.open == ["four"]
    [newest] = [event.id for event in asked.facts if isinstance(event, ev.ApprovalAsked) and event.effect[1] == "four"]
    await asked.approvals.answer(newest, "approve", "")
    await asyncio.sleep(0)
    assert asked.rulings == [("four", "approve")]


async def test_nothing_is_asked_about_what_is_as_it_was() -> None:
    asked = Asked()
    await asked.put("one")
    await asyncio.gather(asked.put("two"), asked.put(""))
    assert asked.open == []
    await asked.put("three")
    assert asked.open == ["three"]
