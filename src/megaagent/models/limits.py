"""What a provider says about its rate limits, read from the headers of an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from megaagent.events import Struct

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_A_DATE = 1e8  # a reset of more seconds than this is a time of day, which some gateways send
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Allowance(Struct, frozen=True):
    """One limit: how many in its window, how many are left, and in how many seconds all are back."""

    limit: float
    left: float
    reset: float | None = None

    @property
    def rate(self) -> float:
        """How many come back in a second; the window is a minute when the provider does not let it be reckoned."""
        used = self.limit - self.left
        return used / self.reset if self.reset and used > 0 else self.limit / 60


class Limits(Struct, frozen=True):
    """What the headers of one answer told; None where they told nothing."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


def read_limits(headers: Mapping[str, str]) -> Limits | None:
    """The `x-ratelimit-*` or `anthropic-ratelimit-*` headers, or None when there are none.

    Sources: the guides "Rate limits" of OpenAI and of the Claude API. Of the latter's limits of tokens the general one
    is the narrowest that holds; without it that of the input is taken.
    """
    requests = _allowance(headers, "requests") or _anthropic(headers, "requests")
    tokens = _allowance(headers, "tokens") or _anthropic(headers, "tokens") or _anthropic(headers, "input-tokens")
    limits = Limits(requests, tokens)
    return limits if limits.requests or limits.tokens else None


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait.

    In this order: `retry-after-ms`, `Retry-After` as seconds or date (RFC 9110, 10.2.3), the longest reset of an
    exhausted limit.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if text := headers.get("Retry-After"):
        return seconds if (seconds := _number(text)) is not None else _until(text, headers.get("Date"))
    limits = read_limits(headers) or Limits()
    resets = [a.reset for a in (limits.requests, limits.tokens) if a and a.left <= 0 and a.reset]
    return max(resets, default=None)


def parse_duration(text: str | None) -> float | None:
    """Seconds of `6m0s`, `12ms`, `1.5` (seconds); None when it is none of these."""
    if text is None:
        return None
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNIT[unit] for number, unit in parts)
    return _number(text)


def _allowance(headers: Mapping[str, str], what: str) -> Allowance | None:
    limit = _number(headers.get(f"x-ratelimit-limit-{what}"))
    left = _number(headers.get(f"x-ratelimit-remaining-{what}"))
    if not limit or left is None:
        return None
    reset = parse_duration(headers.get(f"x-ratelimit-reset-{what}"))
    return Allowance(limit, left, reset if reset is None or reset < _A_DATE else None)


def _anthropic(headers: Mapping[str, str], what: str) -> Allowance | None:
    limit = _number(headers.get(f"anthropic-ratelimit-{what}-limit"))
    left = _number(headers.get(f"anthropic-ratelimit-{what}-remaining"))
    if not limit or left is None:
        return None
    reset = headers.get(f"anthropic-ratelimit-{what}-reset")
    return Allowance(limit, left, _until_moment(reset, headers.get("Date")) if reset else None)


def _until_moment(moment: str, now: str | None) -> float | None:
    """Seconds to a moment of RFC 3339, by the server's own clock where it told the time."""
    try:
        then = datetime.fromisoformat(moment)
        start = parsedate_to_datetime(now) if now else datetime.now(UTC)
    except ValueError:
        return None
    zoned = [each if each.tzinfo else each.replace(tzinfo=UTC) for each in (then, start)]
    return max(0.0, (zoned[0] - zoned[1]).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and isfinite(value) and value >= 0 else None


def _until(date: str, now: str | None) -> float | None:
    """Seconds to an HTTP date, by the server's own clock where it told the time."""
    try:
        then = parsedate_to_datetime(date)
        start = parsedate_to_datetime(now) if now else datetime.now(UTC)
    except ValueError:
        return None
    zoned = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (then, start)]
    return max(0.0, (zoned[0] - zoned[1]).total_seconds())
