"""A person's own changes of files: commits like an agent's, with which agents merge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from megaagent import events as ev
from megaagent.errors import RunError, ToolError
from megaagent.events import ENGINE, PERSON, Fact, Revision
from megaagent.organization.files import SHORT, committed
from megaagent.organization.limits import Limits
from megaagent.workspace import Committed, Conflict, Queue, Stamp, Workspace, clean_path

Append = Callable[[Sequence[Fact], Sequence[bytes]], Awaitable[bool]]


class FileConflict(RunError):
    """Others have changed the same place of the file since; nothing was written.

    Attributes:
        revision: against which a settled text is to be written.
        marked: both texts in one, with Git's conflict markers; empty when one is binary.
    """

    def __init__(self, conflict: Conflict):
        super().__init__(
            f"{conflict.path} was changed meanwhile, in the same place; nothing was written. Settle it against "
            f"revision {conflict.theirs_revision[:SHORT]}"
        )
        self.revision = conflict.theirs_revision
        self.marked = conflict.marked


class ByHand:
    """What a person does to the shared files of a run.

    Args:
        append: puts facts and the contents that they name into the journal.
        now: the run's time, in seconds since 1970.
        blocking: runs a function that blocks.
    """

    def __init__(
        self,
        workspace: Workspace,
        writes: Queue,
        run: str,
        limits: Limits,
        append: Append,
        now: Callable[[], float],
        blocking: Callable[..., Awaitable[Any]],
    ):
        self._workspace = workspace
        self._writes = writes
        self._run = run
        self._limits = limits
        self._append = append
        self._now = now
        self._blocking = blocking

    async def change(self, path: str, text: str | None, base: Revision | None) -> str:
        """Write a file, or remove it when there is no text, as it was last seen at `base` (None: it was not there).

        Raises:
            FileConflict: it was changed since, in the same place.
            RunError: the name, the text or the revision is none that can be.
        """
        try:
            path = clean_path(path)
            data = None if text is None else self._encode(text)
            base = await self._blocking(self._workspace.resolve, base) if base else None
            if await self._is_so(path, data):
                raise RunError(f"{path} has this content already" if data is not None else f"there is no file {path}")
            result = await self._put(path, data, base)
            if isinstance(result, Conflict):
                raise FileConflict(result)
            if result.merged:
                data = await self._blocking(self._workspace.read_bytes, path, result.revision)
        except ToolError as error:
            raise RunError(str(error)) from error
        spoke = Fact(ENGINE, 0, ev.HumanSpoke("remove" if data is None else "write", path))
        await self._append([spoke, Fact(PERSON, 0, committed(path, result, base))], [] if data is None else [data])
        merged = ", merged with what others had changed meanwhile" if result.merged else ""
        how = f"removed {path}" if data is None else f"wrote {path} ({result.size:,} bytes)"
        return f"{how}, revision {result.revision[:SHORT]}{merged}"

    async def _put(self, path: str, data: bytes | None, base: Revision | None) -> Committed | Conflict:
        stamp = Stamp(PERSON, self._run, 0, 0, self._now())
        if data is not None:
            return await self._writes.write(path, data, base, stamp)
        if base is None:
            base = str(await self._blocking(self._workspace.head))
        committed_ones, conflicts = await self._writes.write_many({path: None}, base, stamp)
        return conflicts[0] if conflicts else committed_ones[0][1]

    async def _is_so(self, path: str, data: bytes | None) -> bool:
        try:
            there: bytes | None = await self._blocking(self._workspace.read_bytes, path)
        except ToolError:
            there = None
        return there == data

    def _encode(self, text: str) -> bytes:
        data = text.encode()
        if len(data) > self._limits.file_bytes:
            raise RunError(f"{len(data):,} bytes are too many for one file, {self._limits.file_bytes:,} are allowed")
        return data
