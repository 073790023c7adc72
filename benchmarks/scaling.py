"""How cost grows with the number of agents: `python -m benchmarks scaling [--most N] [--plot FILE.svg]`.

Runs the benchmark `rest` for 10, 100, 1,000 ... agents, each in a process of its own (in process with a model that
answers at once; simulated: no model is asked), and fits an exponent to each figure from 1,000 agents on: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FIGURES = {"cpu_s": "all_rest_cpu_s", "wall_s": "all_rest_s", "rss_mb": "rss_mb", "journal_mb": "journal_mb"}
FITTED_FROM = 1_000  # below that the cost of a run that does nothing is most of it
WIDTH, HEIGHT, MARGIN = 680, 420, 84
COLOURS = ("#0b7285", "#c2255c", "#5f3dc4", "#e8590c")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument("--most", type=int, default=100_000, help="agents of the largest run")
    parser.add_argument("--plot", type=Path, help="where to draw the figures, as SVG")
    given = parser.parse_args(arguments)
    sizes = [10**power for power in range(1, 7) if 10**power <= given.most]
    rows = [_measured(agents) for agents in sizes]
    exponents = {name: exponent(_points(rows, name)) for name in FIGURES}
    if given.plot is not None:
        given.plot.write_text(drawn(rows), encoding="utf-8")
    print(json.dumps({"benchmark": "scaling", "transport": "in process", "rows": rows, "exponents": exponents}))
    return 0


def _measured(agents: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks", "rest", "--agents", str(agents)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    row = {"agents": told["agents"]} | {name: told[key] for name, key in FIGURES.items()}
    print(json.dumps(row), file=sys.stderr)
    return row


def _points(rows: Sequence[dict[str, float]], name: str) -> list[tuple[float, float]]:
    return [(row["agents"], row[name]) for row in rows if row["agents"] >= FITTED_FROM and row[name] > 0]


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """The slope of the line through the points on logarithmic axes, by least squares; None of fewer than two."""
    if len(points) < 2:
        return None
    logs = [(math.log(x), math.log(y)) for x, y in points]
    x_mean = sum(x for x, _ in logs) / len(logs)
    y_mean = sum(y for _, y in logs) / len(logs)
    spread = sum((x - x_mean) ** 2 for x, _ in logs)
    return round(sum((x - x_mean) * (y - y_mean) for x, y in logs) / spread, 3)


def drawn(rows: Sequence[dict[str, float]]) -> str:
    """The figures over the number of agents as an SVG picture with logarithmic axes."""
    values = [row[name] for row in rows for name in FIGURES if row[name] > 0]
    left, right = math.log10(rows[0]["agents"]), math.log10(rows[-1]["agents"])
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def place(agents: float, value: float) -> tuple[float, float]:
        x = MARGIN + (math.log10(agents) - left) / (right - left or 1) * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - (math.log10(value) - low) / (high - low or 1) * (HEIGHT - 2 * MARGIN)
        return round(x, 1), round(y, 1)

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {box}>']
    parts.append('<rect width="100%" height="100%" fill="#fff"/>')
    for power in range(low, high + 1):
        _, y = place(rows[0]["agents"], 10.0**power)
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 8}" y="{y + 4}" text-anchor="end">{10.0**power:g}</text>')
    for row in rows:
        x, _ = place(row["agents"], 10.0**low)
        parts.append(f'<text x="{x}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{row["agents"]:,}</text>')
    for colour, name in zip(COLOURS, FIGURES, strict=True):
        line = [place(row["agents"], row[name]) for row in rows if row[name] > 0]
        if line:
            points = " ".join(f"{x},{y}" for x, y in line)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts.append(f'<text x="{line[-1][0] + 4}" y="{line[-1][1] + 4}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">agents</text></svg>')
    return "\n".join(parts)
