"""Programs of agents: one live at a time each (the `Programs` part of a desk, and who keeps the live ones)."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import PurePosixPath

from megaagent import events as ev
from megaagent.errors import SandboxError, ToolError
from megaagent.events import AgentId, Fact, Message
from megaagent.organization.files import SHORT, Blocking, committed, conflict_text, cut
from megaagent.organization.limits import Limits
from megaagent.organization.work import Work
from megaagent.runtimes.contract import Handle, Runtime
from megaagent.sandboxes.contract import Execution, Harvest, Program
from megaagent.sandboxes.contract import Limits as ProgramLimits
from megaagent.workspace import Committed, Queue, Stamp, Workspace

QUIET = 0.6  # seconds without further output after which a program that has spoken is taken to wait for input
TO_THE_END = 24 * 3600.0
PATIENCE = 20.0  # seconds that a silent program is listened to within one tool call

Append = Callable[[Sequence[Fact], Sequence[bytes]], Awaitable[object]]


class Live:
    """A program under way, and what it has said that its agent has not heard."""

    def __init__(self, id: str, command: tuple[str, ...], handle: Handle, revision: str):
        self.id = id
        self.command = command
        self.handle = handle
        self.revision = revision
        self.listening = asyncio.Lock()  # held by the tool call that reads it and will record its end
        self.watcher: asyncio.Task[None] | None = None


class Programs:
    """The programs of all agents of a run.

    Args:
        runtime: starts them.
        limits, packages: of every program.
        append: records the end of a program that ends between its agent's steps.
        new_id: an id for the engine's mail to an agent.
    """

    def __init__(
        self,
        runtime: Runtime,
        append: Append,
        new_id: Callable[[AgentId], str],
        *,
        limits: ProgramLimits,
        packages: tuple[str, ...],
    ):
        self._runtime = runtime
        self._bounds = limits
        self._packages = packages
        self._append = append
        self._new_id = new_id
        self._live: dict[AgentId, Live] = {}
        self.harvests: dict[AgentId, tuple[Harvest, str]] = {}  # what the last program wrote, and its base

    @property
    def level(self) -> str:
        return self._runtime.level

    def agents(self) -> list[AgentId]:
        """Whose programs are live."""
        return list(self._live)

    def of(self, agent: AgentId) -> Live | None:
        return self._live.get(agent)

    def program(self, command: Sequence[str], stdin: str | None) -> Program:
        """A program within the bounds of this run."""
        return Program(tuple(command), stdin, self._bounds, self._packages)

    async def start(self, agent: AgentId, id: str, program: Program, revision: str) -> Live:
        """Start a program for an agent.

        Raises:
            SandboxError: the sandbox cannot, or programs are refused in this run.
        """
        self.harvests.pop(agent, None)
        handle = await self._runtime.start(program, revision)
        live = self._live[agent] = Live(id, program.command, handle, revision)
        return live

    def watch(self, agent: AgentId, live: Live) -> None:
        """See to it that the agent is told when a program that it leaves running ends."""
        if live.watcher is None:
            live.watcher = asyncio.create_task(self._watch(agent, live), name=f"watch {live.id}")

    async def finish(self, agent: AgentId, live: Live) -> tuple[Execution, Harvest]:
        """Collect what a program that has ended left; frees its place."""
        execution = await live.handle.wait()
        harvest = await live.handle.harvest()
        await live.handle.close()
        if self._live.get(agent) is live:
            del self._live[agent]
        if harvest.written or harvest.removed:
            self.harvests[agent] = (harvest, live.revision)
        return execution, harvest

    async def stop(self, agent: AgentId) -> None:
        """Kill the agent's program, if it has one, without recording anything."""
        live = self._live.pop(agent, None)
        if live is not None:
            if live.watcher is not None:
                live.watcher.cancel()
            await live.handle.stop()
            await live.handle.close()

    async def close(self) -> None:
        """Kill everything."""
        for agent in list(self._live):
            await self.stop(agent)

    async def _watch(self, agent: AgentId, live: Live) -> None:
        """Tell the agent when its program ends while it does something else."""
        await live.handle.wait()
        async with live.listening:
            if self._live.get(agent) is not live:
                return
            output, _ = await live.handle.read(0.0, 0.0)
            execution, harvest = await self.finish(agent, live)
        text = f"Your program ({shlex.join(live.command)}) has ended. {ending_text(execution, output, harvest)}"
        message = Message(self._new_id(agent), ev.ENGINE, (agent,), text, "notice")
        facts = [Fact(agent, 0, ended(live, execution)), Fact(agent, 0, ev.MessageSent(message))]
        await self._append(facts, ())


