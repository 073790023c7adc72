"""One pass over a run's facts for everything that its report says."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from megaagent import events as ev
from megaagent.events import BOSS, AgentId, Record, lineage, name_of
from megaagent.journal import JournalReader
from megaagent.readings.costs import Costs
from megaagent.readings.critical import CriticalPath
from megaagent.readings.lanes import Lanes
from megaagent.readings.overview import Overview
from megaagent.report import document as doc
from megaagent.report.happenings import Files, Interventions, Programs
from megaagent.report.outline import Outline
from megaagent.report.style import COLOURS
from megaagent.report.words import one_line

MOST_TOOLS: Final = 60


class Gathering(Outline):
    """The fold of everything."""

    def __init__(self) -> None:
        self.overview = Overview()
        super().__init__(self.overview.state)
        self.lanes = Lanes()
        self.costs = Costs()
        self.critical = CriticalPath()
        self.files = Files()
        self.programs = Programs()
        self.interventions = Interventions()
        self.model = ""
        self.settings = "{}"
        self.parent: str | None = None
        self.resumed = 0
        self.versions: list[str] = []

    def apply(self, record: Record) -> None:
        self.overview.take_in(record)

    def take_in(self, record: Record) -> None:
        super().take_in(record)
        self._of_run(record)
        self.lanes.take_in(record)
        self.costs.take_in(record, self.overview)
        self.critical.take_in(record)
        for fold in (self.files, self.programs, self.interventions):
            fold.take_in(record)

    def _of_run(self, record: Record) -> None:
        match record.event:
            case ev.RunStarted() as began:
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
    gathering.read(reader)
    return gathering


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
        began.prices,
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
        told["economy"]["batches"],
        told["economy"]["answered"],
        told["economy"]["saved"],
        told["economy"]["unanswered"],
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
