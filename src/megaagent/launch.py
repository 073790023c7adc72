"""Start and resume a run: where its parts are opened, joined and closed."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from megaagent import __version__
from megaagent import events as ev
from megaagent.adoption import adopting, contents, unknown_commits
from megaagent.agent.prompts import Prompts
from megaagent.assembly import Parts, assemble, first_facts
from megaagent.choice import (
    Adapters,
    bulk_of,
    check_price,
    is_simulated,
    open_models,
    voice_of,
    voices_of,
)
from megaagent.clock import Clock, WallClock
from megaagent.collector import rarely_collecting
from megaagent.control import Control, ControlServer
from megaagent.disk import Disk, PatientRuntime, no_beginning
from megaagent.equipment import Equipment, equipped, rooted
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import BOSS, ENGINE, Fact
from megaagent.folder import RunFolder, forget_runs, new_folder, runs_folder
from megaagent.journal import JournalWriter, create_journal, open_journal
from megaagent.journal.contract import TakenError
from megaagent.journal.homes import forget, kept_still, move, settle
from megaagent.models.contract import Model
from megaagent.organization.snapshots import Keeper
from megaagent.organization.state import State
from megaagent.past import check_against, held_in, new_caps, read_past
from megaagent.placement import Placed, placing
from megaagent.running import Result, Run, made_up_for
from megaagent.sandboxes import Probe
from megaagent.settings import Settings, changed
from megaagent.telemetry.sending import Follower, check_telemetry
from megaagent.tools import Tool
from megaagent.wish import Scenario, acceptance_of, find_scenario, goal_of, settled
from megaagent.workspace import Stamp, Workspace


@asynccontextmanager
async def start(
    goal: str | None = None,
    *,
    scenario: str | Scenario | None = None,
    model: str | None = None,
    base_url: str | None = None,
    settings: Settings | None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    source: Path | str | None = None,
    runs: Path | str | None = None,
    models: Mapping[str, Model] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    sandbox: Probe | None = None,
) -> AsyncGenerator[Run]:
    """Begin a run; leaving the block calls off what still lives.

    Args:
        goal: what is to be done, in plain words; a scenario brings its own.
        scenario: a goal with settings and acceptance, by name or as an object.
        model: `provider:name` for every tier that the settings do not name; overrides them.
        base_url: of an OpenAI-compatible server.
        tools: functions that agents may call, beside the built-in ones.
        source: an existing repository or folder to start from; it is never touched.
        runs: where runs are kept; `megaagent-runs` in the current folder unless told otherwise.
        models: ready-made models by `provider:name`, for tests.
        environ: where keys are looked for; the process's environment by default.
        sandbox: what `probe` found for these settings; looked for when not given. For whoever begins many runs.

    Raises:
        ConfigurationError: something that was given cannot work; nothing was made or spent.
    """
    environ = os.environ if environ is None else environ
    clock = clock or WallClock()
    chosen = find_scenario(scenario) if isinstance(scenario, str) else scenario
    settings = rooted(settled(settings or Settings(), chosen, model, base_url))
    goal = goal_of(goal, chosen)
    models = open_models(settings, environ, models or {})
    check_price(settings)
    bulk_of(models, settings)
    check_telemetry(settings.telemetry)
    Prompts(Path(settings.prompts) if settings.prompts else None)
    kept = runs_folder(Path(runs) if runs else None, environ)
    async with AsyncExitStack() as stack:
        outfit = await stack.enter_async_context(equipped(settings, tools, environ, models.secrets))
        folder = new_folder(kept, chosen.name if chosen else goal, clock.now())
        with nothing_left_behind(folder):
            first = Stamp(BOSS, folder.id, 0, 0, clock.now())
            workspace = _workspace(folder, source, first)
            stack.callback(workspace.close)
            placed = await placing(stack, folder.id, settings, models, workspace, clock, environ, sandbox)
            path = settle(folder.path, settings.journal, folder.id)
            journal = create_journal(path, clock, durability=settings.durability)
            journal.hide(outfit.secrets.hide_in)
            stack.push_async_callback(journal.close)
            facts = first_facts(
                folder.id,
                goal,
                settings.model.name or "",
                is_simulated(settings),
                settings,
                workspace.head(),
                scenario=chosen.name if chosen else None,
                source=str(source) if source else None,
            )
            await journal.append([*facts, *outfit.pins])
        yield await enter(stack, folder, folder.id, journal, workspace, settings, models, placed, outfit, chosen, clock)


@asynccontextmanager
async def resume(
    folder: RunFolder,
    *,
    changes: Mapping[str, Any] | None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    models: Mapping[str, Model] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    sandbox: Probe | None = None,
) -> AsyncGenerator[Run]:
    """Go on with a run that was stopped, ran out of budget, or crashed: fold its journal, then schedule.

    Args:
        changes: settings to change, by dotted name; a new cap of the budget is recorded in the journal.
        tools: the user's own, as they were given at the start.
        sandbox: as of `start`.

    Raises:
        RunError: it is going on, is completed, or its journal cannot be used.
        ConfigurationError: a change cannot work.
    """
    environ = os.environ if environ is None else environ
    clock = clock or WallClock()
    changes = changes or {}
    move(folder.journal, changes.get("journal"))
    with kept_still(folder.journal):  # a run that is going on is told first
        past = read_past(folder)
    ending = past.state.run.ending
    if ending is not None and ending.status == "completed":
        raise RunError(f"run {folder.id} is completed; {made_up_for(folder, ending)}")
    settings = changed(past.settings, changes, "resume")
    check_against(past.state, settings, changes)
    check_telemetry(settings.telemetry)
    chosen = find_scenario(past.began.scenario) if past.began.scenario else None
    opened = open_models(settings, environ, models or {})
    bulk_of(opened, settings)
    async with AsyncExitStack() as stack:
        outfit = await stack.enter_async_context(equipped(settings, tools, environ, opened.secrets, held_in(folder)))
        journal = open_journal(folder.journal, clock, durability=settings.durability)
        journal.hide(outfit.secrets.hide_in)
        stack.push_async_callback(journal.close)
        with no_beginning():
            workspace = Workspace.open(folder.workspace)
            workspace.sole_writer()  # as the journal's lock has shown: what a killed engine left locked is free
        stack.callback(workspace.close)
        run = past.state.run.run  # not the folder's name, which a person may have changed: commits are known by it
        placed = await placing(stack, run, settings, opened, workspace, clock, environ, sandbox)
        lost = tuple(member.program for member in past.state.live() if member.program)
        with closing(journal.reader()) as reader:
            found = unknown_commits(workspace, reader, past.state)
        resumed = ev.RunResumed(__version__, lost, tuple(commit.revision for commit in found))
        facts = [Fact(ENGINE, 0, resumed), *adopting(found, journal.epoch), *new_caps(changes), *outfit.pins]
        await journal.append(facts, contents(workspace, found))
        folder.report.unlink(missing_ok=True)  # it told of an ending that is none any more
        yield await enter(
            stack, folder, run, journal, workspace, settings, opened, placed, outfit, chosen, clock, past.state
        )


def run(goal: str | None = None, **options: Any) -> Result:
    """Run a goal to its end; takes what `start` takes.

    Raises:
        ConfigurationError: something that was given cannot work; nothing was made or spent.
    """

    async def main() -> Result:
        async with start(goal, **options) as live:
            return await live.result()

    return asyncio.run(main())


async def enter(
    stack: AsyncExitStack,
    folder: RunFolder,
    run: str,
    journal: JournalWriter,
    workspace: Workspace,
    settings: Settings,
    models: Adapters,
    placed: Placed,
    outfit: Equipment,
    scenario: Scenario | None,
    clock: Clock,
    state: State | None = None,
) -> Run:
    """Join the parts to a run that lives until the stack is left.

    Args:
        state: what has been folded already; the facts after it are taken in.
    """
    journal.listen(stack.enter_context(rarely_collecting()), watcher=True)
    disk = Disk()
    journal.wait_for_disk(partial(disk.tell, "journal"))
    if models.source is not None:
        stack.push_async_callback(models.source.embedder.close)
    parts = Parts(
        run,
        settings,
        clock,
        journal,
        workspace,
        PatientRuntime(placed.runtime, disk),
        voices_of(settings),
        models.gates,
        outfit.toolbox,
        acceptance_of(scenario, settings),
        disk,
        breakers=models.breakers,
        fallbacks=tuple(voice_of(name, settings) for name in settings.model.fallbacks),
        state=state,
        bulk=bulk_of(models, settings),
        source=models.source,
    )
    organization, questions, approvals = assemble(parts)
    keeper = Keeper(organization.state, journal, journal.reader())
    journal.listen(keeper.take_in, watcher=True)
    stack.push_async_callback(keeper.close)
    outfit.join(organization.append, approvals)
    control = Control(organization, questions, approvals)
    server = ControlServer(control, folder.socket)
    with no_beginning():
        await server.start()
    stack.push_async_callback(server.close)
    notes = [*placed.notes, *_source_notes(workspace), *outfit.notes]
    follower = _followed(folder, settings, 0 if state is None else state.position)
    if follower is not None:
        stack.push_async_callback(asyncio.to_thread, follower.close)
    running = Run(
        folder, organization, control, journal, workspace, is_simulated(settings), tuple(notes), disk, follower
    )
    stack.push_async_callback(running.close)
    return running


def _followed(folder: RunFolder, settings: Settings, since: int) -> Follower | None:
    """Who sends the run's spans and metrics while it goes on; None when nobody wants them."""
    if not settings.telemetry.otel:
        return None
    from megaagent.telemetry.otlp import Sender

    return Follower(folder, Sender(folder.id), content=settings.telemetry.content, since=since)


@contextmanager
def nothing_left_behind(folder: RunFolder) -> Generator[None]:
    """A run that could not begin leaves no folder, no journal elsewhere, nor an empty folder of runs."""
    try:
        with no_beginning():
            yield
    except BaseException as error:
        if not isinstance(error, TakenError):
            forget(folder.journal)
        shutil.rmtree(folder.path, ignore_errors=True)
        forget_runs(folder.path.parent)
        raise


def _source_notes(workspace: Workspace) -> list[str]:
    """What of the source did not come along, in words."""
    notes: list[str] = []
    if workspace.dirty:
        notes.append("the source has changes that are not committed: the run starts from its last commit, without them")
    if workspace.left_out:
        first = "; ".join(workspace.left_out[:3])
        notes.append(f"{len(workspace.left_out)} entries of the source were left out: {first}")
    return notes


def _workspace(folder: RunFolder, source: Path | str | None, stamp: Stamp) -> Workspace:
    if source is None:
        return Workspace.create(folder.workspace, stamp=stamp)
    try:
        return Workspace.create(folder.workspace, Path(source), stamp=stamp)
    except OSError as error:
        raise ConfigurationError(
            f"--from {source}: it cannot be read as a folder of files: {error.strerror}"
        ) from error
