"""Runs a campaign by name; its last line is one JSON object with at least `cases` and `violations`.

    python -m campaigns NAME            the short form, as continuous integration runs it
    python -m campaigns NAME --full     the large one
    python -m campaigns NAME --seed 7   from another seed; a failing case prints how to repeat it

A campaign is a module of this package with `run(full: bool, seed: int) -> dict[str, object]`, and a line in
`CAMPAIGNS`.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module

CAMPAIGNS: dict[str, str] = {
    "budget": "campaigns.budget",
    "crash": "campaigns.crash",
    "disk": "campaigns.disk",
    "faults": "campaigns.faults",
    "hostile": "campaigns.hostile",
    "pathologies": "campaigns.pathologies",
    "postgres": "campaigns.postgres",
    "ratelimit": "campaigns.ratelimit",
    "sandbox": "campaigns.sandbox",
    "simulate": "campaigns.simulate",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description="Long proofs of what MegaAgent promises.")
    parser.add_argument("name", help=f"one of: {', '.join(CAMPAIGNS) or 'none yet'}")
    parser.add_argument("--full", action="store_true", help="the large form")
    parser.add_argument("--seed", type=int, default=0, help="where the random choices begin (default 0)")
    arguments = parser.parse_args()
    if arguments.name not in CAMPAIGNS:
        parser.error(f"there is no campaign {arguments.name!r}; there are {', '.join(CAMPAIGNS)}")
    figures = import_module(CAMPAIGNS[arguments.name]).run(full=arguments.full, seed=arguments.seed)
    sys.stdout.write(json.dumps({"campaign": arguments.name, "full": arguments.full, "seed": arguments.seed} | figures))
    sys.stdout.write("\n")
    return 1 if figures["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
