"""Judges programs: does a solution that nobody trusts pass tests that it must not be able to touch?

The solution runs in one sandbox and the tests in another. The tests call the solution's functions through us, and what
comes back is plain data. So nothing that a solution does in its own process (leaving with code 0, printing what a judge
prints, replacing `assert`, comparing equal to everything, killing its judge) reaches the place where it is decided.
"""

from __future__ import annotations

import ast
import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from uuid import uuid4

from megaagent.errors import ConfigurationError, SandboxError
from megaagent.events import Struct
from megaagent.sandboxes import Probe, probe
from megaagent.sandboxes.contract import Execution, Level, Limits, Process, Program, Sandbox
from megaagent.sandboxes.harvest import discard, prepare
from megaagent.scenarios.contract import Start

SECONDS = 3.0  # of one program, as in HumanEval's reference implementation
LONGEST = 4 << 20  # characters of one answer of a solution
LONGEST_PROGRAM = 1_000_000  # characters
MOST_CALLS = 100_000  # of one program's functions
_HARNESS = "harness.py"
_IMPORTS = ast.Import | ast.ImportFrom
_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Trial(Struct, frozen=True):
    """One program and what it has to pass.

    Attributes:
        program: the solution, whole.
        tests: run after `setup` and `imports`, with the solution's names at hand; passed when nothing is raised.
        entry: functions under test, which the program must have; they hide a builtin of the same name.
        also: further names that the tests take from the program, if it has them.
        modules: of the standard library that the tests use without importing them.
        setup: trusted code that the tests may need, such as the helpers that a prompt defines.
        imports: what the data set imports for tests and solution.
    """

    program: str
    tests: str
    entry: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    setup: str = ""
    imports: str = ""


class Outcome(Struct, frozen=True):
    """Whether a trial was passed, and why not."""

    passed: bool
    why: str = ""


class Judge:
    """Runs trials, as many at once as there are places; made by `judging`.

    Args:
        seconds: of processor time that one solution may take.
        places: trials under way at once.
    """

    def __init__(self, sandbox: Sandbox, scratch: Path, *, seconds: float = SECONDS, places: int = 2):
        self._sandbox = sandbox
        self._scratch = scratch
        self._seconds = seconds
        self._places = asyncio.Semaphore(places)
        self.level = Level(sandbox.level).name.lower()

    async def passes(self, trial: Trial) -> Outcome:
        """Try one program.

        Raises:
            SandboxError: programs cannot be run, which is not the program's fault.
        """
        if len(trial.program) > LONGEST_PROGRAM:
            return Outcome(False, f"the program has {len(trial.program):,} characters, more than {LONGEST_PROGRAM:,}")
        if "\0" in trial.program or (not trial.program.isascii() and not _encodable(trial.program)):
            return Outcome(False, "the program is no text that Python reads")
        async with self._places, AsyncExitStack() as stack:
            wall = 10 + 5 * self._seconds
            solution, tests = await asyncio.gather(
                self._started(stack, "solution", Limits(wall, self._seconds, output=LONGEST, processes=16)),
                self._started(stack, "tests", Limits(wall, wall, output=LONGEST, processes=4)),
            )
            try:
                async with asyncio.timeout(wall):
                    return await _relayed(trial, solution, tests)
            except TimeoutError:
                return Outcome(False, f"it was not done after {wall:.0f} s")

    def starter(self, files: Mapping[str, bytes]) -> Start:
        """Runs programs each on a fresh copy of these files, as a scenario's check wants to."""

        async def start(program: Program) -> Process:
            folder = self._scratch / uuid4().hex
            await asyncio.to_thread(prepare, folder, files)
            try:
                process = await self._sandbox.start(program, folder)
            except BaseException:
                await asyncio.to_thread(discard, folder)
                raise
            return _OnCopy(process, folder)

        return start

    async def _started(self, stack: AsyncExitStack, side: str, limits: Limits) -> _Side:
        folder = self._scratch / uuid4().hex
        await asyncio.to_thread(prepare, folder, {_HARNESS: harness(side).encode()})
        stack.push_async_callback(asyncio.to_thread, discard, folder)
        command = ("python", "-I", _HARNESS) if side == "tests" else ("python", _HARNESS)
        process = await self._sandbox.start(Program(command, None, limits, packages=()), folder)
        stack.push_async_callback(process.stop)
        return _Side(process)


