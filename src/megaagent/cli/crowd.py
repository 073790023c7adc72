"""An organization as the commands show it: its agents with their paths, and the tree that is drawn of them."""

from __future__ import annotations

from typing import Any, Final

from megaagent.cli.panorama import Panorama, Row, Stand
from megaagent.cli.sight import AgentRow, Organization
from megaagent.cli.words import clean
from megaagent.events import AgentId

# How a tree marks what the overview tells apart.
MARKED: Final[dict[str, Stand]] = {
    "calling": "busy",
    "running": "busy",
    "acting": "busy",
    "ready": "new",
    "idle": "new",
    "asking": "waiting",
    "waiting": "waiting",
    "parked": "waiting",
    "handed in": "handed in",
    "paused": "paused",
    "accepted": "accepted",
    "dropped": "dropped",
    "failed": "failed",
    "left": "dropped",
}


def ids_of(rows: list[AgentRow], known: dict[int, AgentId] | None = None) -> dict[int, AgentId]:
    """The agents' paths by their numbers.

    Args:
        rows: superiors before those below them.
        known: of agents that are not among the rows; it is added to.
    """
    ids = {} if known is None else known
    for row in rows:
        ids[row.index] = f"{ids[row.parent]}/{row.name}" if row.parent in ids else row.name
    return ids


def standing_of(organization: Organization) -> str:
    """How the run stands; `cut off` when its process ended without an ending."""
    status = str(organization.header["status"])
    return status if organization.live or organization.header["ended"] else "cut off"


def agents_of(organization: Organization) -> list[dict[str, Any]]:
    """Every agent as a row for programs."""
    ids = ids_of(organization.rows)
    return [
        {
            "id": ids[row.index],
            "name": row.name,
            "superior": ids.get(row.parent),
            "stand": organization.stands[row.stand],
            "act": row.act,
            "since": row.since,
            "born": row.born,
            "tier": row.tier,
            "steps": row.steps,
            "tokens": row.tokens,
            "cost": row.cost,
            "failures": row.failures,
            "files": row.files,
            "done": row.done,
            "items": row.items,
            "inbox": row.inbox,
        }
        for row in organization.rows
    ]


def panorama_of(organization: Organization) -> Panorama:
    """The tree, to be drawn."""
    panorama = Panorama()
    ids = ids_of(organization.rows)
    for row in organization.rows:
        stand = MARKED.get(organization.stands[row.stand], "waiting")  # a dashboard may be newer than we are
        panorama.place(
            Row(
                ids[row.index],
                stand=stand,
                act=clean(row.act),
                since=row.since,
                steps=row.steps,
                tokens=row.tokens,
                cost=row.cost,
                files=row.files,
            )
        )
    return panorama
