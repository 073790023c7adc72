"""What every scenario is: a goal with the settings for it, and a way to tell whether a deliverable reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from megaagent.organization.verification import Check, Start

__all__ = ["Check", "Scenario", "Start"]


class Scenario(Protocol):
    """A goal with acceptance."""

    @property
    def name(self) -> str:
        """The one word by which the command line knows it."""
        ...

    @property
    def goal(self) -> str:
        """What the boss is told, word for word; says everything that `check` relies on."""
        ...

    @property
    def model(self) -> str:
        """The model to use when the operator names none, as `provider:model`."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What differs from the default settings, by the setting's dotted name."""
        ...

    async def check(self, start: Start) -> list[Check]:
        """Try the deliverable; a faulty one gives failed checks, in bounded time.

        Raises:
            SandboxError: programs cannot be run at the configured level, which is not the deliverable's fault.
        """
        ...
