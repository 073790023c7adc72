"""megaagent repair: what can be saved of a damaged run, as a new run."""

from __future__ import annotations

from megaagent.cli.options import Chosen

HELP = """\b
Examples:
  megaagent repair 20261121-0931
  megaagent resume                      # go on with what was saved

\b
The damaged run is only read. Beside it a new one is made of the rows before
the first bad one, and of the files as these rows have them; what was lost is
said. The new run can be resumed."""


def command(chosen: Chosen) -> int:
    import asyncio

    from megaagent.cli.options import how_to_name, shown
    from megaagent.cli.words import clean, plural, program
    from megaagent.repair import repair

    folder = chosen.folder()
    saved = asyncio.run(repair(folder))
    print(f"run {folder.id}: {clean(saved.problem)}")
    print(f"saved: {plural(saved.rows, 'row')}, in {shown(saved.folder.path)}")
    print(f"lost: {plural(saved.lost, 'row')}, {plural(len(saved.dropped), 'commit')}")
    if saved.dropped:
        newest, more = saved.dropped[-1][:10], len(saved.dropped) - 1
        named = f"commit {newest}" + (f" and {more:,} before it" if more else "")
        print(f"  {named}: still in {shown(folder.workspace)}")
    if saved.adopted:
        print(f"kept for the steps that made them: {plural(len(saved.adopted), 'commit')}")
    print(f"go on with: {program()} resume {how_to_name(saved.folder)}")
    return 0
