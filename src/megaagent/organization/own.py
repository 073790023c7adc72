"""An agent's own checklist and memory (the `Own` part of its desk)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.events import AgentId, ChecklistItem
from megaagent.organization.work import Work

Recall = Callable[[AgentId, str], Awaitable[str]]
MOST_ITEMS = 100
LONGEST_ITEM = 500


class OwnPart:
    """`megaagent.tools.desk.Own` for one step."""

    def __init__(self, work: Work, recall: Recall):
        self._work = work
        self._recall = recall

    def change_checklist(self, items: list[ChecklistItem]) -> str:
        items = [item for item in items if item.text.strip()]
        if len(items) > MOST_ITEMS or any(len(item.text) > LONGEST_ITEM for item in items):
            raise ToolError(f"a checklist has at most {MOST_ITEMS} items of at most {LONGEST_ITEM} characters.")
        self._work.record(ev.ChecklistChanged(tuple(items)))
        return f"Checklist: {sum(item.done for item in items)} done, {sum(not item.done for item in items)} to do."

    async def recall(self, query: str) -> str:
        if not query.strip():
            raise ToolError("the query is empty.")
        return await self._recall(self._work.agent, query)
