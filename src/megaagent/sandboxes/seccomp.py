"""The system call filter: what no program of an agent may ask of the kernel.

A list of refusals, compiled to classic BPF by hand (seccomp(2), `linux/filter.h`, `linux/seccomp.h`). Refused calls
fail with an error that programs know how to meet; only calls of a foreign machine kill.
"""

# ruff: noqa: SIM905  (long lists of names read best as text)

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

from megaagent.errors import SandboxError
from megaagent.sandboxes.syscalls import LAST_KNOWN, MACHINES

_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _AND, _EQUAL, _ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06  # BPF opcodes on 32-bit words
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

_AF_UNIX = 1
_NAMESPACES = 0x7E020080  # all CLONE_NEW* flags that clone(2) knows: time, mount, cgroup, uts, ipc, user, pid, net


class When(NamedTuple):
    """Refuse when a 32-bit half of argument `argument`, masked, is (or is not) `value`."""

    argument: int
    value: int
    mask: int = 0xFFFFFFFF
    equal: bool = True
    high: bool = False


class Rule(NamedTuple):
    """Refuse `call` with `error`, always or when any of the conditions holds."""

    call: str
    error: int
    conditions: tuple[When, ...] = ()


class Reach(NamedTuple):
    """What the other walls leave within a program's reach, which the filter must then close.

    Attributes:
        unix_sockets: no socket of the host can be addressed, so local sockets are harmless.
        host_paths: host files can be named (though not opened): calls that change a file by its path must go.
        truncation: Landlock does not hold truncation (before its version 3).
        signals: processes outside can be signalled (before Landlock version 6, without a process namespace).
    """

    unix_sockets: bool
    host_paths: bool
    truncation: bool
    signals: bool


