"""The shared files of a run: names, contents with who wrote which line, history and changes. Nothing is written."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.readings.fold import Readings
from megaagent.workspace import Workspace, clean_path

MOST_FILES: Final = 5_000
MOST_LINES: Final = 6_000
LONGEST_LINE: Final = 2_000
MOST_COMMITS: Final = 100
LONGEST_TEXT: Final = 400_000


class Files:
    """One run's workspace; calls block, and come from one thread."""

    def __init__(self, folder: RunFolder):
        self._workspace = Workspace.open(folder.workspace, durable=False)

    def names(self) -> dict[str, Any]:
        """All files with their sizes, at the newest revision."""
        entries = self._workspace.list()
        return {
            "revision": self._workspace.head(),
            "total": len(entries),
            "files": [(entry.path, entry.size) for entry in entries[:MOST_FILES]],
        }

    def content(self, path: str, revision: str | None) -> dict[str, Any]:
        """A text file, each line with the agent and the revision that it came with.

        Raises:
            ToolError: there is no such text file, or the name leads elsewhere.
        """
        text = self._workspace.read(path, revision)
        blamed = self._workspace.blame(path, revision)
        return {
            "path": text.path,
            "revision": text.revision,
            "lines": [
                (line.agent or line.author, line.revision[:10], line.text[:LONGEST_LINE])
                for line in blamed[:MOST_LINES]
            ],
            "total": len(blamed),
        }

    def text(self, path: str) -> dict[str, Any]:
        """A text file as it is, whole, for somebody who wants to change it.

        Raises:
            ToolError: there is no such text file, it is too long, or the name leads elsewhere.
        """
        file = self._workspace.read(path)
        if len(file.text) > LONGEST_TEXT:
            raise ToolError(f"{file.path} has {len(file.text):,} characters: too many to be changed here")
        return {"path": file.path, "revision": file.revision, "text": file.text}

    def history(self, path: str | None) -> list[dict[str, Any]]:
        """The newest commits, of one file or of all."""
        return [
            {
                "revision": entry.revision,
                "agent": entry.agent or entry.author,
                "step": entry.step,
                "time": entry.time,
                "subject": entry.subject,
            }
            for entry in self._workspace.log(path, MOST_COMMITS)
        ]

    def change(self, path: str, old: str | None, new: str) -> dict[str, Any]:
        """What happened to a file between two revisions, as lines of a unified difference."""
        path = clean_path(path)
        before = self._lines(path, old) if old else []
        after = self._lines(path, new)
        lines = list(
            difflib.unified_diff(before, after, f"{path} {(old or '')[:10]}", f"{path} {new[:10]}", lineterm="")
        )
        return {"lines": [line[:LONGEST_LINE] for line in lines[:MOST_LINES]], "total": len(lines)}

    def close(self) -> None:
        self._workspace.close()

    def _lines(self, path: str, revision: str) -> list[str]:
        try:
            return self._workspace.read(path, revision).text.split("\n")
        except ToolError:
            if self._workspace.resolve(revision):  # a revision that is none is told
                return []  # the file was not there yet, or no longer
            raise


def written(records: Iterable[Record]) -> list[dict[str, Any]]:
    """What agents did to each file, in the order of first writing: how often, who, and who last and when.

    Args:
        records: the `FileCommitted` of a run.
    """
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        if isinstance(record.event, ev.FileCommitted):
            path = record.event.path
            row = rows.setdefault(path, {"path": path, "writes": 0, "agents": {}, "merged": 0})
            row["writes"] += 1
            row["merged"] += record.event.merged
            row["agents"][record.agent] = row["agents"].get(record.agent, 0) + 1
            row["last"], row["time"], row["step"] = record.agent, record.time, record.step
    return list(rows.values())


def conflicts(readings: Readings, path: str | None) -> list[dict[str, Any]]:
    """Where writes met: merged by the engine, or a conflict that its writer settled, or has still to settle.

    `old` and `new` are the revisions between which one sees what settled it.
    """
    found: list[dict[str, Any]] = []
    unsettled: dict[tuple[str, str], dict[str, Any]] = {}
    for position in sorted([*readings.by_kind["ConflictMet"], *readings.by_kind["FileCommitted"]]):
        record = next(readings.reader.records(position - 1, limit=1, bodies=False), None)
        if record is None:
            continue
        row = {"position": record.position, "time": record.time, "agent": record.agent, "settled": None}
        match record.event:
            case ev.ConflictMet(path=name, theirs=theirs) if path in (None, name):
                row |= {"path": name, "how": "conflict", "old": theirs, "new": None}
                unsettled[record.agent, name] = row
                found.append(row)
            case ev.FileCommitted(path=name, revision=revision, settles=True) if path in (None, name):
                met = unsettled.pop((record.agent, name), None)
                if met is not None:
                    met |= {"new": revision, "settled": record.time}
            case ev.FileCommitted(path=name, merged=True, revision=revision, base=base) if path in (None, name):
                found.append(row | {"path": name, "how": "merged", "old": base, "new": revision})
            case _:
                pass
    return found[-MOST_COMMITS:]
