"""The compiled filter, read back by a small interpreter of its own instructions."""

from __future__ import annotations

import errno
import struct

import pytest

from megaagent.errors import SandboxError
from megaagent.sandboxes.seccomp import Reach, compile_filter
from megaagent.sandboxes.syscalls import MACHINES

WALLED = Reach(unix_sockets=True, host_paths=False, truncation=False, signals=False)
BARE = Reach(unix_sockets=False, host_paths=True, truncation=True, signals=True)
ALLOW, KILL = 0x7FFF0000, 0x80000000


def verdict(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the filter answers to one call."""
    padded = [*arguments, *(0,) * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, arch, 0, *(argument & (1 << 64) - 1 for argument in padded))
    place, value = 0, 0
    while True:
        operation, if_true, if_false, constant = struct.unpack_from("=HBBI", code, 8 * place)
        place += 1
        match operation:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, constant)
            case 0x54:
                value &= constant
            case 0x15:
                place += if_true if value == constant else if_false
            case 0x25:
                place += if_true if value > constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


def answer(machine: str, reach: Reach, call: str, *arguments: int) -> int | None:
    """The error of a refused call, or None when it is allowed."""
    arch, numbers = MACHINES[machine]
    found = verdict(compile_filter(machine, reach), arch, numbers[call], *arguments)
    return None if found == ALLOW else found & 0xFFFF


def test_a_foreign_machine_is_killed(machine: str) -> None:
    arch, numbers = MACHINES[machine]
    code = compile_filter(machine, WALLED)
    assert verdict(code, arch ^ 1, numbers["ptrace"]) == KILL
    assert verdict(code, arch, 0x40000000 | 39) == KILL
    assert verdict(code, arch, 470) & 0xFFFF == errno.ENOSYS
    assert verdict(code, arch, 0) == ALLOW


def test_sockets(machine: str) -> None:
    assert answer(machine, WALLED, "socket", 1, 1) is None
    assert answer(machine, WALLED, "socket", 2, 1) == errno.EPERM
    assert answer(machine, BARE, "socket", 1, 1) == errno.EPERM
    assert answer(machine, BARE, "socketpair", 1, 1 | 0o2000000) is None
    assert answer(machine, BARE, "socketpair", 1, 2) == errno.EPERM
    assert answer(machine, BARE, "socketpair", 1, 3) == errno.EPERM


def test_threads_and_children_but_no_namespaces(machine: str) -> None:
    assert answer(machine, WALLED, "clone", 0x3D0F00) is None
    assert answer(machine, WALLED, "clone", 17) is None
    for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(machine, WALLED, "clone", 17 | flag) == errno.EPERM
    assert answer(machine, WALLED, "clone3", 0) == errno.ENOSYS


def test_a_program_may_change_itself_and_not_others(machine: str) -> None:
    assert answer(machine, WALLED, "prlimit64", 0, 7) is None
    assert answer(machine, WALLED, "prlimit64", 5, 7) == errno.EPERM
    assert answer(machine, WALLED, "setpriority", 0, 0, 5) is None
    assert answer(machine, WALLED, "setpriority", 2, 0, 5) == errno.EPERM
    assert answer(machine, WALLED, "kill", 5, 9) is None
    assert answer(machine, BARE, "kill", 5, 9) == errno.EPERM


def test_conditions_look_at_the_right_bits(machine: str) -> None:
    assert answer(machine, WALLED, "personality", 0xFFFFFFFF) is None
    assert answer(machine, WALLED, "personality", 0x40000) == errno.EPERM
    assert answer(machine, WALLED, "ioctl", 0, 0x5412) == errno.EPERM
    assert answer(machine, WALLED, "ioctl", 0, (1 << 32) | 0x5412) == errno.EPERM  # the kernel takes 32 bits
    assert answer(machine, WALLED, "ioctl", 0, 0x5401) is None
    assert answer(machine, BARE, "utimensat", 3, 0) is None
    assert answer(machine, BARE, "utimensat", 3, 1 << 40) == 0
    assert answer(machine, BARE, "openat", 0, 0, 0x200) == errno.EPERM
    assert answer(machine, BARE, "openat", 0, 0, 0x241) is None


def test_an_unknown_machine_is_refused_in_words() -> None:
    with pytest.raises(SandboxError, match="riscv64"):
        compile_filter("riscv64", WALLED)
