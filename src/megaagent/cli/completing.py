"""What could come next on a half-written command line; asked by the scripts of `megaagent completion`.

What is answered is one word a line, with a tab and its meaning where it has one; the line `:files` stands for the names
of files, which the shell knows itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from megaagent.cli.words import clean
from megaagent.errors import MegaAgentError

if TYPE_CHECKING:
    from megaagent.folder import RunFolder

FILES: Final = ":files"
MOST: Final = 2_000  # words of an answer

Word = tuple[str, str]


def complete(words: Sequence[str]) -> int:
    """Print what could stand in the place of the last word.

    Args:
        words: of the command line, after the program's name, up to the cursor.
    """
    with suppress(MegaAgentError, OSError):
        for number, (word, meaning) in enumerate(candidates([*words] or [""])):
            if number == MOST:
                break
            print(f"{word}\t{clean(meaning)}" if meaning else word)
    return 0


def candidates(words: list[str]) -> Iterator[Word]:
    """The words that begin like the last one, and what they mean."""
    *before, current = words
    for word, meaning in _fitting(before, current):
        if word == FILES or word.startswith(current):
            yield word, meaning


def _fitting(before: list[str], current: str) -> Iterator[Word]:
    from megaagent.cli import COMMANDS, parser_of

    if not before:
        yield from (("--help", ""), ("--version", "")) if current.startswith("-") else COMMANDS.items()
        return
    command = before[0]
    if command not in COMMANDS:
        return
    line = _Line(parser_of(command).params, before[1:])
    if line.awaits is not None:
        yield from _values(command, line.awaits, line)
    elif current.startswith("--") and "=" in current and not line.only_words:
        name, _, _ = current.partition("=")
        option = line.option(name)
        for word, meaning in _values(command, option, line) if option is not None else ():
            yield (word if word == FILES else f"{name}={word}"), meaning
    elif current.startswith("-") and not line.only_words:
        for option in line.options:
            yield from ((name, option.help or "") for name in option.opts if name.startswith("--"))
        yield "--help", ""
    elif line.next is not None:
        yield from _values(command, line.next, line)


class _Line:
    """The words that are there already, by the options and arguments that they are.

    Attributes:
        awaits: the option whose value comes next.
        next: the argument that comes next.
        given: values by the names of options and arguments.
        only_words: after `--` nothing is an option.
    """

    def __init__(self, params: Sequence[Any], words: Sequence[str]):
        self.options = [each for each in params if each.param_type_name == "option"]
        self._arguments = [each for each in params if each.param_type_name == "argument"]
        self.given: dict[str, str] = {}
        self.awaits: Any = None
        self.only_words = False
        for word in words:
            self._take(word)
        self.next: Any = self._arguments[0] if self._arguments else None

    def option(self, name: str) -> Any:
        return next((each for each in self.options if name in each.opts), None)

    def _take(self, word: str) -> None:
        if self.awaits is not None:
            self.given[self.awaits.name] = word
            self.awaits = None
        elif word == "--" and not self.only_words:
            self.only_words = True
        elif word.startswith("-") and len(word) > 1 and not self.only_words:
            name, equals, value = word.partition("=")
            option = self.option(name)
            if option is not None and equals:
                self.given[option.name] = value
            elif option is not None and not option.is_flag:
                self.awaits = option
        elif self._arguments:
            self.given[self._arguments[0].name] = word
            if self._arguments[0].nargs == 1:
                del self._arguments[0]


# -- values -----------------------------------------------------------------------------------------------------------


def _values(command: str, param: Any, line: _Line) -> Iterator[Word]:
    """What an option or argument could be."""
    known: dict[str, Callable[[_Line], Iterator[Word]]] = {
        "RUN": _runs,
        "[RUN] [ID]": _runs,
        "AGENT": _agents,
        "KIND": _kinds,
        "WHAT": _tables,
        "BY": _orders,
        "SHELL": lambda _: ((shell, "") for shell in ("bash", "zsh", "fish")),
        "SCRIPT": _scripts,
    }
    choices = _choices(command, param.name)
    if choices:
        yield from ((choice, "") for choice in choices)
    elif param.metavar == "NAME" and param.name in ("agent", "scenario"):
        yield from _agents(line) if param.name == "agent" else _scenarios()
    elif param.metavar == "FILE" and command == "blame":
        yield from _shared_files(line)
    elif param.metavar in known:
        yield from known[param.metavar](line)
    elif param.metavar in ("FILE", "DIR", "PATH", "REPO", "RUNS_DIR", "FILE.py"):
        yield FILES, ""


def _choices(command: str, name: str) -> list[str]:
    """The words that an option takes, when its type is a list of words."""
    from enum import Enum
    from importlib import import_module
    from typing import get_args

    from megaagent.cli.grouping import flat

    hints: list[Any] = [flat(import_module(f"megaagent.cli.{command.replace('-', '_')}").command).__annotations__[name]]
    while hints:
        hint = hints.pop()
        if isinstance(hint, type) and issubclass(hint, Enum):
            return [str(each.value) for each in hint]
        hints += [each for each in get_args(hint) if get_args(each) or isinstance(each, type)]
    return []


def _folder(line: _Line) -> RunFolder:
    from megaagent.folder import find_run, runs_folder

    runs = line.given.get("runs")
    return find_run(runs_folder(Path(runs) if runs else None, os.environ), line.given.get("run"))


def _runs(line: _Line) -> Iterator[Word]:
    from megaagent.folder import all_runs, runs_folder

    runs = line.given.get("runs")
    return ((folder.id, "") for folder in all_runs(runs_folder(Path(runs) if runs else None, os.environ))[::-1])


def _agents(line: _Line) -> Iterator[Word]:
    from megaagent.cli.reading import opened
    from megaagent.events import AgentRecruited, name_of

    with opened(_folder(line)) as reader:
        for record in reader.records(kinds=[AgentRecruited], bodies=False):
            if isinstance(record.event, AgentRecruited):
                yield name_of(record.event.id), record.event.description


def _shared_files(line: _Line) -> Iterator[Word]:
    from megaagent.cli.reading import opened
    from megaagent.events import FileCommitted

    there: dict[str, bool] = {}
    with opened(_folder(line)) as reader:
        for record in reader.records(kinds=[FileCommitted], bodies=False):
            if isinstance(record.event, FileCommitted):
                there[record.event.path] = record.event.digest is not None
    return ((path, "") for path, is_there in sorted(there.items()) if is_there)


def _kinds(line: _Line) -> Iterator[Word]:
    from typing import get_args

    from megaagent.events import AnyEvent

    return ((kind.__name__, "") for kind in get_args(AnyEvent))


def _tables(line: _Line) -> Iterator[Word]:
    from megaagent.cli.cost import TABLES

    return ((name, "") for name in TABLES)


def _orders(line: _Line) -> Iterator[Word]:
    from megaagent.cli.ranking import ORDERS

    return ((name, "") for name in ORDERS)


def _scripts(line: _Line) -> Iterator[Word]:
    from megaagent.scenarios import SCRIPTS

    return ((name, "") for name in SCRIPTS)


def _scenarios() -> Iterator[Word]:
    from megaagent.scenarios import SCENARIOS

    return ((name, "") for name in SCENARIOS)
