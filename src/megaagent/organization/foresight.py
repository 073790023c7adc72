"""Whose call goes first when not all can be made at once: who has the longest way ahead until the run can end.

Nobody knows how much work is left, but much of it can be seen or guessed, in steps: the open items of a checklist, how
many steps others of the same level took, whether they recruited groups of their own, and every superior that must
act after the agent. This is list scheduling by the critical path (Graham 1969; Adam, Chandy and Dickson 1974) with
estimates in place of times. `benchmarks schedule` measures it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from megaagent import events as ev
from megaagent.events import Record, superior_of
from megaagent.organization.habits import STARVING
from megaagent.organization.members import Member
from megaagent.organization.state import State

STEPS: Final = 3.0  # of an agent, as long as nobody of its level has handed in; counts as much as
WEIGHT: Final = 2.0  # agents that have
LONGEST: Final = 2.0  # the last of a group is done after about so many times what one of it takes
AWAITED: Final = 10.0  # steps that count for an agent whom everybody above it waits for: nothing new begins meanwhile
FARTHEST: Final = 900  # steps that are looked ahead: nobody passes the verifier, or who starves
ASKING: Final = 2  # askers one behind the other that are looked at


class _Level:
    """What agents at one depth of the tree have shown so far."""

    __slots__ = ("admins", "alone", "finished", "steps")

    def __init__(self) -> None:
        self.finished = 0  # have handed in
        self.steps = 0  # of those together
        self.admins = 0  # have recruited
        self.alone = 0  # have handed in without a group

    def expected(self) -> float:
        """Steps of one agent."""
        return (self.steps + WEIGHT * STEPS) / (self.finished + WEIGHT)

    def recruits(self) -> float:
        """How likely one is to recruit, of those of whom it is known; when nothing is, as likely as not."""
        return (self.admins + 0.5) / (self.admins + self.alone + 1)


class Foresight:
    """Estimates, from what an organization has shown so far, how long the way ahead of each agent is.

    It is a reading of the state and of what comes to it: an engine that goes on with a run sees the same.
    """

    def __init__(self, state: State):
        self._state = state
        self._levels: defaultdict[int, _Level] = defaultdict(_Level)
        self._below: dict[int, float] = {}  # steps that a member of a group at a depth takes, its own groups included
        for member in state.members.values():
            level = self._levels[member.id.count("/")]
            if member.group:
                level.admins += 1
            if member.handed_in or (member.retired is not None and member.step):
                self._hand_in(level, member)

    def take_in(self, record: Record) -> None:
        """Learn from a fact that is in the state."""
        match record.event:
            case ev.AgentRecruited(id=id):
                superior = superior_of(id)
                if superior is not None and len(self._state.members[superior].group) == 1:
                    self._levels[superior.count("/")].admins += 1
                    self._below.clear()
            case ev.WorkReported(assignments=debts):
                if not any(self._state.debts[id].returns for id in debts):
                    self._hand_in(self._levels[record.agent.count("/")], self._state.members[record.agent])
            case _:
                pass

    def priority(self, member: Member) -> int:
        """For a gate, where lower goes first: who starves, then who has the longest way ahead."""
        starving = self._state.habits_of(member.id).times(STARVING)
        return -10 * FARTHEST * starving - min(FARTHEST, round(self._ahead(member, ASKING)))

    def _ahead(self, member: Member, askers: int) -> float:
        """Steps from now on until the run can end, as far as they wait for this agent."""
        members = self._state.members
        steps, awaited = self._own(member), True
        below = member.id
        while (superior := superior_of(below)) is not None:
            above = members[superior]
            steps += max(1, _open_items(above))
            awaited = awaited and (above.waiting is None or below in above.waiting.names)
            below = superior
        if awaited:
            steps += AWAITED
        if askers:
            for sender in {message.sender for message in member.inbox}:
                asker = members.get(sender)
                if asker is not None and asker.waiting is not None and member.id in asker.waiting.names:
                    steps = max(steps, 1 + self._ahead(asker, askers - 1))
        return steps

    def _own(self, member: Member) -> float:
        """Steps until it hands in: of its own, and of the group that it may yet recruit."""
        depth = member.id.count("/")
        own = float(max(1, _open_items(member)))
        if not member.checklist:
            own = max(1.0, self._levels[depth].expected() - member.step)
        if not member.group and not member.handed_in:
            own += LONGEST * self._levels[depth].recruits() * self._group(depth + 1)
        return own

    def _group(self, depth: int) -> float:
        """Steps that one agent at this depth takes, with the groups below it that it is likely to have."""
        if depth not in self._levels:
            return STEPS
        if depth not in self._below:
            level = self._levels[depth]
            self._below[depth] = level.expected() + level.recruits() * self._group(depth + 1)
        return self._below[depth]

    def _hand_in(self, level: _Level, member: Member) -> None:
        level.finished += 1
        level.steps += member.step
        level.alone += not member.group
        self._below.clear()


def _open_items(member: Member) -> int:
    return sum(not item.done for item in member.checklist)
