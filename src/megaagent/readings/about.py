"""What a run was asked, with which settings, and what it made: for putting two runs beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from megaagent import events as ev
from megaagent.readings.fold import Readings

MOST_FILES: Final = 5_000


def about(readings: Readings) -> dict[str, Any]:
    """Goal, settings and files of a run, and where it parted from another."""
    first = next((readings.reader.record(position) for position in readings.by_kind["RunStarted"]), None)
    began = first.event if first is not None and isinstance(first.event, ev.RunStarted) else None
    model, settings, version = (began.model, began.settings, began.version) if began else ("", "{}", "")
    parent, parted = "", 0
    for position in readings.by_kind["RunForked"]:
        record = readings.reader.record(position)
        if record is not None and isinstance(record.event, ev.RunForked):
            forked = record.event
            model, settings, version = forked.model, forked.settings, forked.version
            parent, parted = forked.parent, forked.position
    files = _files(readings)
    return {
        "goal": began.goal if began else "",
        "model": model,
        "version": version,
        "parent": parent,
        "parted": parted,
        "settings": dict(_flat(msgspec.json.decode(settings or "{}"))),
        "files": dict(list(files.items())[:MOST_FILES]),
        "total": len(files),
    }


def _files(readings: Readings) -> dict[str, tuple[str, int, str]]:
    """Files that were written in the run and are still there: digest, bytes, who wrote them last."""
    found: dict[str, tuple[str, int, str]] = {}
    for record in readings.reader.records(kinds=[ev.FileCommitted], bodies=False):
        event = record.event
        if not isinstance(event, ev.FileCommitted):
            continue
        if event.digest is None:
            found.pop(event.path, None)
        else:
            found[event.path] = event.digest, event.size, record.agent
    return dict(sorted(found.items()))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names."""
    if isinstance(value, dict) and value:
        inner: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]  # JSON
        for key, each in inner.items():
            yield from _flat(each, f"{name}.{key}" if name else key)
    elif name:
        yield name, value
