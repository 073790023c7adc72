"""Whether a report claims files that its author has not written."""

from __future__ import annotations

import re

from megaagent.events import superior_of
from megaagent.organization.folds import KEPT_FILES
from megaagent.organization.members import Debt
from megaagent.organization.state import State

_WRITTEN = re.compile(r"\b(?:wrote|written|created|saved|added|implemented|produced|finished|completed)\b", re.I)
_PATH = re.compile(r"(?<![\w/.:@-])(?:[\w-]+/)*(?:[\w-]{2,}\.[A-Za-z]|[\w-]\.[A-Za-z]{2})[A-Za-z0-9]{0,4}(?![\w/@(])")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")


def unwritten(state: State, debt: Debt) -> list[str]:
    """The files that the report says were written, and that neither the debtor nor anyone below it has committed.

    A sentence counts when it has a word for writing in it. Of an agent with many files the state knows only the newest,
    so nothing is said of it.
    """
    authors = list(state.subtree(debt.debtor))
    if any(len(author.files) >= KEPT_FILES for author in authors):
        return []
    written = {path for author in authors for path in author.files}
    names = {path.rpartition("/")[2] for path in written}
    claimed = [
        path
        for sentence in _SENTENCE.split(debt.report)
        if _WRITTEN.search(sentence)
        for path in _PATH.findall(sentence)
    ]
    missing = [path for path in dict.fromkeys(claimed) if path not in written and path not in names]
    if not missing:
        return []
    colleagues = _files_around(state, debt)
    return [path for path in missing if path not in colleagues]


def _files_around(state: State, debt: Debt) -> set[str]:
    """What the rest of the group has written: a report may speak of a colleague's file."""
    superior = superior_of(debt.debtor)
    if superior is None:
        return set()
    around = [*state.subordinates(superior), state.members[superior]]
    return {path for member in around for path in member.files}
