"""What an MCP client can ask of MegaAgent: runs are begun as processes of their own, and read from their journals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from megaagent import __version__
from megaagent import events as ev
from megaagent.cli.facts import Teller, noteworthy
from megaagent.cli.sight import BEYOND
from megaagent.cli.words import ASCII, clean, plural
from megaagent.control import Request, ask
from megaagent.dashboard.runs import Runs
from megaagent.errors import MegaAgentError, RunError
from megaagent.folder import RunFolder, pick
from megaagent.journal import open_reader
from megaagent.readings.summary import Summary, standing

LOOK: Final = 0.3  # seconds between two looks at a journal that is watched
LONGEST: Final = 60.0  # seconds that one call watches
MOST_LINES: Final = 200  # of facts in one answer
MOST_RUNS: Final = 30  # in one list
WIDTH: Final = 400  # characters of a line
MOST_FILE: Final = 200_000  # characters of a file that are given
MOST_FILES: Final = 500  # names in one list

P = ParamSpec("P")


class Office:
    """The runs of one folder.

    Args:
        model: that runs have unless told otherwise.
        max_cost: dollars that no run may pass.
        settings: a file for each run.
    """

    def __init__(self, path: Path, model: str | None, max_cost: float, settings: Path | None):
        self.runs = Runs(path)
        self.model = model
        self.max_cost = max_cost
        self.settings = settings.absolute() if settings is not None else None

    def close(self) -> None:
        self.runs.close()

    def find(self, name: str) -> RunFolder:
        """The run of that name, or the latest.

        Raises:
            RunError: there is none, or the name fits several.
        """
        folders = {folder.id: folder for folder in self.runs.folders()}  # never joined to a path
        return folders[pick(list(folders), name or None, str(self.runs.path))]

    async def begin(self, goal: str, scenario: str, model: str, max_cost: float | None) -> str:
        """Start a run; its name.

        Raises:
            RunError: it could not begin.
        """
        if bool(goal.strip()) == bool(scenario):
            both = ", not both" if scenario else ""
            raise RunError(f"give a goal in plain words, or the name of a scenario such as gobang{both}")
        if max_cost is not None and not 0 < max_cost <= self.max_cost:
            raise RunError(f"max_cost must be more than 0 and at most {self.max_cost:g}, which this server allows")
        options = [f"--max-cost={max_cost or self.max_cost}"]
        if model or self.model:
            options.append(f"--model={model or self.model}")
        if self.settings is not None:
            options.append(f"--settings={self.settings}")
        what = [f"--scenario={scenario}"] if scenario else ["--", goal]
        return await self.runs.begin(["run", *options], goal=what)

    async def control(self, name: str, request: Request) -> str:
        """Ask something of a run that is going on.

        Raises:
            RunError: it is not, or it refused.
        """
        answer = await ask(self.find(name).socket, request)
        if not answer.ok:
            raise RunError(answer.text)
        return answer.text

    async def watch(self, name: str, after: int, seconds: float) -> str:
        """What has happened after a fact, and how the run stands; waits for news if there are none yet."""
        folder = self.find(name)
        loop = asyncio.get_running_loop()
        end = loop.time() + min(max(0.0, seconds), LONGEST)
        while True:
            lines, position = await asyncio.to_thread(_news, folder, min(max(0, after), BEYOND))
            live = await standing(folder)
            if lines or live is None or loop.time() >= end:
                break
            await asyncio.sleep(LOOK)
        return "\n".join([*lines, f"[{await self.line(folder)}; go on with after={position}]"])

    async def line(self, folder: RunFolder) -> str:
        """How a run stands, in a line."""
        summary = Summary(folder)
        await asyncio.to_thread(summary.refresh)
        told = summary.told(await standing(folder))
        cost = f"{'simulated cost ' if told['simulated'] else ''}${told['cost']:.4f}"
        reason = f" ({told['reason']})" if told["reason"] and not told["live"] else ""
        waits = "".join(f"; a person must approve {wait}" for wait in told["waits"])
        return clean(
            f"{folder.id}: {told['status']}{reason}, {plural(told['agents'], 'agent')}, "
            f"{plural(told['steps'], 'step')}, {cost}{waits}"
        )

    def deliverable(self, name: str, path: str) -> str:
        """The report and the names of the files, or one file.

        Raises:
            RunError: the run has not ended, or there is no such file.
        """
        folder = self.find(name)
        root = folder.deliverable.resolve()
        if not root.is_dir():
            raise RunError(f"{folder.id} has not ended, so nothing is delivered yet: watch it with watch_run")
        files = {str(file.relative_to(root)): file for file in sorted(root.rglob("*")) if _is_inside(file, root)}
        if not path:
            names = list(files)[:MOST_FILES]
            more = [f"and {len(files) - MOST_FILES:,} more"] if len(files) > MOST_FILES else []
            return "\n".join([_report(folder), "", f"{len(files):,} files:", *names, *more])
        if path not in files:
            raise RunError(f"the deliverable of {folder.id} has no file {path!r}")
        try:
            text = files[path].read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise RunError(f"{path} is no text: {files[path].stat().st_size:,} bytes, at {files[path]}") from None
        return text if len(text) <= MOST_FILE else f"{text[:MOST_FILE]}\n[cut: {len(text):,} characters]"


def server_of(office: Office) -> MCPServer[Any]:
    """The server with its tools."""
    server: MCPServer[Any] = MCPServer(
        "megaagent",
        version=__version__,
        instructions="MegaAgent gives one goal to a whole organization of agents. start_run begins a run and returns "
        "at once; watch_run tells what happens until it has ended; fetch_deliverable gives what was made.",
        log_level="ERROR",
    )

    @server.tool()
    @_told
    async def start_run(goal: str = "", scenario: str = "", model: str = "", max_cost: float | None = None) -> str:  # pyright: ignore[reportUnusedFunction]
        """Give an organization of agents a goal. The run goes on by itself; watch it with watch_run.

        Args:
            goal: what is to be made, in plain words, complete in itself.
            scenario: in place of a goal, a rehearsal that asks no model: gobang or policy.
            model: provider:model, when it shall not be the server's.
            max_cost: US dollars that the run may use at most.
        """
        run = await office.begin(goal, scenario, model, max_cost)
        return f"{await office.line(office.find(run))}\nWatch it with watch_run, run={run!r}."

    @server.tool()
    @_told
    async def list_runs() -> str:  # pyright: ignore[reportUnusedFunction]
        """The runs that there are, newest first."""
        folders = office.runs.folders()[::-1][:MOST_RUNS]
        return "\n".join([await office.line(folder) for folder in folders]) or "there is no run yet"

    @server.tool()
    @_told
    async def watch_run(run: str = "", after: int = 0, seconds: float = 20.0) -> str:  # pyright: ignore[reportUnusedFunction]
        """What has happened in a run, oldest first, and how it stands. Waits a while when nothing is new.

        Args:
            run: its name or a part of it; the latest when not given.
            after: the number that the last answer ended with, so that only what came later is told.
            seconds: to wait for news at most, up to 60.
        """
        return await office.watch(run, after, seconds)

    @server.tool()
    @_told
    async def message_agent(text: str, agent: str = "boss", run: str = "") -> str:  # pyright: ignore[reportUnusedFunction]
        """Write to an agent of a run that is going on; it reads the message before its next step.

        Args:
            text: what it shall know or do.
            agent: its name; the boss unless told otherwise.
            run: the run's name or a part of it; the latest when not given.
        """
        return await office.control(run, Request("send", agent, text))

    @server.tool()
    @_told
    async def fetch_deliverable(run: str = "", path: str = "") -> str:  # pyright: ignore[reportUnusedFunction]
        """What a run has made, when it has ended: its report with the names of the files, or one file.

        Args:
            run: its name or a part of it; the latest when not given.
            path: of a file of the deliverable.
        """
        return await asyncio.to_thread(office.deliverable, run, path)

    @server.tool()
    @_told
    async def stop_run(run: str = "", reason: str = "") -> str:  # pyright: ignore[reportUnusedFunction]
        """End a run; a person can resume it.

        Args:
            run: its name or a part of it; the latest when not given.
            reason: for the record.
        """
        return await office.control(run, Request("stop", "", reason))

    return server


def _told(function: Callable[P, Awaitable[str]]) -> Callable[P, Awaitable[str]]:
    """Tell the client what is wrong when a request cannot be met."""

    @wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return await function(*args, **kwargs)
        except MegaAgentError as error:
            raise ToolError(str(error)) from error

    return call


def _news(folder: RunFolder, after: int) -> tuple[list[str], int]:
    """Noteworthy facts after a position as lines, and the position that was read up to."""
    teller = Teller(ASCII)
    lines: list[str] = []
    with closing(open_reader(folder.journal)) as reader:
        first = reader.record(1)
        position = after
        for record in reader.records(after, bodies=True):
            position = record.position
            teller.learn(record)
            if noteworthy(record) or isinstance(record.event, ev.RunEnded):
                lines.append(teller.line(record, first.time if first is not None else record.time, WIDTH))
            if len(lines) >= MOST_LINES:
                break
    return lines, position


def _report(folder: RunFolder) -> str:
    with closing(open_reader(folder.journal)) as reader:
        endings = [record.event for record in reader.records(kinds=[ev.RunEnded])]
    ending = endings[-1] if endings else None
    if not isinstance(ending, ev.RunEnded):
        return "the run is going on again; this is what it had made before"
    return f"{ending.status}: {ending.reason}\n\n{ending.text}".strip()


def _is_inside(file: Path, root: Path) -> bool:
    return file.is_file() and file.resolve().is_relative_to(root)
