"""What a run left behind, as it lies there: rows of the journal, lines of JSON, the Git store. Nothing is judged."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "\x1ablob:"  # how a row names a long body that is kept elsewhere


@dataclass(frozen=True)
class Row:
    """One row of the journal; `event` is its JSON with long bodies put back."""

    position: int
    epoch: int
    time: float
    agent: str
    step: int
    kind: str
    event: dict[str, Any]


def read_journal(path: Path) -> list[Row]:
    """All rows, read from a copy: opening a killed engine's journal would already put it in order."""
    with tempfile.TemporaryDirectory(prefix="checker-", dir=path.parent.parent) as folder:
        for suffix in ("", "-wal"):
            if (there := path.with_name(path.name + suffix)).exists():
                shutil.copyfile(there, Path(folder, path.name + suffix))
        connection = sqlite3.connect(Path(folder, path.name))
        try:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'record'").fetchone():
                return []
            contents = connection.execute("SELECT digest, packed, data FROM blob")
            blobs = {digest: zlib.decompress(data) if packed else bytes(data) for digest, packed, data in contents}
            query = "SELECT position, epoch, time, agent, step, kind, body FROM record ORDER BY position"
            return [
                Row(position, epoch, time, agent, step, kind, _whole(json.loads(body), blobs))
                for position, epoch, time, agent, step, kind, body in connection.execute(query)
            ]
        finally:
            connection.close()


def _whole(value: Any, blobs: dict[str, bytes]) -> Any:
    match value:
        case str() if value.startswith(MARKER):
            return blobs[value.removeprefix(MARKER)].decode()
        case dict():
            return {key: _whole(inner, blobs) for key, inner in value.items()}  # pyright: ignore
        case list():
            return [_whole(inner, blobs) for inner in value]  # pyright: ignore
        case _:
            return value


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Git:
    """The store, through the `git` command and nobody's configuration."""

    def __init__(self, path: Path):
        self._path = path

    def run(self, *words: str, given: str = "") -> bytes:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
        command = ["git", "-c", "safe.directory=*", "--git-dir", str(self._path), *words]
        done = subprocess.run(command, input=given.encode(), capture_output=True, env=environment, check=False)
        if done.returncode:
            raise OSError(f"git {words[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def history(self) -> list[tuple[str, dict[str, str]]]:
        """All commits on the branch, oldest first, each with its trailers."""
        commits: list[tuple[str, dict[str, str]]] = []
        for entry in self.run("log", "--reverse", "--format=%H%n%B%x00", "main").decode().split("\0")[:-1]:
            revision, _, text = entry.strip().partition("\n")
            commits.append((revision, dict(re.findall(r"^MegaAgent-(\w+): (.*)$", text, re.MULTILINE))))
        return commits

    def contents(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """What `REVISION:PATH` names, each."""
        output = self.run("cat-file", "--batch", given="".join(f"{name}\n" for name in names))
        for name in names:
            head, _, output = output.partition(b"\n")
            if head == f"{name} missing".encode():
                yield None
                continue
            size = int(head.split()[2])
            yield output[:size]
            output = output[size + 1 :]
