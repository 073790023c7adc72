"""Every wall, tried from inside an agent's program, at each level, as root and as an ordinary user."""

# ruff: noqa: SIM905, E501  (long lists of names, and programs, read best as text)

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NOBODY = 65534

LEVELS: dict[str, dict[str, Any]] = {
    "bubblewrap": {"member": "bubblewrap"},
    "landlock": {"member": "landlock"},
    "landlock, no namespaces": {"member": "landlock", "arguments": {"namespaces": False}},
    "landlock 1": {"member": "landlock", "arguments": {"abi": 1}},
    "landlock 1, no namespaces": {"member": "landlock", "arguments": {"abi": 1, "namespaces": False}},
}
SETTINGS = [(level, user) for level in LEVELS for user in ("root", "ordinary user")]

ATTEMPTS = [
    line.removeprefix("def ").partition("(")[0]
    for line in (HERE.parent / "hostile/probes.py").read_text().splitlines()
    if line.startswith("def ") and line.endswith("(host):")
]
ATTEMPTS.remove("need_same_numbers")


def python_for(user: str) -> tuple[str, dict[str, Any]]:
    """An interpreter that the user can run, with what `subprocess` needs to become that user."""
    if user == "root":
        if os.geteuid() != 0:
            pytest.skip("the tests do not run as root")
        return sys.executable, {}
    if os.geteuid() != 0:
        return sys.executable, {}
    become: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    for candidate in (sys.executable, "/usr/bin/python3"):
        trial = [candidate, "-c", "import megaagent.sandboxes.landlock"]
        try:
            if (
                subprocess.run(trial, check=False, env=environment(), cwd="/", capture_output=True, **become).returncode
                == 0
            ):
                return candidate, become
        except OSError:
            continue
    pytest.skip("no interpreter with msgspec that an ordinary user can read")


def environment() -> dict[str, str]:
    paths = [path for path in sys.path if path.endswith(("site-packages", "src"))]
    return {"PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin", "SECRET": "1"}


