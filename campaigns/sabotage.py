"""Switches safeguards off, in the process that asks for it, to see whether the checker notices.

A checker that finds nothing in a run whose safeguard is off would find nothing in a broken engine either.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from campaigns.failpoints import put
from megaagent import launch
from megaagent.events import CallIntended
from megaagent.journal import ledger, lock, schema
from megaagent.organization.voices import Voices
from megaagent.organization.work import Work
from megaagent.workspace import Done, Queue, Workspace, Write, store, workspace
from megaagent.workspace.packs import Pack

WINDOW = 0.04  # seconds between reading the branch and moving it, so that writers do meet


def no_intent() -> None:
    """Calls are paid for without a row that says so before."""

    record = Voices._record  # pyright: ignore[reportPrivateUsage]

    async def record_others(this: Any, asking: Any, event: Any) -> bool:
        return isinstance(event, CallIntended) or await record(this, asking, event)

    put(Voices, "_record", record_others)


def no_transaction() -> None:
    """A step's last fact is recorded apart from the others."""
    whole = Work.commit

    async def commit(this: Any) -> None:
        facts = this._facts
        if len(facts) > 1:
            this._facts = facts[:-1]
            await whole(this)
            this._facts = [*this._facts, *facts[-1:]]
        await whole(this)

    put(Work, "commit", commit)


def no_lock() -> None:
    """A second engine is let in."""
    deaf = SimpleNamespace(flock=_nothing, LOCK_EX=0, LOCK_NB=0, LOCK_SH=0)
    put(lock, "fcntl", deaf)


def no_epoch() -> None:
    """An engine writes after whatever is there, whoever wrote it."""

    def catch_up(this: Any) -> None:
        newest = "SELECT position, chain FROM record ORDER BY position DESC LIMIT 1"
        this.position, this._chain = this._connection.execute(newest).fetchone() or (0, schema.START)

    commit = ledger.Ledger._commit  # pyright: ignore[reportPrivateUsage]

    def after_catching_up(this: Any, batch: Any) -> Any:
        catch_up(this)
        return commit(this, batch)

    put(ledger.Ledger, "_check_epoch", _nothing)
    put(ledger.Ledger, "_commit", after_catching_up)


def no_queue() -> None:
    """Writers of one engine are let through side by side, and are slow."""
    inner = Workspace.__init__
    finish = Pack.finish

    def init(this: Any, *args: Any, **named: Any) -> None:
        inner(this, *args, **named)
        this._writing = nullcontext()

    def slowly(this: Pack, durable: bool) -> None:
        time.sleep(WINDOW)
        finish(this, durable)

    async def directly(this: Any, write: Write) -> Done:
        [outcome] = await asyncio.to_thread(this._workspace.commit, [write])
        assert isinstance(outcome, Done), outcome
        return outcome

    put(Workspace, "__init__", init)
    put(Queue, "_put", directly)
    put(Pack, "finish", slowly)


def no_swap() -> None:
    """The branch is set without a look at where it is."""

    def move(repo: Any, old: object, new: object, durable: bool) -> None:
        beside = Path(repo.path, f"set-{secrets.token_hex(4)}")
        beside.write_text(f"{new}\n")
        beside.replace(Path(repo.path, store.BRANCH))  # whole: only the look at the old value is left out

    put(workspace, "move_branch", move)


def no_stable_ids() -> None:
    """A message gets another id whenever its step is carried on."""

    def new_id(this: Work) -> str:
        return f"{this.agent}#{this.step}.{secrets.token_hex(4)}"

    put(Work, "new_id", new_id)


def no_adoption() -> None:
    """What a shortened journal no longer knows of the shared files stays unknown."""

    def none(*_: object) -> list[object]:
        return []

    put(launch, "unknown_commits", none)


def _nothing(*_: object) -> None: ...


SAFEGUARDS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        "intent": no_intent,
        "transaction": no_transaction,
        "lock": no_lock,
        "epoch": no_epoch,
        "queue": no_queue,
        "swap": no_swap,
        "ids": no_stable_ids,
        "adoption": no_adoption,
    }
)
