"""A picture of the organization as SVG: who is below whom, how each came out, which part of the whole it is.

Three ways to draw it, by its size: a tree with names that reads from left to right, a round tree, circles within
circles. The colour is that of the part (the boss's own subordinates and all below them), here as in the timeline and
the tables; the size of a dot is what the agent has spent, where there is room for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from megaagent.report.document import Agent, Report
from megaagent.report.packing import packed
from megaagent.report.style import COLOURS, standalone
from megaagent.report.words import amount, markup, money, one_line, plural

NAMED: Final = 40  # agents that are drawn with name and role
ROUND: Final = 2_500  # agents that are drawn as a round tree
WRONG: Final = ("failed", "dropped")

CARD, LANE, ROW = 212.0, 268.0, 46.0  # of the tree with names: width of a card, from level to level, from row to row
RADIUS: Final = 400.0  # of the round ones
LABELS: Final = 64  # parts that are named around a round tree
NAME: Final = 16  # characters of such a name


class Node:
    """An agent with those below it, and where it is drawn."""

    __slots__ = ("agent", "below", "depth", "part", "r", "x", "y")

    def __init__(self, agent: Agent, depth: int, part: int):
        self.agent = agent
        self.depth = depth
        self.part = part
        self.below: list[Node] = []
        self.x = self.y = self.r = 0.0

    def all(self) -> Iterator[Node]:
        """This one and all below it, superiors first."""
        queue: list[Node] = [self]
        while queue:
            node = queue.pop()
            yield node
            queue += node.below[::-1]


def picture(report: Report) -> str:
    """The organization as an SVG that needs nothing around it, light or dark as its reader's machine is."""
    drawn, width, height = chart(report)
    run = report.run
    title = f"{run.scenario or 'A run'}: an organization of {plural(len(report.agents), 'agent')}"
    note = f"{title}, a simulation: no model was asked" if run.simulated else title
    return standalone(drawn, width, height, note)


def chart(report: Report) -> tuple[str, float, float]:
    """What is inside the picture, its width and its height."""
    root = tree(report.agents)
    if root is None:
        return '<text class="soft" x="10" y="24">Nobody was recruited.</text>', 300, 40
    count = len(report.agents)
    if count <= NAMED:
        return _names(root)
    return _round(root) if count <= ROUND else _circles(root)


def tree(agents: Sequence[Agent]) -> Node | None:
    """The agents as a tree; None when there is none."""
    nodes: dict[str, Node] = {}
    root: Node | None = None
    for agent in agents:
        above = nodes.get(agent.id.rpartition("/")[0])
        node = nodes[agent.id] = Node(agent, above.depth + 1 if above else 0, agent.part)
        if above is not None:
            above.below.append(node)
        elif root is None:
            root = node
    return root


def colour(part: int) -> str:
    """The class that colours a part; the boss has none."""
    return "g" if part < 0 else f"g{part % COLOURS}"


# -- a tree with names ------------------------------------------------------------------------------------------


def _names(root: Node) -> tuple[str, float, float]:
    rows = 0.0
    nodes = list(root.all())
    for node in reversed(nodes):  # those below come before those above
        node.x = node.depth * LANE
        if node.below:
            node.y = (node.below[0].y + node.below[-1].y) / 2
    for node in nodes:
        if not node.below:
            node.y, rows = rows, rows + 1
    for node in reversed(nodes):
        if node.below:
            node.y = (node.below[0].y + node.below[-1].y) / 2
    width = (max(node.depth for node in nodes)) * LANE + CARD
    height = (rows - 1) * ROW + 36
    lines = "".join(_bend(node, child) for node in nodes for child in node.below)
    cards = "".join(map(_card, nodes))
    return f'<g class="edge" transform="translate(1 1)">{lines}</g>{cards}', width + 2, height + 2


