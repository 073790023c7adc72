"""Named places at which an engine can be made to die, put around the program's functions from outside.

Only the process that calls `install` is changed, and only by wrapping: production code knows nothing of failpoints.
Each place is one at which something becomes durable or visible, or is about to.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

from megaagent import past, running
from megaagent.control import ControlServer
from megaagent.journal import ledger, lock, sqlite, writer
from megaagent.journal.codec import kind_of
from megaagent.organization.engine import Organization
from megaagent.organization.programs import Programs
from megaagent.organization.snapshots import Keeper
from megaagent.organization.step import Steps
from megaagent.organization.verification import Verification
from megaagent.organization.voices import Voices
from megaagent.runtimes.local import LocalHandle, LocalRuntime
from megaagent.tools import Tool
from megaagent.workspace import Workspace, packs, store, workspace
from megaagent.workspace.batch import Batch
from megaagent.workspace.packs import Pack

KINDS = (
    *("RunStarted", "RunResumed", "CallIntended", "ModelAnswered", "ToolReturned", "MessageSent", "FileCommitted"),
    *("AgentRecruited", "AssignmentOpened", "WorkReported", "WorkReviewed", "ReviewOpened", "TurnEnded"),
    *("AgentCorrected", "ChecklistChanged", "ProgramStarted", "ProgramEnded", "VerificationOpened", "VerdictGiven"),
    *("StateDigested", "AgentRetired", "RunEnded"),
)
STATEMENTS = {
    "BEGIN": "journal.begin",
    "UPDATE meta": "journal.epoch",
    "INSERT INTO blob": "journal.content",
    "INSERT INTO record": "journal.rows",
    "INSERT INTO recall": "journal.words",
    "INSERT OR REPLACE INTO snapshot": "journal.snapshot",
    "DELETE FROM snapshot": "journal.older_snapshot",
    "COMMIT": "journal.commit",
    "PRAGMA wal_checkpoint": "journal.checkpoint",
    "PRAGMA journal_mode = DELETE": "journal.fold",
}
TOOLS = (
    *("add_agent", "review", "talk", "read_file", "write_file", "edit_file", "deposit", "exec_python_file"),
    *("keep_files", "change_task_status", "wait", "terminate"),
)
AROUND = {  # a function or method, and the name of the places before and after it
    "workspace.create": (Workspace, "create"),
    "workspace.open": (Workspace, "open"),
    "workspace.sync_all": (workspace, "sync_all"),
    "git.write": (Workspace, "commit"),
    "git.settle": (Batch, "take"),
    "git.pack": (Pack, "finish"),
    "git.part": (packs, "_write"),
    "git.folder": (packs, "sync"),
    "git.branch": (workspace, "move_branch"),
    "git.rename": (Path, "replace"),
    "git.name": (Path, "rename"),
    "journal.open": (sqlite, "Ledger"),
    "journal.deliver": (writer.JournalWriter, "_deliver"),
    "journal.listeners": (writer.Listeners, "tell"),
    "journal.close": (ledger.Ledger, "close"),
    "lock.take": (writer, "WriterLock"),
    "lock.release": (lock.WriterLock, "release"),
    "voices.intend": (Voices, "intend"),
    "model.call": (LocalRuntime, "complete"),
    "step.think": (Steps, "_think"),
    "step.act": (Steps, "_act"),
    "program.start": (LocalRuntime, "start"),
    "program.harvest": (LocalHandle, "harvest"),
    "program.close": (LocalHandle, "close"),
    "verify.round": (Verification, "round"),
    "verify.judge": (Verification, "_judge"),
    "snapshot.encode": (Keeper, "_encoded"),
    "snapshot.keep": (writer.JournalWriter, "snapshot"),
    "snapshot.restore": (past, "restored"),
    "snapshot.close": (Keeper, "close"),
    "engine.take_in": (Organization, "take_in"),
    "engine.stop": (Organization, "_stop_everything"),
    "programs.close": (Programs, "close"),
    "run.close": (running.Run, "close"),
    "runtime.close": (LocalRuntime, "close"),
    "workspace.close": (Workspace, "close"),
    "engine.end": (Organization, "_end"),
    "deliverable": (running, "check_out"),
    "report": (running, "write_report"),
    "socket.open": (ControlServer, "start"),
    "socket.close": (ControlServer, "close"),
}
SINGLE = ("git.lock.made", "git.lock.synced", "model.billed", "effect.done")


def put(owner: Any, attribute: str, new: object) -> None:
    """Put something in the place of a part of the program, in this process; there must be such a part."""
    inspect.getattr_static(owner, attribute)
    setattr(owner, attribute, new)


def names() -> list[str]:
    """Every place, as `name.before` or `name.after`, or alone."""
    around = [*AROUND, *STATEMENTS.values(), *(f"recorded.{kind}" for kind in KINDS), *(f"tool.{t}" for t in TOOLS)]
    return [*(f"{name}.{side}" for name in around for side in ("before", "after")), *SINGLE]


class Failpoints:
    """Counts how often each place is passed, and does what is planned at one of them.

    Args:
        place, occurrence: where `act` is done; occurrences count from 1.
        act: never returns when it kills.
    """

    def __init__(self, place: str = "", occurrence: int = 0, act: Callable[[], None] = lambda: None):
        self.counts: Counter[str] = Counter()
        self._place = place
        self._occurrence = occurrence
        self._act = act
        self._counting = threading.Lock()

    def hit(self, place: str) -> None:
        """This place is being passed."""
        with self._counting:
            self.counts[place] += 1
            due = place == self._place and self.counts[place] == self._occurrence
        if due:
            self._act()

    def install(self) -> None:
        """Put the places into this process."""
        for name, (owner, attribute) in AROUND.items():
            self._wrap(owner, attribute, name)
        self._wrap_records()
        self._wrap_tools()
        open_to_write: Any = ledger.to_write

        def told_of(*args: Any, **named: Any) -> _Connection:
            return _Connection(open_to_write(*args, **named), self.hit)

        put(ledger, "to_write", told_of)
        put(store, "os", _System(self.hit))

    def _wrap(self, owner: Any, attribute: str, name: str) -> None:
        own: Any = inspect.getattr_static(owner, attribute)  # a class method as it is, not bound
        inner = getattr(own, "__func__", own)
        if isinstance(own, classmethod):
            put(owner, attribute, classmethod(self._around(inner, name)))
        else:
            put(owner, attribute, self._around(inner, name))

    def _around(self, inner: Any, name: str) -> Any:
        before, after = partial(self.hit, f"{name}.before"), partial(self.hit, f"{name}.after")
        if inspect.iscoroutinefunction(inner):

            @wraps(inner)
            async def around_async(*args: Any, **named: Any) -> Any:
                before()
                result = await inner(*args, **named)
                after()
                return result

            return around_async

        def around(*args: Any, **named: Any) -> Any:
            before()
            result = inner(*args, **named)
            after()
            return result

        return around

    def _wrap_records(self) -> None:
        commit = ledger.Ledger._commit  # pyright: ignore[reportPrivateUsage]

        def counted(this: ledger.Ledger, batch: Sequence[ledger.Draft]) -> Any:
            kinds = sorted({kind_of(type(fact.event)) for draft in batch for fact in draft.facts})
            self._hit_all(f"recorded.{kind}.before" for kind in kinds)
            result = commit(this, batch)
            self._hit_all(f"recorded.{kind}.after" for kind in kinds)
            return result

        put(ledger.Ledger, "_commit", counted)

    def _wrap_tools(self) -> None:
        answer = Tool.answer

        async def counted(this: Tool, *args: Any) -> str:
            self.hit(f"tool.{this.name}.before")
            result = await answer(this, *args)
            self.hit(f"tool.{this.name}.after")
            return result

        put(Tool, "answer", counted)

    def _hit_all(self, places: Iterable[str]) -> None:
        for place in places:
            self.hit(place)


class _Connection:
    """A connection to SQLite that tells of the statements that it is given."""

    def __init__(self, inner: Any, hit: Callable[[str], None]):
        self._inner = inner
        self._hit = hit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, statement: str, *values: Any) -> Any:
        return self._told(statement, partial(self._inner.execute, statement, *values))

    def executemany(self, statement: str, values: Any) -> Any:
        return self._told(statement, partial(self._inner.executemany, statement, values))

    def _told(self, statement: str, do: Callable[[], Any]) -> Any:
        place = next((place for begin, place in STATEMENTS.items() if statement.startswith(begin)), None)
        if place is None:
            return do()
        self._hit(f"{place}.before")
        result = do()
        self._hit(f"{place}.after")
        return result


class _System:
    """`os` as the branch's own protocol uses it: the lock file is made, written and synced."""

    def __init__(self, hit: Callable[[str], None]):
        self._hit = hit

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, *mode: int) -> int:
        handle = os.open(path, flags, *mode)
        if flags & os.O_EXCL:
            self._hit("git.lock.made")
        return handle

    def fsync(self, handle: int) -> None:
        os.fsync(handle)
        if Path(f"/proc/self/fd/{handle}").readlink().name == "main.lock":
            self._hit("git.lock.synced")
