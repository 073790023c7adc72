"""What only the journal in PostgreSQL promises: lost replies, restarts, leases, and what is told of a bad address."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import Fact
from megaagent.journal import JournalReader, JournalWriter, create_journal, open_journal, open_reader
from megaagent.journal.bodies import digest_of
from megaagent.journal.homes import home_of, move, settle
from megaagent.journal.lock import HeldError

if TYPE_CHECKING:
    from campaigns.postgres_proxy import Cut, Proxy
    from campaigns.postgres_server import PostgresServer

RESTARTS = 3


def note(text: object, agent: str = "boss") -> Fact:
    return Fact(agent, 1, ev.NoteShared(str(text)))


def texts(reader: JournalReader, agent: str | None = None) -> list[str]:
    return [record.event.text for record in reader.records(agent=agent) if isinstance(record.event, ev.NoteShared)]


def stored(path: Path) -> list[str]:
    with closing(open_reader(path)) as reader:
        assert reader.verify().problem == ""
        return texts(reader)


def sql(server: PostgresServer, statement: str, *values: object) -> int:
    with closing(server.connect()) as connection:
        return connection.execute(statement.encode(), values).rowcount


def end_lease(server: PostgresServer, path: Path) -> None:
    """As if its time were over."""
    home = home_of(path)
    assert home is not None
    assert sql(server, "UPDATE megaagent.run SET lease = clock_timestamp() WHERE name = %s", home.journal) == 1


@pytest.fixture
def place(postgres: PostgresServer, tmp_path: Path) -> Path:
    return settle(tmp_path, postgres.address, f"{tmp_path.parent.name}-{tmp_path.name}")


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    from campaigns.postgres_proxy import Proxy

    line = Proxy(postgres.port)
    yield line
    line.close()


@pytest.fixture
def far(postgres: PostgresServer, proxy: Proxy, tmp_path: Path) -> Path:
    """A journal that is reached through the proxy."""
    return settle(tmp_path, through(postgres, proxy), f"{tmp_path.parent.name}-{tmp_path.name}")


def through(server: PostgresServer, proxy: Proxy) -> str:
    return server.address.replace(str(server.port), str(proxy.port))


def elsewhere(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same journal as another machine sees it: with another folder, and so with another lock."""
    home = home_of(path)
    assert home is not None
    return settle(tmp_path_factory.mktemp("elsewhere"), home.address, home.journal)


# -- the commit whose answer was lost -----------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("where", ["before", "after"])
async def test_a_lost_commit_reply_loses_nothing_and_doubles_nothing(far: Path, proxy: Proxy, where: Cut, inline: bool):
    journal = create_journal(far, WallClock(), inline=inline)
    seen: list[int] = []
    journal.listen(lambda records: seen.extend(record.position for record in records))
    await journal.append([note("first")])
    for number in range(5):
        proxy.cut_next(where)
        records = await journal.append([note(f"{number}a"), note(f"{number}b")], [b"content %d" % number])
        assert [record.position for record in records] == [2 * number + 2, 2 * number + 3]
    assert proxy.cuts == 5
    assert seen == list(range(1, 12))
    await journal.close()
    assert stored(far) == ["first", *(f"{number}{part}" for number in range(5) for part in "ab")]


@pytest.mark.parametrize("where", ["before", "after"])
async def test_what_has_no_facts_is_kept_too_when_a_reply_is_lost(far: Path, proxy: Proxy, where: Cut):
    journal = create_journal(far, WallClock())
    await journal.append([note("first")])
    proxy.cut_next(where)
    await journal.append([], [b"alone"])
    proxy.cut_next(where)
    await journal.snapshot("state", 1, b"state")
    reader = journal.reader()
    assert reader.blob(digest_of(b"alone")) == b"alone"
    assert reader.snapshot("state") == (1, b"state")
    assert proxy.cuts == 2
    await journal.close()


