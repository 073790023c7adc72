"""Questions to the person who gave the goal."""

from __future__ import annotations

import asyncio

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.organization.work import Work

NOBODY = "Nobody is there to answer. Decide yourself, and say in your report what you decided."


class Questions:
    """Brings agents' questions to a person and the answers back.

    Args:
        attended: whether a person is there; otherwise every question is answered at once.
        minutes: after which a question is answered with "decide yourself".
    """

    def __init__(self, attended: bool, minutes: float):
        self._attended = attended
        self._minutes = minutes
        self._open: dict[str, asyncio.Future[str]] = {}

    async def ask(self, work: Work, question: str) -> str:
        """The person's answer to an agent's question."""
        if not question.strip():
            raise ToolError("the question is empty.")
        id = work.new_id()
        work.record(ev.QuestionAsked(id, question))
        answer = await self._wait(work, id) if self._attended else None
        by = "engine" if answer is None else "person"
        work.record(ev.QuestionAnswered(id, answer or NOBODY, by))
        return answer or NOBODY

    def answer(self, id: str, text: str) -> bool:
        """A person answers; False when no such question is open."""
        future = self._open.get(id)
        if future is None or future.done():
            return False
        future.set_result(text)
        return True

    async def _wait(self, work: Work, id: str) -> str | None:
        # Whoever sees the question in the journal may answer at once, so the answer is expected before it is there.
        self._open[id] = asyncio.get_running_loop().create_future()
        try:
            await work.commit()
            async with asyncio.timeout(60 * self._minutes):
                return await self._open[id]
        except TimeoutError:
            return None
        finally:
            del self._open[id]
