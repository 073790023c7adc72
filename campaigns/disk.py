"""The disk takes nothing at one write point for a while: full, read-only, or with I/O errors.

A case is a place where the engine writes, an error, and when: the scripted run of the crash campaign is begun in a
process of its own, in which that place fails three times with what the system would say. The run must wait with a
named reason, buy nothing twice, go on by itself when the place works again, and complete; the crash campaign's checker
judges what it leaves. Where a run has not begun yet, or is only being opened, it must be refused with that reason, and
begin when asked again.

The failures are injected in front of the call, in the words of the operating system and of SQLite: what no disk does
here. What a file system that is really full does is tried in tests/test_disk.py.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from campaigns.checker import check
from campaigns.crash import Outcome, in_parallel, load_everything, phase, quick_place
from campaigns.crash_child import COMPLETED, REFUSED, Places, main_of_phase
from campaigns.evidence import entries, read_journal
from campaigns.failpoints import Failpoints, put
from megaagent import disk
from megaagent.journal import writer
from megaagent.proof import replay

TIMES = 3  # that the place fails
SOON = 0.02  # seconds until a write is tried again, in place of a quarter of a second
ERRORS: Mapping[str, tuple[int, int, str]] = MappingProxyType(
    {
        "full": (errno.ENOSPC, sqlite3.SQLITE_FULL, "the disk of the run's folder is full"),
        "read-only": (errno.EROFS, sqlite3.SQLITE_READONLY, "the run's folder cannot be written"),
        "I/O error": (errno.EIO, sqlite3.SQLITE_IOERR, "the disk of the run's folder reports errors"),
    }
)
LIVING = (  # places that a living run passes: it waits
    *("journal.begin", "journal.content", "journal.rows", "journal.words", "journal.commit"),
    *("git.pack", "git.part", "git.folder", "git.branch", "git.rename", "git.name", "git.settle"),
    *("program.start", "program.harvest", "deliverable", "report"),
)
QUIET = ("journal.snapshot", "journal.older_snapshot", "snapshot.encode", "snapshot.keep", "journal.fold")
BEGINNING = ("workspace.create", "workspace.sync_all", "journal.open", "socket.open", "lock.take")


@dataclass(frozen=True)
class Case:
    """One place that fails from its n-th passing on."""

    place: str
    occurrence: int
    error: str

    def __str__(self) -> str:
        return f"{self.error} at {self.place} ({self.occurrence})"


def run(full: bool, seed: int) -> dict[str, object]:
    """The campaign; see `campaigns`. The full form lets each place fail at three moments, and not one."""
    began = time.monotonic()
    cases = [
        Case(f"{place}.before", moment, error)
        for place in (*LIVING, *QUIET, *BEGINNING)
        for error in ERRORS
        for moment in moments(place, full, seed)
    ]
    with tempfile.TemporaryDirectory(prefix="disk-", dir=quick_place()) as folder:
        load_everything()
        outcomes = in_parallel(cases, Path(folder), play)
    for outcome in outcomes:
        for violation in outcome.violations:
            sys.stdout.write(f"{outcome.case}: {violation}\n")
    return {
        "cases": len(outcomes),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
        "places": len({case.place for case in cases}),
        "reached": sum(bool(outcome.reached) for outcome in outcomes),
        "errors": dict(Counter(case.error for case in cases)),
        "seconds": round(time.monotonic() - began, 1),
    }


def moments(place: str, full: bool, seed: int) -> list[int]:
    """At which of its passings a place begins to fail; the first of the journal and of Git belong to the beginning."""
    if not place.startswith(("journal.", "git.")) or place in (*QUIET, *BEGINNING):
        return [1]
    first = 9 if place.startswith("journal.") else 4
    return [first + seed % 3 + later for later in ((0, 5, 11) if full else (0,))]


class Failing(Failpoints):
    """A place that fails for a while, with the words of SQLite or of the system."""

    def __init__(self, case: Case):
        super().__init__()
        self._case = case

    def hit(self, place: str) -> None:
        super().hit(place)
        case = self._case
        if place == case.place and case.occurrence <= self.counts[place] < case.occurrence + TIMES:
            raise error_of(case)


def error_of(case: Case) -> Exception:
    """What is raised in front of the call."""
    number, code, _ = ERRORS[case.error]
    if case.place.startswith("journal.") and case.place != "journal.open.before":
        error = sqlite3.OperationalError(sqlite3_words(code))
        error.sqlite_errorcode = code
        return error
    return OSError(number, os.strerror(number))


def sqlite3_words(code: int) -> str:
    """How SQLite says it."""
    words = {sqlite3.SQLITE_FULL: "database or disk is full", sqlite3.SQLITE_IOERR: "disk I/O error"}
    return words.get(code, "attempt to write a readonly database")


def play(case: Case, folder: Path) -> Outcome:
    """Begin with the place failing; where nothing could begin, begin again; look at the end."""
    folder.mkdir()
    outcome, places = Outcome(str(case)), Places(folder)
    place, reason = case.place.removesuffix(".before"), ERRORS[case.error][2]
    if place.startswith("program."):
        reason = reason.replace(disk.RUN, disk.COPIES)

    def child() -> int:
        put(disk, "FIRST_PAUSE", SOON)
        put(writer, "FIRST_PAUSE", SOON)
        return main_of_phase(places, failpoints=Failing(case), count=True)

    code = os.waitstatus_to_exitcode(phase(child, places))
    log = (folder / "log").read_text()
    refused = code == REFUSED
    told = [entry["reason"] for entry in entries(places.told)]
    counts: dict[str, int] = json.loads(places.counts.read_text()) if places.counts.exists() else {}
    outcome.reached = int(refused or counts.get(case.place, 0) >= case.occurrence)
    if place in BEGINNING:
        if not refused or not any(words in log for words in (reason, os.strerror(ERRORS[case.error][0]))):
            outcome.violations.append(f"it ended with {code} and not refused with the reason: {log[-300:]}")
        if places.bill.exists():
            outcome.violations.append("something was bought before the run began")
        for _ in range(TIMES):
            if code == REFUSED:
                code = os.waitstatus_to_exitcode(phase(lambda: main_of_phase(places), places))
    elif place in LIVING and told != [reason, None]:
        outcome.violations.append(f"nobody was told {reason!r}, or not that it was over: {told}")
    if code != COMPLETED:
        outcome.violations.append(f"it ended with {code}: {(folder / 'log').read_text()[-600:]}")
        return outcome
    run = places.run()
    assert run is not None
    outcome.violations += check(run.path, places.bill, places.effects, ended=True)
    outcome.violations += [f"the replay finds: {problem}" for problem in replay(run).problems]
    paused = [row.event["reason"] for row in read_journal(run.journal) if row.kind == "RunPaused"]
    if place in LIVING[:-2] and not paused:  # after the run's last fact no pause can be one
        outcome.violations.append("the pause is no fact")
    return outcome