@asynccontextmanager
async def judging(
    *, seconds: float = SECONDS, places: int = 2, level: Level = Level.LANDLOCK, sandbox: Probe | None = None
) -> AsyncGenerator[Judge]:
    """A judge whose scratch folder lives as long as the block.

    Args:
        sandbox: what a search has found already; searched again when it is weaker than the level.

    Raises:
        ConfigurationError: no sandbox of at least this level holds here.
    """
    if level < Level.LANDLOCK:
        raise ConfigurationError("programs are judged behind walls only: the level must be landlock or stronger")
    found = sandbox if sandbox is not None and sandbox.level >= level else await probe(level)
    if found.sandbox is None:
        raise ConfigurationError(f"programs cannot be judged: no sandbox holds here: {'; '.join(found.notes)}")
    scratch = Path(tempfile.mkdtemp(prefix="megaagent-judge-"))
    scratch.chmod(0o711)  # programs run as another user when we are root
    try:
        yield Judge(found.sandbox, scratch, seconds=seconds, places=places)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, True)


def harness(side: str) -> str:
    """The text of one side, which needs nothing but the standard library."""
    inside = resources.files("megaagent.evaluation.inside")
    values, own = ((inside / f"{name}.py").read_text(encoding="utf-8") for name in ("values", side))
    joined = own.replace("from __future__ import annotations\n", "", 1).splitlines(keepends=True)
    return values + "".join(line for line in joined if not line.startswith("from megaagent."))


def names_in(code: str) -> tuple[str, ...]:
    """The names that code uses and does not import or define itself, in their order; builtins too.

    Raises:
        ConfigurationError: it is no Python.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigurationError(f"tests of the data are not Python: {error}") from error
    nodes = list(ast.walk(tree))
    used = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {
        (name.asname or name.name).split(".")[0] for node in nodes if isinstance(node, _IMPORTS) for name in node.names
    }
    own |= {node.name for node in nodes if isinstance(node, _DEFINITIONS)}
    return tuple(name for name in dict.fromkeys(used) if name not in own)


def defined_in(code: str) -> tuple[str, ...]:
    """The functions and classes that code defines at its top; none when it is no Python."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    return tuple(node.name for node in tree.body if isinstance(node, _DEFINITIONS))


class _OnCopy:
    """A program on its own copy of a deliverable; the copy goes when the program has ended."""

    def __init__(self, process: Process, folder: Path):
        self._process = process
        self._folder = folder

    async def send(self, text: str) -> None:
        await self._process.send(text)

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        return await self._process.read(quiet, patience)

    async def stop(self) -> None:
        await self._process.stop()
        await asyncio.to_thread(discard, self._folder)

    async def wait(self) -> Execution:
        try:
            return await self._process.wait()
        finally:
            await asyncio.to_thread(discard, self._folder)


class _Side:
    """One of the two programs, line by line."""

    def __init__(self, process: Process):
        self._process = process
        self._read = ""

    async def say(self, line: str) -> bool:
        """Whether it still takes what it is told."""
        try:
            await self._process.send(line + "\n")
        except SandboxError:
            return False
        return True

    async def line(self) -> str | None:
        """Its next line; None when there is none to come, or one that is too long."""
        while "\n" not in self._read:
            text, runs = await self._process.read(0.0, 3600.0)
            self._read += text
            if len(self._read) > LONGEST or (not runs and "\n" not in self._read):
                return None
        line, _, self._read = self._read.partition("\n")
        return line

    async def end(self) -> str:
        """How it ended, in words."""
        await self._process.stop()
        ran = await self._process.wait()
        if {"time", "cpu"} & set(ran.cut) or ran.exit_code == -24:
            return "it took too long"
        return f"its process ended ({', '.join(ran.cut) or f'exit code {ran.exit_code}'})"


async def _relayed(trial: Trial, solution: _Side, tests: _Side) -> Outcome:
    """Hand the calls of the tests to the solution, and its answers back, until the tests have decided."""
    task = {"entry": trial.entry, "also": trial.also, "modules": trial.modules, "imports": trial.imports}
    await solution.say(json.dumps(task | {"program": trial.program}))
    await tests.say(json.dumps(task | {"setup": trial.setup, "tests": trial.tests}))
    for _ in range(MOST_CALLS):
        answer = await solution.line()
        if answer is None:
            return Outcome(False, await solution.end())
        if not await tests.say(answer) or (asked := await tests.line()) is None:
            return Outcome(False, f"the tests came to nothing: {await tests.end()}")
        if decided := _decided(asked):
            return decided
        await solution.say(asked)
    return Outcome(False, f"the tests called it more than {MOST_CALLS:,} times")


def _decided(line: str) -> Outcome | None:
    """The verdict in a line of the tests' side, unless it is a call."""
    said = json.loads(line)
    return Outcome(said["passed"] is True, said["why"]) if "passed" in said else None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
