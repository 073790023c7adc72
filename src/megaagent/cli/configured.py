"""The settings that a command is given: a file, single values, and options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.settings import Settings


def configured(file: Path | None, changes: list[tuple[str, Any]]) -> Settings:
    """The settings of a file, if one is named, with changes by dotted name.

    Raises:
        ConfigurationError: the file cannot be used, or a change is wrong.
    """
    from megaagent.settings import Settings, changed, load

    settings = load(file) if file is not None else Settings()
    return changed(settings, dict(changes), "the command line")


def assignment(text: str) -> tuple[str, Any]:
    """One `--set`: its value is TOML where it can be, otherwise a string."""
    import tomllib

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"--set {text!r}: write NAME=VALUE, such as --set limits.agents=50")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
