"""megaagent ps: the runs that there are."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from megaagent.cli.options import AsJson, Place

if TYPE_CHECKING:
    from pathlib import Path

HELP = """"cut off" is a run whose process ended without an ending; resume goes on with it. Simulated costs are marked
with ~. AGE is the time since the run, or the fork, began.

\b
Examples:
  megaagent ps
  megaagent ps --json | jq -r '.runs[] | select(.live) | .id'
  megaagent ps --host http://127.0.0.1:8642

See also: top, tree, resume"""


def command(place: Place, json: AsJson = False) -> int:
    from megaagent.cli.words import glyphs_for, print_json
    from megaagent.folder import runs_folder

    place.check()
    there = runs_folder(place.runs, os.environ)
    entries = _on(place.host, place.token) if place.host is not None else _in(there)
    if json:
        print_json({"runs": entries})
    elif not entries:
        print(f"no run is in {place.host or there} yet; start one with: megaagent run GOAL")
    else:
        for line in _table(entries, time.time(), glyphs_for(sys.stdout)):
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


def _table(entries: list[dict[str, Any]], now: float, glyphs: Any) -> list[str]:
    from megaagent.cli.words import clean, duration, fit, money, pad

    wide = max(len(entry["id"]) for entry in entries)
    lines = [f"{pad('RUN', wide, glyphs)}  {'STATUS':<10}{'AGENTS':>6} {'STEPS':>6} {'COST':>9} {'AGE':>6}"]
    for entry in entries:
        name = pad(clean(entry["id"]), wide, glyphs)
        if entry["status"] == "unreadable":
            lines.append(f"{name}  unreadable")
            continue
        cost = f"{'~' if entry['simulated'] else ''}{money(entry['cost'])}"
        figures = f"{entry['agents']:>6} {entry['steps']:>6} {cost:>9} {duration(now - entry['began']):>6}"
        lines.append(fit(f"{name}  {clean(entry['status']):<10}{figures}", 1000, glyphs))
        lines += [fit(f"  waits for approval {clean(words)}", 1000, glyphs) for words in entry["waits"]]
    return lines
