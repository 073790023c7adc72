"""megaagent ps: the runs that there are."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from megaagent.cli.options import AsJson, Place

if TYPE_CHECKING:
    from pathlib import Path

    from megaagent.cli.words import Glyphs

HELP = """"cut off" is a run whose process ended without an ending; resume goes on with it. Simulated costs are marked
with ~. AGE is the time since the run, or the fork, began.

\b
Examples:
  megaagent ps
  megaagent ps --json | jq -r '.runs[] | select(.live) | .id'
  megaagent ps --host http://127.0.0.1:8642"""


def command(place: Place, json: AsJson = False) -> int:
    from megaagent.cli.words import glyphs_for, print_json, terminal_width
    from megaagent.folder import runs_folder

    place.check()
    there = runs_folder(place.runs, os.environ)
    entries = _on(place.host, place.token) if place.host is not None else _in(there)
    if json:
        print_json({"runs": entries})
    elif not entries:
        print(f"no run is in {place.host or there} yet; start one with: megaagent run GOAL")
    else:
        for line in _table(entries, time.time(), terminal_width(), glyphs_for(sys.stdout)):
            print(line)
    return 0


def _in(folder: Path) -> list[dict[str, Any]]:
    """The runs of a folder, newest first."""
    import asyncio

    from megaagent.folder import all_runs
    from megaagent.readings.summary import Summary, standing

    async def read() -> list[dict[str, Any]]:
        summaries = [Summary(run) for run in all_runs(folder)[::-1]]
        for summary in summaries:
            summary.refresh()
        standings = await asyncio.gather(*(standing(summary.folder) for summary in summaries))
        return [summary.told(how) for summary, how in zip(summaries, standings, strict=True)]

    return asyncio.run(read())


def _on(host: str, token: str | None) -> list[dict[str, Any]]:
    from megaagent.cli.there import Dashboard, address_of, runs_there

    dashboard = Dashboard(address_of(host, token, os.environ))
    try:
        return runs_there(dashboard)
    finally:
        dashboard.close()


def _table(entries: list[dict[str, Any]], now: float, width: int | None, glyphs: Glyphs) -> Iterator[str]:
    """A line for each run, and below it what waits for a person: calls for approval, questions."""
    from megaagent.cli.table import ENDLESS, Column, table
    from megaagent.cli.words import clean, duration, fit, money

    def figure(told: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
        return lambda entry: "" if entry["status"] == "unreadable" else told(entry)

    columns = [
        Column("STATUS    ", lambda entry: f"{clean(entry['status']):<10}", 10, True),
        Column("AGENTS", figure(lambda entry: str(entry["agents"])), 6),
        Column("STEPS", figure(lambda entry: str(entry["steps"])), 6),
        Column("COST", figure(lambda entry: f"{'~' if entry['simulated'] else ''}{money(entry['cost'])}"), 9, True),
        Column("AGE", figure(lambda entry: duration(now - entry["began"])), 6),
    ]
    for entry in entries:
        entry["name"] = entry["id"]
    lines = table("RUN", entries, columns, width, glyphs, least=max(len(entry["id"]) for entry in entries))
    yield next(lines)
    for entry, line in zip(entries, lines, strict=True):
        yield line
        yield from (fit(f"  waits for approval {clean(words)}", width or ENDLESS, glyphs) for words in entry["waits"])
        if entry["questions"]:
            asked = "a question" if entry["questions"] == 1 else f"{entry['questions']:,} questions"
            yield fit(
                f"  asks you {asked}: megaagent show {entry['id']} --kind QuestionAsked", width or ENDLESS, glyphs
            )
