"""A run in one line: what it is, how far it came, what it cost; and how a running engine says that it stands."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from megaagent import events as ev
from megaagent.control import Request, ask
from megaagent.errors import ConfigurationError, RunError
from megaagent.folder import RunFolder
from megaagent.journal import open_reader

PATIENCE: Final = 1.0  # seconds that a running engine is given to say how it stands
GOAL: Final = 300  # characters
KINDS: Final = (
    ev.RunStarted, ev.RunForked, ev.RunResumed, ev.RunEnded, ev.AgentRecruited, ev.ModelAnswered, ev.AgentNudged,
    ev.TextsEmbedded,
    ev.ApprovalAsked, ev.ApprovalAnswered, ev.QuestionAsked, ev.QuestionAnswered, ev.AgentRetired,
)  # fmt: skip
MOST: Final = 200_000  # facts of one journal that are read for one answer; the next one goes on from there


class Summary:
    """One line of the list, brought up to date from where it was left."""

    def __init__(self, folder: RunFolder):
        self.folder = folder
        self.position = 0
        self.goal = self.model = self.parent = ""
        self.scenario: str | None = None
        self.simulated = False
        self.status, self.reason = "cut off", ""
        self.agents = self.steps = self.tokens = self.interventions = 0
        self.cost = self.began = self.last = 0.0
        self.problem: str | None = None
        self._waits: dict[str, str] = {}  # for a person's approval
        self._questions: set[str] = set()  # to a person

    def refresh(self) -> None:
        """Read what is new."""
        try:
            with contextlib.closing(open_reader(self.folder.journal)) as reader:
                newest = reader.last()
                end = min(newest, self.position + MOST)
                for record in reader.records(self.position, kinds=KINDS, bodies=False):
                    if record.position > end:
                        break
                    self._take_in(record)
                self.position = end
                record = reader.record(end)
                self.last = record.time if record is not None else self.last
                began = reader.record(1) if not self.goal else None
                if began is not None and isinstance(began.event, ev.RunStarted):
                    self.goal = began.event.goal[:GOAL]
        except (RunError, ConfigurationError) as error:  # of the latter kind: an extra is not installed
            self.problem = str(error)

    def _take_in(self, record: ev.Record) -> None:
        match record.event:
            case ev.RunStarted() as began:
                self.model, self.scenario, self.simulated = began.model, began.scenario, began.simulated
                self.began = record.time
            case ev.RunForked() as forked:
                self.model, self.parent, self.status = forked.model, forked.parent, "cut off"
                self.began = record.time  # the facts before are its parent's
                self.simulated = self.simulated or forked.simulated
            case ev.RunResumed():
                self.status, self.reason = "cut off", ""
            case ev.RunEnded(status=status, reason=reason):
                self.status, self.reason = status, reason
                self._waits.clear()
                self._questions.clear()
            case ev.ApprovalAsked(id=id, tool=tool, effect=effect):
                self._waits[id] = f"{id}: {tool}: {'; '.join(effect)}"
            case ev.ApprovalAnswered(id=id):
                self._waits.pop(id, None)
            case ev.AgentRecruited():
                self.agents += 1
            case ev.ModelAnswered() as answer:
                self.steps += 1
                self.tokens += answer.usage.prompt + answer.usage.completion
                self.cost += answer.cost or 0.0
                self.simulated = self.simulated or answer.model.startswith("sim:")
            case ev.TextsEmbedded(tokens=tokens, cost=cost):
                self.tokens += tokens
                self.cost += cost or 0.0
            case ev.QuestionAsked(id=id):
                self._questions.add(id)
            case ev.QuestionAnswered(id=id):
                self._questions.discard(id)
            case ev.AgentRetired(id=agent):
                self._questions = {id for id in self._questions if not id.startswith(f"{agent}#")}
                self._waits = {id: told for id, told in self._waits.items() if not id.startswith(f"{agent}#")}
            case ev.AgentNudged():
                self.interventions += 1
            case _:
                pass

    def told(self, standing: str | None) -> dict[str, Any]:
        return {
            "id": self.folder.id,
            "goal": self.goal,
            "scenario": self.scenario,
            "model": self.model,
            "parent": self.parent,
            "simulated": self.simulated,
            "status": "unreadable" if self.problem else standing or self.status,
            "live": standing is not None,
            "reason": self.problem or self.reason,
            "agents": self.agents,
            "steps": self.steps,
            "tokens": self.tokens,
            "cost": round(self.cost, 6),
            "interventions": self.interventions,
            "waits": list(self._waits.values()) if standing is not None else [],
            "questions": len(self._questions) if standing is not None else 0,
            "began": self.began,
            "last": self.last,
        }


async def standing(folder: RunFolder) -> str | None:
    """How a running engine says that it stands; None when none listens."""
    if not folder.socket.exists():
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await ask(folder.socket, Request("status"))
    except TimeoutError:
        return "busy"
    except (RunError, OSError):
        return None
    return "running" if answer.text.startswith("running") else "paused"
