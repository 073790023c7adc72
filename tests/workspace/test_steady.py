"""An object that cannot be seen while packs are exchanged is looked for again; what is missing stays an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from megaagent import ToolError
from megaagent.workspace import Committed, Stamp, Workspace

STAMP = Stamp("boss", "run", 1, 0, 0.0)


class Unseeing(Workspace):
    """Its objects are out of sight until it takes another handle, as for who lists packs while they are exchanged."""

    hidden: Path | None = None
    looks = 0

    def hide(self) -> None:
        super().renew()
        self.hidden = self.path / "hidden"
        (self.path / "objects").rename(self.hidden)
        (self.path / "objects" / "pack").mkdir(parents=True)

    def renew(self) -> None:
        self.looks += 1
        if self.hidden is not None:
            (self.path / "objects" / "pack").rmdir()
            (self.path / "objects").rmdir()
            self.hidden.rename(self.path / "objects")
            self.hidden = None
        super().renew()


@pytest.fixture
def workspace(tmp_path: Path) -> Unseeing:
    Workspace.create(tmp_path / "w.git", stamp=STAMP, durable=False).close()
    workspace = Unseeing.open(tmp_path / "w.git", durable=False)
    assert isinstance(workspace, Unseeing)
    workspace.write("folder/a.txt", b"one\n", None, STAMP)
    return workspace


CALLS: list[Callable[[Workspace], object]] = [
    lambda w: w.read("folder/a.txt").text,
    lambda w: w.read_bytes("folder/a.txt"),
    lambda w: w.tree(),
    lambda w: [entry.path for entry in w.list()],
    lambda w: len(w.search("one")),
    lambda w: len(w.log()),
    lambda w: w.contains(w.log()[-1].revision),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_read_finds_what_was_out_of_sight(workspace: Unseeing, call: Callable[[Workspace], object]):
    seen = call(workspace)
    workspace.hide()
    assert call(workspace) == seen
    assert workspace.looks > 0


def test_a_write_merges_with_what_was_out_of_sight(workspace: Unseeing):
    base = workspace.head()
    assert isinstance(workspace.write("folder/a.txt", b"one\ntwo\n", base, STAMP), Committed)
    workspace.hide()
    assert isinstance(workspace.write("folder/a.txt", b"zero\none\n", base, STAMP), Committed)
    assert workspace.read("folder/a.txt").text == "zero\none\ntwo\n"


def test_what_is_missing_is_told_after_a_few_looks(workspace: Unseeing):
    with pytest.raises(ToolError, match="no revision"):
        workspace.read("folder/a.txt", "0" * 40)
    assert 0 < workspace.looks < 10


def test_a_folder_that_is_tidied_away_while_it_is_written_to_is_made_again(
    workspace: Unseeing, monkeypatch: pytest.MonkeyPatch
):
    """As when the packer removes an empty folder of loose objects that a merge is about to use."""
    base = workspace.head()
    workspace.write("folder/a.txt", b"one\ntwo\n", base, STAMP)
    create, failures = pygit2.Repository.create_blob, [OSError("failed to rename lockfile: No such file or directory")]

    def once(repo: pygit2.Repository, data: bytes) -> pygit2.Oid:
        if failures:
            raise failures.pop()
        return create(repo, data)

    monkeypatch.setattr(pygit2.Repository, "create_blob", once)
    assert isinstance(workspace.write("folder/a.txt", b"zero\none\n", base, STAMP), Committed)
    assert workspace.read("folder/a.txt").text == "zero\none\ntwo\n"
    assert failures == []
