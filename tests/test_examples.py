"""Every example runs, offline, and prints what is written here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

PRINTED = {
    "library.py": """\
completed - the verifier confirmed the deliverable
report: The offer is offer.md.
deliverable: Four chairs at 80.00 euros: 320.00 euros
boss: 4 steps, wrote nothing
boss/clerk: 3 steps, wrote offer.md
simulated, no model was asked
""",
    "stream.py": """\
boss joined
boss wrote poem.txt, 9 bytes
a person acted: send to boss
boss wrote poem.txt, 17 bytes
boss handed in: poem.txt has two lines.
the run ended: completed
The wind
The sea
simulated, no model was asked
""",
    "rehearse.py": """\
completed after 60 virtual minutes
rye bread
butter
sea salt
""",
}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_an_example_prints_what_it_says(name: str, tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if "KEY" not in key}
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (PRINTED[name], "", 0)
    assert list(tmp_path.iterdir()) == []  # nothing is left where it was started


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTED)
