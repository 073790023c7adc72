"""A real PostgreSQL for tests and campaigns: in a temporary folder, on the loopback, and never left running.

The binaries are those of the system (Debian: `apt-get install postgresql`). The server refuses to run as root; then it
runs as an ordinary user, and it dies with the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

USER, PASSWORD = "megaagent", "loopback-only-5e1f"
PATIENCE = 60.0  # seconds for starting and stopping
QUICK = ("shared_buffers=16MB", "max_connections=60", "autovacuum=off", "max_wal_size=256MB")


def binaries() -> Path | None:
    """The folder with `postgres` and `initdb`, of the newest version that is installed; None when it cannot be run."""
    if shutil.which("setpriv") is None:
        return None  # by which the server dies with us
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    newest = max(found, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0, default=None)
    there = shutil.which("initdb")
    return newest or (Path(there).parent if there else None)


class PostgresServer:
    """A server with an empty database `megaagent`, for the one user that it has.

    Args:
        fsync: writes reach the disk before they are acknowledged, as on a real site.

    Raises:
        OSError: there are no binaries, or they do not start.
    """

    def __init__(self, *, fsync: bool = False):
        found = binaries()
        if found is None:
            raise OSError("there is no PostgreSQL on this machine: apt-get install postgresql")
        self._binaries = found
        self._user = _ordinary_user()
        self.folder = Path(tempfile.mkdtemp(prefix="megaagent-postgres-"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._options = [*QUICK, f"fsync={'on' if fsync else 'off'}"]
        self.port = free_port()
        try:
            self._make()
            self.start()
            with self.connect("postgres") as connection:
                connection.execute(f"CREATE DATABASE {USER}".encode())
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """Of the database, without the password."""
        return f"postgres://{USER}@127.0.0.1:{self.port}/{USER}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client's environment needs."""
        return {"PGPASSWORD": PASSWORD}

    def connect(self, database: str = USER) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the database's owner, which commits each statement."""
        address = f"host=127.0.0.1 port={self.port} user={USER} password={PASSWORD} dbname={database}"
        return psycopg.connect(address, autocommit=True)

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        words = ["-D", str(self._data), "-p", str(self.port), "-k", "", "-h", "127.0.0.1"]
        options = [word for option in self._options for word in ("-c", option)]
        with (self.folder / "log").open("ab") as log:
            command = self._as_user([str(self._binaries / "postgres"), *words, *options])
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.Error as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise OSError(f"PostgreSQL does not start: {self.log()[-1000:]}") from error
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; sessions are cut off.

        Args:
            how: SIGINT in good order, SIGQUIT at once (it recovers when it starts), SIGKILL as a crash.
        """
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self._wait_for_orphans()
        self.start()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def close(self) -> None:
        """Stop it and remove everything."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(signal.SIGQUIT)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        self._data.mkdir(0o700)
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        for path in (self.folder, self._data, secret):
            if self._user is not None:
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        words = [*("-U", USER), "--pwfile", str(secret), *("-A", "scram-sha-256"), *("-E", "UTF8", "--locale=C"), "-N"]
        command = self._as_user([str(self._binaries / "initdb"), "-D", str(self._data), *words])
        made = subprocess.run(command, capture_output=True, cwd="/", text=True, check=False)
        if made.returncode:
            raise OSError(f"initdb: {made.stderr[-1000:]}")

    def _as_user(self, command: list[str]) -> list[str]:
        words = ["setpriv", "--pdeathsig", "QUIT"]
        if self._user is not None:
            words += [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return [*words, "--", *command]

    def _wait_for_orphans(self) -> None:
        """Children of a killed server hold its shared memory until they notice."""
        end = time.monotonic() + PATIENCE
        pid = self._data / "postmaster.pid"
        while pid.exists() and _anybody_in(self._data) and time.monotonic() < end:
            time.sleep(0.02)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _anybody_in(folder: Path) -> bool:
    """Whether a process works in a folder, as each of the server's does."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                return True
    return False


def _ordinary_user() -> pwd.struct_passwd | None:
    """Who runs the server when we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None