class ProgramsPart:
    """`megaagent.tools.desk.Programs` for one step."""

    def __init__(
        self,
        work: Work,
        limits: Limits,
        programs: Programs,
        workspace: Workspace,
        writes: Queue,
        run: str,
        blocking: Blocking,
    ):
        self._work = work
        self._limits = limits
        self._programs = programs
        self._workspace = workspace
        self._writes = writes
        self._run = run
        self._blocking = blocking

    async def run(self, command: list[str], stdin: str | None) -> str:
        work = self._work
        live = self._programs.of(work.agent)
        if live is not None:
            raise ToolError(f"your program {shlex.join(live.command)} still runs: talk to it or stop_program first.")
        revision = await self._blocking(self._workspace.head)
        await self._check_script(command, revision)
        id = f"{work.agent}#{work.step}.{work.call}"
        if work.me.lost == id:
            raise ToolError("the engine was stopped while this program ran; its outcome is unknown. Run it again.")
        work.record(ev.ProgramStarted(id, tuple(command), self._programs.level, revision))
        # What came before is recorded before anything runs, so that a crash meanwhile loses none of it.
        await work.commit()
        try:
            live = await self._programs.start(work.agent, id, self._programs.program(command, stdin), revision)
        except SandboxError as error:
            work.record(ev.ProgramEnded(id, None, 0.0, str(error), ("refused",)))
            raise ToolError(f"programs cannot be run here: {error}") from error
        async with live.listening:
            # With all its input given it can wait for nothing: it is heard to its end, which its limits bound.
            return await (self._heard(live, TO_THE_END, TO_THE_END) if stdin is not None else self._heard(live))

    async def send(self, text: str) -> str:
        live = self._own()
        async with live.listening:
            self._still(live)
            problem = ""
            if text:
                line = text if text.endswith("\n") else text + "\n"
                self._work.record(ev.ProgramSpokenTo(live.id, line))
                try:
                    await live.handle.send(line)
                except SandboxError as error:
                    problem = f"{error}. "
            return problem + await self._heard(live)

    async def stop(self) -> str:
        live = self._own()
        async with live.listening:
            self._still(live)
            await live.handle.stop()
            return await self._heard(live)

    async def keep(self, paths: list[str]) -> str:
        stamp = Stamp(self._work.agent, self._run, self._work.step, self._work.call, self._work.now)
        if self._work.carried_on and (adopted := await self._blocking(self._workspace.adopted, stamp)):
            return await self._kept(list(adopted.items()), None)  # made before a crash: taken over
        harvest, base = self._programs.harvests.get(self._work.agent, (Harvest({}), ""))
        unknown = [path for path in paths if path not in harvest.written and path not in harvest.removed]
        if unknown or not paths:
            there = ", ".join([*harvest.written, *harvest.removed]) or "nothing"
            raise ToolError(f"your last program did not write {', '.join(unknown) or 'that'}; it left: {there}.")
        changes = {path: harvest.written.get(path) for path in paths}
        kept, conflicts = await self._writes.write_many(changes, base, stamp)
        told = await self._kept(kept, base)
        for conflict in conflicts:
            self._work.record(ev.ConflictMet(conflict.path, conflict.base, conflict.theirs_revision))
        if conflicts:
            raise ToolError("\n".join(conflict_text(conflict, self._limits.shown) for conflict in conflicts))
        return told

    async def _kept(self, kept: Sequence[tuple[str, Committed]], base: str | None) -> str:
        for path, result in kept:
            data = await self._blocking(self._workspace.read_bytes, path, result.revision) if result.digest else None
            self._work.record(committed(path, result, base), blob=data)
        if not kept:
            return ""
        return f"Committed {', '.join(path for path, _ in kept)} at revision {kept[0][1].revision[:SHORT]}."

    def _own(self) -> Live:
        live = self._programs.of(self._work.agent)
        if live is None:
            raise ToolError("you have no running program; start one with exec_python_file or run_command.")
        return live

    def _still(self, live: Live) -> None:
        """It may have ended while this call waited for its turn; then its agent has mail about it."""
        if self._programs.of(self._work.agent) is not live:
            raise ToolError("your program has ended meanwhile; how it ended comes in your mail.")

    async def _heard(self, live: Live, quiet: float = QUIET, patience: float = PATIENCE) -> str:
        """What the program says next; when it ends, its end."""
        output, running = await live.handle.read(quiet, patience)
        output = cut(output, self._limits.shown)
        if running:
            self._programs.watch(self._work.agent, live)
            return f"{output}\n[still running: answer it with input, read on with an empty input, or stop_program]"
        execution, harvest = await self._programs.finish(self._work.agent, live)
        self._work.record(ended(live, execution))
        text = ending_text(execution, output, harvest)
        if execution.exit_code != 0:
            raise ToolError(text)
        return text

    async def _check_script(self, command: Sequence[str], revision: str) -> None:
        """A missing file is told with the nearest names instead of a traceback from inside the sandbox."""
        if len(command) > 1 and command[0] == "python" and PurePosixPath(command[1]).suffix == ".py":
            await self._blocking(self._workspace.read_bytes, command[1], revision)


def ended(live: Live, execution: Execution) -> ev.ProgramEnded:
    """The fact of a program's end."""
    return ev.ProgramEnded(live.id, execution.exit_code, execution.seconds, execution.output, execution.cut)


def ending_text(execution: Execution, output: str, harvest: Harvest) -> str:
    """How a program ended, for its agent."""
    code = execution.exit_code
    how = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
    cuts = f", cut by its limits: {', '.join(execution.cut)}" if execution.cut else ""
    lines = [output.rstrip("\n"), f"[{how}, {execution.seconds:.1f} s{cuts}]"]
    if harvest.written or harvest.removed:
        changed = [*harvest.written, *(f"{path} (removed)" for path in harvest.removed)]
        shown = ", ".join(changed[:20]) + (f" and {len(changed) - 20} more" if len(changed) > 20 else "")
        lines.append(f"[it changed {shown} in its private copy; commit what you want with keep_files]")
    lines += [f"[not taken: {reason}]" for reason in harvest.refused[:5]]
    return "\n".join(line for line in lines if line)
