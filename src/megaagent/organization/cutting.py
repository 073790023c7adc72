"""What is done when the purse of an agent is used up: its work is handed in as it is, and its siblings go on.

Pure functions over the state, as in `decide`.
"""

from __future__ import annotations

from megaagent import events as ev
from megaagent.events import ENGINE, AgentId, Fact, name_of, superior_of
from megaagent.organization.decide import NewId, notice, retire
from megaagent.organization.folds import SPENT_UP
from megaagent.organization.state import State

SPENDING = "runaway spend"  # a purse within the run is used up
TOLD = "budget 80 %"
SHOWN_FILES = 50


def cut_off(state: State, agent: AgentId, why: str, whole: bool, new_id: NewId) -> list[Fact]:
    """Those below the agent leave, its own debts are reported with what there is, and its superior is woken.

    The agent itself rests until a person gives it more or its superior has answered its report.

    Args:
        whole: it was the run's own cap that was met, and what is left of it is held back for reviews.
    """
    member = state.members[agent]
    sign = SPENT_UP if whole else SPENDING
    facts = [
        Fact(ENGINE, 0, ev.AgentNudged(agent, sign, "pause", why)),
        Fact(ENGINE, 0, ev.AgentPaused(agent, f"{sign}: {why}")),
    ]
    report = _report(state, agent, why)
    for below in state.subordinates(agent):
        facts += retire(state, below.id, f"what {name_of(agent)} and those below it may spend is used up")
    debts = tuple(debt.id for debt in state.debts_of(agent, "open"))
    if debts:
        facts.append(Fact(agent, member.step, ev.WorkReported(debts, report, forced=True)))
    if member.going and member.call is None and not member.pending:
        facts.append(Fact(agent, member.step, ev.TurnEnded("terminate")))
    superior = superior_of(agent)
    if superior is not None:
        text = (
            f"{name_of(agent)} and all below it do nothing more: {why}. What there is was handed in as it is. Review "
            "it, and bring the work to an end with what is left to you."
        )
        facts.append(notice(superior, text, new_id))
    return facts


def _report(state: State, agent: AgentId, why: str) -> str:
    """What there is, without asking a model: reports from below and the files that were changed."""
    lines = [f"Handed in by the engine as it stood: {why}. What was done since is not in this report."]
    for below in state.subordinates(agent):
        lines += [f"{name_of(below.id)} had reported: {debt.report}" for debt in state.debts_of(below.id, "reported")]
    files = sorted({path for member in state.subtree(agent) if member.id != agent for path in member.files})
    if files:
        more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
        lines.append(f"Those below it changed {', '.join(files[:SHOWN_FILES])}{more}.")
    todo = [item.text for item in state.members[agent].checklist if not item.done]
    if todo:
        lines.append(f"It had still to do: {'; '.join(todo)}.")
    return "\n".join(lines)
