"""Run inside a sandbox by `probe`: tries the walls and prints the name of each that does not hold.

A script of its own; its argument is a file of the host that must not be readable.
"""

import ctypes
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def attempts(secret: str) -> dict[str, bool]:
    """Name of a wall: whether it was passed."""
    libc = ctypes.CDLL(None, use_errno=True)
    return {
        "runs as root": os.getuid() == 0 or os.geteuid() == 0,
        "reads a file of the host": succeeds(lambda: Path(secret).read_bytes()),
        "reads the environment of the first process": succeeds(read_foreign_environment),
        "writes outside its folder": succeeds(lambda: Path("/usr/megaagent-check").touch()),
        "reaches the network": succeeds(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()),
        "talks to the kernel by netlink": succeeds(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
        "makes namespaces": libc.unshare(0x10000000) == 0,
        "traces processes": libc.ptrace(0, 0, 0, 0) == 0,
        "cannot write in its folder": not succeeds(lambda: Path("check.txt").touch()),
    }


def read_foreign_environment() -> None:
    if not Path("/proc/1/environ").read_bytes():
        raise OSError("empty")


def succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}\n" for name, passed in attempts(sys.argv[1]).items() if passed)
