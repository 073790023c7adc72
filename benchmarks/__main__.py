"""Run one benchmark by name; its last line of output is one JSON object."""

from __future__ import annotations

import importlib
import subprocess
import sys

from megaagent.errors import MegaAgentError

BENCHMARKS = {
    "dashboard": "benchmarks.dashboard",
    "gobang_ai": "benchmarks.gobang_ai",
    "policy": "benchmarks.policy",
    "scaling": "benchmarks.scaling",
    "schedule": "benchmarks.schedule",
    "rest": "benchmarks.rest",
    "journal": "benchmarks.journal",
    "mail": "benchmarks.mail",
    "programs": "benchmarks.programs",
    "ray": "benchmarks.ray",
    "step": "benchmarks.step",
    "workspace": "benchmarks.workspace",
}


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in BENCHMARKS:
        problem = f"there is no benchmark {name!r}" if name else "name a benchmark"
        print(f"{problem}; there are: {', '.join(sorted(BENCHMARKS))}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(BENCHMARKS[name]).main(sys.argv[2:])
    except MegaAgentError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:  # a measurement in a process of its own has said why
        print(f"{name}: its measurement ended with exit code {error.returncode}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
