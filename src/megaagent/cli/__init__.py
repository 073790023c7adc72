"""The command line: one file per command, imported when it is asked for."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer

from megaagent import __version__
from megaagent.cli.exits import BUG, CONFIGURATION, INTERRUPTED, READER_GONE, code_of
from megaagent.cli.grouping import flat
from megaagent.cli.related import see_also
from megaagent.cli.words import clean_block, complain
from megaagent.errors import MegaAgentError

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
COMMANDS: Final = {
    "run": "Give an organization of agents a goal, and watch it.",
    "resume": "Go on with a run that was stopped, cut off, or exhausted.",
    "fork": "Begin another run from any point of one.",
    "ps": "List the runs, newest first.",
    "top": "Watch a run's agents by spend, rate or state.",
    "tree": "Show a run's agents, and how each stands.",
    "why": "Show whom an agent waits for, down to who must act.",
    "show": "Print what a run's journal holds, one fact per line.",
    "logs": "Print one agent's conversation.",
    "files": "List the shared files, and who wrote them.",
    "blame": "Show which agent wrote which line of a file.",
    "cost": "Show where the money went.",
    "export": "Write a run as an archive, or its facts as JSON lines.",
    "report": "Make a run's report: a page, Markdown, data, or a picture.",
    "trace": "Send a run's spans and metrics over OpenTelemetry.",
    "replay": "Prove that a run's journal, state and files are one.",
    "check-journal": "Say whether a run's journal is as it was written.",
    "repair": "Save what can be saved of a damaged run, in a copy.",
    "send": "Write to an agent of a run that is going on.",
    "answer": "Answer a question that an agent has asked.",
    "approve": "Let an agent make a call that waits for you.",
    "refuse": "Do not let an agent make a call that waits for you.",
    "pause": "Let a run begin nothing new.",
    "unpause": "Let a paused run go on.",
    "stop": "End a run; it can be resumed.",
    "budget": "Set new caps of a run that is going on.",
    "patch": "Print what a run changed, as a patch for git apply.",
    "fetch": "Bring a run's result into a Git repository, as a branch.",
    "models": "List the models that a run would ask, and try them.",
    "doctor": "Say whether all that a run needs is there.",
    "estimate": "Say what a run will cost, before it is paid for.",
    "eval": "Run the paper's experiments, or score predictions.",
    "cluster": "Show what a Ray cluster does for runs: nodes, jobs, pace.",
    "serve": "Show the runs in a browser, and steer them there.",
    "mcp": "Let MCP clients start runs, watch and steer them.",
    "serve-sim": "Serve a simulated model at the address of a provider.",
    "completion": "Print what a shell needs to complete our commands.",
}
HIDDEN: Final = "__complete"  # asked by the scripts of `completion`

# Typer may carry its own copy of click, so the base of its usage errors is taken from one that it exports.
_USAGE_ERROR: Final[type[Exception]] = typer.BadParameter.__bases__[0]


def main() -> None:
    """The console entry: runs one command and leaves with its exit code."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  # closed before we began: nobody listens
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that lacks a character shows "?"
    sys.exit(_guarded(sys.argv[1:]))


def _guarded(arguments: Sequence[str]) -> int:
    """Run a command; every failure becomes an exit code and, on standard error, one line that says what to do."""
    try:
        code = _call(arguments or ["--help"])
        sys.stdout.flush()
    except _USAGE_ERROR as error:
        complain(_usage(error, arguments[0]))
        return CONFIGURATION
    except MegaAgentError as error:
        complain(str(error))
        return code_of(error)
    except BrokenPipeError:
        _write_no_more()  # what reads our output has gone (`| head`)
        return READER_GONE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            _write_no_more()
            complain(f"what this command prints cannot be written: {error.strerror}; make room, or write elsewhere")
            return CONFIGURATION
        print(clean_block(traceback.format_exc()), file=sys.stderr)  # it may quote what an agent or a provider said
        complain("this is a fault in MegaAgent itself; please report it with the lines above")
        return BUG
    return code


def _write_no_more() -> None:
    """Nothing may be flushed to the output when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _call(arguments: Sequence[str]) -> int:
    if arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    if arguments[0] == HIDDEN:
        return import_module("megaagent.cli.completing").complete(arguments[1:])
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    command = typer.main.get_command(application(chosen))
    code = command.main(args=list(arguments), prog_name="megaagent", standalone_mode=False)
    return code if isinstance(code, int) else 0


def parser_of(command: str) -> Any:
    """What parses one command: its options and arguments."""
    whole: Any = typer.main.get_command(application(command))
    return whole.commands[command]


def application(chosen: str | None = None) -> typer.Typer:
    """The whole command line, in which only the chosen command is imported; the others are there to be listed."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="One goal in plain words, a whole organization of LLM agents, one tested deliverable.",
        epilog="Begin with a rehearsal that asks no model:  megaagent run --scenario gobang",
    )
    app.callback()(_common)
    for name, summary in COMMANDS.items():
        if name == chosen:
            module = import_module(f"megaagent.cli.{name.replace('-', '_')}")
            told = "\n\n".join((summary, module.HELP, see_also(name)))
            app.command(name, help=told, short_help=summary)(flat(module.command))
        else:
            app.command(name, help=summary)(_listed)
    return app


def _tell(version: bool) -> None:
    if version:
        print(f"megaagent {__version__}")
        raise typer.Exit


def _common(
    version: bool = typer.Option(
        False, "--version", help="Print the version and leave.", is_eager=True, callback=_tell
    ),
) -> None:
    pass


def _listed() -> None:
    """Stands for a command that was not chosen."""


def _usage(error: Any, command: str) -> str:
    context = error.ctx  # None when an option lacks its value
    named = f"megaagent {command}" if command in COMMANDS else "megaagent"
    where = context.command_path if context is not None else named
    message = error.format_message().rstrip(".").replace(": Value error, ", ": ")  # so where Pydantic is installed
    return f"{message}. See: {where} --help"
