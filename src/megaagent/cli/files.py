"""megaagent files: the shared files of a run."""

from __future__ import annotations

from typing import Any

from megaagent.cli.options import AsJson, Seen, Subtree

HELP = """Each file with its size, how often agents wrote it, how many they were, and who wrote it last.

\b
Examples:
  megaagent files
  megaagent files --agent search
  megaagent files 20261121-0931 --json"""


def command(seen: Seen, agent: Subtree = "", json: AsJson = False) -> int:
    import sys
    import time

    from megaagent.cli.reading import agent_named
    from megaagent.cli.words import clean, duration, fit, glyphs_for, pad, plural, print_json, terminal_width
    from megaagent.events import name_of

    with seen.sight() as sight:
        told = sight.files()
        part = agent_named(sight, agent) if agent else None
    rows = [row for row in joined(told) if part is None or within(row, part)]
    if json:
        print_json({"revision": told["revision"], "total": told["total"], "files": rows})
        return 0
    width, glyphs, now = terminal_width(), glyphs_for(sys.stdout), time.time()
    wide = min(max([len("FILE"), *(len(clean(row["path"])) for row in rows)]), max(12, (width or 160) - 48))
    if rows:
        print(f"{pad('FILE', wide, glyphs)} {'BYTES':>11} {'WRITES':>6} {'BY':>4} {'AGO':>6}  LAST")
    for row in rows:
        ago = duration(now - row["time"]) if row["time"] else ""
        last = clean(name_of(row["last"])) if row["last"] else "(from the start)"
        figures = f"{row['size']:>11,} {row['writes']:>6} {len(row['agents']):>4} {ago:>6}"
        print(fit(f"{pad(clean(row['path']), wide, glyphs)} {figures}  {last}", width or 1000, glyphs))
    more = told["total"] - len(told["files"])
    print(plural(len(rows), "file") + (f", and {more:,} more that are not shown" if more else ""))
    return 0


def joined(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The files that there are, each with what agents did to it."""
    known = {row["path"]: row for row in told["written"]}
    untouched: dict[str, Any] = {"writes": 0, "agents": {}, "merged": 0, "last": None, "time": None, "step": None}
    return [{"path": path, "size": size, **untouched, **known.get(path, {})} for path, size in told["files"]]


def within(row: dict[str, Any], agent: str) -> bool:
    """Whether the agent, or somebody below it, wrote the file."""
    return any(each == agent or each.startswith(f"{agent}/") for each in row["agents"])
