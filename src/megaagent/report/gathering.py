"""One pass over a run's facts for everything that its report says."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import BOSS, AgentId, Record, lineage, name_of
from megaagent.journal import JournalReader
from megaagent.journal.bodies import MARKER
from megaagent.readings.costs import Costs
from megaagent.readings.critical import CriticalPath
from megaagent.readings.lanes import Lanes
from megaagent.readings.overview import Overview
from megaagent.report import document as doc
from megaagent.report.flights import Flights
from megaagent.report.happenings import Checks, Files, Interventions, Programs, Repairs
from megaagent.report.style import COLOURS
from megaagent.report.words import one_line

# Facts whose long texts are shown; those of all others stay where they are.
SHOWN: Final = (ev.RunStarted, ev.RunForked, ev.RunEnded, ev.CheckRun, ev.VerdictGiven, ev.HumanSpoke)
MOST_TOOLS: Final = 60
LOST: Final = "(this text cannot be read)"


class Gathering:
    """The fold, as far as the journal can be read.

    Attributes:
        damage: why it could not be read to its end.
    """

    def __init__(self) -> None:
        self.overview = Overview()
        self.lanes = Lanes()
        self.costs = Costs()
        self.critical = CriticalPath()
        self.flights = Flights()
        self.files = Files()
        self.checks = Checks()
        self.programs = Programs()
        self.interventions = Interventions()
        self.repairs = Repairs()
        self.damage: str | None = None
        self.began: ev.RunStarted | None = None
        self.model = ""
        self.settings = "{}"
        self.parent: str | None = None
        self.resumed = 0
        self.versions: list[str] = []
        self.first = self.last = 0.0

    @property
    def time(self) -> float:
        """Seconds from the first fact to the last, without the time between engines."""
        return max(0.0, self.last - self.first - self.flights.idle)

    def take_in(self, record: Record) -> None:
        """Fold one fact.

        Raises:
            RunError: the journal does not begin as a run, or the fact does not follow from those before it.
        """
        if self.began is None and not isinstance(record.event, ev.RunStarted):
            raise RunError("the journal does not begin as a run")
        try:
            self.overview.take_in(record)
        except (KeyError, AttributeError, IndexError) as error:
            raise RunError(f"fact {record.position} does not follow from those before it: {error!r}") from error
        self._of_run(record)
        self.lanes.take_in(record)
        self.costs.take_in(record, self.overview)
        self.critical.take_in(record)
        self.flights.take_in(record)
        for fold in (self.files, self.checks, self.programs, self.interventions, self.repairs):
            fold.take_in(record)
        self.last = max(self.last, record.time)

    def complain(self, error: RunError) -> None:
        """Something of the journal cannot be read."""
        self.damage = self.damage or str(error)

    def _of_run(self, record: Record) -> None:
        match record.event:
            case ev.RunStarted() as began:
                self.began, self.first = began, record.time
                self.model, self.settings = began.model, began.settings
                self._worked(began.version)
            case ev.RunForked() as forked:
                self.model, self.settings, self.parent = forked.model, forked.settings, forked.parent
                self._worked(forked.version)
            case ev.RunResumed(version=version):
                self.resumed += 1
                self._worked(version)
            case ev.RunRepaired(parent=parent):
                self.parent = parent
            case _:
                pass

    def _worked(self, version: str) -> None:
        if version not in self.versions:
            self.versions.append(version)


def gathered(reader: JournalReader) -> Gathering:
    """What the journal tells; of a damaged one, as far as it can be read.

    Raises:
        RunError: not even its first fact can be read, or it is no run's.
    """
    gathering = Gathering()
    try:
        for record in lean(reader, gathering.complain):
            gathering.take_in(record)
    except RunError as error:
        if gathering.began is None:
            raise
        gathering.complain(error)
    return gathering


def lean(reader: JournalReader, lost: Callable[[RunError], object]) -> Iterator[Record]:
    """All facts, with the long texts of those only that are shown.

    Args:
        lost: is told of a text that cannot be read; the fact comes without it.
    """
    for record in reader.records(bodies=False):
        if isinstance(record.event, SHOWN):
            try:
                yield reader.record(record.position) or record
            except RunError as error:
                lost(error)
                yield without_texts(record)
        else:
            yield record


def without_texts(record: Record) -> Record:
    """The fact with words in the place of long texts."""
    texts = {name: getattr(record.event, name) for name in record.event.__struct_fields__}
    marked = {name: LOST for name, text in texts.items() if isinstance(text, str) and text.startswith(MARKER)}
    return replace(record, event=replace(record.event, **marked))


def report_of(gathering: Gathering, standing: str | None = None) -> doc.Report:
    """What the report says, as data.

    Args:
        standing: how a running engine says that it stands, such as `running`; None when none does.
    """
    told = gathering.costs.told(gathering.overview)
    parts = _Parts(gathering.overview)
    agents = tuple(_agents(gathering, parts))
    files = gathering.files.told()
    return doc.Report(
        doc.FORMAT,
        _run(gathering, standing),
        _time(gathering),
        _figures(gathering, told, sum(not file.removed for file in files)),
        tuple(_row(row, row["wall"]) for row in told["stages"]),
        tuple(_part(row, parts) for row in told["subtrees"]),
        tuple(_row(row) for row in told["models"]),
        tuple(_row(row) for row in told["tiers"]),
        tuple(doc.Tool(row["name"], row["calls"], row["refused"], row["cost"]) for row in told["tools"][:MOST_TOOLS]),
        agents,
        files,
        gathering.checks.told(),
        gathering.programs.told(),
        gathering.interventions.told(),
        gathering.interventions.count,
        gathering.repairs.told(),
        tuple(
            doc.Waste(row["name"], row["words"], row["count"], row["tokens"], row["cost"])
            for row in told["waste"]
            if row["count"]
        ),
    )


class _Parts:
    """Which part of the whole each agent belongs to: the first level of the tree that has more than one agent."""

    def __init__(self, overview: Overview):
        members = overview.state.members
        level = [BOSS] if BOSS in members else []
        while len(level) == 1:
            level = list(members[level[0]].group)
        last = len(level) - 1
        # The last one is the neighbour of the first in a circle, and must not have its colour.
        self.numbers = {id: n + 5 if n == last and n and n % COLOURS == 0 else n for n, id in enumerate(level)}

    def of(self, agent: AgentId) -> int:
        return next((self.numbers[id] for id in lineage(agent) if id in self.numbers), -1)


def _run(gathering: Gathering, standing: str | None) -> doc.Run:
    began, state = gathering.began, gathering.overview.state
    assert began is not None
    ending = state.run.ending
    paused = "paused" if state.run.paused is not None else "running"
    status = standing or (ending.status if ending else "cut off")
    if standing == "busy":
        status = paused
    settings: Any = {}
    with contextlib.suppress(msgspec.DecodeError):  # a text that is lost; the rest can be told all the same
        settings = msgspec.json.decode(gathering.settings or "{}")
    return doc.Run(
        state.run.run or began.run,
        began.goal,
        began.scenario,
        gathering.model,
        state.run.simulated,
        status,
        ending.reason if ending else (state.run.paused or ""),
        ending.text if ending else "",
        ending.gaps if ending else state.run.gaps,
        ending.revision if ending else state.run.head,
        began.source,
        gathering.parent,
        gathering.resumed,
        gathering.damage,
        settings if isinstance(settings, dict) else {},  # pyright: ignore[reportUnknownArgumentType]
        tuple(gathering.versions),
    )


def _time(gathering: Gathering) -> doc.Time:
    ended = gathering.overview.state.run.ending is not None
    path = gathering.critical.path(None if ended else gathering.last)
    seconds = gathering.time
    flights = gathering.flights
    critical = min(path.seconds, seconds)  # a call is measured apart from its facts: there may be milliseconds between
    return doc.Time(
        gathering.first,
        gathering.last,
        round(seconds, 3),
        round(critical, 3),
        path.calls,
        round(path.work, 3),
        round(critical / seconds, 4) if seconds else 0.0,
        round(path.work / seconds, 3) if seconds else 0.0,
        flights.peak,
        round(flights.overlapped / seconds, 4) if seconds else 0.0,
        round(sum(end - start for start, end in gathering.checks.spans(gathering.last)), 3),
    )


def _figures(gathering: Gathering, told: dict[str, Any], files: int) -> doc.Figures:
    run = gathering.overview.state.run
    usage = run.usage
    return doc.Figures(
        run.agents,
        run.steps,
        run.messages,
        run.commits,
        files,
        usage.prompt,
        usage.completion,
        usage.cached,
        round(usage.cached / usage.prompt, 4) if usage.prompt else 0.0,
        round(run.cost, 6),
        run.unpriced,
        gathering.repairs.doubtful,
        told["returned"],
    )


def _row(row: dict[str, Any], wall: float | None = None) -> doc.Row:
    return doc.Row(
        row["name"], row["calls"], row["prompt"], row["completion"], row["cached"], row["cost"], row["seconds"], wall
    )


def _part(row: dict[str, Any], parts: _Parts) -> doc.Part:
    return doc.Part(
        row["id"],
        row["name"],
        -1 if row["id"] == BOSS else parts.of(row["id"]),
        row["agents"],
        row["calls"],
        row["tokens"],
        row["cost"],
        row["failures"],
    )


def _agents(gathering: Gathering, parts: _Parts) -> Iterator[doc.Agent]:
    overview = gathering.overview
    refused: Counter[AgentId] = gathering.repairs.refused
    for id in overview.agents:
        member, trait = overview.state.members[id], overview.traits[id]
        part = parts.of(id)
        yield doc.Agent(
            id,
            name_of(id),
            one_line(member.description, 160),
            member.tier,
            part,
            part >= 0 and id not in parts.numbers,
            overview.stand(member),
            member.step,
            member.usage.prompt + member.usage.completion,
            round(member.cost, 6),
            trait.files,
            refused[id],
        )