@functools.cache
def arena(level: str, user: str, wish: str = "{}") -> dict[str, Any]:
    executable, become = python_for(user)
    text = json.dumps((LEVELS | {"none": {"member": "none"}})[level] | json.loads(wish))
    command = [executable, "-W", "error", str(HERE / "arena.py"), text]
    done = subprocess.run(
        command, check=False, env=environment(), cwd="/", capture_output=True, timeout=60, text=True, **become
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found = json.loads(done.stdout)
    if "unavailable" in found:
        pytest.skip(found["unavailable"])
    return found


@pytest.mark.parametrize(("level", "user"), SETTINGS)
def test_nothing_gets_through(level: str, user: str) -> None:
    found = arena(level, user)
    assert found["exit_code"] == 0, found
    table = json.loads(found["table"])
    assert sorted(table) == sorted(ATTEMPTS)
    assert {name: result for name, result in table.items() if not result.startswith("held")} == {}
    assert found["harmed"] == []


def test_without_walls_the_attempts_get_through() -> None:
    """The control: what is held elsewhere is held by the walls, not by a mistake in the attempt."""
    open_here = """
        tcp_loopback udp bind_port netlink unix_path unix_abstract unix_datagram_path unix_pair_redirected
        unix_raw_pair_redirected read_passwd read_canary read_parent_of_folder read_real_parent_of_folder
        write_canary truncate_canary truncate_by_reading link_canary change_mode_of_canary
        change_times_of_canary watch_folder_of_canary environ_of_engine command_line_of_victim
        find_secret_in_proc open_devices kill_victim kill_engine signal_by_descriptor owner_of_descriptor
        limits_of_victim priority_of_victim affinity_of_victim terminal_injection personality system_v_memory
        undumpable setuid_program
    """.split()
    found = arena("none", "ordinary user", json.dumps({"only": open_here}))
    assert set(open_here) <= set(ATTEMPTS)
    table = json.loads(found["table"])
    assert table.pop("setuid_program").startswith("held")  # no new privileges at any level
    assert {name: result for name, result in table.items() if result != "THROUGH"} == {}


# -- what uses up the machine -----------------------------------------------------------------------------------------

FORK_BOMB = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
MEMORY_BOMB = "x = []\nwhile True: x.append(bytearray(1 << 24))"
MANY_MEMORIES = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        x = bytearray(os.urandom(1)) * (100 << 20)
        time.sleep(60)
time.sleep(60)
"""
MEMORY_FILES = "import os, time\nfor _ in range(20): os.write(os.memfd_create('x'), bytes(30 << 20))\ntime.sleep(60)"
DISK_BOMB = """
import itertools, time
for n in itertools.count():
    with open(f'f{n}', 'wb') as file:
        for _ in range(10): file.write(bytes(1 << 20)); time.sleep(0.002)
"""
UNLINKED = """
import os, time
for n in range(200):
    file = os.open('f', os.O_RDWR | os.O_CREAT); os.unlink('f')
    for _ in range(10): os.write(file, bytes(1 << 20)); time.sleep(0.002)
time.sleep(60)
"""
ONE_BIG_FILE = "f = open('f', 'wb')\nwhile True: f.write(bytes(1 << 20))"
MANY_FILES = "import itertools\nfor n in itertools.count(): open(f'f{n}', 'w').close()"
DEEP = "import os\nfor n in range(3000): os.mkdir('d'); os.chdir('d')\nimport time; time.sleep(60)"
SPINNING = "while True: pass"
DAEMON = """
import os, sys, time
for detach in (lambda: None, os.setsid, lambda: os.fork() and os._exit(0), lambda: (os.setsid(), os.fork() and os._exit(0))):
    if os.fork() == 0:
        detach()
        os.execvp('sh', ['sh', '-c', 'while true; do sleep 1; done', sys.argv[1]])
print('started')
"""
DAEMON_FORKING = "import os\nif os.fork() == 0:\n os.setsid()\n while True:\n  try: os.fork() and os._exit(0)\n  except OSError: pass"

SMALL = {"seconds": 20.0, "disk": 64 << 20, "memory": 256 << 20}
USES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "fork bomb": (FORK_BOMB, {"seconds": 1.5}, ("time", "processes", "memory")),
    "memory bomb": (MEMORY_BOMB, SMALL, ("", "memory")),
    "many memories": (MANY_MEMORIES, SMALL, ("memory",)),
    "memory files": (MEMORY_FILES, SMALL, ("disk", "memory")),
    "disk filled": (DISK_BOMB, SMALL, ("disk",)),
    "unlinked files": (UNLINKED, SMALL, ("disk",)),
    "one big file": (ONE_BIG_FILE, SMALL | {"file_size": 1 << 20}, ("",)),
    "many files": (MANY_FILES, SMALL, ("disk",)),
    "deep folders": (DEEP, SMALL, ("disk",)),
    "spinning": (SPINNING, {"cpu_seconds": 1.0}, ("cpu",)),
    "time": ("import time; time.sleep(60)", {"seconds": 0.3}, ("time",)),
    "daemons": (DAEMON, {}, ("",)),
    "forking daemon": (DAEMON_FORKING, {}, ("",)),
    "output flood": ("while True: print('x' * 1000)", {"seconds": 1.0, "output": 10_000}, ("time",)),
}


# What the kernel or the watch does in the same way at every level is tried at the strongest and at the weakest.
SAME_EVERYWHERE = {"memory bomb", "many memories", "one big file", "many files", "deep folders", "spinning", "time"}
EXTREMES = [("bubblewrap", "root"), ("landlock 1, no namespaces", "ordinary user")]
TRIALS = [
    (level, user, use)
    for level, user in SETTINGS
    for use in USES
    if level != "landlock 1" and (use not in SAME_EVERYWHERE or (level, user) in EXTREMES)
]


@pytest.mark.parametrize(("level", "user", "use"), TRIALS)
def test_use_is_bounded_and_nothing_is_left(level: str, user: str, use: str) -> None:
    code, limits, endings = USES[use]
    found = arena(level, user, json.dumps({"command": ["python", "-c", code], "limits": limits}))
    first = found["cut"][0] if found["cut"] and found["cut"][0] != "output" else ""
    assert first in endings, found
    assert found["left"] == []
    assert found["seconds"] < 15
    assert found["size"] < 300 << 20
    assert len(found["output"]) <= limits.get("output", 64 << 10) + 100
