"""Where a run's journal is: in a file of its folder, or in a database of which the folder has the address.

Whoever opens a journal names a file. `journal.db` is the journal; `journal.toml` says where it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from megaagent.clock import Clock
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import Struct
from megaagent.journal import lock
from megaagent.journal.codec import Codec
from megaagent.journal.contract import JournalReader
from megaagent.journal.database import Durability
from megaagent.journal.postgres.address import check_address, shown
from megaagent.journal.reader import SQLiteReader
from megaagent.journal.sqlite import SQLiteJournal
from megaagent.journal.sqlite_store import SQLiteStore, SQLiteTarget
from megaagent.journal.store import Store, Target
from megaagent.journal.writer import JournalWriter

if TYPE_CHECKING:
    from megaagent.journal.postgres.server import Place

FOLDER = "folder"  # the setting that keeps a journal in its run's folder
FILE, ADDRESS = "journal.db", "journal.toml"  # as in folder.py
_TEXT = """\
# The journal of this run is in PostgreSQL. No password belongs here: it is taken from PGPASSWORD or ~/.pgpass.
address = {address}
journal = {journal}
"""


class Home(Struct, frozen=True):
    """Where a journal is, when it is in a database.

    Attributes:
        address: of the database, without a password.
        journal: its name there.
    """

    address: str
    journal: str


def settle(folder: Path, address: str, name: str) -> Path:
    """Say in a run's folder where its journal is to be; returns the file by which it is opened.

    Args:
        address: of a database, or `FOLDER`.
        name: of the journal there.

    Raises:
        ConfigurationError: it is no address, or has a password in it.
        OSError: it cannot be written.
    """
    if address == FOLDER:
        return folder / FILE
    check_address(address)
    path = folder / ADDRESS
    making = path.with_name(f"{ADDRESS}.making")
    # A JSON string is a TOML string, too.
    text = _TEXT.format(address=msgspec.json.encode(address).decode(), journal=msgspec.json.encode(name).decode())
    making.write_text(text, encoding="utf-8")
    making.chmod(0o600)
    making.replace(path)
    return path


def home_of(path: Path) -> Home | None:
    """Where the journal of a file is; None when the file is the journal.

    Raises:
        RunError: there is no such file, or it does not say.
    """
    if path.name != ADDRESS:
        return None
    try:
        home = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Home)
    except FileNotFoundError as error:
        raise RunError(f"there is no journal at {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RunError(f"{path} does not say where the journal is ({error}): it needs address and journal") from error
    check_address(home.address)
    if "\0" in home.journal:
        raise RunError(f"{path} does not say where the journal is: {home.journal!r} can be no journal's name")
    return home


def move(path: Path, address: str | None) -> None:
    """Look for a journal at another address from now on, since its database was moved; None changes nothing.

    Raises:
        ConfigurationError: the journal is in its run's folder, or is to be there: facts are not moved.
        RunError: it is not at that address, or cannot be read there.
    """
    home = home_of(path)
    if address is None or address == (home.address if home else FOLDER):
        return
    if home is None or address == FOLDER:
        where = f"in PostgreSQL ({shown(home.address)})" if home else "in the run's folder"
        raise ConfigurationError(
            f"the journal of this run is {where}, and resuming does not move it: "
            "megaagent fork makes a run with the same past whose journal is elsewhere"
        )
    check_address(address)
    with lock.kept_still(path.with_suffix(".lock")), TemporaryDirectory(dir=path.parent) as aside:
        found = settle(Path(aside), address, home.journal)
        open_reader(found).close()  # it must be there before the old address is forgotten
        found.replace(path)


def forget(path: Path) -> None:
    """Delete a journal of a run that could not begin, as far as it is there and can be reached.

    A file goes with its folder.
    """
    try:
        place = _place(path)
        if place is not None:
            from megaagent.journal.postgres.server import Server
            from megaagent.journal.postgres.store import forget as forget_there

            with closing(Server(place, writes=True)) as server:
                forget_there(server)
    except (RunError, ConfigurationError):
        pass


def create_journal(path: Path, clock: Clock, *, durability: Durability = "full", inline: bool = False) -> JournalWriter:
    """A new journal where the file says; never over one that is there. Arguments as for `SQLiteJournal.create`.

    Raises:
        RunError: there is one already, or it cannot be made.
        ConfigurationError: what PostgreSQL needs is not installed.
    """
    if home_of(path) is None:
        return SQLiteJournal.create(path, clock, durability=durability, inline=inline)
    from megaagent.journal.postgres.journal import PostgresJournal

    return PostgresJournal.create(path, clock, inline=inline)


def open_journal(path: Path, clock: Clock, *, durability: Durability = "full", inline: bool = False) -> JournalWriter:
    """Open an existing journal for writing, as a new epoch; arguments as for `create_journal`.

    Raises:
        RunError: there is none, it is in use, damaged, of something else, or newer than this program.
        ConfigurationError: what PostgreSQL needs is not installed.
    """
    if home_of(path) is None:
        return SQLiteJournal.open(path, clock, durability=durability, inline=inline)
    from megaagent.journal.postgres.journal import PostgresJournal

    return PostgresJournal.open(path, clock, inline=inline)


def open_reader(path: Path) -> JournalReader:
    """Open a journal for reading.

    Raises:
        RunError: there is none, or it cannot be read as one.
        ConfigurationError: what PostgreSQL needs is not installed.
    """
    place = _place(path)
    if place is None:
        return SQLiteReader(path, Codec())
    from megaagent.journal.postgres.reader import PostgresReader

    return PostgresReader(place, Codec())


def open_store(path: Path) -> Store:
    """Open a journal to be read whole; errors as for `open_reader`."""
    place = _place(path)
    if place is None:
        return SQLiteStore.open(path)
    from megaagent.journal.postgres.store import PostgresStore

    return PostgresStore(place)


def open_target(path: Path) -> Target:
    """Begin a new journal that takes rows of another one; errors as for `create_journal`."""
    place = _place(path)
    if place is None:
        return SQLiteTarget(path)
    from megaagent.journal.postgres.store import PostgresTarget

    return PostgresTarget(place)


@contextmanager
def kept_still(path: Path) -> Generator[None]:
    """No engine of this machine begins to write meanwhile, and none is at work anywhere. Nothing is written.

    Raises:
        HeldError: an engine is at work.
        RunError: it cannot be found out.
    """
    with lock.kept_still(path.with_suffix(".lock")):
        place = _place(path)
        if place is not None:
            from megaagent.journal.postgres.lease import told_if_held
            from megaagent.journal.postgres.server import Server

            with closing(Server(place)) as server:
                told_if_held(server, path)
        yield


def _place(path: Path) -> Place | None:
    home = home_of(path)
    if home is None:
        return None
    from megaagent.journal.postgres.server import Place

    return Place(home.address, home.journal)
