"""What a run is asked for: a scenario or a goal, the settings that follow, and the acceptance of what is made."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any, Final, Protocol

from megaagent.errors import ConfigurationError
from megaagent.organization.verification import Acceptance, Check, Start
from megaagent.sandboxes.contract import Program
from megaagent.settings import Settings, changed

LONGEST_GOAL: Final = 200_000  # characters; it is part of every prompt of the boss and the verifier
SCENARIOS: Final = "megaagent.scenarios"  # the room above that knows scenarios by name


class Scenario(Protocol):
    """What a run needs of a scenario (`megaagent.scenarios.contract`)."""

    @property
    def name(self) -> str: ...
    @property
    def goal(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    async def check(self, start: Start) -> list[Check]: ...


def find_scenario(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        ConfigurationError: there is none; names the nearest.
    """
    return import_module(SCENARIOS).scenario(name)


def settled(settings: Settings, scenario: Scenario | None, model: str | None, base_url: str | None) -> Settings:
    if scenario is not None:
        settings = _with_defaults(settings, scenario.settings, f"scenario {scenario.name}")
    settings = changed(settings, {"model.name": model, "model.base_url": base_url}, "the command")
    if settings.model.name is None and scenario is not None:
        settings = changed(settings, {"model.name": scenario.model}, f"scenario {scenario.name}")
    if settings.model.name is None:
        raise ConfigurationError(
            "no model is named. For a real one: --model openai:NAME with OPENAI_API_KEY set, or --model openai:NAME "
            "--base-url URL for any OpenAI-compatible server. To rehearse without a provider: --scenario gobang"
        )
    return settings


def _with_defaults(settings: Settings, defaults: Mapping[str, Any], source: str) -> Settings:
    """The settings with a scenario's own defaults where the user has left ours."""
    untouched = {
        name: value for name, value in defaults.items() if attrgetter(name)(settings) == attrgetter(name)(Settings())
    }
    return changed(settings, untouched, source)


def goal_of(goal: str | None, scenario: Scenario | None) -> str:
    if goal is None and scenario is not None:
        goal = scenario.goal
    if goal is None or not goal.strip():
        raise ConfigurationError("the goal is empty: say in plain words what is to be made")
    if len(goal) > LONGEST_GOAL:
        raise ConfigurationError(
            f"the goal has {len(goal):,} characters, at most {LONGEST_GOAL:,} are taken. Put the material into a "
            "folder, start with --from FOLDER, and let the goal name the files."
        )
    try:
        goal.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"the goal is not valid text: {error.reason} at character {error.start}") from error
    return goal.strip()


def acceptance_of(scenario: Scenario | None, settings: Settings) -> Acceptance | None:
    """The scenario's checks and the user's commands."""
    if scenario is None and not settings.checks:
        return None

    async def accept(start: Start) -> list[Check]:
        checks = await scenario.check(start) if scenario is not None else []
        for command in settings.checks:
            process = await start(Program(tuple(shlex.split(command)), stdin=""))
            execution = await process.wait()
            detail = "" if execution.exit_code == 0 else f"exit code {execution.exit_code}: {execution.output[-1500:]}"
            checks.append(Check(command, execution.exit_code == 0, detail))
        return checks

    return accept
