"""Tools for the agent's own checklist and memory."""

from __future__ import annotations

from megaagent.events import ChecklistItem
from megaagent.tools.desk import Own


async def change_task_status(own: Own, done: list[str], todo: list[str]) -> str:
    """Replace your checklist. It survives every memory limit and your superior sees it; you cannot hand in while
    anything is to do.

    Args:
        done: what is finished.
        todo: what is still to be done.
    """
    return own.change_checklist(
        [*(ChecklistItem(text, True) for text in done), *(ChecklistItem(text) for text in todo)]
    )


async def recall(own: Own, query: str) -> str:
    """Search your own past and what the organization has reported, when you no longer see it above.

    Args:
        query: a few words.
    """
    return await own.recall(query)
