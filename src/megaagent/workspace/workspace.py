"""The shared files of a run, versioned: everybody reads at a revision, writes are commits, the branch is the truth.

A write is blob, trees, commit, and a compare-and-swap of the branch `main` of a bare Git repository; writes that come
together are commits of their own that are stored, synced and published together. When others have changed the file
since the writer saw it, the file is merged line by line (the three-way merge of diff3, as Git does it); what cannot be
merged comes back as a `Conflict`, and nothing is changed.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

import pygit2
from pygit2.enums import FileMode

from megaagent.errors import RunError, ToolError
from megaagent.events import Revision
from megaagent.workspace import history
from megaagent.workspace import source as sources
from megaagent.workspace.batch import Batch
from megaagent.workspace.contract import (
    BlameLine,
    Committed,
    Conflict,
    Done,
    FileEntry,
    FileText,
    Hit,
    LogEntry,
    Stamp,
    WorkspaceLimits,
    Write,
)
from megaagent.workspace.listing import Listing
from megaagent.workspace.merge import text_of
from megaagent.workspace.packing import Packing
from megaagent.workspace.packs import Pack
from megaagent.workspace.paths import clean_path, folded, glob
from megaagent.workspace.steady import steady
from megaagent.workspace.store import (
    BRANCH,
    BranchMovedError,
    commit_at,
    create_repository,
    file_at,
    files_of,
    head_of,
    move_branch,
    open_repository,
    size_of,
    sync_all,
)
from megaagent.workspace.trees import Folders

PATIENCE = 30.0  # seconds that a write keeps trying while other processes hold or move the branch
SHOWN = 300  # characters of a line that a hit shows
NEAREST = 2_000  # names that are looked through for the nearest ones


class Workspace:
    """The shared files. Calls block and may come from any thread; `create` and `open` make one.

    Files whose names agents cannot use (see `clean_path`), symbolic links and submodules of a source repository stay
    in the history untouched, but are neither listed, nor checked out, nor written.

    Attributes:
        path: the bare repository.
        dirty: the source was a repository whose work tree held changes; its HEAD was taken, they were not.
        left_out: what was not taken from a source folder, each with its reason.
    """

    def __init__(self, path: Path, limits: WorkspaceLimits, durable: bool):
        self.path = path
        self.dirty = False
        self.left_out: tuple[str, ...] = ()
        self._limits = limits
        self._durable = durable
        self._writing = threading.Lock()
        self._own = threading.local()  # libgit2's handles are not shared between threads
        self._handles: weakref.WeakSet[pygit2.Repository] = weakref.WeakSet()
        self._handing = threading.Lock()
        self._folders = Folders(lambda id: self._repo()[pygit2.Oid(raw=id)].read_raw())
        self._packing = Packing(path)
        self._listing = Listing()
        self._stamped = history.Stamped()

    @classmethod
    def create(
        cls,
        path: Path,
        source: Path | None = None,
        *,
        stamp: Stamp,
        limits: WorkspaceLimits | None = None,
        durable: bool = True,
    ) -> Workspace:
        """Make a workspace: empty, or from an existing repository or folder, which is not written to.

        Of a repository its HEAD is taken with the history, so that the result can be fetched back; changes in its
        work tree are not (see `dirty`). Of a plain folder (or a repository without a commit) the regular files are
        taken; symbolic links, devices, too large files and unusable names are left out (see `left_out`).

        Args:
            path: the bare repository to be made; it must not exist.
            stamp: author of the first commit of an empty workspace or of a folder's.
            durable: an acknowledged write lasts through a power cut (fsync of objects and branch).

        Raises:
            RunError: there is something at `path`.
            ConfigurationError: the source cannot be read, or is larger than the limits.
        """
        workspace = cls(path, limits or WorkspaceLimits(), durable)
        origin = None if source is None else sources.repository_at(source)
        if path.exists() or path.is_symlink():
            raise RunError(f"{path} exists already; open it, or choose another folder")
        # Made beside and moved into place, so that a start that was killed leaves no half workspace.
        making = path.with_name(path.name + ".making")
        shutil.rmtree(making, ignore_errors=True)
        repo = create_repository(making)
        if source is not None and origin is not None:
            sources.measure(origin, source, workspace._limits)
            workspace.dirty = sources.is_dirty(origin)
            origin.free()
            sources.take_history(repo, source)
        else:
            workspace.left_out = sources.begin(repo, source, stamp, workspace._limits)
        repo.free()
        if durable:
            sync_all(making)
        making.rename(path)
        workspace._repo()
        return workspace

    @classmethod
    def open(cls, path: Path, *, limits: WorkspaceLimits | None = None, durable: bool = True) -> Workspace:
        """Open a workspace that `create` made.

        Raises:
            RunError: there is none at `path`, or it is damaged.
        """
        workspace = cls(path, limits or WorkspaceLimits(), durable)
        workspace._repo()
        return workspace

    def close(self) -> None:
        """Let go of all files; no other call may be under way or follow."""
        self._packing.close()
        with self._handing:
            for repo in list(self._handles):
                repo.free()
            self._handles.clear()
            self._own = threading.local()

    @property
    def packing(self) -> bool:
        """Whether the store is being packed, in a process beside this one."""
        return self._packing.busy

    # -- reading ------------------------------------------------------------------------------------------------

    def sole_writer(self) -> None:
        """Clear away what a killed writer left: the branch's lock, files of a pack that was not finished.

        Only for who knows that there is no other writer.
        """
        (self.path / f"{BRANCH}.lock").unlink(missing_ok=True)
        for left in (self.path / "objects" / "pack").glob("tmp_batch_*"):
            left.unlink(missing_ok=True)

    @steady
    def head(self) -> Revision:
        """The newest revision."""
        return str(head_of(self._repo()).id)

    @steady
    def resolve(self, revision: Revision) -> Revision:
        """The full name of a revision of which at least 7 digits are given.

        Raises:
            ToolError: there is no such revision.
        """
        return str(commit_at(self._repo(), revision).id)

    @steady
    def tree(self, revision: Revision | None = None) -> str:
        """Hash of the root tree: equal exactly when all files are."""
        return str(self._at(revision).tree_id)

    def contains(self, revision: Revision) -> bool:
        """Whether a revision is on the branch: its tip, or one that led to it."""
        try:
            return self._leads_to(pygit2.Oid(hex=self.resolve(revision)))
        except ToolError:
            return False

    @steady
    def _leads_to(self, wanted: pygit2.Oid) -> bool:
        repo = self._repo()
        head = head_of(repo).id
        return head == wanted or repo.descendant_of(head, wanted)

    @steady
    def read(self, path: str, revision: Revision | None = None) -> FileText:
        """A text file and the revision it was read at, by default the newest.

        Raises:
            ToolError: it does not exist (the nearest names are told), is binary, or too large.
        """
        path, commit = clean_path(path), self._at(revision)
        file = self._file(commit, path)
        if (size := size_of(self._repo(), file)) > self._limits.file_bytes:
            raise ToolError(f"{path} has {size} bytes, too many to read; a program can read it in parts.")
        text = text_of(file.data)
        if text is None:
            raise ToolError(f"{path} is a binary file of {size} bytes, not UTF-8 text; only a program can read it.")
        return FileText(path, text, str(commit.id))

    @steady
    def read_bytes(self, path: str, revision: Revision | None = None) -> bytes:
        """A file's content.

        Raises:
            ToolError: it does not exist; the nearest names are told.
        """
        return self._file(self._at(revision), clean_path(path)).data

    @steady
    def list(self, pattern: str = "**", revision: Revision | None = None) -> list[FileEntry]:
        """The files whose path matches a pattern such as `**/*.py` (see `glob`), in Git's order.

        Raises:
            ToolError: the pattern is empty or too long.
        """
        matches = glob(pattern)
        return [entry for entry in self._files(self._at(revision)) if matches(entry.path)]

    @steady
    def blobs(self, revision: Revision) -> dict[str, str]:
        """The id of each file's content by path, of the files that `list` lists; equal contents have equal ids."""
        commit = self._at(revision)
        listed = {entry.path for entry in self._files(commit)}
        return {path: str(file.id) for path, file in files_of(commit.tree) if path in listed}

    @steady
    def blob(self, id: str) -> bytes:
        """A content by the id that `blobs` gave."""
        return self._repo()[pygit2.Oid(hex=id)].read_raw()

    @steady
    def search(self, query: str, limit: int = 50, revision: Revision | None = None) -> list[Hit]:
        """The first lines that contain a text, whatever its case; binary and too large files are passed over.

        Raises:
            ToolError: the query is empty or has more than one line.
        """
        if not query or "\n" in query:
            raise ToolError("search for a text within one line; it cannot be empty or contain a line end.")
        wanted, repo = query.casefold(), self._repo()
        hits: list[Hit] = []
        for path, file in files_of(self._at(revision).tree):
            if size_of(repo, file) > self._limits.file_bytes:
                continue
            text = text_of(file.data) or ""
            if wanted not in text.casefold():
                continue
            for number, line in enumerate(text.split("\n"), 1):
                at = line.casefold().find(wanted)
                if at < 0:
                    continue
                if len(hits) >= limit:
                    return hits
                hits.append(Hit(path, number, line[max(0, at - SHOWN // 3) :][:SHOWN]))
        return hits

    @steady
    def log(self, path: str | None = None, limit: int = 50) -> list[LogEntry]:
        """The newest commits first; with a path, only those that changed it."""
        return history.log(self._repo(), None if path is None else clean_path(path), limit)

    @steady
    def blame(self, path: str, revision: Revision | None = None) -> list[BlameLine]:
        """Who last wrote each line.

        Raises:
            ToolError: there is no such text file.
        """
        return history.blame(self._repo(), clean_path(path), self._at(revision))

    @steady
    def diff(self, old: Revision, new: Revision) -> str:
        """The change from one revision to another as a patch for `git apply`; to be saved with its line ends kept."""
        return history.diff(self._at(old), self._at(new))

    @steady
    def adopted(self, stamp: Stamp) -> dict[str, Committed]:
        """What commits on the branch that carry exactly this run, agent, step and call did, by path.

        A resumed step takes them over instead of writing again.
        """
        return self._stamped.adopted(self._repo(), stamp)

    @steady
    def done_in(self, revision: Revision) -> dict[str, Committed]:
        """What one commit did, by path."""
        return history.done_in(commit_at(self._repo(), revision))

    def checkout(self, folder: Path, revision: Revision | None = None) -> Revision:
        """Write all files, as they are stored, into a folder; links are never made or followed.

        Args:
            folder: absent, or empty.

        Raises:
            RunError: the folder is not empty, or is no folder.
        """
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise RunError(f"{folder} is not an empty folder; give one that does not exist yet")
        with self._writing:
            self._packing.close()  # a call that makes files cannot be made again
        commit = self._at(revision)
        folder.mkdir(parents=True, exist_ok=True)
        for path, file in files_of(commit.tree):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o777 if file.filemode == FileMode.BLOB_EXECUTABLE else 0o666
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(handle, "wb") as output:
                output.write(file.data)
        return str(commit.id)

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, path: str, content: bytes, base: Revision | None, stamp: Stamp) -> Committed | Conflict:
        """Commit one file.

        Args:
            base: the revision at which the writer last saw the file, None if it never did.

        Raises:
            ToolError: the path or the content cannot be accepted; the message says what to do.
            RunError: other processes kept the branch for longer than a write waits.
        """
        return only(self._one(Write({path: content}, base, stamp)))

    def remove(self, path: str, base: Revision | None, stamp: Stamp) -> Committed | Conflict:
        """Commit that a file is gone; arguments and errors as for `write`."""
        return only(self._one(Write({path: None}, base, stamp)))

    def write_many(
        self, changes: Mapping[str, bytes | None], base: Revision, stamp: Stamp
    ) -> tuple[list[tuple[str, Committed]], list[Conflict]]:
        """Commit everything that merges, in one commit; None removes a file. Other arguments as for `write`.

        Raises:
            ToolError: some of them cannot be accepted; all such are named, and nothing is committed.
        """
        done = self._one(Write(changes, base, stamp))
        return list(done.committed), list(done.conflicts)

    def _one(self, write: Write) -> Done:
        [outcome] = self.commit([write])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def commit(self, writes: Sequence[Write]) -> list[Done | Exception]:
        """Commit writes of several agents, each a commit of its own, in their order; published and synced together.

        Returns:
            What became of each; one that cannot be accepted (`ToolError`) does not keep the others back.

        Raises:
            RunError: other processes kept the branch for longer than a write waits; nothing is committed.
        """
        deadline, pause = time.monotonic() + PATIENCE, 0.001
        with self._writing:
            while True:
                try:
                    return self._advance(writes)
                except BranchMovedError as error:
                    if time.monotonic() > deadline:
                        raise RunError(f"{self.path} is kept busy by another process: {error}") from error
                    time.sleep(pause)
                    pause = min(2 * pause, 0.1)

    @steady
    def _advance(self, writes: Sequence[Write]) -> list[Done | Exception]:
        """Commit on top of the branch and move it.

        Raises:
            BranchMovedError: the branch is somewhere else by now.
        """
        for write in writes:
            if write.base is not None:
                with suppress(ToolError):  # found with a handle that sees it, or answered as unknown
                    self.resolve(write.base)
        repo = self._repo()
        head = head_of(repo)
        pack = Pack(self.path / "objects")
        batch = Batch(repo, head, self._folders, pack)
        outcomes = [_outcome(batch, write, self._limits) for write in writes]
        if batch.head != str(head.id):
            pack.finish(self._durable)
            move_branch(repo, head.id, pygit2.Oid(hex=batch.head), self._durable)
            self._packing.grown(1, batch.loose)
        return outcomes

    # -- within -------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Look at the store with a new handle from now on, in this thread."""
        self._own.repo = None

    def _repo(self) -> pygit2.Repository:
        """This thread's own handle."""
        repo: pygit2.Repository | None = getattr(self._own, "repo", None)
        if repo is None:
            repo = self._own.repo = open_repository(self.path)
            with self._handing:
                self._handles.add(repo)
        return repo

    def _at(self, revision: Revision | None) -> pygit2.Commit:
        repo = self._repo()
        return head_of(repo) if revision is None else commit_at(repo, revision)

    def _files(self, commit: pygit2.Commit) -> Iterator[FileEntry]:
        return self._listing.files(self._repo(), commit.tree_id)

    def _file(self, commit: pygit2.Commit, path: str) -> pygit2.Blob:
        file = file_at(commit.tree, path)
        if file is None:
            near = ", ".join(_nearest(path, self._files(commit)))
            advice = f"Nearest: {near}." if near else "list_files shows what there is."
            raise ToolError(f"there is no file {path} at revision {str(commit.id)[:12]}. {advice}")
        return file


def _nearest(path: str, files: Iterable[FileEntry], count: int = 3) -> list[str]:
    """Files that the path may have meant: of the same name elsewhere, then of similar spelling."""
    name = folded(path.rpartition("/")[2])
    paths = [entry.path for entry in files]
    same = [there for there in paths if folded(there.rpartition("/")[2]) == name]
    return list(dict.fromkeys([*same, *get_close_matches(path, paths[:NEAREST], count)]))[:count]


def _outcome(batch: Batch, write: Write, limits: WorkspaceLimits) -> Done | Exception:
    try:
        return batch.take(write, limits)
    except (ToolError, ValueError) as error:
        return error


def only(done: Done) -> Committed | Conflict:
    """What became of a write of a single file."""
    return done.conflicts[0] if done.conflicts else done.committed[0][1]
