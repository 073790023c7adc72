"""Level LANDLOCK: the kernel's file rules, seccomp and limits; a private view of the files where that can be had.

Needs Linux 5.13 and nothing installed. What an older version of Landlock does not hold, the system call filter does
(`Reach`). Root first becomes an unused user, and its program gets a mount namespace, because the interpreter may lie
where only root can look.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Any

from megaagent.errors import SandboxError
from megaagent.sandboxes.confinement import (
    DEVICES,
    Kit,
    launcher_command,
    plan_for,
    require_possible,
    unprivileged_user,
    view,
)
from megaagent.sandboxes.contract import Level, Process, Program
from megaagent.sandboxes.process import launch
from megaagent.sandboxes.seccomp import Reach, compile_filter

# Rights of `linux/landlock.h`.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_MAKE_CHAR, _MAKE_BLOCK, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 15
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR

Rule = tuple[str, int, int]  # path, rights if it is a folder, rights if it is a file


class Landlock:
    """Runs programs under Landlock.

    Args:
        abi: behave as on a kernel whose Landlock has this version; None for this kernel's.
        namespaces: whether to try for a private view of the files; False as on a system that forbids it.
    """

    level = Level.LANDLOCK

    def __init__(self, abi: int | None = None, namespaces: bool = True):
        self._most = abi
        self._namespaces = namespaces
        self._kit = Kit()

    async def start(self, program: Program, folder: Path) -> Process:
        """Start `program` in `folder`.

        Raises:
            SandboxError: the kernel has no Landlock, or the interpreter or folder is out of the program's reach.
        """
        require_possible(program)
        abi = min(kernel_abi(), self._most or 99)
        if abi < 1:
            raise SandboxError(
                "landlock: this kernel does not offer it: Linux 5.13 or later is needed, with `landlock` among the "
                "security modules (boot parameter lsm=landlock,...)"
            )
        troubles: list[str] = []
        for private_view in (True, False) if self._namespaces else (False,):
            try:
                process = await self._start(program, folder, abi, private_view=private_view)
            except SandboxError as error:
                troubles.append(str(error))
                continue
            self._namespaces = private_view  # what failed once is not tried for every program
            return process
        raise SandboxError(f"landlock: {'; '.join(troubles)}{advice(troubles)}")

    async def _start(self, program: Program, folder: Path, abi: int, *, private_view: bool) -> Process:
        reach = Reach(
            unix_sockets=private_view and abi >= 6,
            host_paths=not private_view,
            truncation=abi < 3,
            signals=abi < 6,
        )
        calls = compile_filter(os.uname().machine, reach)
        uid = unprivileged_user()
        room = await asyncio.to_thread(self._kit.room, program, folder, uid, private_view=private_view)
        plan = plan_for(program, self._kit, room, uid, private_view=private_view)
        plan["scope"] = abi >= 6
        plan["seccomp"] = calls
        if private_view:
            links, binds = view(self._kit, room, program.packages)
            plan |= {"root": str(room.root), "links": links, "binds": [tuple(bind) for bind in binds]}
            plan["user_namespace"] = uid is None
            read = [bind.place for bind in binds if bind.kind in ("read", "hidden")]
            write = [bind.place for bind in binds if bind.kind == "write"]
        else:
            read = [*self._host_paths(program), str(room.given)]
            write = plan["watched"][:2]
            plan["others"] = -1 if uid is None else 0
        plan["landlock"] = (handled(abi), rules(abi, read, write))
        return await launch(launcher_command(self._kit), plan, program.stdin, program.limits.output, room.leave)

    def _host_paths(self, program: Program) -> list[str]:
        """What may be read, with folders that hold something hidden replaced by all else that they hold."""
        packages = map(str, self._kit.packages(program.packages).values())
        paths: list[str] = []
        for path in [*self._kit.readable(), *packages]:
            inside = [hidden for hidden in self._kit.interpreter.hidden if hidden.parent == Path(path)]
            paths += [str(child) for child in Path(path).iterdir() if child not in inside] if inside else [path]
        return paths


def handled(abi: int) -> tuple[int, ...]:
    """All rights that version `abi` can take away: of files, of the network, of scopes."""
    files = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}.get(abi, 0xFFFF)
    return (files, *((3,) if abi >= 4 else ()), *((3,) if abi >= 6 else ()))


def rules(abi: int, read: list[str], write: list[str]) -> list[Rule]:
    """Rules for the launcher: what may be read and run, what may be changed, and the harmless devices."""
    known = handled(abi)[0]
    change = known & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
    device = (_READ_FILE | _WRITE_FILE | _TRUNCATE) & known
    return [
        *((path, _READ, _READ & _OF_A_FILE) for path in read),
        *((path, change, change & _OF_A_FILE) for path in write),
        *((path, 0, device) for path in DEVICES),
    ]


def kernel_abi() -> int:
    """The version of Landlock that this kernel offers, 0 for none."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(444, None, 0, 1)))


def advice(troubles: list[str]) -> str:
    """What to do about what the launcher said, or nothing."""
    if any("ermission" in trouble for trouble in troubles) and os.geteuid() == 0:
        return (
            "; programs do not run as root, and the unprivileged user in whose name they run cannot reach this: "
            "install MegaAgent and Python where every user can read, or start MegaAgent as an ordinary user, or allow "
            "it to mount (CAP_SYS_ADMIN)"
        )
    return ""
