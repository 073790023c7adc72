"""Sends one request to a running engine and prints its answer."""

from __future__ import annotations

from megaagent.cli.options import Place, Seen
from megaagent.cli.words import clean
from megaagent.control import Request
from megaagent.errors import ConfigurationError


def tell(place: Place, request: Request, run: str | None = None) -> int:
    """Ask the run for something.

    Args:
        run: its name, when the place does not say it.

    Raises:
        RunError: it is not going on.
        ConfigurationError: it refused; the message says why.
    """
    with place.sight_of(place.run if isinstance(place, Seen) else run) as sight:
        answer = sight.ask(request)
    if not answer.ok:
        raise ConfigurationError(answer.text)
    print(clean(answer.text))
    return 0
