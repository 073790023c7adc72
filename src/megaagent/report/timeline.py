"""A run's time as SVG: calls in flight, the critical path, and a lane for each agent or, when there are many, for each
part of the organization."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from megaagent.events import VERIFIER, AgentId, name_of
from megaagent.readings.lanes import CALL, FAILURE, FILE, INTERVENTION, PROGRAM, REVIEW, WAIT
from megaagent.report.document import Agent, Report
from megaagent.report.gathering import Gathering
from megaagent.report.picture import colour
from megaagent.report.style import inline, standalone
from megaagent.report.words import amount, duration, markup, one_line, plural

WIDTH, LEFT, RIGHT = 1000.0, 118.0, 12.0
WHOLE: Final = WIDTH - LEFT - RIGHT  # of the axis
CURVE, STRIP, LANE, PART = 92.0, 20.0, 17.0, 26.0  # heights
SINGLE: Final = 40  # agents that have a lane each
PARTS: Final = 40  # parts that have a lane each; the others share one
BINS: Final = 440  # points of a curve
GRAIN: Final = 0.6  # units of the drawing; spans nearer than that become one


class Axis:
    """From points in time to places in the drawing. Time in which no engine was at work is left out."""

    def __init__(self, first: float, seconds: float, gaps: list[tuple[float, float]]):
        self.first = first
        self.seconds = max(seconds, 1e-6)
        self.gaps = gaps

    def x(self, time: float) -> float:
        return LEFT + WHOLE * min(1.0, max(0.0, self.at(time) / self.seconds))

    def at(self, time: float) -> float:
        """Seconds of work until then."""
        idle = sum(min(end, time) - start for start, end in self.gaps if start < time)
        return time - self.first - idle

    def breaks(self) -> list[float]:
        """Where time was left out."""
        return [self.x(start) for start, end in self.gaps if end - start > self.seconds / 500]


def timeline(report: Report, gathering: Gathering, *, alone: bool = False) -> str:
    """The drawing, for a page or as a file of its own."""
    drawn, height = _drawn(report, gathering)
    title = f"When {plural(len(report.agents), 'agent')} worked, over {duration(report.time.seconds)}"
    return standalone(drawn, WIDTH, height, title) if alone else inline(drawn, WIDTH, height, title, "wide")


def _drawn(report: Report, gathering: Gathering) -> tuple[str, float]:
    if report.time.seconds <= 0:
        return '<text class="soft" x="0" y="16">Nothing has taken any time yet.</text>', 24
    axis = Axis(report.time.began, report.time.seconds, gathering.flights.gaps)
    top = 8.0
    curve = _curve(axis, gathering, report, top)
    top += CURVE + 8
    strip = _critical(axis, report, gathering, top)
    top += STRIP + 10
    lanes, top = _lanes(axis, report, gathering, top)
    return f"{_grid(axis, top)}{curve}{strip}{lanes}{_scale(axis, top)}", top + 20


def _grid(axis: Axis, bottom: float) -> str:
    ticks = "".join(f"M{_n(LEFT + WHOLE * at / axis.seconds)} 4V{_n(bottom)}" for at in _ticks(axis.seconds))
    breaks = "".join(
        f'<path class="mark thin" stroke-dasharray="3 3" d="M{_n(x)} 4V{_n(bottom)}">'
        "<title>No engine was at work; that time is left out.</title></path>"
        for x in axis.breaks()
    )
    return f'<path class="grid thin" d="{ticks}"/>{breaks}'


def _scale(axis: Axis, top: float) -> str:
    ticks = _ticks(axis.seconds)
    return "".join(
        f'<text class="soft small {"end" if at > axis.seconds * 0.97 else "mid" if at else ""}" '
        f'x="{_n(LEFT + WHOLE * at / axis.seconds)}" y="{_n(top + 14)}">{_label(at)}</text>'
        for at in ticks
    )


def _label(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:g} s" if seconds else "0"
    return duration(seconds).removesuffix(" 00 s").removesuffix(" 00 min")


def _ticks(seconds: float) -> list[float]:
    """Round points in time, about eight."""
    rough = seconds / 8
    steps = [b * 10**e for e in range(-3, 1) for b in (1, 2, 5)]
    steps += [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200]
    steps += [86400 * b * 10**e for e in range(5) for b in (1, 2, 5)]
    step = next((each for each in steps if each >= rough), steps[-1])
    return [round(step * k, 6) for k in range(int(seconds / step) + 1)]


def _curve(axis: Axis, gathering: Gathering, report: Report, top: float) -> str:
    """Calls and programs under way, all agents together, each part on top of the one before."""
    groups: dict[int, list[AgentId]] = defaultdict(list)
    for agent in report.agents:
        groups[agent.part % 10 if agent.part >= 0 else -1].append(agent.id)
    groups[-1].append(VERIFIER)
    layers = [(part, _density(axis, gathering, ids)) for part, ids in sorted(groups.items())]
    most = max((sum(column) for column in zip(*(layer for _, layer in layers), strict=True)), default=0.0) or 1.0
    drawn, below = "", [0.0] * BINS
    for part, layer in layers:
        above = [a + b for a, b in zip(below, layer, strict=True)]
        drawn += f'<path class="bar area {colour(part)}" d="{_band(below, above, most, top, CURVE)}"/>'
        below = above
    base = top + CURVE
    return (
        f"{drawn}<path class='axis thin' d='M{_n(LEFT)} {_n(base)}H{_n(LEFT + WHOLE)}'/>"
        f'<text class="soft small end" x="{_n(LEFT - 8)}" y="{_n(top + 10)}">{amount(most)}</text>'
        f'<text class="end" x="{_n(LEFT - 8)}" y="{_n(top + CURVE / 2)}">at work</text>'
        f'<text class="soft small end" x="{_n(LEFT - 8)}" y="{_n(top + CURVE / 2 + 13)}">calls, programs</text>'
        f'<text class="soft small end" x="{_n(LEFT - 8)}" y="{_n(base)}">0</text>'
    )


def _density(axis: Axis, gathering: Gathering, ids: Iterable[AgentId]) -> list[float]:
    """How many of the agents are at work, on the average of each bin of the axis."""
    if not axis.gaps:
        return gathering.lanes.density(ids, axis.first, axis.first + axis.seconds, BINS)
    busy = [0.0] * BINS
    width = axis.seconds / BINS
    last = axis.first + axis.seconds + sum(end - start for start, end in axis.gaps)
    for id in ids:
        for kind, start, end in gathering.lanes.spans(id, axis.first, last, 0.0):
            if kind in (CALL, PROGRAM):
                _spread(busy, axis.at(start) / width, axis.at(end) / width)
    return busy


def _spread(busy: list[float], start: float, end: float) -> None:
    for bin in range(max(0, int(start)), min(len(busy), math.ceil(end))):
        busy[bin] += min(end, bin + 1) - max(start, bin)


def _band(below: list[float], above: list[float], most: float, top: float, height: float) -> str:
    """The outline of what lies between two curves of steps; points that change nothing are left out."""
    forth = _outline(above, most, top, height)
    back = _outline(below, most, top, height)
    return "M" + "L".join(forth) + "L" + "L".join(reversed(back)) + "Z"


def _outline(values: list[float], most: float, top: float, height: float) -> list[str]:
    points: list[str] = []
    last: tuple[float, float] | None = None
    flat = False
    for bin, value in enumerate(values):
        x, y = LEFT + WHOLE * (bin + 0.5) / len(values), round(top + height * (1 - value / most), 1)
        if last is not None and last[1] == y:
            flat = True
        else:
            if flat and last is not None:
                points.append(f"{_n(last[0])} {_n(last[1])}")
            points.append(f"{_n(x)} {_n(y)}")
            flat = False
        last = (x, y)
    if flat and last is not None:
        points.append(f"{_n(last[0])} {_n(last[1])}")
    return points


def _critical(axis: Axis, report: Report, gathering: Gathering, top: float) -> str:
    """The links of the critical path, one after the other, coloured by part."""
    part_of = {agent.id: agent.part for agent in report.agents}
    ended = gathering.overview.state.run.ending is not None
    drawn = ""
    for link in gathering.critical.path(None if ended else gathering.last).links:
        x, to_x = axis.x(link.start), axis.x(link.end)
        took = duration(link.end - link.start)
        kind = "bar" if link.what == "call" else "bar program"
        drawn += (
            f'<rect class="{kind} {colour(part_of.get(link.agent, -1))}" x="{_n(x)}" y="{_n(top)}" '
            f'width="{_n(max(0.7, to_x - x - 0.4))}" height="12">'
            f"<title>{markup(name_of(link.agent))}, step {link.step}: {link.what}, {took}</title></rect>"
        )
    return f'{drawn}<text class="end" x="{_n(LEFT - 8)}" y="{_n(top + 10)}">critical path</text>'


# -- lanes ------------------------------------------------------------------------------------------------------


def _lanes(axis: Axis, report: Report, gathering: Gathering, top: float) -> tuple[str, float]:
    if len(report.agents) <= SINGLE:
        drawn = ""
        for agent in _in_tree_order(report.agents):
            drawn += _lane(axis, agent, gathering, top)
            top += LANE
    else:
        drawn, top = _part_lanes(axis, report, gathering, top)
    return drawn + _verifier(axis, gathering, top), top + LANE


def _verifier(axis: Axis, gathering: Gathering, top: float) -> str:
    """When the deliverable was being verified: its checks pale, the judge's calls solid."""
    spans = gathering.checks.spans(gathering.last)
    calls = gathering.lanes.spans(VERIFIER, axis.first, gathering.last, 0.0)
    boxes = [("bar program g", start, end) for start, end in spans]
    boxes += [("bar g", start, end) for kind, start, end in calls if kind == CALL]
    drawn = "".join(
        f'<rect class="{name}" x="{_n(axis.x(start))}" y="{_n(top + 2.5)}" height="10" '
        f'width="{_n(max(GRAIN, axis.x(end) - axis.x(start)))}"/>'
        for name, start, end in boxes
    )
    return f'<text x="4" y="{_n(top + 12)}">verifier</text>{drawn}'