async def test_a_reply_that_is_lost_twice_is_still_found_out(far: Path, proxy: Proxy):
    journal = create_journal(far, WallClock())
    troubles: list[str | None] = []
    journal.wait_for_disk(troubles.append)
    for number in range(4):
        proxy.cut_next("after", "before", "after")
        await asyncio.gather(*[journal.append([note(f"{number}.{each}", f"boss/{each}")]) for each in range(20)])
    await journal.close()
    with closing(open_reader(far)) as reader:
        assert reader.verify().problem == ""
        for each in range(20):
            assert texts(reader, f"boss/{each}") == [f"{number}.{each}" for number in range(4)]
    assert troubles[-1] is None
    assert "the journal's database cannot be reached" in troubles


async def test_under_many_cuts_every_append_is_in_once_and_in_order(far: Path, proxy: Proxy):
    journal = create_journal(far, WallClock())
    journal.wait_for_disk(lambda reason: None)
    seen: list[int] = []
    journal.listen(lambda records: seen.extend(record.position for record in records))

    async def appender(name: int) -> None:
        for number in range(25):
            records = await journal.append([note(f"{number}.{part}", f"boss/{name}") for part in range(name)])
            assert len(records) == name

    proxy.cut_often(seed=7, share=0.25)
    await asyncio.gather(*map(appender, range(1, 6)))
    proxy.cut_often(seed=7, share=0.0)
    assert proxy.cuts > 3
    assert seen == list(range(1, 25 * 15 + 1))
    with closing(open_reader(far)) as reader:
        for name in range(1, 6):
            assert texts(reader, f"boss/{name}") == [f"{number}.{part}" for number in range(25) for part in range(name)]
    await journal.close()


async def test_without_patience_an_unreachable_database_is_an_error_and_nothing_is_in(far: Path, proxy: Proxy):
    journal = create_journal(far, WallClock())
    await journal.append([note("in")])
    proxy.deafen()
    with pytest.raises(RunError, match=r"cannot be opened.*refused"):
        await journal.append([note("out")])
    proxy.listen()
    await journal.append([note("in again")])
    await journal.close()
    assert stored(far) == ["in", "in again"]


async def test_a_commit_whose_fate_stays_unknown_is_called_so_and_not_written_over(far: Path, proxy: Proxy):
    journal = create_journal(far, WallClock())
    await journal.append([note("first")])
    proxy.when_cut = proxy.refuse
    proxy.cut_next("after")
    with pytest.raises(RunError, match="whether what was appended is recorded is not known"):
        await journal.append([note("in doubt")])
    proxy.when_cut = lambda: None
    proxy.listen()
    with pytest.raises(RunError, match=r"has facts of which it was not known.*megaagent resume"):
        await journal.append([note("next")])  # nobody here was told of a fact that is there
    await journal.close()
    again = open_journal(far, WallClock())
    await again.append([note("goes on")])
    await again.close()
    assert stored(far) == ["first", "in doubt", "goes on"]


async def test_readers_outlive_a_cut_line(far: Path, proxy: Proxy):
    journal = create_journal(far, WallClock())
    await journal.append([note(number) for number in range(1200)])
    reader = journal.reader()
    records = reader.records()
    assert next(records).position == 1
    proxy.cut_all()
    assert [record.position for record in records] == list(range(2, 1201))
    proxy.deafen()
    with pytest.raises(RunError, match="refused"):
        reader.last()
    proxy.listen()
    assert reader.last() == 1200
    await journal.close()


# -- the server restarts ------------------------------------------------------------------------------------------


async def test_a_server_that_restarts_under_load_costs_nothing(tmp_path: Path, postgres: PostgresServer):
    from campaigns.postgres_server import PostgresServer

    server = PostgresServer(fsync=True)
    try:
        path = settle(tmp_path, server.address, "restarts")
        journal = create_journal(path, WallClock())
        journal.wait_for_disk(lambda reason: None)
        done: dict[int, int] = {}
        over = asyncio.Event()

        async def appender(name: int) -> None:
            number = 0
            while not over.is_set():
                await journal.append([note(f"{number}.{part}", f"boss/{name}") for part in range(3)])
                done[name] = number
                number += 1

        working = asyncio.gather(*map(appender, range(6)))
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            await journal.append([note("between", "engine:")])
            await asyncio.to_thread(server.restart, how)
            await journal.append([note("between", "engine:")])
        over.set()
        await working
        await journal.close()
        with closing(open_reader(path)) as reader:
            assert reader.verify().problem == ""
            assert len(texts(reader, "engine:")) == 2 * RESTARTS
            for name, last in done.items():
                written = [f"{number}.{part}" for number in range(last + 1) for part in range(3)]
                assert texts(reader, f"boss/{name}") == written
    finally:
        server.close()


