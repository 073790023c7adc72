"""What agents, programs, sources and providers can do to harm: is anything reached that is not theirs?

The corpora and their judges are in `tests/hostile`:

- `paths`: names and trees, through the tools of an agent, as a program leaves them, and as what a run starts from;
- `outputs`: answers of a model, through the adapter and the whole engine;
- `injections`: orders wherever an agent reads, before an agent that always obeys;
- `secrets`: keys in 14 encodings, which a provider, a program and a tool try to bring out;
- `terminal`: every view of a run full of escape codes, judged by its bytes.

The probes of the sandbox (`tests/hostile/probes.py`) are a campaign of their own, `sandbox`, which the large form runs
too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.hostile import canaries, grounds, injections, screens, trials

from campaigns import sandbox

Judged = Iterable[tuple[str, list[str]]]


def run(full: bool, seed: int) -> dict[str, object]:
    """Try everything; the seed chooses which trees of the short form come in which way."""
    with tempfile.TemporaryDirectory(prefix="megaagent-hostile-") as folder:
        kinds: dict[str, Judged] = {
            "paths": grounds.cases(full, seed),
            "outputs": trials.cases(full),
            "injections": injections.cases(full),
            "secrets": _secrets(Path(folder)),
            "terminal": screens.cases(Path(folder), full),
        }
        counts: dict[str, int] = {}
        seconds: dict[str, float] = {}
        violations = 0
        for kind, judged in kinds.items():
            began = time.monotonic()
            for case, problems in judged:
                counts[kind] = counts.get(kind, 0) + 1
                violations += len(problems)
                for problem in problems:
                    sys.stdout.write(f"{kind}, {case}: {problem}\n")
            seconds[kind] = round(time.monotonic() - began, 1)
    if full:
        found = sandbox.run(full, seed)
        counts["sandbox"], more = int(str(found["cases"])), int(str(found["violations"]))
        violations += more
    return {"cases": sum(counts.values()), "violations": violations, "kinds": counts, "seconds": seconds}


def _secrets(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """One case for each encoding of each secret, and one for what concerns none."""
    problems = list(dict.fromkeys(canaries.problems_of_echo(folder / "echo")))
    for secret in ("the key", "the other secret"):
        for encoding in canaries.ENCODINGS:
            name = f"{secret} in {encoding}"
            yield name, [problem for problem in problems if problem.endswith(name)]
    told = tuple(f" in {encoding}" for encoding in canaries.ENCODINGS)
    yield "the run itself", [problem for problem in problems if not problem.endswith(told)]
