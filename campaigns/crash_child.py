"""One engine of the crash campaign, as a process: it starts or resumes the scripted run, and may die at a named place.

    python -m campaigns.crash_child FOLDER [--at PLACE --occurrence N] [--signal KILL]

FOLDER gets the runs, the provider's own bill and the effects of the user's tool. Each phase of a case is one such
process; the campaign forks them from itself, where everything is imported already.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from campaigns.failpoints import Failpoints, put
from campaigns.sabotage import SAFEGUARDS
from campaigns.story import GOAL, script
from megaagent import Settings, launch, placement
from megaagent.errors import MegaAgentError
from megaagent.folder import RunFolder, all_runs
from megaagent.models.contract import ModelRequest, ModelResponse
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.organization import snapshots
from megaagent.organization.snapshots import Keeper
from megaagent.sandboxes import Probe
from megaagent.sandboxes.contract import Execution, Level, Program
from megaagent.settings import changed
from megaagent.workspace import store

MODEL = "sim:story"
SNAPSHOT_EVERY = 50  # facts, so that even this short run has some
COMPLETED, REFUSED, STOPPED = 0, 3, 4  # exit codes of a phase


class Places:
    """Where a case keeps what the checker reads.

    Args:
        journal: where the run's journal is kept, as the setting says it.
    """

    def __init__(self, folder: Path, journal: str = "folder"):
        self.folder = folder
        self.journal = journal
        self.runs = folder / "runs"
        self.bill = folder / "bill.jsonl"
        self.effects = folder / "effects.jsonl"
        self.told = folder / "told.jsonl"
        self.counts = folder / "counts.json"

    def run(self) -> RunFolder | None:
        """The run, if its journal was made."""
        return next(iter(all_runs(self.runs)), None)


def write_down(path: Path, entry: dict[str, Any]) -> None:
    """Add a line that lasts whatever becomes of this process."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, json.dumps(entry).encode() + b"\n")
    os.fsync(handle)
    os.close(handle)


class BillingModel:
    """The simulated provider, which puts every answer on its own bill before it gives it."""

    def __init__(self, places: Places, failpoints: Failpoints, width: tuple[int, int]):
        self._inner = SimulatedModel(script(*width), name=MODEL, latency=AT_ONCE)
        self._places = places
        self._failpoints = failpoints

    async def complete(self, request: ModelRequest) -> ModelResponse:
        await asyncio.sleep(0)
        response = await self._inner.complete(request)
        # The engine's intent names a hash of the conversation without what is sent last and not kept.
        whole, kept = (_hash(request.messages[:end]) for end in (None, -1))
        write_down(self._places.bill, {"whole": whole, "kept": kept, "tokens": response.usage.completion})
        self._failpoints.hit("model.billed")
        return response

    async def close(self) -> None:
        """Nothing is open."""


def _hash(messages: Any) -> str:
    return hashlib.blake2b(b"".join(map(msgspec.json.encode, messages)), digest_size=16).hexdigest()


class PlayedSandbox:
    """Programs end at once and leave one file."""

    level = Level.NONE

    async def start(self, program: Program, folder: Path) -> PlayedProcess:
        (folder / "made.txt").write_text("keep made\n")
        return PlayedProcess()


class PlayedProcess:
    """A program that has ended."""

    async def send(self, text: str) -> None: ...

    async def read(self, quiet: float, patience: float) -> tuple[str, bool]:
        return "made\n", False

    async def stop(self) -> None: ...

    async def wait(self) -> Execution:
        return Execution(0, "made\n", 0.0)


async def _played(level: Level) -> Probe:
    return Probe(PlayedSandbox(), Level.NONE, ())


async def phase(places: Places, failpoints: Failpoints, width: tuple[int, int]) -> int:
    """Start the run, or go on with it, to its end."""

    def deposit(key: str) -> str:
        """Deposit a key where it stays.

        Args:
            key: what to deposit.
        """
        write_down(places.effects, {"key": key})
        failpoints.hit("effect.done")
        return f"deposited {key}"

    models: Any = {MODEL: BillingModel(places, failpoints, width)}
    folder = places.run()
    if folder is None:
        chosen = {"sandbox.level": "none", "durability": "off", "budget.cost": 1e6, "journal": places.journal}
        settings = changed(Settings(), chosen, "campaign")
        begun = launch.start(GOAL, model=MODEL, models=models, tools=[deposit], settings=settings, runs=places.runs)
    else:
        begun = launch.resume(folder, models=models, tools=[deposit])
    try:
        async with begun as live:
            live.watch_disk(lambda reason: write_down(places.told, {"reason": reason}))
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGTERM, lambda: asyncio.ensure_future(live.control.stop("told to"))
            )
            result = await live.result()
    except MegaAgentError as error:
        sys.stderr.write(f"refused: {error}\n")
        return REFUSED
    sys.stderr.write(f"{result.status}: {result.reason}\n")
    return COMPLETED if result.completed else STOPPED


def main_of_phase(
    places: Places,
    place: str = "",
    occurrence: int = 0,
    number: int = signal.SIGKILL,
    width: tuple[int, int] = (2, 4),
    count: bool = False,
    without: Sequence[str] = (),
    failpoints: Failpoints | None = None,
) -> int:
    """What a phase's process does; it changes the program that it has loaded, so it is to be the last thing there.

    Args:
        count: write down how often each place was passed.
        without: safeguards that are switched off.
        failpoints: in place of those that kill at `place`.
    """
    for safeguard in without:
        SAFEGUARDS[safeguard]()
    failpoints = failpoints or Failpoints(place, occurrence, lambda: os.kill(os.getpid(), number))
    put(placement, "probe", _played)
    put(launch, "Keeper", partial(Keeper, every=SNAPSHOT_EVERY))
    put(snapshots, "PER_AGENT", 1)
    put(store, "STALE", 0.2)  # seconds: a dead engine's lock on the branch is waited for, but not for so long
    failpoints.install()
    code = asyncio.run(phase(places, failpoints, width))
    if count:
        places.counts.write_text(json.dumps(failpoints.counts))
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m campaigns.crash_child")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at", default="", help="the place to die at")
    parser.add_argument("--occurrence", type=int, default=1)
    parser.add_argument("--signal", default="KILL", help="KILL, TERM or STOP")
    parser.add_argument("--journal", default="folder", help="where the journal is kept")
    parser.add_argument("--width", type=int, nargs=2, default=(2, 4), help="groups, and workers in each")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    number = signal.Signals[f"SIG{given.signal}"]
    places = Places(given.folder, given.journal)
    return main_of_phase(places, given.at, given.occurrence, number, (given.width[0], given.width[1]))


if __name__ == "__main__":
    sys.exit(main())
