"""Kill the engine wherever something becomes durable or visible, resume it, and let the checker judge (P1 to P6).

A case is a place and an occurrence: the scripted run is begun in a process of its own, which is killed there, then
resumed (in the full form some are killed again) until it has ended. The checker looks twice: at what the dead engine
left, and at the end. Besides, the log of a dead engine's journal is cut after every frame of it (in the short form:
some), as a power cut may cut it, and the run resumed from what is left.

    python -m campaigns.crash           lists the places
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from campaigns.checker import check
from campaigns.crash_child import COMPLETED, REFUSED, STOPPED, Places, main_of_phase
from campaigns.evidence import Row, read_journal
from campaigns.failpoints import names
from megaagent.events import Usage
from megaagent.folder import RunFolder
from megaagent.models.prices import cost_of
from megaagent.proof import replay
from megaagent.wish import find_scenario

WORKERS = 2
SHORT, FULL = 210, 1_500  # cases, beside those that a signal other than SIGKILL ends
PATIENCE = 60  # seconds, after which a phase is taken to hang
ON_RESUME = ("recorded.RunResumed", "workspace.open", "snapshot.restore")  # places that only a second engine passes
BASE = "base"  # folder of the run whose journal is cut
CLOCK = "clock"  # no place: the engine is killed after so many milliseconds, wherever it is
LOAD, WIDE = 300, (12, 24)  # so many such kills, of a run with 12 groups of 25 and the two others
CUTS = 20  # frames after which the journal's log is cut in the short form
LATE = ("engine.end.before", 1)  # where the engine dies whose journal is cut
BEGUN = ("step.act.before", 5)  # where the first engine dies when the second is the one to be looked at

C = TypeVar("C")


@dataclass(frozen=True)
class Case:
    """One run that is spoiled.

    Attributes:
        kills: place and occurrence at which each engine in turn dies; for `CLOCK`, milliseconds.
        signal: what the last of them is sent: KILL, TERM, or STOP (another engine is then refused, and it goes on).
        cut: no kill; the journal of an engine that died late keeps so many frames of its log.
    """

    kills: tuple[tuple[str, int], ...]
    signal: str = "KILL"
    width: tuple[int, int] = (2, 4)
    cut: int | None = None

    def __str__(self) -> str:
        if self.cut is not None:
            return f"CUT after frame {self.cut} of the journal's log"
        load = "" if self.width == Case.width else " under load"
        return f"{self.signal}{load} at " + ", then at ".join(f"{place} ({n})" for place, n in self.kills)


@dataclass
class Outcome:
    """What became of a case: what is wrong, and how many of its places were reached."""

    case: str
    reached: int = 0
    began: bool = True  # False: it died before the run had a first fact, and nothing was spent
    violations: list[str] = field(default_factory=list[str])


def run(full: bool, seed: int) -> dict[str, object]:
    """The campaign; see `campaigns`."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="crash-", dir=quick_place()) as folder:
        load_everything()
        counts = dry_run(Path(folder, "dry"))
        cases = chosen(counts, FULL if full else SHORT, seed, doubles=full)
        cases += cuts(Path(folder, BASE), None if full else CUTS, seed)
        cases += under_load(Path(folder, "wide"), LOAD, seed) if full else []
        outcomes = in_parallel(cases, Path(folder))
    for outcome in outcomes:
        for violation in outcome.violations:
            sys.stdout.write(f"{outcome.case}: {violation}\n")
    reached = [outcome for outcome in outcomes if outcome.reached]
    return {
        "cases": len(reached),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
        "places": len(names()),
        "not_reached": len(outcomes) - len(reached),
        "killed_twice": sum(outcome.reached > 1 for outcome in outcomes),
        "never_began": sum(not outcome.began for outcome in outcomes),
        "signals": dict(Counter(outcome.case.split()[0] for outcome in reached)),
        "seconds": round(time.monotonic() - began, 1),
    }


# -- which cases ------------------------------------------------------------------------------------------------------


def dry_run(folder: Path, width: tuple[int, int] = (2, 4)) -> Counter[str]:
    """How often each place is passed when nothing happens."""
    places = Places(folder)
    folder.mkdir()
    status = phase(lambda: main_of_phase(places, width=width, count=True), places)
    log = (folder / "log").read_text()
    assert os.waitstatus_to_exitcode(status) == COMPLETED, f"the run fails without being killed: {log}"
    return Counter(json.loads(places.counts.read_text()))


