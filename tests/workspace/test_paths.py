from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile.paths import NAMES

from megaagent.errors import ToolError
from megaagent.workspace import Stamp, Workspace, clean_path
from megaagent.workspace.paths import glob


@pytest.mark.parametrize("path", NAMES, ids=lambda path: ascii(path)[:60])
def test_hostile_paths_are_refused_everywhere(path: str, workspace: Workspace, stamp: Callable[..., Stamp]):
    head = workspace.head()
    with pytest.raises(ToolError):
        clean_path(path)
    for act in (
        lambda: workspace.read(path),
        lambda: workspace.read_bytes(path),
        lambda: workspace.write(path, b"x", None, stamp()),
        lambda: workspace.remove(path, None, stamp()),
        lambda: workspace.write_many({"good": b"x", path: b"x"}, head, stamp()),
    ):
        with pytest.raises(ToolError):
            act()
    assert workspace.head() == head


@pytest.mark.parametrize(
    "path",
    [
        *("a", "src/main.py", ".github/workflows/ci.yml", ".gitignore", "a b/c d", "...a", "日本/語.txt", "git", "~x"),
        *("-x", "x" * 255, "ab:c", "git~x", "$HOME", "*", "a.git", "%2e%2e/x", "😀.md"),
    ],
)
def test_ordinary_paths_pass(path: str):
    assert clean_path(path) == path


def test_one_spelling():
    assert clean_path("cafe\u0301.md") == "caf\u00e9.md"


def test_the_refusal_says_what_to_write():
    with pytest.raises(ToolError, match=r"Write 'src/a\.py'"):
        clean_path("./src//a.py")
    with pytest.raises(ToolError, match="relative to the workspace"):
        clean_path("/src/a.py")


@given(st.text(max_size=40))
def test_what_passes_stays_inside_and_is_stable(path: str):
    try:
        clean = clean_path(path)
    except ToolError:
        return
    assert clean_path(clean) == clean
    parts = clean.split("/")
    assert not {"", ".", ".."} & set(parts) and ".git" not in {part.lower() for part in parts}
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or "\u202a" <= c <= "\u202e" for c in clean)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**", ["a", "a/b", "a/b/c"], []),
        ("*", ["a"], ["a/b"]),
        ("*.py", ["a.py"], ["a/b.py", "a.pyc"]),
        ("**/*.py", ["a.py", "a/b.py", "a/b/c.py"], ["a.txt", "py"]),
        ("src/**", ["src/a", "src/a/b"], ["a/src/b", "srcs/a"]),
        ("src/", ["src/a", "src/a/b"], ["a"]),
        ("./src/*.py", ["src/a.py"], ["src/a/b.py"]),
        ("src/**/test_*.py", ["src/test_a.py", "src/a/b/test_c.py"], ["src/a.py", "test_a.py"]),
        ("**/a/**/b", ["a/b", "x/a/y/b", "a/a/b/b"], ["b/a", "a"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("a.c", ["a.c"], ["abc"]),
    ],
)
def test_glob(pattern: str, yes: list[str], no: list[str]):
    matches = glob(pattern)
    assert [path for path in yes if not matches(path)] == []
    assert [path for path in no if matches(path)] == []


def test_a_hostile_pattern_costs_nothing():
    names = ["a" * 200, "/".join("a" * 100)]
    begin = time.process_time()
    for pattern in ("*a" * 60 + "b", "**/" * 60 + "b", "**/a/" * 40 + "b", "*" * 200 + "b"):
        assert not any(map(glob(pattern), names))
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("pattern", ["", "x" * 501])
def test_a_pattern_that_is_none(pattern: str):
    with pytest.raises(ToolError, match="pattern"):
        glob(pattern)
