"""Gathers each room's own settings into one frozen tree, and reads it from a file."""

from __future__ import annotations

import math
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import msgspec

from megaagent.errors import ConfigurationError
from megaagent.events import Struct
from megaagent.models.breaker import BreakerSettings
from megaagent.models.gate import GateSettings
from megaagent.models.retry import RetrySettings
from megaagent.models.settings import ModelSettings, check_models
from megaagent.organization.economy import EconomySettings
from megaagent.organization.limits import Budget, Limits
from megaagent.runtimes.settings import RuntimeSettings
from megaagent.sandboxes.contract import Limits as ProgramLimits
from megaagent.telemetry import TelemetrySettings
from megaagent.tools.rules import ToolSettings


class SandboxSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where agents' programs run.

    Attributes:
        level: the weakest walls that are accepted; the strongest that hold are used.
        packages: importable beside the standard library.
        programs: live at once on a machine, more wait for their turn; 0 stands for one per core, four at least.
    """

    level: Literal["none", "landlock", "bubblewrap", "container", "microvm"] = "landlock"
    packages: tuple[str, ...] = ("pytest",)
    programs: int = 0
    limits: ProgramLimits = ProgramLimits()


class SimulationSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How simulated models answer; `speed` divides the time that a real model would take, 0 answers at once."""

    speed: float = 2.5
    seed: int = 0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a run can be told.

    Attributes:
        journal: where it is kept: "folder" is the run's own; or the address of a database, without a password, such as
            postgres://USER@HOST/DATABASE.
        journal: where it is kept: "folder" for the run's own, or the address of a database, postgres://USER@HOST/NAME,
            without a password.
        checks: commands that must exit with 0 on the deliverable, such as "python -m pytest -q".
        prompts: a folder of prompts that replace ours.
        attended: a person answers questions and may unpause.
    """

    model: ModelSettings = ModelSettings()
    budget: Budget = Budget()
    limits: Limits = Limits()
    sandbox: SandboxSettings = SandboxSettings()
    simulation: SimulationSettings = SimulationSettings()
    gate: GateSettings = GateSettings()
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    economy: EconomySettings = EconomySettings()
    tools: ToolSettings = ToolSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    runtime: RuntimeSettings = RuntimeSettings()
    durability: Literal["full", "normal", "off"] = "full"
    journal: str = "folder"
    checks: tuple[str, ...] = ()
    prompts: str | None = None
    attended: bool = False


def load(path: Path) -> Settings:
    """Read settings from a TOML file.

    Raises:
        ConfigurationError: the file cannot be read, is not TOML, or a field is unknown or wrong; names line and field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"settings file {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"settings file {path}: {error}") from error
    return from_tree(tree, f"settings file {path}", text)


def from_tree(tree: Mapping[str, Any], source: str, text: str = "") -> Settings:
    """Settings from plain data.

    Args:
        tree: nested by room.
        source: where it came from, for errors; `text` is its source text, to find the line.

    Raises:
        ConfigurationError: a field is unknown or wrong.
    """
    unknown = _unknown_field(tree, Settings, ())
    if unknown is not None:
        field, allowed = unknown
        raise ConfigurationError(
            f"{source}{_line_of(text, field)}: unknown field {'.'.join(field)}; there are {', '.join(allowed)}"
        )
    try:
        settings = msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as error:
        problem, _, where = re.sub(r" - at `key` in `", " - at `", str(error)).partition(" - at `$")
        field = tuple(part for part in re.split(r"[.\[\]`]+", where) if part and part != "...")
        raise ConfigurationError(
            f"{source}{_line_of(text, field)}: {'.'.join(field) or 'settings'}: {problem}{_advice(problem, field)}"
        ) from error
    _legible(tree, (), source)
    _sane(settings, source)
    return settings


def changed(settings: Settings, changes: Mapping[str, Any], source: str) -> Settings:
    """The settings with some fields replaced, by dotted name; a change that is None changes nothing.

    Raises:
        ConfigurationError: a name or a value is wrong.
    """
    tree = msgspec.to_builtins(settings)
    for name, value in changes.items():
        if value is None:
            continue
        *rooms, field = name.split(".")
        place: Any = tree
        for room in rooms:
            deeper = place.setdefault(room, {})
            if not isinstance(deeper, dict):
                raise ConfigurationError(f"{source}: {room} is a table of settings, not {deeper!r}")
            place = deeper  # pyright: ignore[reportUnknownVariableType]
        place[field] = value
    return from_tree(tree, source)


