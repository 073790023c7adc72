"""What all levels share: the user that a program runs as, its folders, what it may see, and the launcher's plan."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from megaagent.errors import SandboxError
from megaagent.sandboxes.contract import Program
from megaagent.sandboxes.harvest import discard, give
from megaagent.sandboxes.interpreter import (
    DEVICES,
    SYSTEM_FILES,
    SYSTEM_FOLDERS,
    Interpreter,
    find_interpreter,
    find_packages,
)

LAUNCHER = Path(__file__).with_name("launcher.py")

# Where things lie inside a private view of the file system.
WORKSPACE, HOME, SHARED_MEMORY, GIVEN = "/workspace", "/tmp", "/dev/shm", "/given"


class Bind(NamedTuple):
    """A place in the program's view; `kind` is "read", "write", "device", or "hidden" (an empty folder over it)."""

    source: str
    place: str
    kind: str


class Room:
    """The folders of one program outside its workspace; `leave` removes them.

    Blocking: to be made and left in a thread.

    Args:
        folder: the private copy of the workspace; it is given to the user that the program runs as.
        uid: that user, or None for the user of this process.
        packages: what its `import` finds beside the standard library: links to them, or in a private view the places
            where they are bound.
    """

    def __init__(
        self,
        folder: Path,
        uid: int | None,
        interpreter: Interpreter,
        packages: dict[str, Path],
        *,
        private_view: bool,
    ):
        if not folder.is_dir():
            raise SandboxError(f"the program's folder {folder} is not there: make it first")
        self.folder = folder.resolve()
        # Beside the folder, where it goes with the rest when the engine is killed.
        self.base = Path(tempfile.mkdtemp(prefix="base-", dir=self.folder.parent))
        self.home, self.shared, self.given, self.root = (self.base / n for n in ("home", "shared", "given", "root"))
        for path in (self.home, self.shared, self.root, self.given / "bin", self.given / "packages"):
            path.mkdir(parents=True)
        for name in ("python", "python3"):
            (self.given / "bin" / name).symlink_to(interpreter.executable)
        for name, target in packages.items():
            place = self.given / "packages" / name
            if not private_view:
                place.symlink_to(target)
            elif target.is_dir():
                place.mkdir()
            else:
                place.touch()
        if uid is not None:
            # Passing through is all that another user gets.
            self.base.chmod(0o711)
            for path in (self.folder, self.home, self.shared):
                give(path, uid)

    def leave(self) -> None:
        discard(self.base)


class Kit:
    """The interpreter and the packages, looked up once per sandbox."""

    def __init__(self) -> None:
        self.interpreter = find_interpreter()
        self._packages: dict[tuple[str, ...], dict[str, Path]] = {}

    def packages(self, names: tuple[str, ...]) -> dict[str, Path]:
        if names not in self._packages:
            self._packages[names] = find_packages(names)
        return self._packages[names]

    def readable(self) -> list[str]:
        """Host paths that a program may read, without the packages."""
        return [*SYSTEM_FOLDERS, *SYSTEM_FILES, *map(str, self.interpreter.readable)]

    def room(self, program: Program, folder: Path, uid: int | None, *, private_view: bool) -> Room:
        """The folders of one run of `program`."""
        packages = self.packages(program.packages)
        return Room(folder, uid, self.interpreter, packages, private_view=private_view)


def unprivileged_user() -> int | None:
    """A user id for one program: None (stay who we are) for an ordinary user, an unused one when we are root.

    A fresh one for each program makes the kernel's count of processes per user a count per program.

    Raises:
        SandboxError: this root can be nobody else, as in a container with a single user.
    """
    if os.geteuid() != 0:
        return None
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    spans = [(int(fields[0]), int(fields[2])) for fields in map(str.split, lines)]
    first, size = max(spans, key=lambda span: span[1])
    if size < 4096:
        raise SandboxError("programs may not run as root and there is no other user here: start MegaAgent as one")
    if size > 0x71000000:
        return random.SystemRandom().randrange(0x70000000, 0x71000000)
    return random.SystemRandom().randrange(first + size // 2, first + size - 2)


def view(kit: Kit, room: Room, names: tuple[str, ...]) -> tuple[list[tuple[str, str]], list[Bind]]:
    """A file system with only what the program needs: links (target, place), and binds in the order to be made."""
    links: list[tuple[str, str]] = []
    binds: list[Bind] = []
    for path in kit.readable():
        if path in SYSTEM_FOLDERS and Path(path).is_symlink():
            links.append((str(Path(path).readlink()), path))
        elif Path(path).exists():
            binds.append(Bind(path, path, "read"))
    # Folders with installed packages may lie inside what was bound.
    seen = tuple(bind.place + "/" for bind in binds)
    hidden = (str(path) for path in kit.interpreter.hidden)
    binds += [Bind(path, path, "hidden") for path in hidden if path.startswith(seen)]
    binds += [Bind(device, device, "device") for device in DEVICES]
    binds += [
        Bind(str(room.home), HOME, "write"),
        Bind(str(room.shared), SHARED_MEMORY, "write"),
        Bind(str(room.given), GIVEN, "read"),
        Bind(str(room.folder), WORKSPACE, "write"),
    ]
    # Not at their own places, which may lie below what was just bound.
    packages = kit.packages(names).items()
    binds += [Bind(str(target), f"{GIVEN}/packages/{name}", "read") for name, target in packages]
    return links, binds


def plan_for(program: Program, kit: Kit, room: Room, uid: int | None, *, private_view: bool) -> dict[str, Any]:
    """The launcher's plan without its walls: command, environment, folders and limits."""
    home, given, folder = (HOME, GIVEN, WORKSPACE) if private_view else map(str, (room.home, room.given, room.folder))
    limits = program.limits
    return {
        "command": list(program.command),
        "environment": {
            "PATH": f"{given}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": home,
            "TMPDIR": home,
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{given}/packages",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
        },
        "folder": folder,
        "watched": [str(room.folder), str(room.home), str(room.shared)],
        "reachable": str(kit.interpreter.executable),
        "uid": uid,
        "seconds": limits.seconds,
        "cpu_seconds": limits.cpu_seconds,
        "memory": limits.memory,
        "disk": limits.disk,
        "file_size": limits.file_size,
        "processes": limits.processes,
        "others": 0,
        "root": None,
        "landlock": None,
        "seccomp": None,
        "scope": False,
    }


def launcher_command(kit: Kit, launcher: str = str(LAUNCHER)) -> Sequence[str]:
    """How the launcher is started: isolated, and without the search for installed packages."""
    return [str(kit.interpreter.executable), "-I", "-S", launcher]


def require_possible(program: Program) -> None:
    """Refuse what no level can run, before anything is made for it.

    Raises:
        SandboxError: this is not Linux, or the command is none.
    """
    if sys.platform != "linux":
        raise SandboxError("programs are confined by ways of Linux; on this system run MegaAgent in a Linux container")
    if not program.command:
        raise SandboxError("a program needs a command: give at least its name")
    if any("\0" in word for word in program.command):
        raise SandboxError("a command may not contain the character NUL")
