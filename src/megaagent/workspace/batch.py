"""Writes become commits, one after the other, upon a head that nobody sees yet: a batch is published as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pygit2

from megaagent.errors import ToolError
from megaagent.events import Revision
from megaagent.workspace import stamps
from megaagent.workspace.contract import Committed, Conflict, Done, Stamp, WorkspaceLimits, Write
from megaagent.workspace.merge import Settled, Sides, settle
from megaagent.workspace.packs import BLOB, COMMIT, Pack
from megaagent.workspace.paths import clean_path, folded
from megaagent.workspace.store import commit_at, file_at
from megaagent.workspace.trees import Folders, Id


class Batch:
    """Commits upon a commit of the branch, in memory.

    Args:
        pack: takes the new objects.
        folders: those of the repository.

    Attributes:
        head: the newest commit of the batch.
        loose: about how many objects merging has left lying alone.
    """

    def __init__(self, repo: pygit2.Repository, head: pygit2.Commit, folders: Folders, pack: Pack):
        self._repo = repo
        self._folders = folders
        self._pack = pack
        self._root: Id = head.tree_id.raw
        self._fresh: dict[Id, bytes] = {}  # contents that only the pack has
        self.head: Revision = str(head.id)
        self.loose = 0

    def take(self, write: Write, limits: WorkspaceLimits) -> Done:
        """Settle one write, and commit what merges.

        Raises:
            ToolError: some of its changes cannot be accepted; all such are named, and nothing of it is committed.
        """
        checked = checked_changes(write.changes, limits)
        base = None if write.base is None else commit_at(self._repo, write.base)
        outcomes = {path: self._settle(path, content, base) for path, content in checked.items()}
        settled = {path: outcome for path, outcome in outcomes.items() if isinstance(outcome, Settled)}
        self._commit(settled, write.stamp)
        return Done(
            tuple((path, _committed(self.head, outcome)) for path, outcome in settled.items()),
            tuple(outcome for outcome in outcomes.values() if isinstance(outcome, Conflict)),
        )

    def _settle(self, path: str, content: bytes | None, base: pygit2.Commit | None) -> Settled | Conflict:
        theirs = self._folders.file_at(self._root, path)
        was = None if base is None else file_at(base.tree, path)
        sides = Sides(None if base is None else str(base.id), was and was.id.raw, self.head, theirs)
        outcome = settle(self._repo, path, content, sides, self._content)
        if isinstance(outcome, Conflict) or outcome.merged:
            self.loose += 3
        return outcome

    def _content(self, id: Id) -> bytes:
        fresh = self._fresh.get(id)
        return self._repo[pygit2.Oid(raw=id)].read_raw() if fresh is None else fresh

    def _commit(self, settled: Mapping[str, Settled], stamp: Stamp) -> None:
        """Commit upon the head; nothing, if nothing differs from it."""
        blobs = {path: (it.content, blob_id(it.content)) for path, it in settled.items() if it.content is not None}
        gone = [
            path
            for path, it in settled.items()
            if it.content is None and self._folders.file_at(self._root, path) is not None
        ]
        placed = {path: (id, None) for path, (_, id) in blobs.items()}
        root, fresh = self._folders.changed(self._root, placed, gone)
        if root.id == self._root:
            return
        author = stamps.signature(stamp)
        for content, id in blobs.values():
            self._fresh[id] = content
            self._pack.add(BLOB, content)
        for path, folder in fresh.items():
            self._folders.keep(folder)
            self._pack.add_folder(path, folder)
        text = stamps.message(_subject(settled), stamp, [path for path, it in settled.items() if it.merged])
        self._root = root.id
        self.head = self._pack.add(COMMIT, commit_bytes(root.id, [self.head], author, text)).hex()


def checked_changes(changes: Mapping[str, bytes | None], limits: WorkspaceLimits) -> dict[str, bytes | None]:
    """The changes under their clean paths.

    Raises:
        ToolError: naming every one that cannot be accepted.
    """
    checked: dict[str, bytes | None] = {}
    refused: list[str] = []
    for given, content in changes.items():
        try:
            path = clean_path(given)
            if folded(path.rpartition("/")[2]) == ".gitmodules":
                raise ToolError(f"{path} describes submodules, which agents do not use. Choose another name.")
            if content is not None and len(content) > limits.file_bytes:
                raise ToolError(
                    f"{path} would have {len(content)} bytes, {limits.file_bytes} are allowed. Split it up."
                )
            if path in checked:
                raise ToolError(f"{path} is given twice, spelled with different forms of the same letters.")
            checked[path] = content
        except ToolError as error:
            refused.append(str(error))
    if refused:
        raise ToolError("\n".join(refused))
    return checked


def commit_bytes(tree: Id, parents: list[Revision], author: pygit2.Signature, text: str) -> bytes:
    """A commit as Git stores it; who wrote it also committed it."""
    who = b"%s <%s> %d +0000" % (author.raw_name, author.raw_email, author.time)
    lines = [f"tree {tree.hex()}", *(f"parent {parent}" for parent in parents)]
    return b"\n".join([*map(str.encode, lines), b"author " + who, b"committer " + who, b"", text.encode()])


def blob_id(content: bytes) -> Id:
    """The name of a file's content."""
    return pygit2.hash(content).raw


def _subject(settled: Mapping[str, Settled]) -> str:
    if len(settled) > 1:
        return f"Change {len(settled)} files"
    path, outcome = next(iter(settled.items()))
    return f"{'Remove' if outcome.content is None else 'Merge' if outcome.merged else 'Write'} {path}"


def _committed(revision: Revision, outcome: Settled) -> Committed:
    content = outcome.content
    if content is None:
        return Committed(revision, None, 0, outcome.merged)
    return Committed(revision, hashlib.sha256(content).hexdigest(), len(content), outcome.merged)
