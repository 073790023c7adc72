"""Metrics of a run, as its journal tells them: sums since its beginning, and how it stands at a moment."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, Literal

from megaagent import events as ev
from megaagent.events import CallId, Record, Struct
from megaagent.organization.state import State
from megaagent.telemetry.names import provider_and_model

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(float(4**power) for power in range(14))

Labels = tuple[tuple[str, str], ...]


class Point(Struct, frozen=True):
    """One value of a sum or a gauge."""

    labels: dict[str, str]
    value: float


class Spread(Struct, frozen=True):
    """How values of one kind are distributed; `counts` has one more entry than `bounds`."""

    labels: dict[str, str]
    counts: tuple[int, ...]
    bounds: tuple[float, ...]
    total: float
    least: float
    most: float


class Metric(Struct, frozen=True):
    """One metric at one moment."""

    name: str
    unit: str
    words: str
    kind: Literal["sum", "gauge", "histogram"]
    points: tuple[Point, ...] = ()
    spreads: tuple[Spread, ...] = ()


class _Spreading:
    __slots__ = ("bounds", "counts", "least", "most", "total")

    def __init__(self, bounds: tuple[float, ...]):
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total, self.least, self.most = 0.0, float("inf"), float("-inf")

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        self.least, self.most = min(self.least, value), max(self.most, value)


class Metrics:
    """The fold.

    Attributes:
        first, last: times of the run's first and newest fact.
    """

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0
        self._state = State()
        self._flying: dict[CallId, tuple[str, float]] = {}
        self._durations: dict[Labels, _Spreading] = {}
        self._tokens: dict[Labels, _Spreading] = {}
        self._faults: dict[Labels, float] = {}
        self._dollars: dict[Labels, float] = {}

    def take_in(self, record: Record) -> None:
        """Fold one fact."""
        self._state.apply(record)
        self._state.touched.clear()
        self._state.dirty.clear()
        self.first = record.time if self.first is None else self.first
        self.last = max(self.last, record.time)
        match record.event:
            case ev.CallIntended(call=call, model=model):
                self._flying[call] = model, record.time
            case ev.CallRerouted(call=call, model=model) if call in self._flying:
                self._flying[call] = model, self._flying[call][1]
            case ev.ModelAnswered() as answer:
                self._answered(answer, record.time)
            case ev.CallFailed(call=call, fault=fault):
                model, since = self._flying.pop(call, ("", record.time))
                labels = _labels(model, error=fault)
                self._durations.setdefault(labels, _Spreading(SECONDS)).add(record.time - since)
                _count(self._faults, labels, 1.0)
            case ev.CallRetried(call=call, fault=fault):
                model, _ = self._flying.get(call, ("", 0.0))
                _count(self._faults, _labels(model, error=fault), 1.0)
            case ev.RunEnded() | ev.RunResumed() | ev.RunForked():
                self._flying.clear()
            case _:
                pass

    def now(self) -> list[Metric]:
        """All metrics, as they are after the newest fact."""
        members = [member for member in self._state.live() if self._state.run.ending is None]
        queued = sum(1 for member in members if member.inbox and member.call is None)
        unread = sum(len(member.inbox) for member in members)
        told = [
            _gauge("megaagent.calls.in_flight", "{call}", "Model calls in flight.", len(self._flying)),
            _gauge("megaagent.agents", "{agent}", "Agents that have not left.", len(members)),
            _gauge("megaagent.queue", "{agent}", "Agents with mail and no call: they wait for their turn.", queued),
            _gauge("megaagent.mail.unread", "{message}", "Mail that no call carries yet.", unread),
            _gauge("megaagent.debts", "{assignment}", "Assignments not yet settled.", self._state.run.open_debts),
            _histogram("gen_ai.client.operation.duration", "s", "Duration of model calls.", self._durations),
            _histogram("gen_ai.client.token.usage", "{token}", "Tokens of model calls.", self._tokens),
            _sum("megaagent.call.faults", "{fault}", "Attempts that failed; a 429 is rate_limit.", self._faults),
            _sum("megaagent.cost", "USD", "What model calls have cost.", self._dollars),
        ]
        return [metric for metric in told if metric.points or metric.spreads]

    def _answered(self, answer: ev.ModelAnswered, time: float) -> None:
        model, since = self._flying.pop(answer.call, (answer.model, time - answer.seconds))
        labels = _labels(model, answered=answer.model)
        self._durations.setdefault(labels, _Spreading(SECONDS)).add(max(0.0, time - since))
        for kind, tokens in (("input", answer.usage.prompt), ("output", answer.usage.completion)):
            self._tokens.setdefault((*labels, ("gen_ai.token.type", kind)), _Spreading(TOKENS)).add(float(tokens))
        if answer.cost is not None:
            _count(self._dollars, labels, answer.cost)


def _count(table: dict[Labels, float], labels: Labels, value: float) -> None:
    table[labels] = table.get(labels, 0.0) + value


def _gauge(name: str, unit: str, words: str, value: float) -> Metric:
    return Metric(name, unit, words, "gauge", (Point({}, float(value)),))


def _sum(name: str, unit: str, words: str, table: dict[Labels, float]) -> Metric:
    return Metric(name, unit, words, "sum", tuple(Point(dict(labels), value) for labels, value in table.items()))


def _histogram(name: str, unit: str, words: str, table: dict[Labels, _Spreading]) -> Metric:
    spreads = tuple(
        Spread(dict(labels), tuple(it.counts), it.bounds, it.total, it.least, it.most) for labels, it in table.items()
    )
    return Metric(name, unit, words, "histogram", (), spreads)


def _labels(model: str, *, answered: str = "", error: str = "") -> Labels:
    provider, name = provider_and_model(model)
    labels = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", provider),
        ("gen_ai.request.model", name),
    ]
    if answered:
        labels.append(("gen_ai.response.model", provider_and_model(answered)[1] or answered))
    if error:
        labels.append(("error.type", error))
    return tuple(labels)
