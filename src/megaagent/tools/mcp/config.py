"""Which MCP servers there are: files in the shape that other clients have, `{"mcpServers": {NAME: {...}}}`.

Settings name the files only, and the journal keeps the settings; what a file holds (keys, perhaps) is never recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType, field

from megaagent.errors import ConfigurationError
from megaagent.redaction import passwords_in

NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]{0,31}$")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_STDIO = ("", "stdio", "local")
_HTTP = ("", "sse", "http", "https", "streamable-http", "streamable_http", "streamableHttp", "remote")
_KEY_OPTION = re.compile(r"(?i)--?[\w-]*(?:key|token|secret|passw)[\w-]*(?:=(.*))?$")
_HARMLESS = ("accept", "content-type", "user-agent")  # headers whose values are no secrets


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a program without a person proves who it is: OAuth 2 with client credentials.

    Attributes:
        issuer: the authorization server of the credentials; they go only where its metadata says that it gives tokens.
        method: how they are sent.
    """

    client_id: str
    client_secret: str
    issuer: str
    scope: str | None = None
    method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"

    def __repr__(self) -> str:
        return f"Login({self.client_id!r})"


class ServerConfig(msgspec.Struct, frozen=True):
    """One server. Fields that other clients have and we do not are passed over.

    Attributes:
        command, args, env, cwd: how it is started; it has this environment and a few variables such as PATH, no more.
        url, headers: where it is, if it is reached over HTTP; with the type `sse` over the older transport.
        oauth: the login that it wants, where a header does not do.
        seconds: that one call may take.
        start_seconds: that it may take to start and to list its tools.
        output: characters of one result that are kept.
        tools: that are offered to agents, by name or pattern; all of them unless told.
        reads: tools, by name or pattern, that only look: they may run side by side and be called again.
        resources: whether agents may list and read what it has as resources, by two more tools.
    """

    name: str = ""
    type: str = ""
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict[str, str])
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    disabled: bool = False
    seconds: float = 120.0
    start_seconds: float = 60.0
    output: int = 100_000
    tools: tuple[str, ...] = ("*",)
    reads: tuple[str, ...] = ()
    resources: bool = False
    oauth: Login | None = None

    def __repr__(self) -> str:
        return f"ServerConfig({self.name!r})"  # the others may be secrets

    @property
    def secrets(self) -> Iterator[str]:
        """What of it must not be recorded: keys for the server and passwords in addresses."""
        for value in (*self.env.values(), self.url or "", *self.args):
            yield from passwords_in(value)
        for option, following in zip(self.args, (*self.args[1:], ""), strict=False):
            if found := _KEY_OPTION.match(option):
                yield found[1] or following
        for name, value in self.env.items():
            if not value.startswith("/") and "://" not in value:
                yield value if re.search(r"(?i)key|token|secret|passw|credential|auth|pat$|dsn", name) else ""
        if self.oauth is not None:
            yield self.oauth.client_secret
        for name, value in self.headers.items():
            if name.lower() not in _HARMLESS:
                yield value
                yield value.rpartition(" ")[2]


class _File(msgspec.Struct):
    servers: dict[str, dict[str, Any]] | UnsetType = field(name="mcpServers", default=UNSET)


def read_servers(files: Sequence[str], environ: Mapping[str, str]) -> list[ServerConfig]:
    """The servers of some files, without those that are disabled.

    Args:
        environ: what `${NAME}` and `${NAME:-default}` stand for.

    Raises:
        ConfigurationError: a file cannot be read, a server's entry is wrong, or a variable is not set; says which.
    """
    servers = [server for file in files for server in _of_file(Path(file), environ)]
    double = next((each.name for n, each in enumerate(servers) if each.name in {s.name for s in servers[:n]}), None)
    if double is not None:
        raise ConfigurationError(f"the MCP server {double!r} is given twice; rename one of them")
    return servers


def _of_file(path: Path, environ: Mapping[str, str]) -> Iterator[ServerConfig]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise ConfigurationError(f"--mcp {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"--mcp {path}: {error}") from error
    if isinstance(found.servers, UnsetType) or not found.servers:
        raise ConfigurationError(f'--mcp {path}: it names no server; write {{"mcpServers": {{"NAME": {{...}}}}}}')
    for name, entry in found.servers.items():
        server = _server(name, entry, f"--mcp {path}, server {name!r}", environ)
        if not server.disabled:
            yield server


def _server(name: str, entry: dict[str, Any], where: str, environ: Mapping[str, str]) -> ServerConfig:
    if not NAME.match(name):
        raise ConfigurationError(f"{where}: a name is a letter, then letters, digits, _ or -, 32 at most")
    if entry.get("disabled") is True:
        return ServerConfig(name, disabled=True)
    entry = {key: _expanded(value, f"{where}, {key}", environ) for key, value in entry.items()}
    try:
        server = msgspec.convert({**entry, "name": name}, ServerConfig)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    if (server.command is None) == (server.url is None):
        both = ", not both" if server.command is not None else ""
        raise ConfigurationError(f"{where}: give a command to start it, or the url of one that runs{both}")
    known = _STDIO if server.command is not None else _HTTP
    if server.type not in known:
        raise ConfigurationError(f"{where}: its type {server.type!r} does not fit; there are stdio, http and sse")
    if server.url is not None and not server.url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{where}: the url must begin with http:// or https://")
    if server.oauth is not None:
        if server.url is None:
            raise ConfigurationError(f"{where}: oauth is for servers with a url; a program has its keys in env")
        if not server.oauth.issuer.startswith(("http://", "https://")):
            raise ConfigurationError(f"{where}, oauth: the issuer must begin with http:// or https://")
    for limit in ("seconds", "start_seconds", "output"):
        if not 0 < getattr(server, limit) < 1e9:
            raise ConfigurationError(f"{where}: {limit} must be more than 0")
    return server


def _expanded(value: Any, where: str, environ: Mapping[str, str]) -> Any:
    """The value with its variables filled in, wherever a text stands in it."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _variable(found, where, environ), value)
    if isinstance(value, list):
        return [_expanded(each, where, environ) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {key: _expanded(each, where, environ) for key, each in entries.items()}
    return value


def _variable(found: re.Match[str], where: str, environ: Mapping[str, str]) -> str:
    value = environ.get(found[1]) or found[2]
    if value is None:
        raise ConfigurationError(f"{where}: the environment has no {found[1]}; set it, or write ${{{found[1]}:-...}}")
    return value
