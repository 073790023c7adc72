"""megaagent tree: who is in a run, and how each stands."""

from __future__ import annotations

from megaagent.cli.options import RunName, Runs, chosen_run

HELP = """\b
Examples:
  megaagent tree
  megaagent tree 20261121-0931 | less"""


def command(run: RunName = None, runs: Runs = None) -> int:
    import asyncio
    import sys

    from rich.console import Console

    from megaagent.cli.drawing import outline
    from megaagent.cli.ps import standing_of
    from megaagent.cli.reading import opened, overview
    from megaagent.cli.words import glyphs_for, money, plural

    folder = chosen_run(run, runs)
    with opened(folder) as reader:
        panorama = overview(reader)
    console = Console(highlight=False)
    for line in outline(panorama, console.width, glyphs_for(sys.stdout)):
        console.print(line, soft_wrap=True)
    status = panorama.status
    if not panorama.ended and asyncio.run(standing_of(folder)) is None:
        status = "cut off"  # what the journal says last is not so any more
    simulated = "simulated cost" if panorama.simulated else "cost"
    print(
        f"{status}: {plural(len(panorama.rows), 'agent')}, {plural(panorama.steps, 'step')}, "
        f"{simulated} {money(panorama.cost)}"
    )
    return 0
