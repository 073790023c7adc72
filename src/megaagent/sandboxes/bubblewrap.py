"""Level BUBBLEWRAP: own mount, process, network and IPC namespaces made by `bwrap`, seccomp, limits.

Only what is named exists inside. Run by root, `bwrap` makes the mounts with root's rights and the launcher inside then
becomes an unused user; run by anybody else it uses a user namespace. No switch depends on how `bwrap` is installed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from megaagent.errors import SandboxError
from megaagent.sandboxes.confinement import (
    GIVEN,
    HOME,
    LAUNCHER,
    SHARED_MEMORY,
    WORKSPACE,
    Kit,
    Room,
    launcher_command,
    plan_for,
    require_possible,
    unprivileged_user,
    view,
)
from megaagent.sandboxes.contract import Level, Process, Program
from megaagent.sandboxes.process import launch
from megaagent.sandboxes.seccomp import Reach, compile_filter

_INSIDE = "/launcher.py"
_FLAGS = {"read": "--ro-bind", "write": "--bind", "device": "--dev-bind"}
# Of root's rights the launcher keeps those to become somebody else, and to watch and kill who it became.
_KEPT = ("CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")


class Bubblewrap:
    """Runs programs under `bwrap`, version 0.5 or later.

    Args:
        executable: the `bwrap` to use; the one on the path if None.
    """

    level = Level.BUBBLEWRAP

    def __init__(self, executable: str | None = None):
        self._executable = executable
        self._kit = Kit()

    async def start(self, program: Program, folder: Path) -> Process:
        """Start `program` in `folder`, which it sees as /workspace.

        Raises:
            SandboxError: `bwrap` is missing or cannot make namespaces here; the text says what to do.
        """
        require_possible(program)
        executable = self._executable or shutil.which("bwrap")
        if executable is None:
            raise SandboxError(
                "bubblewrap is not installed: install the package `bubblewrap` (apt install bubblewrap, "
                "dnf install bubblewrap, pacman -S bubblewrap)"
            )
        reach = Reach(unix_sockets=True, host_paths=False, truncation=False, signals=False)
        calls = compile_filter(os.uname().machine, reach)
        uid = unprivileged_user()
        room = await asyncio.to_thread(self._kit.room, program, folder, uid, private_view=True)
        plan = plan_for(program, self._kit, room, uid, private_view=True)
        plan["watched"] = [WORKSPACE, HOME, SHARED_MEMORY]
        plan["seccomp"] = calls
        try:
            command = [executable, *self._arguments(program, room), *launcher_command(self._kit, _INSIDE)]
            return await launch(command, plan, program.stdin, program.limits.output, room.leave)
        except SandboxError as error:
            raise SandboxError(f"bubblewrap: {error}{advice(str(error))}") from None

    def _arguments(self, program: Program, room: Room) -> list[str]:
        arguments = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        arguments += ["--as-pid-1", "--clearenv", "--hostname", "sandbox"]
        if os.geteuid() == 0:
            arguments += ["--cap-drop", "ALL"]
            for capability in _KEPT:
                arguments += ["--cap-add", capability]
        else:
            arguments += ["--unshare-user"]
        links, binds = view(self._kit, room, program.packages)
        for target, place in links:
            arguments += ["--symlink", target, place]
        arguments += ["--proc", "/proc", "--dir", "/dev", "--dir", GIVEN]
        for source, place, kind in binds:
            if kind == "hidden":
                arguments += ["--tmpfs", place]
                continue
            # Left to itself, bwrap makes the folders above a bound one for root only.
            arguments += ["--dir", str(Path(place).parent)]
            arguments += [_FLAGS[kind], source, place]
        for bind in binds:
            if bind.kind == "hidden":
                arguments += ["--remount-ro", bind.place]
        for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            arguments += ["--symlink", f"/proc/self/fd{target}", f"/dev/{name}"]
        return [*arguments, "--ro-bind", str(LAUNCHER), _INSIDE, "--remount-ro", "/", "--chdir", "/", "--"]


def advice(trouble: str) -> str:
    """What to do about a message of `bwrap`, or nothing."""
    for name, fix in (
        ("/proc/sys/kernel/unprivileged_userns_clone", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "an AppArmor profile for bwrap (aa-status), or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/user/max_user_namespaces", "sysctl -w user.max_user_namespaces=10000"),
    ):
        forbids = "1" if "apparmor" in name else "0"
        if os.path.exists(name) and Path(name).read_text().strip() == forbids:
            return f"; this system forbids user namespaces: {fix}"
    if "Unknown option" in trouble:
        return "; this bubblewrap is too old: install 0.5 or later"
    if "ermission" in trouble or "not permitted" in trouble:
        return (
            "; inside a container, start it with the right to make namespaces (docker run --security-opt "
            "seccomp=unconfined --cap-add SYS_ADMIN), or accept the level landlock"
        )
    return ""
