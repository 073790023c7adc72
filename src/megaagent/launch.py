"""Start and resume a run: where its parts are opened, joined and closed."""

from __future__ import annotations

import asyncio
import math
import os
import shlex
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol, get_args

import msgspec

from megaagent import __version__
from megaagent import events as ev
from megaagent.adoption import adopting, contents, unknown_commits
from megaagent.agent.prompts import Prompts
from megaagent.assembly import Parts, assemble, first_facts
from megaagent.clock import Clock, WallClock
from megaagent.control import Control, ControlServer
from megaagent.disk import Disk, PatientRuntime, no_beginning, pause_that_was
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import BOSS, ENGINE, AgentId, Fact, Record, Struct, Tier
from megaagent.folder import RunFolder, forget_runs, new_folder, runs_folder
from megaagent.journal import SQLiteJournal
from megaagent.journal.lock import kept_still
from megaagent.models import endpoint_of, open_model
from megaagent.models.breaker import Breaker
from megaagent.models.contract import Model
from megaagent.models.gate import Gate
from megaagent.models.prices import Price, cost_of, parse_price
from megaagent.organization.engine import Organization
from megaagent.organization.members import Member
from megaagent.organization.snapshots import Keeper
from megaagent.organization.state import State
from megaagent.organization.verification import Acceptance, Check, Start
from megaagent.organization.voices import Voice
from megaagent.past import check_against, new_caps, read_past
from megaagent.redaction import Secrets, passwords_in
from megaagent.report import write_report
from megaagent.runtimes.local import LocalRuntime
from megaagent.sandboxes import probe
from megaagent.sandboxes.contract import Level, Program
from megaagent.settings import Settings, changed
from megaagent.tools import Tool, toolbox
from megaagent.workspace import Stamp, Workspace

FIRST_PROMPT = 3_000  # tokens of the shortest prompt: rules, tools and a goal
LONGEST_GOAL = 200_000  # characters; it is part of every prompt of the boss and the verifier
SCENARIOS = "megaagent.scenarios"  # the room above that knows scenarios and scripts by name


