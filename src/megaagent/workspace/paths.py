"""Names of files: which an agent may use, and which match a pattern.

The rules are Git's own for a safe tree (its `core.protectNTFS` and `core.protectHFS` forms of `.git` included), plus
what keeps a name readable: one spelling, no invisible characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from fnmatch import translate

from megaagent.errors import ToolError

MAX_NAME = 255  # bytes, what Linux file systems take
MAX_PATH = 1000  # bytes
MAX_PATTERN = 500  # characters

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, bidi and zero-width marks, surrogates, line ends
_GIT = re.compile(r"\.git|git~\d+")
_DRIVE = re.compile(r"[A-Za-z]:")


def clean_path(path: str) -> str:
    """The path in its one spelling (Unicode NFC), if it names a place inside the workspace.

    Raises:
        ToolError: the path is absolute, climbs out, has a hidden or unsafe name; the message says what to write.
    """
    if not path:
        raise ToolError("the path is empty. Give one such as src/main.py.")
    hidden = next((c for c in path if unicodedata.category(c) in _INVISIBLE), None)
    if hidden is not None:
        raise ToolError(
            f"the path {path!a} contains an invisible character (U+{ord(hidden):04X}). Use visible ones only."
        )
    path = unicodedata.normalize("NFC", path)
    if "\\" in path:
        raise ToolError(f"the path {path!r} contains a backslash. Separate folders with forward slashes.")
    if path.startswith("/") or _DRIVE.match(path):
        raise ToolError(f"the path {path!r} is absolute. Give it relative to the workspace, such as src/main.py.")
    names = path.split("/")
    if any(name in ("", ".", "..") for name in names):
        plain = "/".join(name for name in names if name not in ("", "."))
        advice = f"Write {plain!r}." if plain and ".." not in names else "Name a file inside the workspace."
        raise ToolError(f"the path {path!r} has an empty, '.' or '..' part. {advice}")
    for name in names:
        _check_name(path, name)
    if len(path.encode()) > MAX_PATH:
        raise ToolError(f"the path {path[:60]!r}... is longer than {MAX_PATH} bytes. Use shorter names.")
    return path


def is_clean(path: str) -> bool:
    """Whether agents can use the path exactly as it is spelled."""
    try:
        return clean_path(path) == path
    except ToolError:
        return False


def _check_name(path: str, name: str) -> None:
    # NTFS drops trailing dots and spaces and takes what follows a colon as a stream of the file before it.
    if _GIT.fullmatch(name.partition(":")[0].rstrip(". ").casefold()):
        raise ToolError(
            f"the path {path!r} names Git's own data, which is not part of the workspace. Use another name."
        )
    if name != name.rstrip(". ") or name != name.lstrip():
        raise ToolError(f"in the path {path!r} the name {name!r} begins or ends with a space, or ends with a dot.")
    if len(name.encode()) > MAX_NAME:
        raise ToolError(f"the name {name[:60]!r}... is longer than {MAX_NAME} bytes. Use a shorter one.")


def folded(name: str) -> str:
    """What names that some file systems cannot tell apart have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def glob(pattern: str) -> Callable[[str], bool]:
    """A test of paths: `*`, `?` and `[...]` within a name, `**` for any number of folders.

    A pattern that ends with a slash stands for everything below that folder. The time is bounded for any pattern.

    Raises:
        ToolError: the pattern is empty or too long.
    """
    pattern = unicodedata.normalize("NFC", pattern).removeprefix("./")
    if not pattern or len(pattern) > MAX_PATTERN:
        raise ToolError(f"a pattern has 1 to {MAX_PATTERN} characters, such as **/*.py or docs/*.md.")
    names = (pattern + "**" if pattern.endswith("/") else pattern).split("/")
    # translate() makes expressions that do not backtrack over "*", so a hostile pattern costs nothing.
    parts = [None if name == "**" else re.compile(translate(name)) for name in names]
    return lambda path: _matches(parts, path.split("/"))


def _matches(parts: Sequence[re.Pattern[str] | None], names: Sequence[str]) -> bool:
    """Match name by name; on a mismatch only the latest `**` (None) takes one name more, which is always enough."""
    part = name = 0
    retry: tuple[int, int] | None = None
    while name < len(names):
        if part < len(parts) and parts[part] is None:
            retry = (part, name)
            part += 1
            continue
        expression = parts[part] if part < len(parts) else None
        if expression is not None and expression.match(names[name]):
            part, name = part + 1, name + 1
        elif retry is not None:
            retry = (retry[0], retry[1] + 1)
            part, name = retry[0] + 1, retry[1]
        else:
            return False
    return all(expression is None for expression in parts[part:])
