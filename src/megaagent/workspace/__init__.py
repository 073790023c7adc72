"""The shared Git store: read at a revision, commit, three-way merge, conflict (design §9)."""

from megaagent.workspace.contract import (
    BlameLine,
    Committed,
    Conflict,
    FileEntry,
    FileText,
    Hit,
    LogEntry,
    Stamp,
    WorkspaceLimits,
)
from megaagent.workspace.paths import clean_path
from megaagent.workspace.workspace import Workspace

__all__ = [
    "BlameLine",
    "Committed",
    "Conflict",
    "FileEntry",
    "FileText",
    "Hit",
    "LogEntry",
    "Stamp",
    "Workspace",
    "WorkspaceLimits",
    "clean_path",
]
