"""Which fault a provider's error is.

Providers that speak the same protocol still name their errors differently: by status, by code, by type, or only in
the sentence that people read. The tables below hold the words that are known; a new one is one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from megaagent.errors import Fault, ModelError
from megaagent.models.limits import read_retry_after
from megaagent.redaction import MARK
from megaagent.redaction import Secrets as Known

# A model that takes no tools cannot play an agent: as Ollama, OpenRouter, vLLM, Groq and others say it.
NO_TOOLS: Final = re.compile(
    r"does not support (tools|tool use|tool calling|function calling)|support tool use|enable-auto-tool-choice|"
    r"tools? (calling )?(is|are) not supported|tools param requires|no endpoints found that support tool"
)

TAKES_NO_TOOLS: Final = "this model takes no tools, and agents act by tools: choose another, or serve it with tools"

# Looked for in code, type and message of an error, in this order: the more particular first.
_WORDS: Final[tuple[tuple[Fault, re.Pattern[str]], ...]] = (
    (
        "context_overflow",
        re.compile(
            r"context_length_exceeded|string_above_max_length|exceed_context_size|request_too_large|"
            r"(maximum|max|model'?s) context (length|window)|context (length|window|size) exceeded|"
            r"exceeds? (the )?(available |maximum )?(context|model'?s context|token limit)|"
            r"(input|prompt|request) is too (long|large)|prompt too long|request too large|reduce the length|"
            r"input token count .* exceeds|too many (input )?tokens|exceed context limit"
        ),
    ),
    (
        "no_money",
        re.compile(
            r"insufficient_quota|billing_hard_limit|billing_not_active|insufficient (balance|credit|fund)|"
            r"exceeded your current quota|credit balance is too low|out of credits|requires more credits|"
            r"billing_error|reached your specified .{0,20}usage limits"
        ),
    ),
    (
        "refused",
        re.compile(
            r"content_filter|content filtering|content_policy|responsibleaipolicy|content management policy|flagged"
        ),
    ),
    (
        "not_found",
        re.compile(r"model_not_found|model not exist|(model|deployment)\b.{0,120}(does not exist|not found)"),
    ),
    ("not_found", NO_TOOLS),
    ("unauthorized", re.compile(r"invalid_api_key|api key not valid|incorrect api key|authentication_?error")),
    ("rate_limit", re.compile(r"rate_limit|rate limit|too many requests")),
    ("overloaded", re.compile(r"overloaded|server_error|service_unavailable|api_error")),
    ("bad_request", re.compile(r"invalid_request|badrequest|bad request")),
)

# What a status means when no word says more.
_STATUS: Final[dict[int, Fault]] = {
    401: "unauthorized",
    402: "no_money",
    403: "unauthorized",
    404: "not_found",
    405: "not_found",
    408: "timeout",
    409: "overloaded",
    413: "context_overflow",
    429: "rate_limit",
}

# Under a status, words may only say something more particular: a 5xx that mentions a rate limit is still a 5xx.
_PARTICULAR: Final[dict[int, frozenset[Fault]]] = {
    401: frozenset(),
    402: frozenset(),
    403: frozenset({"refused", "no_money", "not_found"}),
    404: frozenset(),
    429: frozenset({"no_money", "context_overflow"}),
    500: frozenset({"context_overflow"}),
}
_ANY: Final[frozenset[Fault]] = frozenset(fault for fault, _ in _WORDS)

_KEY = re.compile(r"(?i)\b(bearer\s+|sk-|api[-_ ]?key[=:]\s*)[\w.*+/=-]{6,}")


class Secrets:
    """Takes keys out of what a provider says.

    Args:
        keys: the very strings that must not appear.
    """

    def __init__(self, *keys: str | None):
        self._keys = tuple(key for key in keys if key)
        self._known = Known(*keys)

    def hide(self, text: str) -> str:
        """An error without the keys, whatever they look like, and without anything that looks like one."""
        text = self._known.hide(text)
        for key in self._keys:
            text = text.replace(key, MARK)
        return _KEY.sub(MARK, text)

    def hide_known(self, text: str) -> str:
        """An answer without the keys; what only looks like one may be part of the work."""
        return self._known.hide(text)


def fault_of(status: int, words: str) -> Fault:
    """The fault of an error with this HTTP status and these words (code, type and message, joined)."""
    group = 500 if status >= 500 else status
    allowed = _PARTICULAR.get(group, _ANY)
    words = words.lower()
    for fault, pattern in _WORDS:
        if fault in allowed and pattern.search(words):
            return fault
    if status >= 500 or status == 200:  # an error inside a success: the provider stumbled on its way
        return "overloaded"
    if 300 <= status < 400:
        return "not_found"
    return _STATUS.get(status, "bad_request")


def error_of_answer(status: int, headers: Mapping[str, str], body: bytes, secrets: Secrets) -> ModelError:
    """The error that an answer with a status other than 2xx stands for."""
    try:
        document = msgspec.json.decode(body)
    except ValueError:
        document = body.decode("utf-8", "replace")
    retry_after = read_retry_after(headers) if status in (402, 408, 409, 429) or status >= 500 else None
    if 300 <= status < 400:
        document = f"redirected to {headers.get('Location', 'nowhere')}; correct the base URL"
    return _error(status, document, retry_after, secrets)


def error_inside(document: Any, secrets: Secrets) -> ModelError:
    """The error that was sent inside a 200, as the whole body or as an event of a stream."""
    code = cast("dict[str, Any]", document).get("code") if isinstance(document, dict) else None
    inner = int(code) if isinstance(code, int | str) and str(code).isdecimal() and 400 <= int(code) < 600 else 200
    return _error(inner, document, None, secrets)


def _error(status: int, document: Any, retry_after: float | None, secrets: Secrets) -> ModelError:
    words, message = _words(document)
    fault = fault_of(status, words)
    if status == 402 and retry_after is not None:
        fault = "rate_limit"  # a spending limit that refills by itself
    detail = secrets.hide(message)[:500] or "no explanation"
    if NO_TOOLS.search(words.lower()):
        detail = f"{TAKES_NO_TOOLS} ({detail})"
    return ModelError(fault, f"HTTP {status}: {detail}", retry_after=retry_after, status=status)


def _words(document: Any) -> tuple[str, str]:
    """Everything in an error that may name it, and the sentence for people."""
    if isinstance(document, dict):
        error = cast("dict[str, Any]", document)
        error = error.get("error", error)
        if isinstance(error, dict):
            fields = cast("dict[str, Any]", error)
            message = str(fields.get("message") or fields.get("detail") or "")
            inner = fields.get("innererror") or fields.get("metadata") or ""
            return f"{fields.get('code')} {fields.get('type')} {message} {inner}", message
        document = error
    text = " ".join(re.sub(r"<[^>]*>", " ", str(document)).split())
    return text, text
