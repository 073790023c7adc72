from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from megaagent.workspace import Stamp, Workspace

Git = Callable[..., str]
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "User"), ("EMAIL", "user@example.org"))
}


@pytest.fixture
def git() -> Git:
    """The `git` command with nobody's configuration: the independent check."""

    def run(*arguments: str | Path, cwd: Path, text: str | None = None) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            **IDENTITY,
        }
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environment, input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


class Stamps:
    """Stamps of one run, each a second after the one before."""

    def __init__(self):
        self._count = 0

    def __call__(self, agent: str = "boss/engine/search") -> Stamp:
        self._count += 1
        return Stamp(agent, "run-1", self._count, 0, 1_700_000_000.0 + self._count)


@pytest.fixture
def stamp() -> Stamps:
    return Stamps()


@pytest.fixture
def workspace(tmp_path: Path, stamp: Stamps) -> Iterator[Workspace]:
    made = Workspace.create(tmp_path / "workspace.git", stamp=stamp("engine:"), durable=False)
    yield made
    made.close()


def _fingerprint(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder: kind, mode, times of change, contents."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        info = path.lstat()
        content = None
        if stat.S_ISREG(info.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(info.st_mode):
            content = str(path.readlink())
        found[str(path.relative_to(folder))] = (info.st_mode, info.st_mtime_ns, info.st_size, info.st_uid, content)
    return found


@pytest.fixture
def fingerprint() -> Callable[[Path], object]:
    """To tell whether anything below a folder was touched."""
    return _fingerprint