def _legible(value: Any, field: tuple[str, ...], source: str) -> None:
    """Refuse text that cannot be written down: what a command line holds need not be UTF-8."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"{source}: {'.'.join(field)}: not valid text (UTF-8)") from None
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            _legible(inner, (*field, name), source)
    elif isinstance(value, list | tuple):
        for inner in cast("list[Any]", value):
            _legible(inner, field, source)


def _sane(settings: Settings, source: str) -> None:
    """Refuse values of the right type that make no sense."""
    check_models(settings.model, source)
    if settings.journal != "folder":
        from megaagent.journal.postgres.address import check_address

        check_address(settings.journal)
    positive = {
        "budget.cost": settings.budget.cost,
        "budget.tokens": settings.budget.tokens,
        "budget.seconds": settings.budget.seconds,
        "budget.steps": settings.budget.steps,
        "budget.disk": settings.budget.disk,
        "limits.agents": settings.limits.agents,
        "limits.depth": settings.limits.depth,
        "limits.steps": settings.limits.steps,
        "limits.output": settings.limits.output,
        "economy.look": settings.economy.look,
        "economy.patience_minutes": settings.economy.patience_minutes,
        "economy.most": settings.economy.most,
    }
    for name, value in positive.items():
        if value is not None and not 0 < value < math.inf:
            limit = "" if value <= 0 else " and finite"
            raise ConfigurationError(f"{source}: {name} must be more than 0{limit}, not {value}")
    shares = {
        "budget.reserve": settings.budget.reserve,
        "limits.subtree_spend": settings.limits.subtree_spend,
        "economy.discount": settings.economy.discount or 0.0,
    }
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigurationError(f"{source}: {name} is a share and must be between 0 and 1, not {share}")
    most = {"runtime.callers": settings.runtime.callers, "runtime.calls": settings.runtime.calls}
    for name, value in most.items():
        if value < 1:
            raise ConfigurationError(f"{source}: {name} must be at least 1, not {value}")
    if settings.runtime.places < 0:
        raise ConfigurationError(f"{source}: runtime.places must be 0 (one per core) or more")
    if not 0 <= settings.runtime.idle < math.inf:
        raise ConfigurationError(f"{source}: runtime.idle must be 0 seconds or more")
    for command in settings.checks:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ConfigurationError(f"{source}: the check {command!r} cannot be split into words: {error}") from error
        if not words:
            raise ConfigurationError(f"{source}: a check is empty; give a command such as python -m pytest -q")
    if not 0 <= settings.economy.gather < math.inf:
        raise ConfigurationError(f"{source}: economy.gather must be 0 or more seconds")
    if not 0 <= settings.simulation.speed < math.inf:
        raise ConfigurationError(f"{source}: simulation.speed must be 0 (at once) or more")


def _unknown_field(tree: Any, kind: Any, path: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]] | None:
    """The first field of the tree that the settings do not have, with those that they have there."""
    if not isinstance(tree, Mapping):
        return None
    if get_origin(kind) is dict:  # a table with names of its own, of which some values may be tables of settings
        inner = [each for each in (*get_args(get_args(kind)[1]), get_args(kind)[1]) if isinstance(each, type)]
        found = (_unknown_field(value, each, (*path, str(name))) for name, value in tree.items() for each in inner)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return next((each for each in found if each is not None), None)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return None
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in tree.items():  # pyright: ignore[reportUnknownVariableType]
        if name not in fields:
            return (*path, str(name)), list(fields)  # pyright: ignore[reportUnknownArgumentType]
        deeper = _unknown_field(value, fields[name], (*path, str(name)))  # pyright: ignore[reportUnknownArgumentType]
        if deeper is not None:
            return deeper
    return None


def _advice(problem: str, field: Sequence[str]) -> str:
    """What would be right in place of a value that is not."""
    if problem.startswith("Expected `array`"):
        return '; a list is written ["a", "b"]'
    if problem.startswith("Expected `object`"):
        return "; it is a table: set its fields"
    choices = _choices(Settings, field) if problem.startswith("Invalid enum value") else []
    return f"; there are {', '.join(choices)}" if choices else ""


def _choices(kind: Any, field: Sequence[str]) -> list[str]:
    """The texts that a field may be, when they are few and known."""
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        inner = [each.type for each in msgspec.structs.fields(kind) if field and each.name == field[0]]
        return _choices(inner[0], field[1:]) if inner else []
    deeper = field if get_origin(kind) in (Union, UnionType) else field[1:]
    for each in get_args(kind):
        if found := _choices(each, deeper):
            return found
    return []


def _line_of(text: str, field: tuple[str, ...]) -> str:
    """The line of a TOML text that sets a field, as words, or nothing when it cannot be told."""
    if not field or not text:
        return ""
    room = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w.\s]+?)\s*\]", line)
        if header:
            room = header[1]
        key = re.match(r"\s*([\w.-]+)\s*=", line)
        names = [name for name in (room, key[1] if key else "") if name]
        full = ".".join(names).split(".")
        if full == list(field) or (key and full == list(field[: len(full)])):
            return f", line {number}"
    return ""
