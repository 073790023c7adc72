"""Keys kept out of everything that is recorded, sent or shown, in the spellings that an echo can have.

A key is known to the engine alone: it comes from the environment, and programs have none. But a provider may repeat it
in an error or an answer, and a user's tool may print what it was called with. What comes from outside is searched for
the keys by value.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote, quote_plus, unquote, urlsplit

import msgspec

T = TypeVar("T")

MARK: Final = "[key]"
_NAMED: Final = re.compile(
    r"(KEYS?|TOKENS?|SECRETS?|PASSWORD|PASSWD|CREDENTIALS?|_PASS|_PWD|_PAT)(_?[0-9]+)?$", re.IGNORECASE
)
_ZIPPED: Final = re.compile(r"H4sI[\w+/-]{12,}={0,2}", re.ASCII)  # gzip in base64
_ZIPPED_MOST: Final = 1 << 20  # bytes that are looked at within one


class Secrets:
    """Takes secrets out of text.

    Args:
        values: the very strings that must not appear. One that could be an ordinary word (of fewer than 12 characters,
            or of fewer than 20 without a digit, such as the "not-needed" of a local server) is not looked for.
    """

    def __init__(self, *values: str | None):
        self._values = tuple(dict.fromkeys(value.strip() for value in values if value and _is_secret(value.strip())))
        # The longest first, so that none is cut by another that it contains.
        self._forms = tuple(sorted({form for value in self._values for form in _forms(value)}, key=len, reverse=True))
        # What may stand there with line ends in it, as mailers and `base64` break lines.
        broken = [text for value in self._values for text in (value, *_all_base64(value.encode()))]
        self._spread = tuple((text, re.compile(r"(?:\s|\\[nrt])*".join(map(re.escape, text)))) for text in broken)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Secrets:
        """Those that an environment holds: by the names of its variables, and the passwords in its URLs."""
        named = (text for name, text in environ.items() if _NAMED.search(name) and not text.startswith("/"))
        addresses = (
            text for name, text in environ.items() if name.upper().endswith(("_URL", "_URI", "_DSN", "_PROXY"))
        )
        return cls(*named, *(word for text in addresses for word in passwords_in(text)))

    def including(self, *values: str | None) -> Secrets:
        """Those and these."""
        return Secrets(*self._values, *values)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)})"

    def hide(self, text: str) -> str:
        """The text with a mark in the place of every secret."""
        if not self._values or len(text) < 12:
            return text
        for form in self._forms:
            if form in text:
                text = text.replace(form, MARK)
        dense = "".join(text.replace("\\n", " ").split())
        for joined, spread in self._spread:
            if joined in dense:
                text = spread.sub(MARK, text)
        return _ZIPPED.sub(self._unzipped, text) if "H4sI" in text else text

    def hide_in(self, value: T) -> T:
        """The same for every text in a value of plain data and structs; the value itself when it holds no secret."""
        return cast(T, self._hidden(value)) if self._values else value

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, tuple | list):
            items = [self._hidden(item) for item in cast("Iterable[Any]", value)]
            same = all(new is old for new, old in zip(items, cast("Iterable[Any]", value), strict=True))
            return value if same else type(cast("Any", value))(items)  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, msgspec.Struct):
            changes: dict[str, Any] = {}
            for name in value.__struct_fields__:
                old = getattr(value, name)
                new = self._hidden(old)
                if new is not old:
                    changes[name] = new
            return msgspec.structs.replace(value, **changes) if changes else value
        return value

    def _unzipped(self, found: re.Match[str]) -> str:
        run = found[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            data = zlib.decompressobj(31).decompress(base64.b64decode(run + "=" * (-len(run) % 4)), _ZIPPED_MOST)
        except (zlib.error, binascii.Error, ValueError):
            return found[0]
        inside = data.decode(errors="replace")
        return found[0] if self.hide(inside) == inside else MARK


def passwords_in(url: str) -> list[str]:
    """What an URL says that only its owner should know: its password, and what its query names as a key.

    A name without a password is a token in its place, as in `https://TOKEN@github.com`.
    """
    try:
        parts = urlsplit(url.strip())
        secret = parts.password or parts.username
    except ValueError:
        return []
    query = (pair.partition("=") for pair in parts.query.split("&"))
    named = [text for name, _, text in query if text and re.search(r"(?i)key|token|secret|passw|^sig", name)]
    return [unquote(text) for text in (secret, *named) if text]


def _is_secret(value: str) -> bool:
    return len(value) >= (12 if any(letter.isdigit() for letter in value) else 20)


def _forms(value: str) -> Iterator[str]:
    """The spellings that are looked for as they stand."""
    data = value.encode()
    yield value
    yield value[::-1]
    yield codecs.encode(value, "rot13")
    yield from {quote(value, safe=""), quote(value), quote_plus(value)}
    yield from {html.escape(value), html.escape(value, quote=False)}
    for digits in (data.hex(), data.hex().upper()):
        pairs = [digits[at : at + 2] for at in range(0, len(digits), 2)]
        yield digits
        yield from (between.join(pairs) for between in " :")
        yield "".join(f"%{pair}" for pair in pairs)
        for slash in ("\\", "\\\\"):  # doubled in the arguments of a call, which are JSON in text
            yield "".join(f"{slash}x{pair}" for pair in pairs)
            yield "".join(f"{slash}u00{pair}" for pair in pairs)
    for inner in {msgspec.json.encode(value).decode()[1:-1], json.dumps(value)[1:-1]}:
        yield inner
        yield json.dumps(inner)[1:-1]  # JSON within JSON
    yield repr(value)[1:-1]
    yield "".join(f"&#{byte};" for byte in data)
    yield from ("".join(f"&#{x}{byte:02{digit}};" for byte in data) for x in "xX" for digit in "xX")
    yield from (between.join(map(str, data)) for between in (",", ", ", " "))  # bytes as a list of numbers
    yield "".join(f"\\{byte:03o}" for byte in data)
    for between in ("\0", "\ufffd"):  # UTF-16, before and after NUL was made storable
        yield between.join(value)
    yield from _all_base64(data)


def _all_base64(data: bytes) -> Iterator[str]:
    for shift in range(3):
        yield from _base64(data, shift)


def _base64(data: bytes, shift: int) -> Iterator[str]:
    """In base64 where `shift` bytes stand before it, without the digits that its neighbours decide."""
    text = base64.b64encode(b"\0" * shift + data).decode()
    first = (8 * shift + 5) // 6
    whole = text[first : 8 * (shift + len(data)) // 6]
    yield whole
    yield whole.replace("+", "-").replace("/", "_")
