"""A run with a given number of agents that have all been given work and have not begun."""

from __future__ import annotations

from pathlib import Path

from megaagent import events as ev
from megaagent.assembly import first_facts
from megaagent.clock import WallClock
from megaagent.events import BOSS, ENGINE, Fact
from megaagent.folder import RunFolder, new_folder
from megaagent.journal import SQLiteJournal
from megaagent.settings import Settings, changed
from megaagent.workspace import Stamp, Workspace

ROLE = "You are one of many who each draft one section of a handbook, note what is done, and hand it in. "


async def crowd(place: Path, agents: int, group: int, url: str, admin: str, **changes: object) -> RunFolder:
    """Make the run's folder.

    Args:
        agents: how many shall work beside the boss; every `group + 1`-th leads a group of `group`.
        url: of the server that plays the model.
        admin: words in the role of those who lead.
    """
    clock = WallClock()
    settings = changed(
        Settings(),
        {
            "model.name": "openai:minimal",
            "model.base_url": url,
            "model.stream": False,
            "model.price": "0:0",
            "budget.cost": 1.0,
            "gate.start": agents + 1,
            "gate.most": max(2000, agents + 1),
            "model.network.connections": max(2000, agents + 1),
            "limits.agents": agents + 1,
            **changes,
        },
        "the benchmark",
    )
    folder = new_folder(place, "crowd", clock.now())
    workspace = Workspace.create(folder.workspace, stamp=Stamp(BOSS, folder.id, 0, 0, clock.now()))
    journal = SQLiteJournal.create(folder.journal, clock)
    try:
        begun = first_facts(folder.id, "A handbook.", "openai:minimal", True, settings, workspace.head())
        await journal.append(begun[:-1])  # the boss has no mail: it rests while the others work
        facts: list[Fact] = []
        leader = BOSS
        for number in range(agents):
            leads = number % (group + 1) == 0
            name = f"{'lead' if leads else 'writer'}{number}"
            superior = BOSS if leads else leader
            id = f"{superior}/{name}"
            leader = id if leads else leader
            role = (ROLE * 20)[:1500] + (admin if leads else "")
            message = ev.Message(f"{id}#0.0.1", superior, (id,), "Begin.", "assignment")
            facts += [
                Fact(superior, 1, ev.AgentRecruited(id, "writes a section", role, "worker")),
                Fact(superior, 1, ev.AssignmentOpened(f"{superior}#1.{number}", id, superior, "a section")),
                Fact(id, 0, ev.MessageSent(message)),
            ]
        for start in range(0, len(facts), 3000):
            await journal.append(facts[start : start + 3000])
        await journal.append([Fact(BOSS, 1, ev.TurnEnded("wait", (), "the groups are at work", None))])
        ended = ev.RunEnded("stopped", "made for a benchmark", "", workspace.head(), ())
        await journal.append([Fact(ENGINE, 0, ended)])
    finally:
        await journal.close()
        workspace.close()
    return folder
