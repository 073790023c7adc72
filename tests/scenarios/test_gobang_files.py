"""The finished game is sound, and the early versions have the flaws that the story needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from megaagent.scenarios.gobang.texts import DELIVERABLE, STARTED, UNSTARTED, text, write_deliverable

PYTHON = [name for name in (*DELIVERABLE, "early/board.py", "early/main.py") if name.endswith(".py")]


def run_tests(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir=.", "-p", "no:cacheprovider", "-p", "no:asyncio", *files],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def merge(folder: Path, mine: str, base: str, theirs: str) -> tuple[int, str]:
    """Git's three-way merge of texts; the number of conflicts and the result."""
    paths = [folder / name for name in ("mine", "base", "theirs")]
    for path, name in zip(paths, (mine, base, theirs), strict=True):
        path.write_text(text(name))
    done = subprocess.run(
        ["git", "merge-file", "-p", *map(str, paths)], capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, done.stdout


def test_its_own_tests_pass(tmp_path: Path) -> None:
    result = run_tests(write_deliverable(tmp_path / "game"))
    assert result.returncode == 0, result.stdout


def test_the_early_board_fails_only_on_the_falling_diagonal(tmp_path: Path) -> None:
    folder = write_deliverable(tmp_path / "game")
    (folder / "board.py").write_text(text("early/board.py"))
    result = run_tests(folder, "test_board.py")
    failed = {line.split(" - ")[0] for line in result.stdout.splitlines() if line.startswith("FAILED")}
    assert failed == {
        f"FAILED test_board.py::test_five_in_a_row_win[{case}]"
        for case in ("diagonal that falls", "in the upper left corner", "in the lower right corner")
    }


@pytest.mark.parametrize("name", PYTHON)
def test_it_is_python_3_9_and_nothing_but_the_standard_library(name: str) -> None:
    tree = ast.parse(text(name), feature_version=(3, 9))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    own = {file.removesuffix(".py") for file in DELIVERABLE}
    foreign = {module.partition(".")[0] for module in imported} - own - set(sys.stdlib_module_names)
    assert foreign <= ({"pytest"} if name.startswith("test_") else set())


def test_edits_far_apart_merge_into_a_readme_that_lacks_only_how_to_start(tmp_path: Path) -> None:
    conflicts, merged = merge(tmp_path, "early/README_interface.md", "early/README.md", "early/README_search.md")
    assert conflicts == 0
    assert "python main.py" not in merged
    assert merged.replace(UNSTARTED, STARTED) == text("README.md")


def test_edits_of_one_line_are_a_conflict_that_the_final_settings_settle(tmp_path: Path) -> None:
    sides = "early/settings_interface.py", "early/settings_search.py"
    conflicts, merged = merge(tmp_path, sides[0], "early/settings.py", sides[1])
    assert conflicts == 1
    assert "SECONDS = 1.5" in merged
    assert "SECONDS = 0.8" in merged
    base, final = set(text("early/settings.py").splitlines()), set(text("settings.py").splitlines())
    for side in sides:
        added = set(text(side).splitlines()) - base
        assert added - final <= {"SECONDS = 1.5  # the AI's time for one move"}
        assert added & final


def test_an_unknown_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        text("early/nothing.py")
