"""megaagent run: a goal, from a line to a deliverable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from megaagent.cli.exits import table
from megaagent.cli.options import Conduct, FirstCaps, Look, Models, Runs
from megaagent.errors import ConfigurationError

LONGEST = 1 << 20  # bytes of a goal that are read at all

HELP = f"""\b
Examples:
  megaagent run --scenario gobang
  megaagent run "Write a Markdown to HTML converter with tests" \\
      --model openai:gpt-4.1 --max-cost 5 --check "python -m pytest -q"
  megaagent run --goal-file goal.md --model vllm:qwen3 --max-tokens 900000
  megaagent run --scenario gobang --web
  cat goal.md | megaagent run - --model openai:gpt-4.1 --json

\b
Ctrl-C once ends the run in good order, twice leaves at once.
Either can be resumed.

\b
Exit codes:
{table()}"""


def command(
    models: Models,
    caps: FirstCaps,
    conduct: Conduct,
    look: Look,
    goal: Annotated[
        str | None, typer.Argument(metavar="GOAL", help="What is to be made, in plain words; - reads standard input.")
    ] = None,
    goal_file: Annotated[
        str | None,
        typer.Option(
            "--goal-file",
            metavar="FILE",
            help="Read the goal from a file; - is standard input.",
            show_default=False,
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            metavar="NAME",
            help="A goal with its own acceptance check: gobang, ...",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Settings in a TOML file.", show_default=False)
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="A repository or folder to start from; it is not touched.",
            show_default=False,
        ),
    ] = None,
    runs: Runs = None,
) -> int:
    from megaagent.cli.configured import configured
    from megaagent.cli.drive import drive
    from megaagent.launch import start

    words = _goal(goal, goal_file, scenario)
    if words is not None and not words.strip():
        raise ConfigurationError("the goal is empty: say in plain words what is to be made")
    given = conduct.changes() | models.changes() | caps.changes()
    model, base_url = given.pop("model.name", None), given.pop("model.base_url", None)
    tree = configured(settings, list(given.items()))
    run = start(words, scenario=scenario, model=model, base_url=base_url, settings=tree, source=source, runs=runs)
    return drive(run, look)


def _goal(goal: str | None, goal_file: str | None, scenario: str | None) -> str | None:
    """The goal from the one place that was named; standard input when none was and it is not a terminal."""
    sources = {"GOAL": goal, "--goal-file": goal_file, "--scenario": scenario}
    named = [name for name, value in sources.items() if value is not None]
    if len(named) > 1:
        raise ConfigurationError(f"{' and '.join(named)} exclude each other: give one of them")
    if scenario is not None:
        return None
    if not named and sys.stdin.isatty():
        raise ConfigurationError(
            'there is no goal. Say it as in: megaagent run "Write a ..." --model openai:NAME; or rehearse without a '
            "provider: megaagent run --scenario gobang"
        )
    if goal not in (None, "-"):
        return goal
    if goal_file in (None, "-"):
        return _text(sys.stdin.buffer.read(LONGEST + 1), "standard input")
    assert goal_file is not None
    try:
        with Path(goal_file).open("rb") as file:
            return _text(file.read(LONGEST + 1), goal_file)
    except OSError as error:
        raise ConfigurationError(f"--goal-file {goal_file}: {error.strerror}") from error


def _text(data: bytes, source: str) -> str:
    if len(data) > LONGEST:
        raise ConfigurationError(
            f"{source}: over {LONGEST:,} bytes are too long for a goal; put the material into a folder and use --from"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source}: not UTF-8 text at byte {error.start}") from error
