"""The shared files of a run: names, contents with who wrote which line, history and changes. Nothing is written."""

from __future__ import annotations

import difflib
from typing import Any, Final

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.folder import RunFolder
from megaagent.readings.fold import Readings
from megaagent.workspace import Workspace, clean_path

MOST_FILES: Final = 5_000
MOST_LINES: Final = 6_000
LONGEST_LINE: Final = 2_000
MOST_COMMITS: Final = 100


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


def conflicts(readings: Readings, path: str | None) -> list[dict[str, Any]]:
    """Where writes met, and how each conflict was settled."""
    found: list[dict[str, Any]] = []
    positions = sorted([*readings.by_kind["ConflictMet"], *readings.by_kind["FileCommitted"]])
    for record in (readings.reader.record(position) for position in positions):
        match record.event if record is not None else None:
            case ev.ConflictMet(path=name) if path in (None, name):
                how = "met a conflict"
            case ev.FileCommitted(path=name, settles=True) if path in (None, name):
                how = "settled it"
            case ev.FileCommitted(path=name, merged=True) if path in (None, name):
                how = "merged with others' changes"
            case _:
                continue
        assert record is not None
        found.append(
            {"position": record.position, "time": record.time, "agent": record.agent, "path": name, "how": how}
        )
    return found[-MOST_COMMITS:]
