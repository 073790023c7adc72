"""The address of a database: what it may be, and how it is shown."""

from __future__ import annotations

import re
from urllib.parse import unquote

from megaagent.errors import ConfigurationError

_AUTHORITY = re.compile(r"(?P<scheme>postgres(?:ql)?)://(?P<rest>.*)", re.DOTALL)
_SECRET = re.compile(r"(?:^|[?&])(?:ssl)?password=", re.IGNORECASE)


def check_address(address: str) -> None:
    """Make sure that an address is one of PostgreSQL and can be written down.

    Raises:
        ConfigurationError: it is not, or a password is in it; no part of it that may be one is repeated.
    """
    found = _AUTHORITY.fullmatch(address)
    if found is None:
        scheme, sign, _ = address.partition("://")
        word = f"{scheme}{sign}…" if sign else address if re.fullmatch(r"[\w./-]{1,60}", address) else "…"
        raise ConfigurationError(
            f"{word} is no place for a journal: say postgres://USER@HOST/DATABASE, or folder for the run's own folder"
        )
    rest = found["rest"]
    user = rest.rpartition("@")[0]
    if ":" in user or _SECRET.search(unquote(rest)):
        raise ConfigurationError(
            f"the address of the journal has a password in it ({shown(address)}), and addresses are kept in files: "
            "leave it out, and put it into PGPASSWORD or ~/.pgpass"
        )
    if any(sign in address for sign in "\0\n\r"):
        raise ConfigurationError(f"the address {shown(address)!r} has line ends in it")


def shown(address: str) -> str:
    """An address as it may be printed: without a password, wherever one may stand in it."""
    found = _AUTHORITY.fullmatch(address)
    if found is None:
        return "…"
    user, at, place = found["rest"].rpartition("@")
    user = user.partition(":")[0] + (":…" if ":" in user else "")
    place = place.partition("?")[0]
    return f"{found['scheme']}://{user}{at}{place}"
