"""The branch's lock is taken from an engine that stood still: it moves nothing, and touches no lock of another's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pygit2
import pytest

from megaagent.errors import RunError
from megaagent.workspace.store import BRANCH, move_branch

OLD, NEW = pygit2.Oid(hex="1" * 40), pygit2.Oid(hex="2" * 40)


@pytest.mark.parametrize("others", [None, "3" * 40])
def test_a_lock_that_another_engine_removed_or_took(tmp_path: Path, others: str | None):
    branch = tmp_path / BRANCH
    branch.parent.mkdir(parents=True)
    branch.write_text(f"{OLD}\n")
    lock = branch.with_name(branch.name + ".lock")

    def meanwhile(name: str) -> Any:
        """What happens while this engine stands still between taking the lock and moving the branch."""
        lock.rename(tmp_path / "taken")  # so that its inode is not given to the next file
        if others is not None:
            lock.write_text(others)
        return SimpleNamespace(target=OLD)

    store: Any = SimpleNamespace(path=str(tmp_path), lookup_reference=meanwhile)
    with pytest.raises(RunError, match="another one works on the run"):
        move_branch(store, OLD, NEW, durable=False)
    assert branch.read_text() == f"{OLD}\n"
    assert (lock.read_text() if lock.exists() else None) == others
