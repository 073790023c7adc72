"""The append-only record of a run: the run itself (design §8)."""

from megaagent.journal.contract import Journal, JournalReader, Listener, Verification
from megaagent.journal.reader import open_reader
from megaagent.journal.sqlite import SQLiteJournal

__all__ = ["Journal", "JournalReader", "Listener", "SQLiteJournal", "Verification", "open_reader"]
