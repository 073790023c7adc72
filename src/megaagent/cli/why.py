"""megaagent why: who must act before an agent can go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from megaagent.cli.options import AgentName, AsJson, Seen

HELP = """The chain of waiting, from the agent down to whoever must act, with the reason at each link; then what a
person can do about it.

\b
Examples:
  megaagent why boss
  megaagent why search 20261121-0931
  megaagent why search --json"""

# What a person can do, by how the last of the chain stands; {0} is its name, {1} names the run, {2} is the subject.
ADVICE: Final[dict[str, tuple[str, ...]]] = {
    "completed": ("nothing: the run is completed",),
    "ended": ("go on with the run: megaagent resume{1}",),
    "question": ("answer it: megaagent answer TEXT --question {2!r}{1}",),
    "approval": ("let it: megaagent approve{1} {2!r}", "or do not: megaagent refuse{1} {2!r}"),
    "calling": ("wait for the answer, or look on: megaagent logs -f {0}{1}",),
    "batched": ("wait: most batches are answered within an hour, all within a day, or given up",),
    "program": (
        "wait for its end, or look on: megaagent logs -f {0}{1}",
        "or write to {0}: megaagent send {0} TEXT{1}",
    ),
    "run paused": ("let the run go on: megaagent unpause{1}",),
    "paused": ("let the part go on: megaagent unpause --agent {2}{1}",),
    "spent": ("give it more: megaagent budget --agent {2} --max-cost DOLLARS{1}",),
    "ready": ("nothing: it goes on as soon as the gate before its model lets it",),
    "acting": ("nothing: it goes on as soon as the gate before its model lets it",),
    "timed": ("nothing: it wakes by itself when its time is up; sooner with: megaagent send {0} TEXT{1}",),
    "waiting": ("wake it: megaagent send {0} TEXT{1}",),
    "parked": ("wake it: megaagent send {0} TEXT{1}",),
    "review": ("nothing: {2} is woken to review it",),
    "idle": ("have {2} give it work: megaagent send {2} TEXT{1}",),
    "owes": ("wake it: megaagent send {0} TEXT{1}",),
    "left": ("it does not come back; tell {2} what to do: megaagent send {2} TEXT{1}",),
}


def command(agent: AgentName, seen: Seen, json: AsJson = False) -> int:
    import sys
    import time

    from megaagent.cli.reading import agent_named
    from megaagent.cli.sight import BEYOND
    from megaagent.cli.words import fit, glyphs_for, print_json, terminal_width

    with seen.sight() as sight:
        chain = sight.agent(agent_named(sight, agent))["why"]
        now = sight.organization(BEYOND)
        called = "" if seen.run is None and seen.host is None else f" {sight.called}"
    live, completed = now.live, now.header["status"] == "completed"
    how = chain[-1]["how"] if live else "completed" if completed else "ended"
    advice = [clause.format(chain[-1]["name"], called, chain[-1]["subject"]) for clause in ADVICE[how]]
    if json:
        last = chain[-1]["id"]
        print_json({"agent": chain[0]["id"], "live": live, "chain": chain, "must_act": last, "advice": advice})
        return 0
    glyphs, width = glyphs_for(sys.stdout), terminal_width()
    for line in _lines(chain, time.time() if live else None, glyphs):
        print(fit(line, width or 10_000, glyphs))
    print()
    if not live and not now.header["ended"]:
        print("nobody is at work on this run: its process has ended")
    for line in advice:
        print(line)
    return 0


def _lines(chain: list[dict[str, Any]], now: float | None, glyphs: Any) -> Iterator[str]:
    from megaagent.cli.words import clean, duration

    for depth, link in enumerate(chain):
        lead = "   " * (depth - 1) + glyphs.last if depth else ""
        since = f" (since {duration(now - link['since'])})" if now is not None and link["since"] else ""
        yield f"{lead}{clean(link['name'])}: {clean(link['words'])}{since}"
