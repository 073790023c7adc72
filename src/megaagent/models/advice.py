"""What a person should do about a model that cannot be asked."""

from __future__ import annotations

from typing import Final

from megaagent.errors import Fault, ModelError
from megaagent.models.faults import TAKES_NO_TOOLS

_ADVICE: Final[dict[Fault, str]] = {
    "connection": "nothing answers there: is the server running, and is the address right?",
    "timeout": "no answer in time: is it loading the model, or overloaded?",
    "rate_limit": "the key is accepted, but it is at its rate limit now",
    "overloaded": "the provider is in trouble now: try again later, or name a --fallback",
    "no_money": "the account is out of credit or quota: see the provider's billing page",
    "unauthorized": "the key is not accepted: set {key} anew",
    "not_found": "no such model, or not at this address: check the name after the colon, and --base-url",
    "bad_request": "it refuses the request as it stands",
    "context_overflow": "its context is too small for a run's rules and tools: take a model with more, or give it more",
    "refused": "it declined to answer a harmless question",
    "broken": "what answers there does not speak this protocol: check --base-url, and the provider before the colon",
    "empty": "it answered with nothing",
}


def advice(error: ModelError, key: str = "the provider's key") -> str:
    """What to do, and what was seen; `key` is the name of the variable that holds it."""
    redirected = error.status is not None and 300 <= error.status < 400
    if error.fault == "not_found" and (redirected or TAKES_NO_TOOLS in error.detail):
        return error.detail  # says what to do by itself; the model and its address are right
    return f"{_ADVICE[error.fault].format(key=key)} ({error.detail})"
