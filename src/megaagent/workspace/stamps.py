"""How a stamp is written into a commit, and read from it again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pygit2

from megaagent.events import name_of
from megaagent.workspace.contract import Stamp

RUN, AGENT, STEP, CALL, MERGED = (
    "MegaAgent-Run",
    "MegaAgent-Agent",
    "MegaAgent-Step",
    "MegaAgent-Call",
    "MegaAgent-Merged",
)


def signature(stamp: Stamp) -> pygit2.Signature:
    """Author and committer: the agent under its one-word name, its path as the address, in UTC.

    Raises:
        ValueError: the agent or the run has characters that would break a commit's header or trailers.
    """
    for value in (stamp.agent, stamp.run):
        if not value.strip() or any(c in "<>" or unicodedata.category(c)[0] == "C" for c in value):
            raise ValueError(f"{value!r} cannot name the writer of a commit: it is empty or has a line end, < or >")
    address = stamp.agent.rstrip(":").replace("/", ".")
    return pygit2.Signature(name_of(stamp.agent), f"{address}@megaagent.invalid", int(stamp.time), 0, "utf-8")


def message(subject: str, stamp: Stamp, merged: Iterable[str] = ()) -> str:
    """A commit message whose trailers name run, agent, step and call, and the paths that were merged."""
    pairs = [(RUN, stamp.run), (AGENT, stamp.agent), (STEP, stamp.step), (CALL, stamp.call)]
    pairs += [(MERGED, path) for path in merged]
    return f"{subject}\n\n" + "".join(f"{key}: {value}\n" for key, value in pairs)


def trailers(text: str) -> dict[str, list[str]]:
    """The trailers of a message's last paragraph; none unless it is one of ours."""
    found: dict[str, list[str]] = {}
    for line in text.rstrip("\n").rpartition("\n\n")[2].split("\n"):
        key, _, value = line.partition(": ")
        if key.startswith("MegaAgent-"):
            found.setdefault(key, []).append(value)
    return found


def key(stamp: Stamp) -> tuple[str, ...]:
    """What the trailers of this run, agent, step and call say."""
    return stamp.run, stamp.agent, str(stamp.step), str(stamp.call)


def key_of(found: dict[str, list[str]]) -> tuple[str, ...] | None:
    """The run, agent, step and call that trailers name; None unless each is there exactly once."""
    values = [found.get(name, []) for name in (RUN, AGENT, STEP, CALL)]
    return tuple(value for [value] in values) if all(len(value) == 1 for value in values) else None