def _bend(above: Node, below: Node) -> str:
    x, y, to_x, to_y = above.x + CARD, above.y * ROW + 18, below.x, below.y * ROW + 18
    middle = (x + to_x) / 2
    return f'<path d="M{_n(x)} {_n(y)}C{_n(middle)} {_n(y)} {_n(middle)} {_n(to_y)} {_n(to_x)} {_n(to_y)}"/>'


def _card(node: Node) -> str:
    agent = node.agent
    wrong = " wrong" if agent.standing in WRONG else ""
    spent = f"{agent.steps} calls, {money(agent.cost)}"
    told = f"{agent.name}: {agent.role}. {agent.standing}; {spent}; {plural(agent.writes, 'write')}"
    return (
        f'<g class="card {colour(node.part)}{wrong}" transform="translate({_n(node.x + 1)} {_n(node.y * ROW + 1)})">'
        f"<title>{markup(one_line(told, 400))}</title>"
        f'<rect width="{_n(CARD)}" height="36" rx="5"/><rect class="fill" width="4" height="36" rx="2"/>'
        f'<text class="name" x="12" y="15">{markup(one_line(agent.name, 18))}</text>'
        f'<text class="soft end" x="{_n(CARD - 8)}" y="15">{amount(agent.steps)} calls</text>'
        f'<text class="soft" x="12" y="29">{markup(one_line(agent.role, 30))}</text></g>'
    )


# -- a round tree -----------------------------------------------------------------------------------------------


def _round(root: Node) -> tuple[str, float, float]:
    nodes = list(root.all())
    deepest = max(node.depth for node in nodes)
    leaves = [node for node in nodes if not node.below]
    turn = 2 * math.pi / len(leaves)
    for index, leaf in enumerate(leaves):
        leaf.x = (index + 0.5) * turn - math.pi / 2  # the angle, at first
    for node in reversed(nodes):
        if node.below:
            node.x = (node.below[0].x + node.below[-1].x) / 2
        node.y = RADIUS * node.depth / deepest
    parts = _parts(root)
    arcs = "".join(_arc(part, turn) for part in parts) if 1 < len(parts) <= LABELS else ""
    centre = RADIUS + (26 + 7.4 * min(NAME, max(len(part.agent.name) for part in parts)) if arcs else 12)
    edges = _edges_by_colour(nodes)
    dots = _dots_by_colour(nodes, min(4.5, max(1.2, RADIUS * turn * 0.36)))
    return f'<g transform="translate({_n(centre)} {_n(centre)})">{edges}{arcs}{dots}</g>', 2 * centre, 2 * centre


def _parts(root: Node) -> list[Node]:
    """The topmost node of each part."""
    return [node for node in root.all() if node.part >= 0 and not _inner(node, root)]


def _inner(node: Node, root: Node) -> bool:
    """Whether its superior is of the same part: only the topmost ones are not."""
    return node.depth > 0 and node.agent.inner


def _arc(part: Node, turn: float) -> str:
    """The band around a part, with its name."""
    leaves = [node for node in part.all() if not node.below]
    start, end = leaves[0].x - turn * 0.42, leaves[-1].x + turn * 0.42
    radius, middle = RADIUS + 12, (leaves[0].x + leaves[-1].x) / 2
    wide = 1 if end - start > math.pi else 0
    x, y = radius * math.cos(start), radius * math.sin(start)
    to_x, to_y = radius * math.cos(end), radius * math.sin(end)
    flipped = math.cos(middle) < 0
    degrees = math.degrees(middle) + (180 if flipped else 0)
    at = -(radius + 7) if flipped else radius + 7
    name = markup(one_line(part.agent.name, NAME))
    return (
        f'<g class="{colour(part.part)}"><path class="band" d="M{_n(x)} {_n(y)}'
        f'A{_n(radius)} {_n(radius)} 0 {wide} 1 {_n(to_x)} {_n(to_y)}"/>'
        f'<text class="large {"end" if flipped else ""}" x="{_n(at)}" y="4" transform="rotate({_n(degrees)})">{name}'
        "</text></g>"
    )