class Scenario(Protocol):
    """What a run needs of a scenario (`megaagent.scenarios.contract`)."""

    @property
    def name(self) -> str: ...
    @property
    def goal(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    async def check(self, start: Start) -> list[Check]: ...


class AgentSummary(Struct, frozen=True):
    """One agent of a finished run, with its subordinates."""

    id: AgentId
    description: str
    steps: int
    usage: ev.Usage
    cost: float
    files: tuple[str, ...]
    group: tuple[AgentSummary, ...] = ()


class Result(Struct, frozen=True):
    """How a run ended.

    Attributes:
        text: the boss's report.
        revision: of the workspace; `path` has its files.
        cost: US dollars, simulated when `simulated`; `unpriced` calls are not in it.
        gaps: what the verifier still missed.
    """

    run: str
    status: ev.Status
    reason: str
    text: str
    revision: str | None
    path: Path
    folder: Path
    usage: ev.Usage
    cost: float
    unpriced: int
    simulated: bool
    seconds: float
    tree: AgentSummary
    gaps: tuple[str, ...] = ()

    @property
    def completed(self) -> bool:
        return self.status == "completed"


class Run:
    """A run under way.

    Attributes:
        folder: where it lives.
        state: the organization as the journal has it; to be read only.
        control: what a person can do to it.
        notes: what should be known before it begins, such as how programs are confined.
    """

    def __init__(
        self,
        folder: RunFolder,
        organization: Organization,
        control: Control,
        journal: SQLiteJournal,
        workspace: Workspace,
        simulated: bool,
        notes: tuple[str, ...],
        disk: Disk,
    ):
        self.folder = folder
        self.state = organization.state
        self.control = control
        self.simulated = simulated
        self.notes = notes
        self._journal = journal
        self._workspace = workspace
        self._organization = organization
        self._disk = disk
        self._trouble: str | None = None
        self._recording: set[asyncio.Task[bool]] = set()
        disk.watch(self._take_note)
        self._living = asyncio.create_task(organization.live(), name=f"run {folder.id}")

    def watch(self, watcher: Callable[[Sequence[Record]], None]) -> None:
        """Be told of every fact from now on; a watcher that fails is removed and cannot hurt the run."""
        self._journal.listen(watcher, watcher=True)

    def watch_disk(self, watcher: Callable[[str | None], None]) -> None:
        """Be told when the run waits for its disk, and why, and with None when it goes on; no fact can tell that."""
        self._disk.watch(watcher)

    @property
    def waits_for_disk(self) -> str | None:
        """Why nothing can be written now; None when it can."""
        return self._trouble

    def _take_note(self, reason: str | None) -> None:
        """Record a wait for the disk as soon as it is over."""
        was, self._trouble = self._trouble, reason
        if reason is None and was is not None and not self._living.done():
            task = asyncio.ensure_future(self._organization.append(pause_that_was(self.state, was)))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Every fact from the first, as it is recorded, until the run has ended."""
        news: asyncio.Queue[Record | None] = asyncio.Queue()

        def take(records: Sequence[Record]) -> None:
            for record in records:
                news.put_nowait(record)

        self._journal.listen(take, watcher=True)
        self._living.add_done_callback(lambda _: news.put_nowait(None))
        seen = 0
        for record in self._journal.reader().records():
            seen = record.position
            yield record
        while (record := await news.get()) is not None:
            if record.position > seen:
                yield record

    async def result(self) -> Result:
        """Wait for the end; the deliverable is then checked out and the report written."""
        ending = await asyncio.shield(self._living)
        revision = await self._disk.patiently(_check_out, self._workspace, self.folder, ending.revision)
        result = Result(
            self.folder.id,
            ending.status,
            ending.reason,
            ending.text,
            revision,
            self.folder.deliverable,
            self.folder.path,
            self.state.run.usage,
            self.state.run.cost,
            self.state.run.unpriced,
            self.state.run.simulated,
            self.state.run.active_seconds,
            _summary(self.state, self.state.members[BOSS]),
            ending.gaps,
        )
        await self._disk.patiently(write_report, self.folder)
        return result

    async def close(self) -> None:
        """Call off what still lives."""
        self._living.cancel()
        await asyncio.gather(self._living, *self._recording, return_exceptions=True)


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

    Raises:
        ConfigurationError: something that was given cannot work; nothing was made or spent.
    """
    environ = os.environ if environ is None else environ
    clock = clock or WallClock()
    chosen = find_scenario(scenario) if isinstance(scenario, str) else scenario
    settings = _settings(settings or Settings(), chosen, model, base_url)
    goal = _goal(goal, chosen)
    models = open_models(settings, environ, models or {})
    check_price(settings)
    toolbox(tools)
    Prompts(Path(settings.prompts) if settings.prompts else None)
    kept = runs_folder(Path(runs) if runs else None, environ)
    folder = new_folder(kept, chosen.name if chosen else goal, clock.now())
    async with AsyncExitStack() as stack:
        with nothing_left_behind(folder):
            first = Stamp(BOSS, folder.id, 0, 0, clock.now())
            workspace = _workspace(folder, source, first)
            stack.callback(workspace.close)
            journal = SQLiteJournal.create(folder.journal, clock, durability=settings.durability)
            journal.hide(models.secrets.hide_in)
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
            await journal.append(facts)
        yield await enter(stack, folder, folder.id, journal, workspace, settings, models, tools, chosen, clock)


@asynccontextmanager
async def resume(
    folder: RunFolder,
    *,
    changes: Mapping[str, Any] | None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    models: Mapping[str, Model] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Run]:
    """Go on with a run that was stopped, ran out of budget, or crashed: fold its journal, then schedule.

    Args:
        changes: settings to change, by dotted name; a new cap of the budget is recorded in the journal.
        tools: the user's own, as they were given at the start.

    Raises:
        RunError: it is going on, is completed, or its journal cannot be used.
        ConfigurationError: a change cannot work.
    """
    environ = os.environ if environ is None else environ
    clock = clock or WallClock()
    changes = changes or {}
    with kept_still(folder.journal.with_suffix(".lock")):  # a run that is going on is told first
        past = read_past(folder)
    ending = past.state.run.ending
    if ending is not None and ending.status == "completed":
        raise RunError(f"run {folder.id} is completed; {_made_up_for(folder, ending)}")
    settings = changed(past.settings, changes, "resume")
    check_against(past.state, settings, changes)
    chosen = find_scenario(past.began.scenario) if past.began.scenario else None
    opened = open_models(settings, environ, models or {})
    async with AsyncExitStack() as stack:
        journal = SQLiteJournal.open(folder.journal, clock, durability=settings.durability)
        journal.hide(opened.secrets.hide_in)
        stack.push_async_callback(journal.close)
        with no_beginning():
            workspace = Workspace.open(folder.workspace)
            workspace.sole_writer()  # as the journal's lock has shown: what a killed engine left locked is free
        stack.callback(workspace.close)
        lost = tuple(member.program for member in past.state.live() if member.program)
        with closing(journal.reader()) as reader:
            found = unknown_commits(workspace, reader, past.state)
        resumed = ev.RunResumed(__version__, lost, tuple(commit.revision for commit in found))
        facts = [Fact(ENGINE, 0, resumed), *adopting(found, journal.epoch), *new_caps(changes)]
        await journal.append(facts, contents(workspace, found))
        folder.report.unlink(missing_ok=True)  # it told of an ending that is none any more
        run = past.state.run.run  # not the folder's name, which a person may have changed: commits are known by it
        yield await enter(stack, folder, run, journal, workspace, settings, opened, tools, chosen, clock, past.state)


def run(goal: str | None = None, **options: Any) -> Result:
    """Run a goal to its end; takes what `start` takes.

    Raises:
        ConfigurationError: something that was given cannot work; nothing was made or spent.
    """

    async def main() -> Result:
        async with start(goal, **options) as live:
            return await live.result()

    return asyncio.run(main())


# -- opening ----------------------------------------------------------------------------------------------------------


async def enter(
    stack: AsyncExitStack,
    folder: RunFolder,
    run: str,
    journal: SQLiteJournal,
    workspace: Workspace,
    settings: Settings,
    models: Adapters,
    tools: Sequence[Tool | Callable[..., Any]],
    scenario: Scenario | None,
    clock: Clock,
    state: State | None = None,
) -> Run:
    """Join the parts to a run that lives until the stack is left.

    Args:
        state: what has been folded already; the facts after it are taken in.
    """
    found = await probe(Level[settings.sandbox.level.upper()])
    with no_beginning():
        scratch = Path(tempfile.mkdtemp(prefix="megaagent-"))
    scratch.chmod(0o711)  # programs run as another user when the engine is root
    places = settings.sandbox.programs
    runtime = LocalRuntime(models, workspace, found.sandbox, scratch, clock, programs=places, notes=found.notes)
    stack.push_async_callback(runtime.close)
    disk = Disk()
    journal.wait_for_disk(partial(disk.tell, "journal"))
    parts = Parts(
        run,
        settings,
        clock,
        journal,
        workspace,
        PatientRuntime(runtime, disk),
        _voices(settings),
        models.gates,
        tools,
        _acceptance(scenario, settings),
        disk,
        breakers=models.breakers,
        fallbacks=tuple(_voice(name, settings) for name in settings.model.fallbacks),
        state=state,
    )
    organization, questions = assemble(parts)
    keeper = Keeper(organization.state, journal, journal.reader())
    journal.listen(keeper.take_in, watcher=True)
    stack.push_async_callback(keeper.close)
    control = Control(organization, questions)
    server = ControlServer(control, folder.socket)
    with no_beginning():
        await server.start()
    stack.push_async_callback(server.close)
    how = f"programs run in: {runtime.level}" if found.sandbox else "programs are refused: no sandbox holds here"
    notes = [how, *(found.notes if found.sandbox is None else ()), *_source_notes(workspace)]
    running = Run(folder, organization, control, journal, workspace, is_simulated(settings), tuple(notes), disk)
    stack.push_async_callback(running.close)
    return running


@contextmanager
def nothing_left_behind(folder: RunFolder) -> Generator[None]:
    """A run that could not begin leaves no folder, nor an empty folder of runs."""
    try:
        with no_beginning():
            yield
    except BaseException:
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


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        ConfigurationError: there is none; names the nearest.
    """
    return import_module(SCENARIOS).scenario(name)


def _settings(settings: Settings, scenario: Scenario | None, model: str | None, base_url: str | None) -> Settings:
    if scenario is not None:
        settings = _with_defaults(settings, scenario.settings, f"scenario {scenario.name}")
    settings = changed(settings, {"model.name": model, "model.base_url": base_url}, "the command")
    if settings.model.name is None and scenario is not None:
        settings = changed(settings, {"model.name": scenario.model}, f"scenario {scenario.name}")
    if settings.model.name is None:
        raise ConfigurationError(
            "no model is named. For a real one: --model openai:NAME with OPENAI_API_KEY set, or --model openai:NAME "
            "--base-url URL for any OpenAI-compatible server. To rehearse without a provider: --scenario gobang"
        )
    return settings


def check_price(settings: Settings) -> None:
    """A money cap must be able to hold before anything is spent."""
    names = _all_names(settings)
    unpriced = [name for name in names if cost_of(ev.Usage(1, 1), name, _price(name, settings)) is None]
    if unpriced and settings.budget.tokens is None:
        raise ConfigurationError(
            f"the price of {', '.join(unpriced)} is not known, so no money cap can hold: give --max-tokens N, or "
            "--price IN:OUT in dollars per million tokens (0:0 for a model of your own)"
        )
    least = FIRST_PROMPT + settings.limits.output
    dearest = max(
        cost_of(ev.Usage(FIRST_PROMPT, settings.limits.output), name, _price(name, settings)) or 0.0 for name in names
    )
    room = 1.0 - settings.budget.reserve
    if settings.budget.tokens is not None and settings.budget.tokens * room < least:
        raise ConfigurationError(
            f"a cap of {settings.budget.tokens:,} tokens has no room for one call, which reserves at least {least:,}: "
            "raise --max-tokens, or lower limits.output"
        )
    if settings.budget.cost is not None and settings.budget.cost * room < dearest:
        raise ConfigurationError(
            f"a cap of ${settings.budget.cost:g} has no room for one call, which reserves at least ${dearest:.2f}: "
            "raise --max-cost, or lower limits.output"
        )


def _with_defaults(settings: Settings, defaults: Mapping[str, Any], source: str) -> Settings:
    """The settings with a scenario's own defaults where the user has left ours."""
    untouched = {
        name: value for name, value in defaults.items() if attrgetter(name)(settings) == attrgetter(name)(Settings())
    }
    return changed(settings, untouched, source)


def _goal(goal: str | None, scenario: Scenario | None) -> str:
    if goal is None and scenario is not None:
        goal = scenario.goal
    if goal is None or not goal.strip():
        raise ConfigurationError("the goal is empty: say in plain words what is to be made")
    if len(goal) > LONGEST_GOAL:
        raise ConfigurationError(
            f"the goal has {len(goal):,} characters, at most {LONGEST_GOAL:,} are taken. Put the material into a "
            "folder, start with --from FOLDER, and let the goal name the files."
        )
    try:
        goal.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"the goal is not valid text: {error.reason} at character {error.start}") from error
    return goal.strip()


