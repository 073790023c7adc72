"""Writes a run into one file, to be handed on."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from megaagent.errors import ConfigurationError, RunError, ToolError
from megaagent.events import Record
from megaagent.folder import JOURNAL, RunFolder
from megaagent.models.faults import Secrets
from megaagent.redaction import Secrets as Known

MARK: Final = "[redacted]"
SHORTEST: Final = 3  # characters of a text that is taken out


class Blinds:
    """Takes out of a text what is not to be handed on.

    Args:
        words: whatever they are.
        environ: whose keys are taken out too, in every spelling that an echo can have.

    Raises:
        ConfigurationError: a word is so short that it stands everywhere.
    """

    def __init__(self, words: Iterable[str], environ: Mapping[str, str]):
        self._words = sorted({word for word in words if word}, key=len, reverse=True)
        for word in self._words:
            if len(word) < SHORTEST:
                raise ConfigurationError(f"--redact {word!r}: too short, it would be taken out of everything")
        self._known = Known.of(environ)
        self._looks = Secrets()

    def hide(self, text: str) -> str:
        """The text without them."""
        for word in self._words:
            text = text.replace(word, MARK)
        return self._looks.hide(self._known.hide(text))

    def hide_in(self, value: Any) -> Any:
        """The same for every text in plain data."""
        match value:
            case str():
                return self.hide(value)
            case dict():
                told = cast("dict[str, Any]", value)
                return {self.hide(name): self.hide_in(inner) for name, inner in told.items()}
            case list() | tuple():
                return [self.hide_in(inner) for inner in cast("Sequence[Any]", value)]
            case _:
                return value


def lines(records: Iterable[Record], blinds: Blinds) -> Iterator[bytes]:
    """The facts with their bodies, each as a line of JSON."""
    for record in records:
        yield msgspec.json.encode(blinds.hide_in(msgspec.to_builtins(record))) + b"\n"


def packed(folder: RunFolder, output: Path, blinds: Blinds) -> None:
    """Write the facts, the files and the report of a run into an archive; what is not to be handed on is taken out.

    Raises:
        RunError: the run cannot be read.
    """
    from megaagent.journal import open_reader
    from megaagent.workspace import Workspace

    with tarfile.open(output, "w:gz") as archive, tempfile.TemporaryFile() as facts:
        with closing(open_reader(folder.journal)) as reader:
            facts.writelines(lines(reader.records(), blinds))
            _add(archive, f"{folder.id}/events.jsonl", facts)
        with closing(Workspace.open(folder.workspace, durable=False)) as workspace:
            for entry in workspace.list():
                try:
                    text = workspace.read(entry.path).text
                except ToolError:
                    continue  # no text: what it holds cannot be looked through
                _add(archive, f"{folder.id}/files/{blinds.hide(entry.path)}", io.BytesIO(blinds.hide(text).encode()))
        if folder.report.is_file():
            told = blinds.hide(folder.report.read_text(encoding="utf-8", errors="replace"))
            _add(archive, f"{folder.id}/report.md", io.BytesIO(told.encode()))


def packed_whole(folder: RunFolder, output: Path) -> None:
    """Write a run as it is into an archive; of one that is going on, as it was at a moment.

    Raises:
        RunError: the journal cannot be read.
    """
    with tarfile.open(output, "w:gz") as archive, tempfile.TemporaryDirectory(prefix="megaagent-export-") as aside:
        copy = Path(aside, JOURNAL)
        # The journal first: commits that it does not know are adopted, facts without their commits would be lost.
        _copy(folder.journal, copy)
        archive.add(copy, f"{folder.id}/{JOURNAL}")
        try:
            for path in (folder.workspace, folder.deliverable, folder.report):
                if path.exists():
                    archive.add(path, f"{folder.id}/{path.name}")
        except OSError as error:
            why = error.strerror or error
            raise RunError(
                f"{folder.workspace} changed while it was packed ({why}): try again, or pause the run"
            ) from error


def _copy(journal: Path, copy: Path) -> None:
    """The journal as a file that can be read anywhere."""
    from megaagent.journal.homes import home_of
    from megaagent.journal.prefix import take_all

    if home_of(journal) is not None:
        take_all(journal, copy)
        return
    try:
        with (
            closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise RunError(f"{journal} cannot be copied: {error}; see megaagent check-journal") from error


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = file.seek(0, io.SEEK_END)
    info.mode = 0o644
    file.seek(0)
    archive.addfile(info, file)
