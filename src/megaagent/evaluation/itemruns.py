"""One item's run: begun, or gone on with when it was cut off; and what its journal says in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from megaagent import events as ev
from megaagent.choice import Adapters
from megaagent.errors import RunError
from megaagent.events import Struct
from megaagent.folder import RunFolder, all_runs
from megaagent.journal import open_reader
from megaagent.launch import resume, start
from megaagent.organization.state import State
from megaagent.readings.stages import Stages
from megaagent.sandboxes import Probe
from megaagent.settings import Settings
from megaagent.workspace import Workspace

LARGEST = 2_000_000  # bytes of one delivered file that is read
MOST_FILES = 2_000
UNFINISHED = ("paused", "stopped")  # endings after which a run goes on when it is asked for again


class Ran(Struct, frozen=True):
    """What a run's journal says.

    Attributes:
        status: of its ending; empty while it has none.
        path: its folder.
        cost: US dollars, of simulated models simulated ones.
        seconds: from the first fact to the last, pauses between engines left out.
        reserved: tokens, for its first call.
        stages: planning, solving and merging, each as a row.
    """

    path: Path
    status: str = ""
    reason: str = ""
    report: str = ""
    revision: str | None = None
    usage: ev.Usage = ev.Usage()
    cost: float = 0.0
    unpriced: int = 0
    seconds: float = 0.0
    agents: int = 0
    steps: int = 0
    reserved: int = 0
    stages: tuple[dict[str, Any], ...] = ()

    @property
    def over(self) -> bool:
        return bool(self.status) and self.status not in UNFINISHED

    @property
    def tokens(self) -> int:
        return self.usage.prompt + self.usage.completion


def earlier(place: Path) -> Ran | None:
    """The run that is in an item's folder, if one was begun there."""
    there = all_runs(place)
    return read_run(there[-1]) if there else None


def read_run(folder: RunFolder) -> Ran:
    """What a run's journal says.

    Raises:
        RunError: it cannot be read.
    """
    state, stages, reserved = State(), Stages(), 0
    with closing(open_reader(folder.journal)) as reader:
        for record in reader.records():
            state.apply(record)
            stages.take_in(record)
            if isinstance(record.event, ev.CallIntended):
                reserved = reserved or record.event.tokens
    run, ending = state.run, state.run.ending
    return Ran(
        folder.path,
        ending.status if ending else "",
        ending.reason if ending else "",
        ending.text if ending else "",
        ending.revision if ending else None,
        run.usage,
        run.cost,
        run.unpriced,
        run.active_seconds,
        run.agents,
        run.steps,
        reserved,
        tuple(stages.told()),
    )


async def live_through(
    goal: str | None,
    scenario: str | None,
    settings: Settings,
    place: Path,
    models: Adapters,
    environ: Mapping[str, str],
    sandbox: Probe,
    waits: Callable[[str | None], None] = lambda reason: None,
) -> Ran:
    """Run an item to its end, from where it was.

    Args:
        place: the item's own folder, in which its run is.
        waits: told when the run waits for its disk, and why, and None when it goes on.

    Raises:
        ConfigurationError: it cannot be begun as it is set.
        RunError: what is in the folder cannot be gone on with.
    """
    before = earlier(place)
    if before is not None and before.over:
        return before
    if before is not None:
        opened = resume(RunFolder(before.path), models=models, environ=environ, sandbox=sandbox)
    else:
        opened = start(
            goal, scenario=scenario, settings=settings, runs=place, models=models, environ=environ, sandbox=sandbox
        )
    async with opened as live:
        live.watch_disk(waits)
        if live.waits_for_disk is not None:
            waits(live.waits_for_disk)
        await live.result()
        folder = live.folder
    return read_run(folder)


def delivered(ran: Ran) -> dict[str, str]:
    """The text files that a run delivered, by path.

    Raises:
        RunError: its workspace cannot be read.
    """
    workspace = Workspace.open(RunFolder(ran.path).workspace)
    try:
        revision = ran.revision or workspace.head()
        files: dict[str, str] = {}
        for entry in workspace.list("**", revision)[:MOST_FILES]:
            if entry.size <= LARGEST:
                data = workspace.read_bytes(entry.path, revision)
                if b"\0" not in data:
                    files[entry.path] = data.decode(errors="replace")
        return files
    except OSError as error:
        raise RunError(f"the files of {ran.path.name} cannot be read: {error.strerror}") from error
    finally:
        workspace.close()