def _names(settings: Settings) -> dict[Tier, str]:
    default = settings.model.name or ""
    return {tier: settings.model.tiers.get(tier, default) for tier in get_args(Tier)}


def _all_names(settings: Settings) -> list[str]:
    """Every model that may be asked."""
    return sorted({*_names(settings).values(), *settings.model.fallbacks})


def _shares_address(name: str, settings: Settings) -> bool:
    """Whether the base URL and the price that were given hold for this model: for all but fallbacks elsewhere."""
    own = (settings.model.name or "").partition(":")[0]
    return name in _names(settings).values() or name.partition(":")[0] == own


def _price(name: str, settings: Settings) -> Price | None:
    given = settings.model.price
    return parse_price(given) if given and _shares_address(name, settings) else None


def is_simulated(settings: Settings) -> bool:
    return any(name.startswith("sim:") for name in _all_names(settings))


class Adapters(dict[str, Model]):
    """The bare adapters of a run by `provider:name`, the gate before each, and the breaker before its endpoint.

    Attributes:
        secrets: what the environment holds that no fact may tell.
    """

    def __init__(self, names: Iterable[str], settings: Settings, secrets: Secrets):
        super().__init__()
        self.secrets = secrets
        self.gates = {name: Gate(settings.gate) for name in names}
        self.breakers: dict[str, Breaker] = {}


