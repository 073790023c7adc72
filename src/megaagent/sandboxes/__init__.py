"""Where programs that agents write are run: one table of ways, and the search for the strongest that holds.

A way to run programs is one file and one line here; it is imported when it is used.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from megaagent.errors import ConfigurationError, SandboxError
from megaagent.sandboxes.contract import Level, Limits, Program, Sandbox

# Strongest first: this is the order of the search.
SANDBOXES: dict[str, tuple[Level, str]] = {
    "bubblewrap": (Level.BUBBLEWRAP, "megaagent.sandboxes.bubblewrap:Bubblewrap"),
    "landlock": (Level.LANDLOCK, "megaagent.sandboxes.landlock:Landlock"),
    "none": (Level.NONE, "megaagent.sandboxes.unconfined:Unconfined"),
}


class Probe(NamedTuple):
    """What the search found.

    Attributes:
        sandbox: the strongest way that holds, or None: programs must then be refused.
        level: its level, `Level.NONE` when there is none.
        notes: what was tried, why it failed, and what to do about it.
    """

    sandbox: Sandbox | None
    level: Level
    notes: tuple[str, ...]


def make(name: str) -> Sandbox:
    """The sandbox called `name` in the table, untried.

    Raises:
        ConfigurationError: there is none of this name.
    """
    if name not in SANDBOXES:
        raise ConfigurationError(f"there is no sandbox {name!r}: choose one of {', '.join(SANDBOXES)}")
    module, _, attribute = SANDBOXES[name][1].partition(":")
    return getattr(import_module(module), attribute)()


async def probe(required: Level) -> Probe:
    """The strongest sandbox that holds here, found by running a program in it that tries its walls.

    Args:
        required: nothing weaker is tried.
    """
    if sys.platform != "linux":
        note = f"on {sys.platform} programs can only be confined in a container: run MegaAgent in a Linux container"
        return Probe(None, Level.NONE, (note,))
    notes: list[str] = []
    for name, (level, _) in SANDBOXES.items():
        if level < required:
            break
        try:
            sandbox = make(name)
            await _try_walls(sandbox)
        except SandboxError as error:
            notes.append(str(error) if str(error).startswith(name) else f"{name}: {error}")
        else:
            found = "holds" if level > Level.NONE else "runs, without walls"
            return Probe(sandbox, level, (*notes, f"{name}: {found}"))
    if required > max(level for level, _ in SANDBOXES.values()):
        notes.append(f"the level {required.name.lower()} is not built in: give a sandbox of your own")
    return Probe(None, Level.NONE, tuple(notes))


async def _try_walls(sandbox: Sandbox) -> None:
    """
    Raises:
        SandboxError: it does not start, or a wall does not hold.
    """
    # Walls are tried on files that the run itself would keep private.
    with tempfile.TemporaryDirectory(prefix="megaagent-") as base:
        secret = Path(base, "secret")
        await asyncio.to_thread(secret.write_text, "secret")
        secret.chmod(0o644)
        Path(base).chmod(0o711)
        folder = Path(base, "folder")
        folder.mkdir()
        text = await asyncio.to_thread(Path(__file__).with_name("check.py").read_text)
        limits = Limits(seconds=10.0, cpu_seconds=10.0)
        program = Program(("python", "-c", text, str(secret)), stdin="", limits=limits, packages=())
        process = await sandbox.start(program, folder)
        execution = await process.wait()
    if execution.exit_code != 0:
        raise SandboxError(f"the trial program ended with {execution.exit_code}: {execution.output[-500:]}")
    if sandbox.level > Level.NONE and (holes := execution.output.splitlines()):
        raise SandboxError(f"a program in it {', and '.join(holes)}")