def compile_filter(machine: str, reach: Reach) -> bytes:
    """The filter as an array of `struct sock_filter`.

    Args:
        machine: as `os.uname().machine` names it.

    Raises:
        SandboxError: the machine's system calls are not known.
    """
    if machine not in MACHINES:
        raise SandboxError(f"no system call filter for {machine}: use a container, or x86_64 or aarch64")
    audit_arch, numbers = MACHINES[machine]
    code = [
        _word(_LOAD, _ARCH),
        _word(_EQUAL, audit_arch, 1, 0),
        _word(_RETURN, _KILL),
        _word(_LOAD, _NUMBER),
        # Covers the x32 calls of x86_64 too, whose numbers have bit 30 set.
        _word(_ABOVE, 0x3FFFFFFF, 0, 1),
        _word(_RETURN, _KILL),
        _word(_ABOVE, LAST_KNOWN, 0, 1),
        _word(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for rule in _rules(reach):
        if rule.call in numbers:
            body = list(_body(rule))
            code += [_word(_EQUAL, numbers[rule.call], 0, len(body)), *body]
    code.append(_word(_RETURN, _ALLOW))
    return b"".join(code)


def _body(rule: Rule) -> Iterator[bytes]:
    refuse = _word(_RETURN, _ERRNO | rule.error)
    if not rule.conditions:
        yield refuse
        return
    for when in rule.conditions:
        yield _word(_LOAD, _ARGUMENTS + 8 * when.argument + 4 * when.high)
        yield _word(_AND, when.mask)
        yield _word(_EQUAL, when.value, *((0, 1) if when.equal else (1, 0)))
        yield refuse
    yield _word(_RETURN, _ALLOW)


def _word(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


# The administration of the machine, of mounts, other processes, keys, and interfaces with a long history of holes.
_NEVER = """
    mount umount2 pivot_root move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick mount_setattr
    statmount listmount chroot swapon swapoff acct quotactl quotactl_fd reboot sethostname setdomainname
    kexec_load kexec_file_load init_module finit_module delete_module iopl ioperm settimeofday clock_settime
    clock_adjtime adjtimex syslog ptrace process_vm_readv process_vm_writev process_madvise process_mrelease
    kcmp pidfd_getfd keyctl add_key request_key bpf userfaultfd perf_event_open open_by_handle_at
    name_to_handle_at setns unshare fanotify_init fanotify_mark vhangup migrate_pages move_pages mbind
    set_mempolicy lookup_dcookie modify_ldt uselib ustat sysfs
""".split()

# Answered as an older kernel would, so that libraries take their other road. System V and POSIX queues and memory
# outlive the processes that made them and no limit counts them.
_ABSENT = """
    clone3 io_uring_setup io_uring_enter io_uring_register memfd_secret mq_open mq_unlink shmget shmat shmctl
    msgget semget
""".split()


def _rules(reach: Reach) -> Iterator[Rule]:
    for call in _NEVER:
        yield Rule(call, errno.EPERM)
    for call in _ABSENT:
        yield Rule(call, errno.ENOSYS)
    yield Rule("clone", errno.EPERM, _any_bit(0, _NAMESPACES))
    yield Rule("personality", errno.EPERM, (When(0, 0xFFFFFFFF, equal=False),))  # only the question may be asked
    yield from _network(reach)
    yield from _others(reach)
    # Terminal injection (TIOCSTI, TIOCLINUX), and who gets the signals of a descriptor (FIOSETOWN, SIOCSPGRP).
    yield Rule("ioctl", errno.EPERM, tuple(When(1, n) for n in (0x5412, 0x541C, 0x8901, 0x8902)))
    # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by way of a descriptor; F_SETLEASE stalls whoever opens the file.
    yield Rule("fcntl", errno.EPERM, tuple(When(1, n) for n in (8, 10, 15, 1024)))
    # PR_SET_DUMPABLE would hide open files from the supervisor; PR_SET_MM forges what /proc tells.
    yield Rule("prctl", errno.EPERM, (When(0, 4), When(0, 35)))
    if reach.host_paths:
        yield from _paths()
    if reach.truncation:
        yield Rule("truncate", errno.EPERM)
        yield Rule("openat2", errno.ENOSYS)
        for call, flags in (("open", 1), ("openat", 2)):  # O_TRUNC with O_RDONLY needs only the right to read
            yield Rule(call, errno.EPERM, (When(flags, 0x200, mask=0x203),))


def _any_bit(argument: int, bits: int) -> tuple[When, ...]:
    return (When(argument, 0, mask=bits, equal=False),)


def _network(reach: Reach) -> Iterator[Rule]:
    not_local = When(0, _AF_UNIX, equal=False)
    if reach.unix_sockets:
        yield Rule("socket", errno.EPERM, (not_local,))
        yield Rule("socketpair", errno.EPERM, (not_local,))
        return
    yield Rule("socket", errno.EPERM)
    yield Rule("connect", errno.EPERM)
    # A pair of datagram sockets (and SOCK_RAW, which makes one) can still be pointed at any address.
    yield Rule("socketpair", errno.EPERM, (not_local, When(1, 2, mask=0xF), When(1, 3, mask=0xF)))


def _others(reach: Reach) -> Iterator[Rule]:
    """Calls that act on another process of the same user, whom no file rule protects."""
    for call in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"):
        yield Rule(call, errno.EPERM, (When(0, 0, equal=False),))
    for call, itself in (("setpriority", 0), ("ioprio_set", 1)):
        yield Rule(call, errno.EPERM, (When(0, itself, equal=False), When(1, 0, equal=False)))
    if reach.signals:
        for call in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"):
            yield Rule(call, errno.EPERM)


def _paths() -> Iterator[Rule]:
    """Landlock does not hold these; here they answer as a file system without modes, owners and attributes does."""
    done_without_effect = 0
    for call in ("chmod", "fchmodat", "utime", "utimes", "futimesat"):
        yield Rule(call, done_without_effect)
    yield Rule("fchmodat2", errno.ENOSYS)
    # With a null path it acts on an open file, which Landlock did hold.
    yield Rule("utimensat", done_without_effect, (When(1, 0, equal=False), When(1, 0, equal=False, high=True)))
    for call in ("chown", "lchown", "fchownat"):
        yield Rule(call, errno.EPERM)
    for call in ("setxattr", "lsetxattr", "removexattr", "lremovexattr"):
        yield Rule(call, errno.EOPNOTSUPP)
    for call in ("setxattrat", "removexattrat", "file_setattr"):
        yield Rule(call, errno.ENOSYS)
    yield Rule("inotify_add_watch", errno.EPERM)  # would tell what happens in any folder
