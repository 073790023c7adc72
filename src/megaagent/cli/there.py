"""A run on another machine, or of another user, behind the address of a dashboard (`megaagent serve`).

The token is sent in a header, as `Authorization: Bearer`. No browser sends that by itself, so nothing here can be had
by a page on another site; nothing is sent to anywhere but the address that was given, and no redirect is followed.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec

from megaagent.cli.options import quoted
from megaagent.cli.sight import BEYOND, Organization
from megaagent.cli.words import clean
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import AgentId, Event, Record, Struct
from megaagent.folder import pick

if TYPE_CHECKING:
    from megaagent.control import Answer, Request

PATIENCE: Final = 60.0  # seconds of silence: a long journal is folded before the first answer
LONGEST: Final = 600.0  # seconds for one answer, however it trickles in
PAGE: Final = 500  # facts that are asked for at once
MOST: Final = 256 << 20  # bytes of one answer


class Address(Struct, frozen=True):
    """Where a dashboard is, and what it is shown."""

    scheme: str
    host: str
    port: int | None
    token: str

    @property
    def url(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{name}{'' if self.port is None else f':{self.port}'}"


def address_of(host: str, token: str | None, environ: Mapping[str, str]) -> Address:
    """The address that was given, with the token from where it stands.

    Args:
        host: the address, or the whole link that the dashboard printed, token and all.
        token: that was given with it.

    Raises:
        ConfigurationError: it is no such address, or there is no token.
    """
    try:
        parts = urlsplit(host if "://" in host else f"http://{host}")
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"--host {host.partition('#')[0]}: no address of a dashboard ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigurationError(
            f"--host {host.partition('#')[0]}: no address of a dashboard; it is like http://127.0.0.1:8642"
        )
    told = token or parse_qs(parts.fragment).get("token", [""])[0] or environ.get("MEGAAGENT_TOKEN", "")
    if not told or not told.isascii() or not told.isprintable():
        raise ConfigurationError(
            "--host needs the dashboard's token: set MEGAAGENT_TOKEN, or give the whole link that megaagent serve "
            "printed, in quotes"
        )
    return Address(parts.scheme, parts.hostname, port, told)


class Dashboard:
    """Asks a dashboard.

    Args:
        longest: seconds that one answer may take.
    """

    def __init__(self, address: Address, longest: float = LONGEST):
        self.address = address
        self._longest = longest
        self._connection: http.client.HTTPConnection | None = None
        if address.scheme == "http" and not _is_loopback(address.host):
            print(f"warning: {address.url} is not encrypted; others can read the token on its way", file=sys.stderr)

    def get(self, path: str, /, **query: str | int) -> bytes:
        """What lies at a path.

        Raises:
            RunError: it does not answer, or has no such thing.
            ConfigurationError: the token does not open it.
        """
        told = urlencode({name: value for name, value in query.items() if value != ""})
        return self._ask("GET", f"{path}?{told}" if told else path)[1]

    def post(self, path: str, body: Any) -> tuple[int, bytes]:
        """Have it do something: the status, 200 or 409, and what it says.

        Raises:
            RunError: it does not answer, or does not do it.
            ConfigurationError: the token is for looking only.
        """
        return self._ask("POST", path, msgspec.json.encode(body))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self.address.token}", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection = self._opened()
            with _Deadline(connection, self._longest):
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                data = response.read(MOST)
                status, whole = response.status, response.isclosed()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or repr(error)
            raise RunError(f"no dashboard answers at {self.address.url}: {clean(why)}") from error
        if not whole:
            self.close()
            raise RunError(f"{self.address.url} sent more than {MOST:,} bytes")
        if status == 200 or (status == 409 and method == "POST"):
            return status, data
        raise _refusal(status, clean(data[:2000].decode(errors="replace")), self.address)

    def _opened(self) -> http.client.HTTPConnection:
        if self._connection is None:
            host, port = self.address.host, self.address.port
            if self.address.scheme == "https":
                self._connection = http.client.HTTPSConnection(
                    host, port, timeout=PATIENCE, context=ssl.create_default_context()
                )
            else:
                self._connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        return self._connection


class _Deadline:
    """Breaks a connection off when the block takes too long; its own time-out only ends a silence.

    Raises:
        TimeoutError: when it did.
    """

    def __init__(self, connection: http.client.HTTPConnection, seconds: float):
        if connection.sock is None:
            connection.connect()
        self._socket = connection.sock
        self._seconds = seconds
        self._passed = False
        self._timer = threading.Timer(seconds, self._break_off)
        self._timer.daemon = True

    def _break_off(self) -> None:
        self._passed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *raised: object) -> None:
        self._timer.cancel()
        if self._passed:
            raise TimeoutError(f"its answer was not complete within {self._seconds:g} s")


class There:
    """`Sight` through a dashboard."""

    def __init__(self, dashboard: Dashboard, run: str):
        self._dashboard = dashboard
        self._run = run
        self._path = f"/api/runs/{quote(run, safe='')}"

    @classmethod
    def of(cls, host: str, token: str | None, run: str | None) -> There:
        """The run of that name on the dashboard, or its latest.

        Raises:
            RunError: there is none, or nothing answers.
            ConfigurationError: the address or the token cannot be used.
        """
        dashboard = Dashboard(address_of(host, token, os.environ))
        names = sorted(entry["id"] for entry in runs_there(dashboard))
        return cls(dashboard, pick(names, run, dashboard.address.url))

    @property
    def id(self) -> str:
        return self._run

    @property
    def called(self) -> str:
        return f"{self._run} --host {quoted(self._dashboard.address.url)}"

    def records(
        self,
        after: int = 0,
        *,
        agent: AgentId | None = None,
        kinds: Collection[type[Event]] | None = None,
        limit: int | None = None,
        bodies: bool = True,
    ) -> Iterator[Record]:
        names = ",".join(kind.__name__ for kind in kinds or ())
        while limit is None or limit > 0:
            count = PAGE if limit is None else min(PAGE, limit)
            data = self._get("records", after=after, agent=agent or "", kinds=names, limit=count, bodies=int(bodies))
            page = self._decoded(data, list[Record])
            yield from page
            if not page:
                return
            if page[-1].position <= after:
                raise RunError(f"{self._dashboard.address.url} tells the same facts again and again")
            after = page[-1].position
            limit = None if limit is None else limit - len(page)

    def organization(self, after: int = 0) -> Organization:
        return self._decoded(self._get("organization", after=after), Organization)

    def agent(self, name: str) -> dict[str, Any]:
        return self._table("agent", id=name)

    def costs(self, root: str) -> dict[str, Any]:
        return self._table("costs", root=root)

    def files(self) -> dict[str, Any]:
        return self._table("files")

    def file(self, path: str, revision: str | None) -> dict[str, Any]:
        return self._table("file", path=path, revision=revision or "")

    def standing(self) -> str | None:
        now = self.organization(after=BEYOND)
        return str(now.header["status"]) if now.live else None

    def ask(self, request: Request) -> Answer:
        from megaagent.control import Answer

        status, data = self._dashboard.post(f"{self._path}/control", request)
        try:
            return msgspec.json.decode(data, type=Answer)
        except msgspec.MsgspecError:
            return Answer(status == 200, clean(data.decode(errors="replace")))

    def close(self) -> None:
        self._dashboard.close()

    def __enter__(self) -> There:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _get(self, what: str, /, **query: str | int) -> bytes:
        return self._dashboard.get(f"{self._path}/{what}", **query)

    def _table(self, what: str, /, **query: str | int) -> dict[str, Any]:
        found = self._decoded(self._get(what, **query), dict[str, Any])
        return _Told.of(found, self._dashboard.address)

    def _decoded(self, data: bytes, kind: Any) -> Any:
        return _decoded(data, kind, self._dashboard.address)


def runs_there(dashboard: Dashboard) -> list[dict[str, Any]]:
    """The runs that a dashboard shows, newest first."""
    found = _decoded(dashboard.get("/api/runs"), _Runs, dashboard.address)
    return _Told.of(found.runs, dashboard.address)


class _Named(Struct, frozen=True):
    id: str


class _Runs(Struct, frozen=True):
    """What must be there of a list of runs; all else is looked up when it is shown."""

    runs: list[dict[str, Any]]

    def __post_init__(self) -> None:
        msgspec.convert(self.runs, list[_Named])


class _Told(dict[str, Any]):
    """What a dashboard told: whoever looks for what is not in it learns where it came from."""

    address: Address

    @classmethod
    def of(cls, value: Any, address: Address) -> Any:
        """The value, with every object in it as one that was told."""
        if isinstance(value, list):
            return [cls.of(item, address) for item in cast("list[Any]", value)]
        if not isinstance(value, dict):
            return value
        told = cls({key: cls.of(item, address) for key, item in cast("dict[str, Any]", value).items()})
        told.address = address
        return told

    def __missing__(self, key: str) -> Any:
        raise RunError(f"{self.address.url} answers otherwise than this version of MegaAgent expects: no {key!r}")


def _decoded(data: bytes, kind: Any, address: Address) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunError(f"{address.url} answers otherwise than this version of MegaAgent expects: {error}") from error


def _refusal(status: int, said: str, address: Address) -> ConfigurationError | RunError:
    match status:
        case 401:
            return ConfigurationError(
                f"{address.url} does not know this token: it changes with every start of the dashboard"
            )
        case 403:
            return ConfigurationError(f"{address.url} refuses: {said}")
        case 421:
            name = address.host
            return ConfigurationError(f"{address.url} does not answer to that name; start it with --name {name}")
        case _:
            return RunError(said if status in (400, 404, 409) and said else f"{address.url} answers {status}: {said}")


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
