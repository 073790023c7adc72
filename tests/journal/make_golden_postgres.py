"""Writes a golden journal in PostgreSQL, as SQL that makes its tables and fills them.

    python -m tests.journal.make_golden_postgres v1

The name is the version of the schema. Run once, when a version was added; the file is then never written again. Its
facts are those of the golden journal `v1.db`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from campaigns.postgres_server import PostgresServer
from tests.journal.make_golden import FOLDER, Ticking

from megaagent.journal import open_journal
from megaagent.journal.homes import settle
from megaagent.journal.postgres.tables import FIRST_TABLES
from megaagent.journal.prefix import take_all

TABLES = ("meta", "run", "record", "blob", "snapshot", "recall")
NAME = "golden"


async def write(name: str) -> None:
    server = PostgresServer()
    os.environ.update(server.environment)
    try:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copyfile(FOLDER / "v1.db", Path(folder, "journal.db"))
            path = settle(Path(folder), server.address, NAME)
            take_all(Path(folder, "journal.db"), path)
            journal = open_journal(path, Ticking(), inline=True)  # type: ignore[arg-type]
            await journal.snapshot("state", journal.position, b"a reading of it all")
            await journal.close()
            with closing(server.connect()) as connection:
                connection.execute("UPDATE megaagent.run SET holder = '', lease = 'epoch', made = 'epoch'")
                statements = ["CREATE SCHEMA megaagent", *FIRST_TABLES, *_rows(connection)]
    finally:
        server.close()
    (FOLDER / f"postgres-{name}.sql").write_text(";\n".join(statements) + ";\n")


def _rows(connection: psycopg.Connection[tuple[Any, ...]]) -> Iterator[str]:
    for table in TABLES:
        columns = connection.execute(f"SELECT * FROM megaagent.{table} LIMIT 0".encode()).description or []
        names = [column.name for column in columns]
        quoted = ", ".join(f"quote_nullable({name}::text)" for name in names)
        for row in connection.execute(f"SELECT {quoted} FROM megaagent.{table} ORDER BY 1, 2".encode()):
            into = f"INSERT INTO megaagent.{table} ({', '.join(names)}) OVERRIDING SYSTEM VALUE"
            yield f"{into} VALUES ({', '.join(row)})"


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