def open_models(settings: Settings, environ: Mapping[str, str], given: Mapping[str, Model]) -> Adapters:
    """The bare adapters of all tiers; what a provider tells of its limits, its gate learns."""
    scripts: Mapping[str, str] = import_module(SCENARIOS).SCRIPTS
    speed = settings.simulation.speed or math.inf
    secrets = Secrets.of(environ)
    _check_secrets(settings, secrets)
    adapters = Adapters(_all_names(settings), settings, secrets)
    breakers: dict[str, Breaker] = {}
    for name, gate in adapters.gates.items():
        url = settings.model.base_url if _shares_address(name, settings) else None
        endpoint = endpoint_of(name, environ=environ, base_url=url)
        adapters.breakers[name] = breakers.setdefault(endpoint, Breaker(endpoint, settings.breaker))
        adapters[name] = given.get(name) or open_model(
            name,
            environ=environ,
            base_url=url,
            stream=settings.model.stream,
            limits=gate.learn,
            scripts=scripts,
            seed=settings.simulation.seed,
            speed=speed,
            network=settings.model.network,
        )
    return adapters


def _check_secrets(settings: Settings, secrets: Secrets) -> None:
    """Settings are recorded, and a run goes on from what is recorded: a secret in them would be kept, or be lost."""
    told = msgspec.json.encode(settings).decode()
    if settings.model.base_url and passwords_in(settings.model.base_url):
        raise ConfigurationError(
            "--base-url holds a password or a key, which the journal would keep. Give the address in the environment "
            "instead, as OPENAI_BASE_URL (or that of your provider), and the key as OPENAI_API_KEY"
        )
    if secrets.hide(told) != told:
        raise ConfigurationError(
            "the settings hold a secret that is also in the environment, and the journal would keep it: take it out "
            "of the settings file and of --set"
        )