def chosen(counts: Counter[str], number: int, seed: int, *, doubles: bool) -> list[Case]:
    """Every place once, then occurrences at random, then other signals.

    Args:
        counts: of a run that was left alone; the later fifth is not drawn from, since runs differ a little.
        number: of kills.
        doubles: a third of the cases are killed again after the resume.
    """
    random_ = random.Random(seed)
    cases: dict[Case, None] = {}
    for place in names():
        if place.startswith(ON_RESUME):
            cases[Case((BEGUN, (place, 1)))] = None
        else:
            cases[Case(((place, _draw(random_, counts[place])),))] = None
    drawn = sorted(counts)
    while len(cases) < number:
        first = random_.choice(drawn)
        kills = ((first, _draw(random_, counts[first])),)
        if doubles and random_.random() < 1 / 3:
            kills += ((random_.choice(drawn), random_.randint(1, 12)),)
        cases[Case(kills)] = None
    gentle = ("model.billed", "step.act.before", "git.lock.made", "recorded.ToolReturned.after")
    for number_, place in enumerate(gentle * (10 if doubles else 1), 1):
        cases[Case(((place, number_),), "TERM")] = None
        cases[Case(((place, number_),), "STOP")] = None
    return list(cases)


def under_load(folder: Path, number: int, seed: int) -> list[Case]:
    """Kills at any moment of a run of 302 agents, as long as one takes that is left alone."""
    began = time.monotonic()
    dry_run(folder, WIDE)
    milliseconds = int(1000 * (time.monotonic() - began))
    random_ = random.Random(seed)
    return [Case(((CLOCK, random_.randint(50, milliseconds)),), width=WIDE) for _ in range(number)]


def cuts(folder: Path, number: int | None, seed: int) -> list[Case]:
    """Cuts after so many frames, drawn at random, or after each; makes the run that is cut."""
    folder.mkdir()
    places = Places(folder)
    status = phase(lambda: main_of_phase(places, *LATE), places)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, _tail(places)
    run = places.run()
    assert run is not None
    frames = range(frames_of(log_of(run)))
    chosen = frames if number is None else sorted(random.Random(seed).sample(frames, min(number, len(frames))))
    return [Case((), cut=frame) for frame in chosen]


