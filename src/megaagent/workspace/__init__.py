"""The shared Git store: read at a revision, commit, three-way merge, conflict (design §9)."""

from megaagent.workspace.contract import (
    BlameLine,
    Committed,
    Conflict,
    Done,
    FileEntry,
    FileText,
    Hit,
    LogEntry,
    Stamp,
    WorkspaceLimits,
    Write,
)
from megaagent.workspace.paths import clean_path
from megaagent.workspace.queue import Queue
from megaagent.workspace.workspace import Workspace

__all__ = [
    "BlameLine",
    "Committed",
    "Conflict",
    "Done",
    "FileEntry",
    "FileText",
    "Hit",
    "LogEntry",
    "Queue",
    "Stamp",
    "Workspace",
    "WorkspaceLimits",
    "Write",
    "clean_path",
]
