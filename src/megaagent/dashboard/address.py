"""Where the server listens, and by which names it may be called. Beyond this machine only over TLS, or when told so."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import string
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from megaagent.errors import ConfigurationError
from megaagent.events import Struct

LOOPBACK: Final = "127.0.0.1"
SHORTEST: Final = 24  # characters of an operator's own token
LONGEST: Final = 256
TOKEN: Final = frozenset(string.ascii_letters + string.digits + "-_")


class Place(Struct, frozen=True):
    """What the operator has asked for.

    Attributes:
        bind: address to listen at.
        port: 0 takes any free one.
        names: further host names by which browsers may call the server, such as `runs.example.org`.
        certificate, key: PEM files for TLS.
        watcher: file with a token of the operator's own that admits to looking only.
        plain: to be reached from other machines without TLS; whoever is on the way can read everything.
    """

    bind: str = LOOPBACK
    port: int = 0
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    plain: bool = False
    watcher: Path | None = None


def listen(place: Place) -> socket.socket:
    """A socket bound to the place.

    Raises:
        ConfigurationError: it would be open to others without protection, or cannot be had.
    """
    if not _is_loopback(place.bind) and place.certificate is None and not place.plain:
        raise ConfigurationError(
            f"--bind {place.bind} can be reached from other machines: give --tls-cert and --tls-key, or say "
            "--without-tls if whoever is on the way may read everything"
        )
    family = socket.AF_INET6 if ":" in place.bind else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((place.bind, place.port))
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        why = error.strerror
        if error.errno == errno.EADDRINUSE:
            why = f"{why}; give another --port, or 0 for any free one"
        raise ConfigurationError(f"cannot listen at {place.bind}, port {place.port}: {why}") from error
    return listening


def is_free(port: int) -> bool:
    """Whether somebody could listen at a port of this machine now."""
    try:
        listen(Place(port=port)).close()
    except ConfigurationError:
        return False
    return True


def tls_of(place: Place) -> ssl.SSLContext | None:
    """The certificate, ready for use; None without one.

    Raises:
        ConfigurationError: it cannot be used.
    """
    if place.certificate is None:
        if place.key is not None:
            raise ConfigurationError("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(place.certificate, place.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"--tls-cert {place.certificate}: it cannot be used ({error})") from error
    return context


def hosts_of(place: Place, port: int) -> list[str]:
    """What a request's Host header may be, the one to show a person first."""
    names = list(place.names)
    if _is_loopback(place.bind):
        names = [place.bind, "localhost", *names]
    elif place.bind not in ("0.0.0.0", "::"):
        names = [place.bind, *names]
    if not names:
        raise ConfigurationError(f"--bind {place.bind} listens everywhere: say by which name, with --name HOST")
    usual = 443 if place.certificate is not None else 80
    written = [f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names]
    return _once([*(f"{name}:{port}" for name in written), *(name for name in written if port == usual)])


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.lower() for name in names))


def _is_loopback(address: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(address).is_loopback
    return address == "localhost"


def watcher_of(place: Place) -> str:
    """The operator's own token for looking only; empty when none is configured.

    Raises:
        ConfigurationError: the file cannot be read, others can read it, or it holds no token.
    """
    if place.watcher is None:
        return ""
    try:
        mode, text = place.watcher.stat().st_mode, place.watcher.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the token in {place.watcher} cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigurationError(f"others can read the token in {place.watcher}; chmod 600 {place.watcher}")
    token = text.strip()
    if not SHORTEST <= len(token) <= LONGEST or not set(token) <= TOKEN:
        raise ConfigurationError(
            f"{place.watcher} must hold one token of {SHORTEST} to {LONGEST} letters, digits, - and _; "
            "make one: openssl rand -hex 32"
        )
    return token