def _draw(random_: random.Random, count: int) -> int:
    return random_.randint(1, max(1, count * 4 // 5))


# -- one case ---------------------------------------------------------------------------------------------------------


def play(case: Case, folder: Path) -> Outcome:
    """Begin, kill, look, resume, look."""
    if case.cut is not None:
        return _play_cut(case, folder)
    folder.mkdir()
    outcome, places = Outcome(str(case)), Places(folder)
    number = signal.Signals[f"SIG{case.signal}"]
    for index, (place, occurrence) in enumerate(case.kills):
        last = index == len(case.kills) - 1
        sent = number if last else signal.SIGKILL
        if not _spoil(outcome, places, (place, occurrence), sent, case.width):
            break
        outcome.reached += 1
        _judge(outcome, places, ended=False)
    _finish(outcome, places, case.width)
    return outcome


def _play_cut(case: Case, folder: Path) -> Outcome:
    """Cut the journal of a dead engine, look, resume, look."""
    shutil.copytree(folder.parent / BASE, folder, ignore=shutil.ignore_patterns("*.sock"))
    outcome, places = Outcome(str(case), reached=1), Places(folder)
    run = places.run()
    assert run is not None and case.cut is not None
    before = read_journal(run.journal)
    cut_log(log_of(run), case.cut)
    if not read_journal(run.journal):
        outcome.began = False  # nothing is left to go on with; the engine must say so
        if os.waitstatus_to_exitcode(phase(lambda: main_of_phase(places), places)) != REFUSED:
            outcome.violations.append(f"P5: a journal without a fact was not refused: {_tail(places)}")
        return outcome
    _judge(outcome, places, ended=False, cut=before)
    _finish(outcome, places, case.width, cut=before)
    return outcome


def log_of(run: RunFolder) -> Path:
    """The log that SQLite keeps beside a journal that was not closed."""
    return run.journal.with_name(run.journal.name + "-wal")


def frames_of(log: Path) -> int:
    """How many pages a log holds: a header of 32 bytes, then for each page 24 bytes and the page itself."""
    [page] = struct.unpack(">8xI", log.read_bytes()[:12])
    return (log.stat().st_size - 32) // (24 + page)


def cut_log(log: Path, frames: int) -> None:
    """Keep so many frames and half of the next, as a disk may that lost its power while it wrote."""
    [page] = struct.unpack(">8xI", log.read_bytes()[:12])
    with log.open("r+b") as file:
        file.truncate(32 + frames * (24 + page) + page // 2)
    log.with_name(log.name.removesuffix("-wal") + "-shm").unlink(missing_ok=True)


def _spoil(outcome: Outcome, places: Places, at: tuple[str, int], sent: int, width: tuple[int, int]) -> bool:
    """Let an engine go until it is sent the signal; whether it was."""
    status = phase(
        lambda: main_of_phase(places, *at, sent, width),
        places,
        lambda pid: _stopped(outcome, places, pid, width),
        at[1] / 1000 if at[0] == CLOCK else None,
    )
    code = os.waitstatus_to_exitcode(status)
    if sent == signal.SIGKILL:
        if code not in (-signal.SIGKILL, COMPLETED, REFUSED):
            outcome.violations.append(f"P5: the engine ended with {code} before it was killed: {_tail(places)}")
        return code == -signal.SIGKILL
    if code not in (COMPLETED, STOPPED):
        outcome.violations.append(
            f"P5: after {signal.Signals(sent).name} the engine ended with {code}: {_tail(places)}"
        )
    return True


def _stopped(outcome: Outcome, places: Places, pid: int, width: tuple[int, int]) -> None:
    """The engine stands still: another one must be refused; then it goes on."""
    if places.run() is not None:
        code = os.waitstatus_to_exitcode(phase(lambda: main_of_phase(places, width=width), places))
        if code != REFUSED:
            outcome.violations.append(f"P6: a second engine ended with {code} while the first stood still")
    os.kill(pid, signal.SIGCONT)


def _finish(outcome: Outcome, places: Places, width: tuple[int, int], cut: Sequence[Row] = ()) -> None:
    """Resume to the end; who died before the first fact has nothing to go on with, and must have spent nothing."""
    folder = places.run()
    if folder is None or not read_journal(folder.journal):
        outcome.began = False
        if places.bill.exists() or places.effects.exists():
            outcome.violations.append("P5: something was spent, and there is no run to go on with")
        return
    code = os.waitstatus_to_exitcode(phase(lambda: main_of_phase(places, width=width), places))
    if code not in (COMPLETED, REFUSED):
        outcome.violations.append(f"P5: the resumed engine ended with {code}: {_tail(places)}")
    _judge(outcome, places, ended=True, cut=cut)
    outcome.violations += [f"P5: the replay finds: {problem}" for problem in replay(folder).problems]


def _judge(outcome: Outcome, places: Places, *, ended: bool, cut: Sequence[Row] = ()) -> None:
    folder = places.run()
    if folder is None:
        return
    found = check(folder.path, places.bill, places.effects, ended=ended, cut=cut)
    when = "at the end" if ended else "after the crash"
    outcome.violations += [f"{violation} ({when})" for violation in found]


def _tail(places: Places) -> str:
    return " / ".join((places.folder / "log").read_text(errors="replace").splitlines()[-3:])


def phase(
    do: Callable[[], int],
    places: Places,
    stopped: Callable[[int], None] | None = None,
    killed_after: float | None = None,
) -> int:
    """One engine in a process of its own; how it ended, as `waitpid` tells it.

    Args:
        stopped: called with its process id when it stands still; lets it go on.
        killed_after: seconds after which it is killed, wherever it is.
    """
    pid = os.fork()
    if pid == 0:
        _become(do, places.folder / "log")
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(pid, signal.SIGKILL)  # it has not been waited for, so the number is still its own
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return status
        assert stopped is not None
        stopped(pid)


def _become(do: Callable[[], int], log: Path) -> None:
    """What the child does: never returns."""
    code = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        signal.alarm(PATIENCE)
        code = do()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


# -- all cases --------------------------------------------------------------------------------------------------------


def in_parallel(
    cases: Sequence[C], folder: Path, play: Callable[[C, Path], Outcome] = play, workers: int = WORKERS
) -> list[Outcome]:
    """Play cases side by side, each in a folder that `play` makes.

    Processes are forked, so nothing of what a child changes is seen by another.
    """
    pids: list[int] = []
    for worker in range(workers):
        mine = list(enumerate(cases))[worker::workers]
        pid = os.fork()
        if pid == 0:
            _become(
                lambda mine=mine, worker=worker: _work(mine, folder, folder / f"outcomes-{worker}", play),
                folder / "log",
            )
        pids.append(pid)
    outcomes: list[Outcome] = []
    for worker, pid in enumerate(pids):
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, (folder / "log").read_text()
        outcomes += [Outcome(**json.loads(line)) for line in (folder / f"outcomes-{worker}").read_text().splitlines()]
    return outcomes


def load_everything() -> None:
    """What a run imports when it first needs it, so that not every forked process does."""
    cost_of(Usage(1, 1), "openai:gpt-4.1", None)
    find_scenario("gobang")
    gc.collect()
    gc.freeze()


def _work(cases: Sequence[tuple[int, C]], folder: Path, results: Path, play: Callable[[C, Path], Outcome]) -> int:
    signal.alarm(0)  # this process is as long as its cases are
    with results.open("w") as file:
        for number, case in cases:
            place = folder / f"case-{number}"
            outcome = play(case, place)
            file.write(json.dumps(asdict(outcome)) + "\n")
            shutil.rmtree(place)
    return 0


def quick_place() -> str | None:
    """Memory serves as well as a disk where only processes die."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.stdout.write("\n".join(names()) + "\n")