# -- one writer ---------------------------------------------------------------------------------------------------


async def test_a_second_engine_is_refused_while_the_first_ones_lease_lives(
    place: Path, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
):
    first = create_journal(place, WallClock())
    await first.append([note("first")])
    other = elsewhere(place, tmp_path_factory)
    with pytest.raises(HeldError, match=rf"process {os.getpid()} on .* is its engine.*its lease ends in \d+ s"):
        open_journal(other, WallClock())
    with pytest.raises(HeldError, match="process"):
        open_journal(place, WallClock())  # on this machine its lock file says so
    assert await first.append([note("goes on")])
    await first.close()
    second = open_journal(other, WallClock())  # a closed one has no lease
    assert (second.epoch, second.position) == (2, 2)
    await second.close()


async def test_who_takes_over_shuts_the_late_one_out(
    place: Path, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
):
    late = create_journal(place, WallClock())
    await late.append([note("first")])
    end_lease(postgres, place)
    second = open_journal(elsewhere(place, tmp_path_factory), WallClock())
    await second.append([note("second")])
    for _ in range(2):
        with pytest.raises(RunError, match=r"another engine has taken over \(epoch 2, this is 1\)"):
            await late.append([note("too late")], [b"nor this"])
    with pytest.raises(RunError, match="taken over"):
        await late.snapshot("state", 1, b"nor this")
    await late.close()
    with pytest.raises(HeldError):  # the late one's closing did not end the lease of the second
        open_journal(place, WallClock())
    await second.append([note("goes on")])
    await second.close()
    assert stored(place) == ["first", "second", "goes on"]


async def test_an_engine_whose_time_is_over_looks_before_it_acts_elsewhere(
    place: Path, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
):
    late = create_journal(place, WallClock())
    await late.hold()
    ledger = late._ledger  # pyright: ignore[reportPrivateUsage]
    assert ledger.held
    end_lease(postgres, place)
    ledger._held_until = 0.0  # type: ignore[attr-defined]  # as after standing still for longer than the lease
    await late.hold()  # nobody came: the lease is its own again
    assert ledger.held
    with pytest.raises(HeldError):
        open_journal(elsewhere(place, tmp_path_factory), WallClock())
    end_lease(postgres, place)
    second = open_journal(elsewhere(place, tmp_path_factory), WallClock())
    ledger._held_until = 0.0  # type: ignore[attr-defined]
    with pytest.raises(RunError, match="another engine has taken over"):
        await late.hold()
    await second.hold()
    await late.close()
    await second.close()


async def test_an_engine_that_was_forgotten_but_not_replaced_goes_on(place: Path, postgres: PostgresServer):
    journal = create_journal(place, WallClock())
    end_lease(postgres, place)
    await journal.append([note("nobody came")])
    with closing(postgres.connect()) as connection:
        home = home_of(place)
        assert home is not None
        query = "SELECT lease > clock_timestamp() FROM megaagent.run WHERE name = %s"
        assert connection.execute(query, (home.journal,)).fetchone() == (True,), "a commit prolongs the lease"
    await journal.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from megaagent import events as ev
from megaagent.clock import WallClock
from megaagent.events import Fact
from megaagent.journal import open_journal

async def main():
    journal = open_journal(Path(sys.argv[1]), WallClock())
    for number in range(10_000):
        await journal.append([Fact("boss", number, ev.NoteShared(str(number)))])
        os.write(1, b".")

