"""Goals with their settings and their acceptance checks, and the scripts of the simulated models that play them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.scenarios.contract import Scenario

SCENARIOS: dict[str, str] = {
    "gobang": "megaagent.scenarios.gobang.scenario:Gobang",
    "policy": "megaagent.scenarios.policy.scenario:Policy",
}
"""Every scenario by its name, as `module:class`; a new one is a line here."""

SCRIPTS: dict[str, str] = {
    "gobang": "megaagent.scenarios.gobang.script:SCRIPT",
    "policy": "megaagent.scenarios.policy.script:SCRIPT",
}
"""The scripts behind `sim:NAME`, as `module:name`."""


def scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        ConfigurationError: there is none; names the nearest.
    """
    place = SCENARIOS.get(name)
    if place is None:
        near = get_close_matches(name, SCENARIOS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigurationError(f"there is no scenario called {name!r}; {hint}there are: {', '.join(SCENARIOS)}")
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)()
