"""The report of a run: one reading of its journal, for people (HTML, Markdown, a picture) and programs (JSON)."""

from __future__ import annotations

from collections.abc import Iterable

from megaagent.errors import RunError
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.report.markdown import markdown
from megaagent.report.outline import Outline

__all__ = ["report", "write_report"]


def write_report(folder: RunFolder) -> None:
    """Write `report.md` into the run's folder."""
    reader = open_reader(folder.journal)
    outline = Outline()
    try:
        outline.read(reader)
    finally:
        reader.close()
    if outline.damage is not None:
        raise RunError(outline.damage)
    making = folder.report.with_name(folder.report.name + ".making")
    making.write_text(markdown(outline), encoding="utf-8")
    making.replace(folder.report)  # whole or not there: it is the sign that everything was closed


def report(records: Iterable[Record]) -> str:
    """The report of a run as Markdown, ended or not.

    Args:
        records: its whole journal, with bodies.

    Raises:
        RunError: the journal does not begin as a run.
    """
    outline = Outline()
    for record in records:
        outline.take_in(record)
    if outline.began is None:
        raise RunError("the journal does not begin as a run")
    return markdown(outline)
