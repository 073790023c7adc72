"""megaagent fetch: the result as a branch of a repository of yours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from megaagent.cli.options import Chosen, quoted
from megaagent.cli.words import clean
from megaagent.errors import ConfigurationError

HELP = """Only the branch is made, or moved forward; files, index and configuration stay as they are.

\b
Examples:
  megaagent fetch --into ../project
  megaagent fetch 20261121-0931 --into . --branch agents-draft"""

ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")


def command(
    into: Annotated[Path, typer.Option("--into", metavar="REPO", help="A Git repository.")],
    chosen: Chosen,
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="NAME", help="megaagent/RUN unless named.", show_default=False)
    ] = None,
) -> int:
    folder = chosen.folder()
    name = branch if branch is not None else f"megaagent/{folder.id}"
    if not into.is_dir() or _git(into, "rev-parse", "--git-dir").returncode != 0:
        raise ConfigurationError(f"--into {into}: not a Git repository")
    if name.startswith("-") or _git(into, "check-ref-format", f"refs/heads/{name}").returncode != 0:
        raise ConfigurationError(f"--branch {name}: not a name that a branch can have")
    done = _git(
        into,
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-prune",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        str(folder.workspace),
        f"HEAD:refs/heads/{name}",
    )
    if done.returncode != 0:
        raise ConfigurationError(f"git would not make the branch {name} in {into}: {clean(done.stderr[-1000:])}")
    print(f"branch {name} of {into}")
    print(f"look at it with: git -C {quoted(str(into))} log {quoted(name)}")
    return 0


def _git(into: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Set by Git for its hooks, say: they would lead to another repository than the one that was named.
    environ = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        return subprocess.run(
            ["git", "-C", str(into), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=environ,
        )
    except FileNotFoundError as error:
        raise ConfigurationError("the git command is not installed, which fetch needs") from error
