"""megaagent check-journal: is a run's journal as it was written?"""

from __future__ import annotations

from megaagent.cli.options import Chosen

HELP = """\b
Examples:
  megaagent check-journal
  megaagent check-journal 20261121-0931

\b
Every row is held against the one before it, every content against its name,
every write against the workspace. Exit code 1 names the first bad row;
what stands before it is saved by: megaagent repair"""


def command(chosen: Chosen) -> int:
    from megaagent.cli.exits import BUG
    from megaagent.cli.options import how_to_name
    from megaagent.cli.words import clean, plural, program
    from megaagent.repair import check

    folder = chosen.folder()
    found = check(folder)
    print(f"run {folder.id}")
    print(f"{plural(found.rows, 'row')} good")
    for problem in found.problems:
        print(f"PROBLEM: {clean(problem)}")
    if found.problems:
        if (folder.workspace / "HEAD").is_file():
            print(f"what is good can be saved in a copy: {program()} repair {how_to_name(folder)}")
        else:
            print("every row is good; the files are gone. Put workspace.git back from a copy of the run's folder:")
            print(f"repair cannot make it. What was done can be read: {program()} show {how_to_name(folder)}")
        return BUG
    print(f"{plural(found.writes, 'write')} found in the workspace as they were written")
    print("the journal is whole, to the run's end" if found.ended else "the journal is whole; the run has not ended")
    return 0
