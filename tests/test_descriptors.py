"""A low limit of open files narrows a run, or is told before anything is made."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from megaagent.descriptors import open_for_calls
print(open_for_calls(2000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def ask(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ASK, str(soft), str(hard)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "now"),
    [(4096, 4096, 2000, 4096), (256, 256, 128, 256), (64, 256, 128, 256), (256, 4096, 2000, 2128)],
)
def test_connections_are_what_the_system_leaves(soft: int, hard: int, connections: int, now: int):
    assert ask(soft, hard).stdout.split() == [str(connections), str(now)]


def test_too_few_files_are_told_with_the_way_out():
    done = ask(64, 64)
    assert done.returncode != 0
    assert "only 64 files may be open" in done.stderr and "ulimit -n" in done.stderr
