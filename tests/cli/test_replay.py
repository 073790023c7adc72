"""The proof: it holds for a run that was left alone, and names what was tampered with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from megaagent.folder import RunFolder, find_run
from megaagent.proof import replay


def change_row(folder: RunFolder) -> None:
    with sqlite3.connect(folder.journal) as database:
        database.execute("UPDATE record SET body = replace(body, 'main.py', 'mean.py') WHERE kind = 'FileCommitted'")
    database.close()


def remove_row(folder: RunFolder) -> None:
    with sqlite3.connect(folder.journal) as database:
        database.execute("DELETE FROM record WHERE position = 7")
    database.close()


def change_blob(folder: RunFolder) -> None:
    with sqlite3.connect(folder.journal) as database:
        database.execute(
            "UPDATE blob SET packed = 0, data = x'6f74686572' WHERE digest = (SELECT min(digest) FROM blob)"
        )
    database.close()


def rewind_branch(folder: RunFolder) -> None:
    repository = pygit2.Repository(str(folder.workspace))
    head = repository[repository.head.target].peel(pygit2.Commit)
    repository.references.get(repository.head.name).set_target(head.parents[0].id)
    repository.free()


def rewrite_branch(folder: RunFolder) -> None:
    """The same files with other contents, in commits of the same messages."""
    repository = pygit2.Repository(str(folder.workspace))
    head = repository[repository.head.target].peel(pygit2.Commit)
    tree = repository.TreeBuilder(head.tree)
    tree.insert("main.py", repository.create_blob(b"print('bye')\n"), pygit2.enums.FileMode.BLOB)
    made = repository.create_commit(None, head.author, head.committer, head.message, tree.write(), head.parent_ids)
    repository.references.get(repository.head.name).set_target(made)
    repository.free()


def test_a_run_that_was_left_alone_is_proven(finished: Path):
    proof = replay(find_run(finished / "megaagent-runs", None))
    assert proof.problems == ()
    assert proof.records > 20
    assert proof.digests_checked >= 1
    assert proof.commits_checked == 2


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (change_row, "(FileCommitted)"),
        (remove_row, "row 7"),
        (change_blob, "content"),
        (rewind_branch, "is not in the workspace's history"),
        (rewrite_branch, "is not in the workspace's history"),
    ],
)
def test_what_was_changed_is_named(finished: Path, tamper: Callable[[RunFolder], None], named: str):
    folder = find_run(finished / "megaagent-runs", None)
    tamper(folder)
    proof = replay(folder)
    assert any(named in problem for problem in proof.problems), proof.problems


def test_a_state_that_folds_otherwise_is_found(finished: Path, monkeypatch: pytest.MonkeyPatch):
    from megaagent import events as ev
    from megaagent.organization.folds import FOLDS

    monkeypatch.setitem(FOLDS, ev.ChecklistChanged, FOLDS[ev.ChecklistChanged])
    monkeypatch.setitem(FOLDS, ev.MessageSent, lambda state, record, event: None)
    proof = replay(find_run(finished / "megaagent-runs", None))
    assert any("cannot be folded" in problem or "the state after fact" in problem for problem in proof.problems)
