"""The files of the Gobang story: the finished game, and the early versions on the way to it.

They are plain files beside this module, with `.txt` behind their names so that no tool takes them for modules of this
package. The early versions, each flawed or unfinished in one way:

    early/board.py               sees no five on a falling diagonal; `test_board.py` fails on it
    early/main.py                ends with a traceback on illegal input, at the end of the input, and on a full board
    early/search.py              looks no move ahead; the others can begin with it
    early/README.md              the common beginning of the next two, which change different parts of it:
    early/README_interface.md    ... merged without a conflict they are the final `README.md` but for `STARTED`
    early/README_search.md
    early/settings.py            the common beginning of the next two, which change the same line:
    early/settings_interface.py  ... a conflict; the final `settings.py` has the bounds of this and the time of the next
    early/settings_search.py
"""

from __future__ import annotations

from difflib import SequenceMatcher
from importlib import resources
from pathlib import Path

DELIVERABLE = (
    "README.md",
    "board.py",
    "evaluate.py",
    "main.py",
    "search.py",
    "settings.py",
    "test_board.py",
    "test_search.py",
)
"""The files of the finished game, by the names under which they are delivered."""

UNSTARTED = "You have the stones `X` and\n"
STARTED = f"Start the game with `python main.py` (Python 3.9 or later; nothing needs to be installed). {UNSTARTED}"
"""What `README.md` says when it is handed in for the first time, and what it must say."""


def text(name: str) -> str:
    """The content of one file, such as `board.py` or `early/board.py`.

    Raises:
        FileNotFoundError: the story has no such file.
    """
    return (resources.files("megaagent.scenarios.gobang") / "files" / f"{name}.txt").read_text(encoding="utf-8")


def changes(name: str) -> list[tuple[str, str]]:
    """What leads from the early version of a file to the final one: passages, each there once, and what replaces them.

    Raises:
        FileNotFoundError: the file has no early version.
    """
    now = text(f"early/{name}")
    old, new = now.splitlines(keepends=True), text(name).splitlines(keepends=True)
    found: list[tuple[str, str]] = []
    for kind, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        first = start - (kind == "insert")
        while kind != "equal" and now.count("".join(old[first:end])) > 1:
            first -= 1  # the lines before make the passage one that is there only once
        if kind != "equal":
            passage, instead = "".join(old[first:end]), "".join([*old[first:start], *new[new_start:new_end]])
            found.append((passage, instead))
            now = now.replace(passage, instead)
    return found


def write_deliverable(folder: Path) -> Path:
    """Write the finished game into a new folder, and return it."""
    folder.mkdir(parents=True)
    for name in DELIVERABLE:
        (folder / name).write_text(text(name), encoding="utf-8")
    return folder