asyncio.run(main())
"""


async def test_a_killed_engine_is_followed_at_once_where_its_lock_shows_that_it_is_dead(
    place: Path, tmp_path_factory: pytest.TempPathFactory
):
    await create_journal(place, WallClock()).close()
    pid, acknowledged = await asyncio.to_thread(killed, place)
    with pytest.raises(HeldError, match=f"process {pid}"):  # another machine cannot know
        open_journal(elsewhere(place, tmp_path_factory), WallClock())
    journal = open_journal(place, WallClock())
    assert journal.epoch == 3
    assert journal.position >= acknowledged
    await journal.close()
    assert stored(place) == [str(number) for number in range(journal.position)]


def killed(path: Path) -> tuple[int, int]:
    """An engine that was killed at work, and how much it had acknowledged."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        acknowledged = len(child.stdout.read(40))
        child.kill()
        return child.pid, acknowledged + len(child.stdout.read())


async def test_facts_that_the_database_lost_are_not_written_over(place: Path, postgres: PostgresServer):
    journal = create_journal(place, WallClock())
    await journal.append([note("kept")])
    await journal.append([note("lost")])
    with closing(postgres.connect()) as connection:  # as a replica that lagged would have it
        connection.execute("BEGIN")
        name = getattr(home_of(place), "journal", "")
        [run] = connection.execute("SELECT id FROM megaagent.run WHERE name = %s", (name,)).fetchone() or [0]
        connection.execute("DELETE FROM megaagent.record WHERE run = %s AND position = 2", (run,))
        connection.execute(
            "UPDATE megaagent.run SET position = 1, chain = (SELECT chain FROM megaagent.record WHERE run = %s) "
            "WHERE id = %s",
            (run, run),
        )
        connection.execute("COMMIT")
    with pytest.raises(RunError, match=r"ends at fact 1, but 2 were recorded.*restored from a copy"):
        await journal.append([note("over it")])
    await journal.close()
    assert stored(place) == ["kept"]


async def test_a_deleted_journal_is_told_and_leaves_nothing(place: Path, postgres: PostgresServer):
    journal = create_journal(place, WallClock())
    await journal.append([note("x" * 5000)], [b"content"])
    await journal.snapshot("state", 1, b"state")
    home = home_of(place)
    assert home is not None
    sql(postgres, "DELETE FROM megaagent.run WHERE name = %s", home.journal)
    with pytest.raises(RunError, match="was deleted"):
        await journal.append([note("more")])
    await journal.close()
    with pytest.raises(RunError, match="there is no journal"):
        open_reader(place)
    with closing(postgres.connect()) as connection:
        for table in ("record", "blob", "snapshot", "recall"):
            query = f"SELECT count(*) FROM megaagent.{table} WHERE run NOT IN (SELECT id FROM megaagent.run)"
            assert connection.execute(query.encode()).fetchone() == (0,)


async def test_a_line_that_goes_dumb_is_ended_and_made_anew(far: Path, proxy: Proxy):
    """The server took the statement and nothing comes back: who watches cuts the line, and the batch goes on."""
    journal = create_journal(far, WallClock())
    journal.wait_for_disk(lambda reason: None)
    await journal.append([note("one")])
    with proxy.dumb():
        waiting = asyncio.ensure_future(journal.append([note("two")]))
        await asyncio.to_thread(proxy.swallowed.wait, 30)
        assert not waiting.done()
        ledger = journal._ledger  # pyright: ignore[reportPrivateUsage]
        ledger._server.interrupt()  # type: ignore[attr-defined]  # what the lease's thread does when a minute is over
    await waiting
    await journal.close()
    assert stored(far) == ["one", "two"]


# -- what cannot be used ------------------------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    """Neither a writer nor a reader opens it, nor is it made; and no password is told."""
    for attempt in (
        lambda: open_journal(path, WallClock()),
        lambda: open_reader(path),
        lambda: create_journal(path, WallClock()),
    ):
        with pytest.raises((RunError, ConfigurationError), match=match) as told:
            attempt()
        assert (os.environ["PGPASSWORD"] or "no password") not in str(told.value).replace("no password supplied", "")
        assert "\n" not in str(told.value)


def test_nobody_answers(tmp_path: Path, postgres: PostgresServer):
    from campaigns.postgres_server import free_port

    refused(settle(tmp_path, f"postgres://u@127.0.0.1:{free_port()}/x", "a"), r"refused.*look whether the server is up")


