"""The whole engine in virtual time, organization after organization, each drawn by a seed and judged by its records.

    python -m campaigns simulate                     100 seeds
    python -m campaigns simulate --full              5,000 seeds
    python -m campaigns simulate --seed 4711         100 seeds from 4711 on; a case that fails is thus the first again

Scheduler, gate, retries, supervisor, journal (in memory) and workspace (Git) are the real ones; latencies, faults of
models, what agents do and what a person does follow from the seed, and so do all interleavings.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import msgspec

from campaigns.promises import broken_promises, is_step
from campaigns.random_organization import BEGUN, GIVEN_UP, SHARED, person, play, script, weather
from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.events import Record, Revision
from megaagent.models.prices import Price
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.models.weather import StormyModel
from megaagent.testing import Rehearsal, rehearse
from megaagent.workspace import Workspace

FOUND: Final[dict[int, str]] = {
    9: "the verifier was asked again under the same call",
    17: "a wait whose time passed during a pause kept the scheduler busy for nothing",
    32: "a person could add facts after the end",
    721: "the program of an agent whose purse was used up kept the run from being seen as stalled",
    2942: "an approval that a halted agent waited for never ran out of time, and the run had no end",
}
"""Seeds that once showed a bug, and which; they are run every time."""

MEMORY: Final = Path("/dev/shm")  # a file system in memory, where there is one
PRICE: Final = Price(2.0, 8.0, 0.5)
TWICE: Final = 10  # every so many-th seed is run again and must give the same journal
PATIENCE: Final = 120  # real seconds for one seed


class Judged(msgspec.Struct, frozen=True):
    """What the run of one seed came to.

    Attributes:
        engine: seconds of CPU time that the run itself took; judging it takes as long again.
    """

    seed: int
    steps: int
    facts: int
    ending: str
    engine: float
    problems: tuple[str, ...]


def run(full: bool, seed: int) -> dict[str, object]:
    """Run the seeds and judge each; every core of the machine takes its share of them, one process each."""
    seeds = [*FOUND, *range(seed, seed + (5000 if full else 100))]
    endings: Counter[str] = Counter()
    steps = facts = violations = 0
    engine = 0.0
    began = time.perf_counter()
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        for judged in pool.map(judge, seeds, [number % TWICE == 0 for number in range(len(seeds))], chunksize=4):
            steps += judged.steps
            facts += judged.facts
            engine += judged.engine
            endings[judged.ending] += 1
            violations += len(judged.problems)
            for problem in judged.problems:
                again = f"python -m campaigns simulate --seed {judged.seed}"
                sys.stdout.write(f"seed {judged.seed}: {problem}\n    again: {again}\n")
                sys.stdout.flush()
    seconds = time.perf_counter() - began
    return {
        "cases": len(seeds),
        "violations": violations,
        "steps": steps,
        "facts": facts,
        "endings": dict(endings),
        "steps_per_s": round(steps / seconds),  # judging included
        "processes": cores,
        "steps_per_cpu_s": round(steps / engine),
        "seconds": round(seconds, 1),
    }


def judge(seed: int, twice: bool) -> Judged:
    """Run one seed and hold its records against the promises.

    Args:
        twice: run it once more, and hold the two journals against each other.
    """
    before = time.process_time()
    result, problems = simulate(seed)
    engine = time.process_time() - before
    if result is None:
        return Judged(seed, 0, 0, "none", engine, tuple(problems))
    problems += broken_promises(result.records, result.state, tokens=weather(seed).settings.budget.tokens)
    if twice and not problems:
        problems += _again(seed, result.records)
    steps = sum(isinstance(record.event, ev.ModelAnswered) for record in result.records)
    return Judged(seed, steps, len(result.records), result.ending.status, engine, tuple(problems))


def simulate(seed: int) -> tuple[Rehearsal | None, list[str]]:
    """The run of one seed, and what was wrong while it went."""
    drawn = weather(seed)
    problems: list[str] = []
    latency = Latency() if drawn.slow else AT_ONCE
    model: Any = SimulatedModel(script(seed), latency=latency, seed=seed)
    if drawn.faults:
        model = StormyModel(model, drawn.faults, seed=seed, retry_after=seed % 7 or None)
    commits: dict[Revision, dict[str, str]] = {}
    try:
        with _alarm():
            result = rehearse(
                model,
                settings=drawn.settings,
                play=play,
                files=dict.fromkeys(SHARED, BEGUN),
                meanwhile=person(seed),
                price=PRICE,
                scratch=MEMORY if MEMORY.is_dir() else None,
                at_end=lambda workspace: commits.update(_history(workspace)),
            )
    except Exception as error:
        last = "".join(traceback.format_exception(error)[-4:])
        return None, [f"P8: the engine raised {error!r}\n{last}"]
    if result.ending.reason == GIVEN_UP:
        problems.append("P8: the run had no end within thirty virtual days")
    problems += _lost_lines(commits)
    problems += _lost_writes(result, commits)
    return result, problems


def _again(seed: int, records: Sequence[Record]) -> Iterator[str]:
    again, _ = simulate(seed)
    encode = msgspec.json.encode
    other = again.records if again is not None else []
    for one, two in zip(records, other, strict=False):
        if encode(one) != encode(two):
            yield f"the same seed gave another journal, from fact {one.position} ({type(one.event).__name__}) on"
            return
    if len(records) != len(other):
        yield f"the same seed gave {len(other)} facts after {len(records)}"


def _history(workspace: Workspace) -> dict[Revision, dict[str, str]]:
    """The shared files at each commit, oldest first."""
    commits: dict[Revision, dict[str, str]] = {}
    for entry in reversed(workspace.log(limit=100_000)):
        texts: dict[str, str] = {}
        for path in SHARED:
            try:
                texts[path] = workspace.read(path, entry.revision).text
            except ToolError:
                continue
        commits[entry.revision] = texts
    return commits


def _lost_lines(commits: dict[Revision, dict[str, str]]) -> Iterator[str]:
    """P3: nobody takes a line out of a shared file, so each commit has all lines of the one before."""
    before: dict[str, str] = {}
    for revision, texts in commits.items():
        for path, text in before.items():
            lost = Counter(text.splitlines()) - Counter(texts.get(path, "").splitlines())
            if lost:
                yield f"P3: {path} loses {next(iter(lost))!r} in {revision[:12]}"
        before = texts


def _lost_writes(result: Rehearsal, commits: dict[Revision, dict[str, str]]) -> Iterator[str]:
    """P3: a write that was acknowledged is in the history, and what it put into a shared file is there at the end."""
    answered = ((r, r.event) for r in result.records if isinstance(r.event, ev.ModelAnswered))
    answers = {(record.agent, record.step): event for record, event in answered if is_step(event.call)}
    for record in result.records:
        match record.event:
            case ev.FileCommitted(path=path, revision=revision) if revision not in commits:
                yield f"P3: the commit {revision[:12]} of {path} is not in the history"
            case ev.ToolReturned(tool="write_file" | "edit_file", ok=True, index=index):
                arguments = msgspec.json.decode(answers[record.agent, record.step].calls[index].arguments)
                text = arguments.get("content", arguments.get("new", ""))
                there = set(result.files.get(arguments["path"], "").splitlines())
                lost = [line for line in text.splitlines() if line not in there] if arguments["path"] in SHARED else []
                if lost:
                    yield f"P3: {lost[0]!r} of {record.agent} was acknowledged and is not in {arguments['path']}"
            case _:
                pass


@contextmanager
def _alarm() -> Generator[None]:
    """Ends what goes round in circles without the clock going on."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the engine was busy for {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
