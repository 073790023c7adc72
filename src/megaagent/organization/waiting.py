"""The waits-for graph: who can still act, and who waits for whom in vain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from megaagent.events import BOSS, AgentId, name_of, superior_of
from megaagent.organization.members import Member
from megaagent.organization.state import State


def targets(state: State, member: Member) -> Iterator[AgentId]:
    """Whom the agent's next act depends on: those it waits for, or its superior when it rests."""
    if member.waiting is not None:
        yield from member.waiting.names
    elif member.handed_in or not member.owes:
        superior = superior_of(member.id)
        if superior is not None:
            yield superior


def acts_unasked(state: State, agent: AgentId) -> bool:
    """Whether the agent will act without anybody else acting first.

    A default timer does not count: it is the engine's safety net, not something that the agent plans to do.
    """
    member = state.members.get(agent)
    if member is None or member.retired is not None:
        return False
    if member.call is None and member.program is None and state.halted_above(agent):
        return False
    if member.acting or state.paused_above(agent):
        return True
    if member.waiting is not None and member.waiting.timed:
        return True
    return agent == BOSS and member.handed_in  # the verifier answers the boss


def vain_path(state: State, agent: AgentId, names: Iterable[AgentId]) -> list[AgentId] | None:
    """The chain that shows why nobody in `names` can ever act while `agent` waits, or None when somebody can.

    Args:
        agent: who would wait; it counts as unable to act.
        names: whom it would wait for.
    """
    names = list(names)
    came_from: dict[AgentId, AgentId] = dict.fromkeys(names, agent)
    queue = names
    last = agent
    cycle: list[AgentId] | None = None
    while queue:
        current = queue.pop(0)
        last = current
        if current != agent and acts_unasked(state, current):
            return None
        member = state.members.get(current)
        if member is None or member.retired is not None or current == agent:
            continue
        for target in targets(state, member):
            if target == agent:
                # Not yet in vain: others that are waited for may still act.
                cycle = cycle or [agent, *_back(came_from, current, agent), agent]
            elif target not in came_from:
                came_from[target] = current
                queue.append(target)
    return cycle or ([agent, *_back(came_from, last, agent)] if last != agent else [agent])


def can_act(state: State, agent: AgentId) -> bool:
    """Whether the agent will act again, by itself or because somebody it depends on will."""
    if acts_unasked(state, agent):
        return True
    member = state.members.get(agent)
    if member is None or member.retired is not None:
        return False
    return vain_path(state, agent, targets(state, member)) is None


def is_dead_end(state: State, agent: AgentId) -> bool:
    """Whether the agent cannot act and depends on nobody: it has left, or only mail can wake it."""
    member = state.members.get(agent)
    if member is None or member.retired is not None:
        return True
    return not acts_unasked(state, agent) and not any(True for _ in targets(state, member))


def spell(path: list[AgentId]) -> str:
    """A path for people and models: engine → rules → engine."""
    return " → ".join(name_of(agent) for agent in path)


def _back(came_from: dict[AgentId, AgentId], end: AgentId, start: AgentId) -> list[AgentId]:
    path = [end]
    while (previous := came_from.get(path[-1])) is not None and previous != start and previous not in path:
        path.append(previous)
    return path[::-1]
