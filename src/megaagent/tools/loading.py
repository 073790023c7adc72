"""Tools of the user's: typed Python functions from a file, or from an installed package that offers them.

A file's tools are what it lists in `TOOLS`, or else the public functions that it defines. A package offers tools under
the entry point group `megaagent.tools`: a function, a `Tool`, a list of them, or a module such as a file would be.
Nothing is taken that the settings do not name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, cast

from megaagent.errors import ConfigurationError
from megaagent.tools.contract import Tool, in_words

GROUP = "megaagent.tools"


def load(names: Sequence[str]) -> list[Tool]:
    """The tools that the settings name.

    Args:
        names: paths that end in `.py`, or names of entry points.

    Raises:
        ConfigurationError: a file or package cannot be imported, or something in it cannot be a tool.
    """
    return [tool for name in names for tool in (_of_file(Path(name)) if name.endswith(".py") else _of_package(name))]


def whole_names(names: Iterable[str], end: str = ".py") -> tuple[str, ...]:
    """The same names, with paths (which have this end) that hold from every folder."""
    return tuple(str(Path(name).absolute()) if name.endswith(end) else name for name in names)


def _of_file(path: Path) -> list[Tool]:
    if not path.is_file():
        raise ConfigurationError(f"tools: there is no file {path}")
    mark = blake2b(str(path.absolute()).encode(), digest_size=6).hexdigest()
    spec = spec_from_file_location(f"megaagent_tools_{mark}", path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where types are looked up
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # it may import its neighbours; last, so that it hides nothing
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever it does while it is imported, also to leave the program
        raise ConfigurationError(f"tools: {path}{_line_of(error, path)}: {in_words(error)}") from error
    return _of_module(module, str(path))


def _of_package(name: str) -> list[Tool]:
    there = {entry.name: entry for entry in entry_points(group=GROUP)}
    entry = there.get(name)
    if entry is None:
        near = get_close_matches(name, there, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}" if near else ""
        offered = ", ".join(sorted(there)) or "none"
        raise ConfigurationError(
            f"tools: no installed package offers {name!r}{hint}. Offered are: {offered}. A file's name ends in .py"
        )
    return _of_object(_import(entry), f"{name} of {entry.value}")


def _import(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(
            f"tools: {entry.name} ({entry.value}) cannot be imported: {in_words(error)}"
        ) from error


def _of_module(module: ModuleType, source: str) -> list[Tool]:
    listed = getattr(module, "TOOLS", None)
    if listed is not None:
        return _of_object(listed, f"{source}, TOOLS")
    functions = [
        thing
        for name, thing in vars(module).items()
        if inspect.isfunction(thing) and thing.__module__ == module.__name__ and not name.startswith("_")
    ]
    if not functions:
        raise ConfigurationError(f"tools: {source} defines no public function, and no list TOOLS")
    return [_tool(function, source) for function in functions]


def _of_object(thing: Any, source: str) -> list[Tool]:
    if isinstance(thing, ModuleType):
        return _of_module(thing, source)
    if isinstance(thing, Tool) or callable(thing):
        return [_tool(thing, source)]
    if isinstance(thing, list | tuple):
        return [_tool(each, source) for each in cast("Sequence[Any]", thing)]
    raise ConfigurationError(f"tools: {source} is {type(thing).__name__}: give a function, a Tool, or a list of them")


def _tool(thing: Any, source: str) -> Tool:
    if isinstance(thing, Tool):
        return thing
    if not callable(thing):
        raise ConfigurationError(f"tools: {source} has a {type(thing).__name__}: give a function or a Tool")
    try:
        return Tool(thing)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error} ({source}; a function that is no tool begins with _, or is left out of TOOLS)"
        ) from error


def _line_of(error: BaseException, path: Path) -> str:
    """The line of the file in which it went wrong, as words."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
