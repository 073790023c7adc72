"""Checks the import arrows between rooms (docs/architecture.md): imports point one way.

    python scripts/arrows.py

Prints every import that points the wrong way, and exits with 1 if there is one. Imports for types only count too: a
room that needs a name of a higher room for its types depends on it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "megaagent"

# Lowest first. Rooms of one layer are strangers to each other.
LAYERS: list[set[str]] = [
    {"errors", "events", "clock", "redaction", "collector"},
    {"journal", "workspace", "sandboxes", "models"},
    {"runtimes"},
    {"tools"},
    {"agent"},
    {"organization"},
    {
        *{"settings", "control", "folder", "report", "proof", "assembly", "disk", "past", "adoption"},
        *{"choice", "checkup", "descriptors", "wish", "equipment", "running", "launch", "fork", "repair", "readings"},
        *{"placement", "telemetry"},
    },
    {"scenarios"},
    {"evaluation"},
    {"dashboard"},
    {"cli"},
]
ACQUAINTED = [0, 6]  # layers whose members may know each other
BESIDE = {"testing"}  # may import anything below the command line; nothing imports it but those who rehearse
REHEARSE = {"evaluation"}  # an estimate is a rehearsal: decision 11


def main() -> int:
    wrong = [f"{path}:{line}: {problem}" for path, line, problem in violations()]
    for each in wrong:
        sys.stdout.write(each + "\n")
    sys.stdout.write(f"{len(wrong)} imports point the wrong way\n" if wrong else "all imports point one way\n")
    return 1 if wrong else 0


def violations() -> Iterator[tuple[Path, int, str]]:
    """Every import that points the wrong way: file, line, words."""
    rank = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    for path in sorted(SOURCE.rglob("*.py")):
        room = room_of(path)
        if room == "__init__":
            continue
        if room not in rank and room not in BESIDE:
            yield path, 1, f"the room {room} has no place in scripts/arrows.py"
            continue
        for line, target in imports_of(path):
            problem = judge(room, target, rank)
            if problem:
                yield path, line, problem


def judge(room: str, target: str, rank: dict[str, int]) -> str | None:
    """What is wrong with `room` importing `target`, or None."""
    if target in ("", "__init__", room):
        return None
    if target in BESIDE and room not in REHEARSE:
        return f"{room} imports {target}, which nothing in the package may"
    if room in BESIDE:
        return f"{room} imports {target}" if rank.get(target, 0) >= rank["dashboard"] else None
    if target not in rank:
        return None  # a name of the package itself, such as __version__
    if rank[target] > rank[room]:
        return f"{room} imports {target}, which is above it"
    if rank[target] == rank[room] and rank[room] not in ACQUAINTED:
        return f"{room} imports {target}: rooms of one layer are strangers"
    return None


def room_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Rooms that a file imports, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "megaagent":
            parts = node.module.split(".")
            for room in [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]:
                yield node.lineno, room
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "megaagent" and len(parts) > 1:
                    yield node.lineno, parts[1]


if __name__ == "__main__":
    sys.exit(main())
