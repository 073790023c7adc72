"""The append-only record of a run: the run itself (design §8)."""

from megaagent.journal.contract import Journal, JournalReader, Listener, Verification
from megaagent.journal.homes import create_journal, open_journal, open_reader
from megaagent.journal.sqlite import SQLiteJournal
from megaagent.journal.writer import JournalWriter

__all__ = [
    "Journal",
    "JournalReader",
    "JournalWriter",
    "Listener",
    "SQLiteJournal",
    "Verification",
    "create_journal",
    "open_journal",
    "open_reader",
]
