"""Level NONE: no walls but limits, a clean environment, and a full end. Only when a person says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from megaagent.errors import SandboxError
from megaagent.sandboxes.confinement import Kit, launcher_command, plan_for, require_possible, unprivileged_user
from megaagent.sandboxes.contract import Level, Process, Program
from megaagent.sandboxes.process import launch


class Unconfined:
    """Runs programs with the rights of the user who started MegaAgent, or of an unused user when that is root."""

    level = Level.NONE

    def __init__(self) -> None:
        self._kit = Kit()

    async def start(self, program: Program, folder: Path) -> Process:
        """Start `program` in `folder`.

        Raises:
            SandboxError: this is not Linux, or root's replacement cannot reach the interpreter or the folder.
        """
        require_possible(program)
        uid = unprivileged_user()
        room = await asyncio.to_thread(self._kit.room, program, folder, uid, private_view=False)
        plan = plan_for(program, self._kit, room, uid, private_view=False)
        plan["others"] = -1 if uid is None else 0
        try:
            return await launch(launcher_command(self._kit), plan, program.stdin, program.limits.output, room.leave)
        except SandboxError as error:
            raise SandboxError(f"none: {error}; start MegaAgent as an ordinary user") from None
