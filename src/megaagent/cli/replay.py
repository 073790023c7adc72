"""megaagent replay: the proof that a run is what its journal says."""

from __future__ import annotations

from megaagent.cli.options import Chosen

HELP = """\b
Examples:
  megaagent replay
  megaagent replay 20261121-0931

\b
No model is asked. It proves that
  - no row and no content of the journal was changed,
  - the journal folds to the states that the live engine had,
  - what agents wrote is in the workspace's history, as they wrote it.
Exit code 1 with the list of what does not hold."""


def command(chosen: Chosen) -> int:
    from megaagent.cli.exits import BUG
    from megaagent.cli.options import how_to_name
    from megaagent.cli.words import clean, plural, program
    from megaagent.proof import replay

    folder = chosen.folder()
    proof = replay(folder)
    print(f"run {folder.id}")
    print(f"{plural(proof.records, 'fact')} read, none changed" if proof.records else "no fact could be proven")
    print(f"{plural(proof.digests_checked, 'state')} folded as the live engine had them")
    print(f"{plural(proof.commits_checked, 'write')} found in the workspace as they were written")
    for problem in proof.problems:
        print(f"PROBLEM: {clean(problem)}")
    if proof.problems:
        print(f"look closer with: {program()} check-journal {how_to_name(folder)}")
    print("proven: the journal, the state and the files belong together" if not proof.problems else "not proven")
    return BUG if proof.problems else 0