def _in_tree_order(agents: Iterable[Agent]) -> list[Agent]:
    """Superiors before those below them, groups together."""
    places = {agent.id: index for index, agent in enumerate(agents)}

    def key(agent: Agent) -> list[int]:
        steps = agent.id.split("/")
        return [places["/".join(steps[: depth + 1])] for depth in range(len(steps))]

    return sorted(agents, key=key)


def _lane(axis: Axis, agent: Agent, gathering: Gathering, top: float) -> str:
    spans = gathering.lanes.spans(agent.id, axis.first, gathering.last, 0.0)
    shapes = {CALL: ("bar", 2.5, 10.0), PROGRAM: ("bar program", 2.5, 10.0), WAIT: ("bar wait", 6.5, 2.0)}
    drawn = ""
    for kind, (name, down, high) in shapes.items():
        boxes = [(axis.x(start), axis.x(end)) for which, start, end in spans if which == kind]
        d = "".join(
            f"M{_n(x)} {_n(top + down)}h{_n(to_x - x)}v{_n(high)}h{_n(x - to_x)}z" for x, to_x in _joined(boxes)
        )
        drawn += f'<path class="{name} {colour(agent.part)}" d="{d}"/>' if d else ""
    marks = "".join(_mark(kind, axis.x(start), top) for kind, start, _ in spans if kind > WAIT)
    name, indent = markup(one_line(agent.name, 15)), 7 * agent.id.count("/")
    return (
        f'<text x="{_n(4 + min(indent, 28))}" y="{_n(top + 12)}">{name}</text>{drawn}'
        f"{f'<path class={chr(34)}mark thin{chr(34)} d={chr(34)}{marks}{chr(34)}/>' if marks else ''}"
    )


