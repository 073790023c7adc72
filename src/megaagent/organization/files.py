"""The shared workspace as one agent works with it (the `Files` part of its desk)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from megaagent import events as ev
from megaagent.errors import ToolError
from megaagent.organization.limits import Limits
from megaagent.organization.work import Work
from megaagent.workspace import Committed, Conflict, Queue, Stamp, Workspace, clean_path

T = TypeVar("T")
Blocking = Callable[..., Awaitable[Any]]  # runs a function that blocks: in a thread, or inline in virtual time

SHORT = 12  # hex digits of a revision that a model is shown
LISTED = 500


class FilesPart:
    """`megaagent.tools.desk.Files` for one step; `writes` commits for all agents together."""

    def __init__(self, work: Work, limits: Limits, workspace: Workspace, writes: Queue, run: str, blocking: Blocking):
        self._work = work
        self._limits = limits
        self._workspace = workspace
        self._writes = writes
        self._run = run
        self._blocking = blocking

    async def read(self, path: str) -> str:
        file = await self._blocking(self._workspace.read, path)
        return f"{file.path} at revision {file.revision[:SHORT]}:\n{cut(file.text, self._limits.shown)}"

    async def list(self, pattern: str) -> str:
        entries = await self._blocking(self._workspace.list, pattern)
        if not entries:
            return f"no file matches {pattern!r}."
        lines = [f"{entry.path}  {entry.size} bytes" for entry in entries[:LISTED]]
        more = f"\n... and {len(entries) - LISTED} more; use a narrower pattern" if len(entries) > LISTED else ""
        return cut("\n".join(lines) + more, self._limits.shown)

    async def search(self, query: str) -> str:
        if not query.strip():
            raise ToolError("the query is empty.")
        hits = await self._blocking(self._workspace.search, query)
        if not hits:
            return f"no line contains {query!r}."
        return cut("\n".join(f"{hit.path}:{hit.line}: {hit.text[:300]}" for hit in hits), self._limits.shown)

    async def write(self, path: str, content: str, base: str | None) -> str:
        path, data = clean_path(path), self._encode(content)
        adopted = await self._adopted(path)
        if adopted is not None:
            return await self._taken_over(path, adopted)
        base = await self._revision(base) if base else self._work.me.seen.get(path)
        return await self._commit(path, data, base)

    async def edit(self, path: str, old: str, new: str) -> str:
        path = clean_path(path)
        adopted = await self._adopted(path)
        if adopted is not None:
            return await self._taken_over(path, adopted)
        file = await self._blocking(self._workspace.read, path)
        count = file.text.count(old) if old else 0
        if count != 1:
            found = "does not occur" if count == 0 else f"occurs {count} times"
            raise ToolError(
                f"the passage {found} in {file.path} at revision {file.revision[:SHORT]}. "
                "Read the file and give a passage that occurs exactly once."
            )
        return await self._commit(file.path, self._encode(file.text.replace(old, new)), file.revision)

    async def _commit(self, path: str, data: bytes, base: str | None) -> str:
        work = self._work
        before = work.draft.run.head
        result = await self._writes.write(path, data, base, self._stamp())
        if isinstance(result, Conflict):
            work.record(ev.ConflictMet(result.path, result.base, result.theirs_revision))
            raise ToolError(conflict_text(result, self._limits.shown))
        if result.merged:
            data = await self._blocking(self._workspace.read_bytes, path, result.revision)
        if result.revision == before and result.digest is not None and path in work.me.files:
            return f"{path} already has this content, at revision {result.revision[:SHORT]}."
        return self._recorded(path, result, base, data)

    def _recorded(self, path: str, result: Committed, base: str | None, data: bytes | None) -> str:
        settles = path in self._work.me.disputed
        self._work.record(committed(path, result, base, settles), blob=data)
        merged = (
            " It was merged with what others had changed meanwhile; read it again before you go on." * result.merged
        )
        return f"Wrote {path} ({result.size} bytes), revision {result.revision[:SHORT]}.{merged}"

    async def _taken_over(self, path: str, result: Committed) -> str:
        """Record a commit that was made before a crash, as it is in the workspace."""
        data = await self._blocking(self._workspace.read_bytes, path, result.revision) if result.digest else None
        return self._recorded(path, result, self._work.me.seen.get(path), data)

    async def _adopted(self, path: str) -> Committed | None:
        """The commit that this very call made before a crash, if it did: it is taken over, never made twice."""
        if not self._work.carried_on:
            return None
        adopted = await self._blocking(self._workspace.adopted, self._stamp())
        found = adopted.get(path)
        # One that is a fact already is of a step with this number that the journal has lost.
        return found if found is None or found.revision != self._work.me.seen.get(path) else None

    async def _revision(self, base: str) -> str:
        return await self._blocking(self._workspace.resolve, base)

    def _encode(self, content: str) -> bytes:
        try:
            data = content.encode()
        except UnicodeEncodeError as error:
            raise ToolError(f"the content has characters that no file can hold (lone surrogates): {error}") from error
        if len(data) > self._limits.file_bytes:
            raise ToolError(f"{len(data)} bytes are too many for one file, {self._limits.file_bytes} are allowed.")
        return data

    def _stamp(self) -> Stamp:
        work = self._work
        return Stamp(work.agent, self._run, work.step, work.call, work.now)


def committed(path: str, result: Committed, base: str | None, settles: bool = False) -> ev.FileCommitted:
    """The fact of a commit."""
    return ev.FileCommitted(path, result.revision, result.digest, result.size, base, result.merged, settles)


def conflict_text(conflict: Conflict, shown: int) -> str:
    """What an agent needs to settle a conflict: both texts, and the revision to write against."""
    theirs = conflict.theirs_revision[:SHORT]
    texts = {
        f"the file at {theirs}": conflict.theirs,
        "yours": conflict.mine,
        "both, with conflict markers": conflict.marked,
    }
    return (
        f"{conflict.path} was changed by others since your base, in the same place; nothing was written. "
        f"Write it again, keeping what both meant, with base {theirs}."
        + "".join(f"\n--- {title} ---\n{cut(text, shown)}" for title, text in texts.items())
    )


def cut(text: str, limit: int) -> str:
    """The text, or its beginning and end with a note between when it is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters are not shown ...]\n{text[-half:]}"
