"""megaagent blame: which agent wrote which line."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from megaagent.cli.options import AsJson, Seen

HELP = """Each line of a shared file with its agent and the commit that it came with.

\b
Examples:
  megaagent blame main.py
  megaagent blame main.py --summary
  megaagent blame main.py 20261121-0931 --at 448c4af16b"""


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Its path in the shared workspace.")],
    seen: Seen,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="COMMIT", help="As it was then; as it is now unless given.", show_default=False),
    ] = None,
    summary: Annotated[bool, typer.Option("--summary", help="Only how many lines are whose.")] = False,
    json: AsJson = False,
) -> int:
    import sys

    from megaagent.cli.words import clean, clean_block, fit, glyphs_for, pad, print_json, terminal_width
    from megaagent.events import name_of

    with seen.sight() as sight:
        told = sight.file(file, at)
    lines: list[tuple[str, str, str]] = [(agent, revision, text) for agent, revision, text in told["lines"]]
    whose = Counter(agent for agent, _, _ in lines).most_common()
    if json:
        shares = [{"agent": agent, "lines": count} for agent, count in whose]
        listed = [{"agent": agent, "commit": revision, "text": text} for agent, revision, text in lines]
        print_json({"path": told["path"], "revision": told["revision"], "agents": shares, "lines": listed})
        return 0
    width, glyphs = terminal_width() or 10_000, glyphs_for(sys.stdout)
    wide = min(24, max([1, *(len(clean(name_of(agent))) for agent, _ in whose)]))
    if summary:
        for agent, count in whose:
            print(f"{pad(clean(name_of(agent)), wide, glyphs)} {count:>6,} {count / len(lines):>5.0%}")
        return 0
    digits = len(str(len(lines)))
    for number, (agent, revision, text) in enumerate(lines, 1):
        head = f"{pad(clean(name_of(agent)), wide, glyphs)} {revision} {number:>{digits}} "
        print(fit(head + clean_block(text), width, glyphs))
    if told["total"] > len(lines):
        print(f"{told['total'] - len(lines):,} more lines are not shown")
    return 0