def test_a_host_that_is_none(tmp_path: Path, postgres: PostgresServer):
    refused(settle(tmp_path, "postgres://u@no-such-host.invalid/x", "a"), "correct the host in the address")


def test_a_wrong_password(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", "wrong-9135")
    refused(place, r"put the right password into PGPASSWORD or ~/.pgpass")


def test_no_password(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", "")
    refused(place, r"put the password into PGPASSWORD or ~/.pgpass")


def test_no_such_database(tmp_path: Path, postgres: PostgresServer):
    address = postgres.address.rpartition("/")[0] + "/nothing"
    refused(settle(tmp_path, address, "a"), r'database "nothing" does not exist; make it with createdb')


def test_a_server_that_is_too_old(far: Path, proxy: Proxy, postgres: PostgresServer):
    with closing(postgres.connect()) as connection:
        major = connection.info.server_version // 10000
    proxy.replace(b"server_version\0%d" % major, b"server_version\0%02d" % 9)
    refused(far, r"the server is PostgreSQL 9, 13 is the oldest: upgrade it")


def test_tables_of_a_newer_release_and_a_foreign_schema(tmp_path: Path, postgres: PostgresServer):
    sql(postgres, "CREATE DATABASE newer")
    address = postgres.address.rpartition("/")[0] + "/newer"
    path = settle(tmp_path, address, "a")
    with closing(postgres.connect("newer")) as connection:
        connection.execute("CREATE SCHEMA megaagent")
        connection.execute("CREATE TABLE megaagent.customers (name text)")
        refused(path, "is not one of MegaAgent's journals")
        connection.execute("DROP TABLE megaagent.customers")
        asyncio.run(create_journal(path, WallClock()).close())  # a schema that was made for us is taken
        connection.execute("UPDATE megaagent.meta SET value = 99")
        refused(path, r"newer MegaAgent \(schema 99, this one knows 1\); upgrade")


def test_a_user_without_rights(tmp_path: Path, postgres: PostgresServer):
    sql(postgres, "CREATE ROLE guest LOGIN PASSWORD 'loopback-only-5e1f'")
    sql(postgres, "CREATE DATABASE closed")
    path = settle(tmp_path, f"postgres://guest@127.0.0.1:{postgres.port}/closed", "a")
    with pytest.raises(RunError, match=r"permission denied for database closed.*rights"):
        create_journal(path, WallClock())


def test_a_database_with_another_encoding(tmp_path: Path, postgres: PostgresServer):
    sql(postgres, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    refused(settle(tmp_path, postgres.address.rpartition("/")[0] + "/latin", "a"), "encoded as LATIN1; make one with")


async def test_nothing_is_made_over_a_journal(place: Path):
    await create_journal(place, WallClock()).close()
    with pytest.raises(RunError, match="already"):
        create_journal(place, WallClock())


def test_a_journal_that_is_none(place: Path, postgres: PostgresServer):
    for attempt in (lambda: open_journal(place, WallClock()), lambda: open_reader(place)):
        with pytest.raises(RunError, match="there is no journal"):
            attempt()


def test_without_the_extra(tmp_path: Path):
    path = settle(tmp_path, "postgres://u@127.0.0.1:1/x", "a")
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from megaagent.journal import open_reader\n"
        "open_reader(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert "ConfigurationError: a journal in PostgreSQL needs the extra [postgres]" in last
    assert "pip install 'megaagent[postgres]'" in last


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("postgres://me:secret-77@h/db", "has a password in it"),
        ("postgres://me:sec/ret-77@h/db", "has a password in it"),
        ("postgres://h/db?password=secret-77", "has a password in it"),
        ("postgres://h/db?sslmode=require&sslpassword=secret-77", "has a password in it"),
        ("postgres://h/db?passw%6Frd=secret-77", "has a password in it"),  # libpq decodes names, too
        ("mysql://me:secret-77@h/db", "mysql://… is no place for a journal"),
        ("secret-77 @", "is no place for a journal"),
        ("postgres://h/db\nx = 1", "line ends"),
        ("", "is no place for a journal"),
    ],
)
def test_an_address_that_is_none_or_has_a_password(tmp_path: Path, address: str, match: str):
    with pytest.raises(ConfigurationError, match=match) as told:
        settle(tmp_path, address, "a")
    assert "secret-77" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_journal_can_have(tmp_path: Path):
    path = settle(tmp_path, "postgres://me@h/db", "a\0b")
    with pytest.raises(RunError, match=r"journal\.toml does not say where the journal is: 'a\\x00b'"):
        open_reader(path)


def test_a_password_that_somebody_wrote_into_the_file_is_not_told(tmp_path: Path):
    path = settle(tmp_path, "postgres://me@h/db", "a")
    path.write_text(path.read_text().replace("me@", "me:secret-77@"))
    with pytest.raises(ConfigurationError, match="has a password") as told:
        open_reader(path)
    assert "secret-77" not in str(told.value)


def test_a_file_that_does_not_say_where(tmp_path: Path):
    path = tmp_path / "journal.toml"
    with pytest.raises(RunError, match="there is no journal at"):
        open_reader(path)
    for text in ("address = 7", "not toml", 'address = "postgres://h/d"'):
        path.write_text(text)
        with pytest.raises(RunError, match="does not say where the journal is"):
            open_reader(path)


def test_an_address_of_many_words_comes_back(tmp_path: Path):
    address = 'postgres://u%20"é@h1:1,h2:2/d?target_session_attrs=any&application_name=a b'
    assert home_of(settle(tmp_path, address, 'a "name"')) == msgspec.convert(
        {"address": address, "journal": 'a "name"'}, type=type(home_of(settle(tmp_path, address, 'a "name"')))
    )


# -- another address ----------------------------------------------------------------------------------------------


async def test_a_database_that_was_moved_is_found_again(far: Path, proxy: Proxy, postgres: PostgresServer):
    journal = create_journal(far, WallClock())
    await journal.append([note("before")])
    await journal.close()
    proxy.close()
    with pytest.raises(RunError, match="there is no journal"):
        move(far, postgres.address.rpartition("/")[0] + "/postgres")
    assert getattr(home_of(far), "address", "") == through(postgres, proxy)
    move(far, postgres.address)
    assert stored(far) == ["before"]
    with pytest.raises(ConfigurationError, match="resuming does not move it"):
        move(far, "folder")


# -- the rest -----------------------------------------------------------------------------------------------------


async def test_runs_in_one_database_know_nothing_of_each_other(
    place: Path, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
):
    other = settle(tmp_path_factory.mktemp("other"), postgres.address, f"{place.parent.name} other")
    journals: list[JournalWriter] = [create_journal(path, WallClock()) for path in (place, other)]
    for number in range(3):
        await asyncio.gather(
            *[
                journal.append([note(f"board {number} of {name}")], [f"content of {name}".encode()])
                for name, journal in enumerate(journals)
            ]
        )
    for name, journal in enumerate(journals):
        await journal.snapshot("state", 3, f"state of {name}".encode())
        reader = journal.reader()
        assert texts(reader) == [f"board {number} of {name}" for number in range(3)]
        assert sorted(record.position for record, _ in reader.search("board")) == [1, 2, 3]
        assert reader.snapshot("state") == (3, f"state of {name}".encode())
        assert reader.verify().rows == 3
    for journal in journals:
        await journal.close()


async def test_a_text_of_any_length_and_signs_can_be_recorded_and_its_words_found(place: Path):
    journal = create_journal(place, WallClock())
    every = "".join(map(chr, [*range(1, 0xD800, 7), *range(0xE000, 0x11000, 11)]))
    long = " ".join(f"w{number}é" for number in range(200_000))
    for text in ("nul \0 within", every, long, "x" * 3_000_000, "'quoted' & | ! <-> :* \\ words"):
        await journal.append([note(text)])
    reader = journal.reader()
    assert texts(reader)[2] == long
    assert reader.verify().problem == ""
    assert [record.position for record, _ in reader.search("nul")] == [1]
    assert [record.position for record, _ in reader.search("w7é")] == [3]
    assert [record.position for record, _ in reader.search("quoted")] == [5]
    await journal.close()