def _edges_by_colour(nodes: list[Node]) -> str:
    """All lines of a part as one path: half the size of a line each."""
    lines: dict[int, list[str]] = {}
    for node in nodes:
        for child in node.below:
            lines.setdefault(child.part, []).append(_curve(node, child))
    return "".join(f'<path class="edge {colour(part)}" d="{"".join(found)}"/>' for part, found in lines.items())


def _curve(above: Node, below: Node) -> str:
    """From ring to ring, leaving and arriving straight outward."""
    middle = (above.y + below.y) / 2
    points = ((above.y, above.x), (middle, above.x if above.y else below.x), (middle, below.x), (below.y, below.x))
    (x, y), (a, b), (c, d), (e, f) = ((r * math.cos(t), r * math.sin(t)) for r, t in points)
    return f"M{_n(x)} {_n(y)}C{_n(a)} {_n(b)} {_n(c)} {_n(d)} {_n(e)} {_n(f)}"


def _dots_by_colour(nodes: list[Node], size: float) -> str:
    """Dots as ends of lines without length, all of a part and size in one path."""
    most = max(node.agent.cost for node in nodes) or 1.0
    dots: dict[tuple[int, float], list[str]] = {}
    wrong: list[str] = []
    for node in nodes:
        x, y = node.y * math.cos(node.x), node.y * math.sin(node.x)
        larger = 1 + 1.6 * math.sqrt(node.agent.cost / most) if node.below else 1
        radius = round(2 * size * larger) / 2  # few sizes, few paths
        if node.depth == 0:
            radius = max(radius, 9.0)
        dots.setdefault((node.part, radius), []).append(f"M{_n(x)} {_n(y)}h0")
        if node.agent.standing in WRONG:
            wrong.append(f'<circle class="wrong" cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius + 1.5)}"/>')
    drawn = "".join(
        f'<path class="dot {colour(part)}" stroke-width="{_n(2 * radius)}" d="{"".join(found)}"/>'
        for (part, radius), found in dots.items()
    )
    return drawn + "".join(wrong)


# -- circles within circles -------------------------------------------------------------------------------------


def _circles(root: Node) -> tuple[str, float, float]:
    nodes = list(root.all())
    places: dict[Node, list[tuple[float, float]]] = {}
    for node in reversed(nodes):
        if not node.below:
            node.r = 1.0
            continue
        members = [1.0, *(child.r for child in node.below)]  # the admin is one of its group
        places[node], around = packed(members)
        node.r = around + 0.6
    scale = RADIUS / root.r
    root.x = root.y = 0.0
    rings: list[str] = []
    dots: dict[int, list[str]] = {}
    wrong: list[str] = []
    for node in nodes:
        own = (0.0, 0.0)
        if node.below:
            own, *others = places[node]
            for child, (x, y) in zip(node.below, others, strict=True):
                child.x, child.y = node.x + x, node.y + y
            rings.append(
                f'<circle class="ring {colour(node.part)}" cx="{_n(node.x * scale)}" cy="{_n(node.y * scale)}" '
                f'r="{_n(node.r * scale)}"/>'
            )
        x, y = (node.x + own[0]) * scale, (node.y + own[1]) * scale
        dots.setdefault(node.part, []).append(f"M{_n(x)} {_n(y)}h0")
        if node.agent.standing in WRONG:
            wrong.append(f'<circle class="wrong fine" cx="{_n(x)}" cy="{_n(y)}" r="{_n(scale * 0.8)}"/>')
    drawn = "".join(
        f'<path class="dot {colour(part)}" stroke-width="{_n(1.7 * scale)}" d="{"".join(found)}"/>'
        for part, found in dots.items()
    )
    side = 2 * RADIUS + 4
    inside = "".join(rings) + drawn + "".join(wrong)
    return f'<g transform="translate({_n(side / 2)} {_n(side / 2)})">{inside}</g>', side, side


def _n(value: float) -> str:
    """A coordinate in as few characters as it needs."""
    return f"{round(value, 1):g}"
