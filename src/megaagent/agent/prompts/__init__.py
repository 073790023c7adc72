"""The prompts, as files beside this module; a run may bring its own folder of the same names."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from megaagent.errors import ConfigurationError

NAMES = ("rules", "boss", "member", "verifier_rules", "verifier", "summary")


class Prompts:
    """The texts of one run, read once.

    Args:
        folder: files that replace ours, `NAME.md`; what it lacks is taken from ours.

    Raises:
        ConfigurationError: a file cannot be read or lacks a placeholder's meaning (an unknown `{word}`).
    """

    def __init__(self, folder: Path | None = None):
        self._texts: dict[str, str] = {}
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"prompts: there is no folder {folder}")
        for name in NAMES:
            own = folder / f"{name}.md" if folder else None
            source = own if own is not None and own.is_file() else files(__name__) / f"{name}.md"
            self._texts[name] = source.read_text(encoding="utf-8").strip()
            try:
                if "rules" not in name:
                    self.fill(name, name="", path="", description="", superior="", prompt="")
            except (KeyError, IndexError, ValueError) as error:
                raise ConfigurationError(f"{source}: unknown placeholder or stray brace: {error}") from error

    def text(self, name: str) -> str:
        """The text as it stands."""
        return self._texts[name]

    def fill(self, template: str, /, **values: str) -> str:
        """The text with its placeholders filled."""
        return self._texts[template].format(**values)
