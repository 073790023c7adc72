"""The arms of a comparison: the whole system, and what is left when one mechanism is switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from megaagent.choice import FIRST_PROMPT
from megaagent.errors import ConfigurationError
from megaagent.events import Struct
from megaagent.settings import Settings


class Arm(Struct, frozen=True):
    """One way to run an item.

    Attributes:
        changes: settings that differ, by dotted name.
    """

    name: str
    title: str
    changes: dict[str, Any]


SINGLE: Final = "single"

ARMS: Final[Mapping[str, Arm]] = {
    arm.name: arm
    for arm in (
        Arm("full", "everything on", {}),
        Arm("no-hierarchy", "no groups below the boss's own", {"limits.depth": 2}),
        Arm("no-parallelism", "one step at a time", {"limits.active": 1}),
        Arm("no-monitoring", "the supervisor watches nobody", {"limits.monitors": False}),
        Arm("no-memory", "nobody can recall", {"tools.scopes": {"recall": []}}),
        Arm("no-verifier", "what is handed in is taken", {"limits.verifier": False}),
        # Nothing is held back for reviews and verifier, since there are none.
        Arm(SINGLE, "one agent, no verifier", {"limits.agents": 1, "limits.verifier": False, "budget.reserve": 0.0}),
    )
}
"""Every arm by its name; what an arm changes is in the journal of each of its runs."""


def chosen_arms(names: Sequence[str]) -> list[Arm]:
    """The arms of these names, the full system when none is named, and the single agent last.

    Raises:
        ConfigurationError: there is none of a name.
    """
    for name in names:
        if name not in ARMS:
            near = get_close_matches(name, ARMS, n=2, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ConfigurationError(f"--arm {name!r}: there is no such arm; {hint}there are {', '.join(ARMS)}")
    wanted = [name for name in dict.fromkeys(names or ["full"]) if name != SINGLE]
    return [ARMS[name] for name in (*wanted, SINGLE)]


def single_tokens(used: int, reserved: int, settings: Settings) -> int:
    """The single agent's token cap: it may begin a call for as long as it has used less than the arm it stands beside.

    Args:
        used: tokens of that arm's run of the item.
        reserved: for the first call of that run; a cap without room for it would cut the single agent one call early.
    """
    return used + max(reserved, FIRST_PROMPT + settings.limits.output)
