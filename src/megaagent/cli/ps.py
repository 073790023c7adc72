"""megaagent ps: the runs that there are."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

from megaagent import events as ev
from megaagent.cli.options import Runs
from megaagent.errors import RunError
from megaagent.events import Struct

if TYPE_CHECKING:
    from megaagent.folder import RunFolder

HELP = """\b
Example:
  megaagent ps

"cut off" is a run whose process ended without an ending; resume goes on with it.
Simulated costs are marked with ~."""

PATIENCE = 2.0  # seconds that a running engine is given to answer
KINDS = (ev.RunStarted, ev.RunEnded, ev.AgentRecruited, ev.ModelAnswered, ev.ApprovalAsked, ev.ApprovalAnswered)


class Entry(Struct, frozen=True):
    """One line of the list."""

    id: str
    status: str
    agents: str = ""
    steps: str = ""
    cost: str = ""
    age: str = ""
    waits: tuple[str, ...] = ()  # for a person's approval


def command(runs: Runs = None) -> int:
    from megaagent.cli.words import fit, glyphs_for, pad
    from megaagent.folder import all_runs, runs_folder

    folders = all_runs(runs_folder(runs, os.environ))
    if not folders:
        print(f"no run is in {runs_folder(runs, os.environ)} yet; start one with: megaagent run GOAL")
        return 0
    glyphs = glyphs_for(sys.stdout)
    entries = [Entry("RUN", "STATUS", "AGENTS", "STEPS", "COST", "AGE"), *asyncio.run(_entries(folders[::-1]))]
    wide = max(len(entry.id) for entry in entries)
    for entry in entries:
        figures = f"{entry.agents:>6} {entry.steps:>6} {entry.cost:>9} {entry.age:>6}"
        print(fit(f"{pad(entry.id, wide, glyphs)}  {entry.status:<10}{figures}", 1000, glyphs).rstrip())
        for line in entry.waits:
            print(fit(f"  waits for approval {line}", 1000, glyphs))
    return 0


async def _entries(folders: list[RunFolder]) -> list[Entry]:
    standings = await asyncio.gather(*map(standing_of, folders))
    return [_entry(folder, standing) for folder, standing in zip(folders, standings, strict=True)]


async def standing_of(folder: RunFolder) -> str | None:
    """How a running engine says that it stands; None when none listens."""
    from megaagent.control import Request, ask

    try:
        async with asyncio.timeout(PATIENCE):
            answer = await ask(folder.socket, Request("status"))
    except RunError:
        return None
    except TimeoutError:
        return "busy"
    return "running" if answer.text.startswith("running") else "paused"


def _entry(folder: RunFolder, standing: str | None) -> Entry:
    from megaagent.cli.reading import opened
    from megaagent.cli.words import clean, duration, money

    ended, agents, steps, cost, began, simulated = "cut off", 0, 0, 0.0, 0.0, False
    waits: dict[str, str] = {}
    try:
        with opened(folder) as reader:
            for record in reader.records(kinds=KINDS, bodies=False):
                match record.event:
                    case ev.RunStarted():
                        began, simulated = record.time, record.event.simulated
                    case ev.RunEnded(status=status):
                        ended = status
                        waits.clear()
                    case ev.ApprovalAsked(id=id, tool=tool, effect=effect):
                        waits[id] = clean(f"{id}: {tool}: {'; '.join(effect)}")
                    case ev.ApprovalAnswered(id=id):
                        waits.pop(id, None)
                    case ev.AgentRecruited():
                        agents += 1
                    case ev.ModelAnswered():
                        ended = "cut off"  # it went on after an ending
                        steps += 1
                        cost += record.event.cost or 0.0
                    case _:
                        pass
    except RunError:
        return Entry(folder.id, "unreadable")
    shown = f"{'~' if simulated else ''}{money(cost)}"
    open_ones = tuple(waits.values()) if standing is not None else ()
    age = duration(time.time() - began)
    return Entry(folder.id, standing or ended, str(agents), str(steps), shown, age, open_ones)
