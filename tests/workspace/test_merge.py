"""Merges equal Git's own, and nobody's lines vanish."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megaagent.events import Revision
from megaagent.workspace import Committed, Conflict, Stamp, Workspace
from megaagent.workspace.merge import merge_lines
from megaagent.workspace.store import open_repository

Git = Callable[..., str]
LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d e", "é"]), max_size=8)
ENDS = st.sampled_from(["\n", "\r\n"])
CUT = st.booleans()  # without a line end at the end of the file


@st.composite
def edited(draw: st.DrawFn, base: list[str]) -> list[str]:
    """A few insertions, removals and replacements."""
    lines = list(base)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines)))
        lines[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.sampled_from(["a", "x", "y z", ""]), max_size=2))
    return lines


@st.composite
def three_texts(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    base = draw(LINES)
    end = draw(ENDS)
    texts = [draw(edited(base)), base, draw(edited(base))]
    return tuple(  # pyright: ignore[reportReturnType]
        (end.join(lines) + ("" if draw(CUT) or not lines else end)).encode() for lines in texts
    )


@settings(max_examples=150, deadline=None)
@given(three_texts())
def test_merges_equal_git_merge_file(texts: tuple[bytes, bytes, bytes]):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = Workspace.create(folder / "w.git", stamp=Stamp("boss", "r", 0, 0, 1.0), durable=False)
        mine, base, theirs = texts
        clean, text = merge_lines(open_repository(workspace.path), mine, base, theirs, ("ours", "theirs"))
        files = [folder / label for label in ("ours", "base", "theirs")]
        for file, content in zip(files, texts, strict=True):
            file.write_bytes(content)
        labels = [word for label in ("ours", "base", "theirs") for word in ("-L", label)]
        done = subprocess.run(
            ["git", "merge-file", "-p", *labels, *files], capture_output=True, cwd=folder, check=False
        )
        assert clean == (done.returncode == 0)
        if clean:
            assert text.encode() == done.stdout
        else:
            assert ("<<<<<<< ours" in text or not mine) and (">>>>>>> theirs" in text or not theirs)
        workspace.close()


def editing(name: str, count: int, draw: st.DataObject, text: str) -> tuple[str, list[str]]:
    """One editor's change of the text it saw: new lines of its own, some of its own old lines changed."""
    lines = text.splitlines(keepends=True)
    added: list[str] = []
    for number in range(draw.draw(st.integers(1, 2))):
        line = f"{name} {count} {number}\n"
        lines.insert(draw.draw(st.integers(0, len(lines))), line)
        added.append(line)
    return "".join(lines), added


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_no_line_that_somebody_added_and_nobody_removed_is_lost(data: st.DataObject):
    """Editors that work on views of different age; a conflict is settled by keeping both sides."""
    with tempfile.TemporaryDirectory() as name:
        clock = iter(range(10_000))
        workspace = Workspace.create(Path(name) / "w.git", stamp=Stamp("engine:", "r", 0, 0, 0.0), durable=False)
        start = "".join(f"line {n}\n" for n in range(12))
        first = workspace.write("f", start.encode(), None, Stamp("boss", "r", next(clock), 0, 1.0))
        assert isinstance(first, Committed)
        seen: dict[str, tuple[str, Revision]] = dict.fromkeys("abc", (start, first.revision))
        expected = Counter(start.splitlines(keepends=True))
        conflicts = 0
        for count in range(data.draw(st.integers(2, 8))):
            who = data.draw(st.sampled_from("abc"))
            text, added = editing(who, count, data, seen[who][0])
            stamp = Stamp(f"boss/{who}", "r", next(clock), 0, 1.0)
            result = workspace.write("f", text.encode(), seen[who][1], stamp)
            if isinstance(result, Conflict):
                conflicts += 1
                assert workspace.head() == result.theirs_revision and result.mine == text
                kept = [line for line in result.marked.splitlines(keepends=True) if line[:7] not in MARKERS]
                result = workspace.write("f", "".join(kept).encode(), result.theirs_revision, stamp)
            assert isinstance(result, Committed)
            expected.update(added)
            seen[who] = (workspace.read("f").text, workspace.head())
        found = Counter(workspace.read("f").text.splitlines(keepends=True))
        # Who keeps both sides of a conflict has the lines that they share twice.
        assert expected <= found if conflicts else expected == found
        workspace.close()


MARKERS = ("<<<<<<<", "=======", ">>>>>>>")


@pytest.mark.parametrize("editors", [6])
def test_threads_editing_their_own_lines_of_one_file(workspace: Workspace, editors: int, git: Git):
    rounds = 12
    blocks = [f"# {n}\n" + "-\n" * 3 for n in range(editors)]
    workspace.write("f", "".join(blocks).encode(), None, Stamp("boss", "r", 0, 0, 1.0))
    failures: list[object] = []

    def edit(n: int) -> None:
        for step in range(rounds):
            file = workspace.read("f")
            text = file.text.replace(f"# {n}\n", f"# {n}\n{n}.{step}\n")
            result = workspace.write(
                "f", text.encode(), file.revision, Stamp(f"boss/e{n}", "r", step + 1, 0, 1.0 + step)
            )
            if not isinstance(result, Committed):
                failures.append(result)

    threads = [threading.Thread(target=edit, args=(n,)) for n in range(editors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    expected = "".join(
        f"# {n}\n" + "".join(f"{n}.{step}\n" for step in reversed(range(rounds))) + "-\n" * 3 for n in range(editors)
    )
    assert workspace.read("f").text == expected
    assert int(git("rev-list", "--count", "main", cwd=workspace.path)) == 2 + editors * rounds
    # Every line is blamed on the editor whose line it is, by us and by Git.
    lines = [line for line in workspace.blame("f") if "." in line.text]
    assert all(line.agent == f"boss/e{line.text.split('.')[0]}" for line in lines) and len(lines) == editors * rounds
    authors = [
        row[7:]
        for row in git("blame", "--porcelain", "main", "--", "f", cwd=workspace.path).splitlines()
        if row.startswith("author ")
    ]
    assert set(authors) >= {f"e{n}" for n in range(editors)}