def _voice(name: str, settings: Settings) -> Voice:
    return Voice(name, name, _price(name, settings), settings.limits.output, settings.model.temperature)


def _voices(settings: Settings) -> dict[Tier, Voice]:
    return {tier: _voice(name, settings) for tier, name in _names(settings).items()}


def _acceptance(scenario: Scenario | None, settings: Settings) -> Acceptance | None:
    """The scenario's checks and the user's commands."""
    if scenario is None and not settings.checks:
        return None

    async def accept(start: Start) -> list[Check]:
        checks = await scenario.check(start) if scenario is not None else []
        for command in settings.checks:
            process = await start(Program(tuple(shlex.split(command)), stdin=""))
            execution = await process.wait()
            detail = "" if execution.exit_code == 0 else f"exit code {execution.exit_code}: {execution.output[-1500:]}"
            checks.append(Check(command, execution.exit_code == 0, detail))
        return checks

    return accept


# -- closing ----------------------------------------------------------------------------------------------------------


def _check_out(workspace: Workspace, folder: RunFolder, revision: str | None) -> str:
    """The deliverable as plain files; that of an earlier ending makes room."""
    making = folder.deliverable.with_name("deliverable.making")
    shutil.rmtree(making, ignore_errors=True)
    revision = workspace.checkout(making, revision or workspace.head())
    if folder.deliverable.exists():
        shutil.rmtree(folder.deliverable)
    making.rename(folder.deliverable)
    return revision


def _made_up_for(folder: RunFolder, ending: ev.RunEnded) -> str:
    """Do what an engine that died after the end has left undone, and say so; the report is the last that it does."""
    if folder.report.exists():
        return "there is nothing to resume"
    workspace = Workspace.open(folder.workspace)
    try:
        _check_out(workspace, folder, ending.revision)
    finally:
        workspace.close()
    write_report(folder)
    return f"only {folder.deliverable.name}/ and {folder.report.name} were missing, and are there now"


def _summary(state: State, member: Member) -> AgentSummary:
    group = tuple(_summary(state, state.members[id]) for id in member.group)
    return AgentSummary(
        member.id, member.description, member.step, member.usage, round(member.cost, 6), member.files, group
    )


def _workspace(folder: RunFolder, source: Path | str | None, stamp: Stamp) -> Workspace:
    if source is None:
        return Workspace.create(folder.workspace, stamp=stamp)
    try:
        return Workspace.create(folder.workspace, Path(source), stamp=stamp)
    except OSError as error:
        raise ConfigurationError(
            f"--from {source}: it cannot be read as a folder of files: {error.strerror}"
        ) from error