def _joined(boxes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that the eye could not tell apart, as one; none is narrower than what can be seen."""
    done: list[tuple[float, float]] = []
    for x, to_x in sorted(boxes):
        to_x = max(to_x, x + GRAIN)
        if done and x - done[-1][1] < GRAIN / 2 and to_x - done[-1][0] < 3 * GRAIN:
            done[-1] = done[-1][0], max(done[-1][1], to_x)
        else:
            done.append((x, to_x - (0.3 if to_x - x > 2 else 0)))
    return done


def _mark(kind: int, x: float, top: float) -> str:
    """What went wrong, and what the supervisor did; files and reviews are no trouble and have no mark."""
    if kind == FAILURE:
        return f"M{_n(x - 2)} {_n(top + 5.5)}l4 4m0 -4l-4 4"
    if kind == INTERVENTION:
        return f"M{_n(x)} {_n(top + 1)}v13"
    assert kind in (REVIEW, FILE)
    return ""


def _part_lanes(axis: Axis, report: Report, gathering: Gathering, top: float) -> tuple[str, float]:
    """A curve for each part: how many of its agents are at work."""
    members: dict[int, list[Agent]] = defaultdict(list)
    for agent in report.agents:
        members[agent.part].append(agent)
    shown = sorted(members)
    if len(shown) > PARTS:
        dearest = sorted(shown, key=lambda part: -sum(agent.cost for agent in members[part]))
        others = [agent for part in dearest[PARTS:] for agent in members[part]]
        shown = sorted(dearest[:PARTS])
        members = {part: members[part] for part in shown} | {10**9: others}
        shown.append(10**9)
    curves = {part: _density(axis, gathering, [agent.id for agent in members[part]]) for part in shown}
    most = max((max(curve) for part, curve in curves.items() if part < 10**9), default=1.0) or 1.0
    drawn = ""
    for part in shown:
        curve, there = curves[part], members[part]
        peak = max(curve)
        scale = most if peak <= most else peak
        head = min(there, key=lambda agent: (agent.id.count("/"), agent.inner))
        name = "others" if part == 10**9 else head.name
        told = f"{name}: {plural(len(there), 'agent')}, at most {peak:.1f} at work"
        drawn += (
            f'<text x="4" y="{_n(top + 16)}">{markup(one_line(name, 13))}</text>'
            f'<text class="soft small end" x="{_n(LEFT - 8)}" y="{_n(top + 16)}">{len(there)}</text>'
            f'<path class="bar area {colour(part if part < 10**9 else -1)}" '
            f'd="{_band([0.0] * BINS, curve, scale, top + 2, PART - 5)}"><title>{markup(told)}</title></path>'
        )
        top += PART
    return drawn, top


def _n(value: float) -> str:
    return f"{round(value, 1):g}"
