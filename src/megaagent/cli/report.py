"""megaagent report: what was done, for people."""

from __future__ import annotations

from megaagent.cli.options import RunName, Runs, chosen_run

HELP = """\b
Examples:
  megaagent report
  megaagent report 20261121-0931 > report.md"""


def command(run: RunName = None, runs: Runs = None) -> int:
    from megaagent.cli.reading import opened
    from megaagent.cli.words import clean_block
    from megaagent.report import report

    # Made anew, so that a run which is going on or was cut off has one too.
    with opened(chosen_run(run, runs)) as reader:
        print(clean_block(report(reader.records())))
    return 0
