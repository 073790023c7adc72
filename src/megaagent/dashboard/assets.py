"""The files of the page, read once. A request names one of a fixed table: no path of a request reaches the disk."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from megaagent.events import Struct

TYPES: Final = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}


class Asset(Struct, frozen=True):
    """One file; `tag` changes with its content."""

    data: bytes
    type: str
    tag: str


def assets() -> dict[str, Asset]:
    """All files of the page by their path under /static/."""
    found: dict[str, Asset] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            name = f"{prefix}{entry.name}"
            if entry.is_dir():
                walk(entry, f"{name}/")
            elif (kind := TYPES.get(name.rpartition(".")[2])) is not None:
                data = entry.read_bytes()
                found[name] = Asset(data, kind, f'"{hashlib.sha256(data).hexdigest()[:20]}"')

    walk(files(__package__ or "megaagent.dashboard") / "static", "")
    return found
