"""What an agent can do with others: recruit, assign, review, talk (the `People` part of its desk)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from megaagent import events as ev
from megaagent.agent.lint import missing_from
from megaagent.errors import ToolError
from megaagent.events import AgentId, Verdict, name_of
from megaagent.organization.decide import retire
from megaagent.organization.limits import Limits
from megaagent.organization.members import Debt, Member
from megaagent.organization.state import State
from megaagent.organization.work import Work
from megaagent.tools.rules import Scopes

Ask = Callable[[Work, str], Awaitable[str]]
RESERVED = ("group", "engine", "person", "verifier", "user", "all")


class Names:
    """Names promised to recruits of steps that are still under way, so that no two get the same."""

    def __init__(self, state: State):
        self._state = state
        self._promised: set[str] = set()  # also some that have come into the state since
        # In lower case: nobody shall be able to pass for another by the case of letters.
        self._taken = {*RESERVED, *map(str.lower, state.names)}
        self._numbers: dict[str, int] = {}  # the last that was put behind a name

    def claim(self, wanted: str, limit: int) -> str:
        """A free name, `wanted` itself or one made from it.

        Raises:
            ToolError: the run may have no more agents.
        """
        taken, agents = self._state.names, self._state.run.agents
        if agents + len(self._promised) >= limit:
            self._promised = {name for name in self._promised if name not in taken}
        if agents + len(self._promised) >= limit:
            raise ToolError(f"this run may have {limit} agents, and has them: give the work to somebody who is there.")
        name, number = wanted, self._numbers.get(wanted, 1)
        while name.lower() in self._taken:
            number += 1
            name = f"{wanted}{number}"
        self._numbers[wanted] = number
        self._promised.add(name)
        self._taken.add(name.lower())
        return name

    def is_agent(self, word: str) -> bool:
        """Whether a word, in lower case, is the name of an agent."""
        return word in self._taken and word not in RESERVED


class PeoplePart:
    """`megaagent.tools.desk.People` for one step."""

    def __init__(self, work: Work, limits: Limits, names: Names, scopes: Scopes, ask: Ask):
        self._work = work
        self._limits = limits
        self._names = names
        self._scopes = scopes
        self._ask = ask

    def recruit(self, name: str, description: str, prompt: str, tools: list[str] | None) -> str:
        work, limits = self._work, self._limits
        wanted = re.sub(r"\W+", "_", name.strip(), flags=re.ASCII).strip("_")[:40]
        if not wanted or wanted[0].isdigit():
            raise ToolError(
                f"{name!r} cannot be a name: give one word of letters, digits and _, starting with a letter."
            )
        missing = missing_from(prompt, name.strip(), work.companions, self._names.is_agent)
        if missing:
            raise ToolError(
                f"nobody was recruited: the prompt must stand alone, and it does not say {'; nor '.join(missing)}. "
                "Call add_agent again with a complete prompt."
            )
        self._bounded(description + prompt)
        if tools is not None:
            self._scopes.check_given(tools, work.agent, work.left_to)
        if work.agent.count("/") + 2 > limits.depth:
            raise ToolError(
                f"the organization may be {limits.depth} levels deep, and you are at the last: do it yourself."
            )
        if sum(1 for _ in work.draft.subordinates(work.agent)) >= limits.group:
            raise ToolError(
                f"your group has {limits.group} members, the most it may have: recruit an admin in it instead."
            )
        real = self._names.claim(wanted, limits.agents)
        id = f"{work.agent}/{real}"
        asked = name if real != name else None
        left = None if tools is None else tuple(dict.fromkeys(tools))
        work.record(ev.AgentRecruited(id, description.strip(), prompt, asked=asked, tools=left))
        work.record(ev.AssignmentOpened(work.new_id(), id, work.agent, description))
        work.send(
            [id], "Begin with your job as your role says it. Hand in with terminate when it is done.", "assignment"
        )
        if asked is not None:
            return (
                f"{name!r} is not free: the new agent is called {real}. Tell its collaborators this name. It has begun."
            )
        return f"{real} has joined your group and has begun."

    def assign(self, name: str, task: str) -> str:
        work = self._work
        member = self._subordinate(name)
        self._bounded(task)
        if not task.strip():
            raise ToolError("the task is empty: say what is owed, with the exact files and the end condition.")
        self._can_go_on(member)
        work.record(ev.AssignmentOpened(work.new_id(), member.id, work.agent, task))
        work.send([member.id], task, "assignment")
        return f"{name_of(member.id)} now owes you this too."

    def review(self, names: list[str], verdict: Verdict, remarks: str) -> str:
        if verdict == "return" and not remarks.strip():
            raise ToolError("to return work, say in remarks exactly what is wrong and what is to be done.")
        if not names:
            raise ToolError("name whose work you answer.")
        self._bounded(remarks)
        debts: list[Debt] = []
        for member in {member.id: member for member in map(self._subordinate, names)}.values():
            reported = self._work.draft.debts_of(member.id, "reported")
            if verdict == "drop":
                reported += self._work.draft.debts_of(member.id, "open")
            if not reported:
                raise ToolError(f"{name_of(member.id)} has handed in nothing that waits for your answer.")
            if verdict == "return":
                self._returnable(member, reported)
            debts += reported
        for debt in debts:
            self._work.record(ev.WorkReviewed(debt.id, verdict, remarks))
        receivers = list(dict.fromkeys(debt.debtor for debt in debts))
        if verdict == "return":
            self._work.send(receivers, remarks, "review")
        elif verdict == "drop":
            for receiver in receivers:
                for fact in retire(self._work.draft, receiver, "dropped by its superior"):
                    self._work.record(fact.event)
        done = {"accept": "accepted", "return": "returned; its owner goes on", "drop": "dropped; the agent has left"}
        return f"{', '.join(name_of(id) for id in receivers)}: {done[verdict]}."

    def talk(self, to: list[str], message: str) -> str:
        work = self._work
        self._bounded(message)
        if not message.strip():
            raise ToolError("the message is empty.")
        known: list[AgentId] = []
        unknown: list[str] = []
        problems: list[str] = []
        for name in to:
            member = work.look_up(name)
            if name.strip() == "group":
                known += self._group()
            elif member is None:
                unknown.append(name)
            elif member.retired is not None:
                problems.append(f"{name_of(member.id)} has left ({member.retired}) and reads no more mail")
            elif member.id == work.agent:
                problems.append("you cannot write to yourself; use change_task_status for notes")
            else:
                known.append(member.id)
        receivers = list(dict.fromkeys(known))
        if receivers:
            work.send(receivers, message)
        delivered = (
            f"Delivered to {', '.join(name_of(id) for id in receivers)}." if receivers else "Delivered to nobody."
        )
        if unknown:
            problems.append(work.unknown(unknown))
        if problems or not receivers:
            raise ToolError(f"{delivered} {'; '.join(problems) or 'Your group is empty.'}")
        return delivered

    async def ask_user(self, question: str) -> str:
        self._bounded(question)
        return await self._ask(self._work, question)

    def _group(self) -> list[AgentId]:
        superior = self._work.agent.rpartition("/")[0]
        return [id for id in self._work.neighbours() if id != superior]

    def _subordinate(self, name: str) -> Member:
        member = self._work.find(name)
        if member.id not in self._work.me.group:
            mine = ", ".join(name_of(m.id) for m in self._work.draft.subordinates(self._work.agent))
            raise ToolError(f"{name_of(member.id)} is not in your group; your subordinates are: {mine or 'none'}.")
        return member

    def _can_go_on(self, member: Member) -> None:
        if member.halted:
            raise ToolError(
                f"{name_of(member.id)} can do nothing more ({member.paused}): accept what there is or drop it, and do "
                "the rest yourself or give it to somebody else."
            )

    def _returnable(self, member: Member, debts: list[Debt]) -> None:
        self._can_go_on(member)
        if any(debt.returns >= self._limits.returns for debt in debts):
            raise ToolError(
                f"{name_of(member.id)}'s work was returned {self._limits.returns} times, the most allowed: accept it, "
                "with what it lacks done by somebody else, or drop it."
            )

    def _bounded(self, text: str) -> None:
        if len(text) > self._limits.messages:
            raise ToolError(
                f"{len(text)} characters are too long, {self._limits.messages} are allowed: "
                "write it to a file of the workspace and name the file."
            )
