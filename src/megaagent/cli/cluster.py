"""megaagent cluster: what a Ray cluster does for runs: its nodes, the jobs in flight, and their pace."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from megaagent.cli.options import AsJson, RayAddress

HELP = """CALLS and PROGRAMS are those in flight now, of all runs whose work the cluster does, with their pace over the
last minute; CALLERS and PLACES are the processes that do it. A node without callers asks no models: it may lack the
key, which the run says when it begins.

\b
Examples:
  megaagent cluster
  megaagent cluster --ray-address 10.0.0.1:6379 --watch
  megaagent cluster --json | jq '.nodes[] | {host, calls}'

Without an address it is $RAY_ADDRESS, or the cluster of which this machine is a node."""


def command(
    ray_address: RayAddress = None,
    json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Between two looks.")] = 1.0,
) -> int:
    from megaagent.cli.words import glyphs_for, print_json, terminal_width
    from megaagent.runtimes.ray_cluster import address_of, connect

    ray = connect(address_of(ray_address, {"RAY_ADDRESS": os.environ.get("RAY_ADDRESS", "auto")}))
    try:
        while True:
            view = seen(ray)
            if json:
                print_json(view)
            else:
                if watch and sys.stdout.isatty():
                    print("\x1b[2J\x1b[H", end="")
                for line in picture(view, terminal_width(), glyphs_for(sys.stdout)):
                    print(line)
            sys.stdout.flush()
            if not watch:
                return 0
            time.sleep(every)
    finally:
        ray.shutdown()


def seen(ray: Any) -> dict[str, Any]:
    """The cluster as plain data."""
    from megaagent.runtimes.ray_cluster import nodes, workers

    told = workers(ray)
    rows: list[dict[str, Any]] = []
    for node in nodes(ray):
        here = [worker for worker in told if worker["node"] == node.id]
        rows.append(
            {
                "name": f"{node.host} {node.id[:8]}",
                "node": node.id,
                "host": node.host,
                "cores": node.resources.get("CPU", 0.0),
                "free": node.free.get("CPU", 0.0),
                "leaving": node.leaving,
                "runs": sorted({worker["run"] for worker in here}),
                "models": _summed(here, "models"),
                "programs": _summed(here, "programs"),
            }
        )
    address = ray.get_runtime_context().gcs_address
    return {"address": address, "ray": ray.__version__, "nodes": rows} | {
        kind: _summed(told, kind) for kind in ("models", "programs")
    }


def _summed(workers: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """How many workers of a kind there are, and what they do together."""
    those = [worker for worker in workers if worker["kind"] == kind]
    figures = {name: sum(worker[name] for worker in those) for name in ("live", "done", "per_s")}
    return {"workers": len(those), **figures, "per_s": round(figures["per_s"], 2)}


def picture(view: dict[str, Any], width: int | None, glyphs: Any) -> Iterator[str]:
    """The lines for a person."""
    from megaagent.cli.table import ENDLESS, Column, table
    from megaagent.cli.words import fit, plural

    models, programs = view["models"], view["programs"]
    between = f" {glyphs.dot} "
    parts = (
        f"Ray {view['ray']} at {view['address']}",
        plural(len(view["nodes"]), "node"),
        f"{plural(models['live'], 'call')} in flight, {models['per_s']:.1f} a second",
        f"{plural(programs['live'], 'program')} live, {programs['per_s']:.1f} a second",
    )
    yield fit(between.join(parts), width or ENDLESS, glyphs)
    yield ""

    def figure(kind: str, name: str, form: str = ",.0f") -> Callable[[dict[str, Any]], str]:
        return lambda row: format(row[kind][name], form)

    columns = [
        Column("CORES", lambda row: f"{row['cores']:g}", 5),
        Column("FREE", lambda row: f"{row['free']:g}", 5),
        Column("CALLS", figure("models", "live"), 6, True),
        Column("/S", figure("models", "per_s", ".1f"), 6, True),
        Column("PROGRAMS", figure("programs", "live"), 8, True),
        Column("/S", figure("programs", "per_s", ".1f"), 6, True),
        Column("CALLERS", figure("models", "workers"), 7),
        Column("PLACES", figure("programs", "workers"), 6),
        Column("CALLED", figure("models", "done"), 8),
        Column("RAN", figure("programs", "done"), 7),
    ]
    yield from table("NODE", view["nodes"], columns, width, glyphs, tail=("", _runs))


def _runs(row: dict[str, Any]) -> str:
    return ("being drained; " if row["leaving"] else "") + ", ".join(row["runs"])
