"""A new run from any point of another one, with another model, other prompts, or a word from a person."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec

from megaagent import __version__
from megaagent import events as ev
from megaagent.agent.prompts import Prompts
from megaagent.choice import check_price, is_simulated, open_models
from megaagent.clock import Clock, WallClock
from megaagent.equipment import equipped, rooted
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import BOSS, ENGINE, PERSON, Fact, Message, Revision, storable
from megaagent.folder import RunFolder, new_folder
from megaagent.journal import open_journal, open_reader
from megaagent.journal.homes import FOLDER, home_of, settle
from megaagent.journal.lock import HeldError
from megaagent.journal.prefix import copy_files, take_until, told_of
from megaagent.launch import enter, nothing_left_behind
from megaagent.models.contract import Model
from megaagent.past import check_against, held_in, new_caps, read_past
from megaagent.placement import placing
from megaagent.running import Run
from megaagent.settings import Settings, changed
from megaagent.tools import Tool
from megaagent.wish import find_scenario
from megaagent.workspace import Stamp, Workspace
from megaagent.workspace.store import commit_at, head_of, move_branch, open_repository

FIRST = 4  # facts with which every run begins; before them there is no organization


@asynccontextmanager
async def fork(
    folder: RunFolder,
    *,
    at: int,
    changes: Mapping[str, Any] | None = None,
    say: str | None = None,
    tools: Sequence[Tool | Callable[..., Any]] = (),
    runs: Path | None = None,
    models: Mapping[str, Model] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Run]:
    """Begin a run with the past of another one up to a fact; the other is only read, and may be going on.

    Facts that were recorded in one transaction with that fact come along, so that no step is torn. What was spent up to
    there counts towards the caps; what was in flight there stays with the parent.

    Args:
        folder: the parent.
        at: position of the last fact that the two have in common.
        changes: settings to change, by dotted name.
        say: a person's mail to the boss, which it reads first.
        runs: where the new run is kept; beside its parent unless told otherwise.

    Raises:
        RunError: the parent cannot be read, or has no such fact to go on from; nothing was made.
        ConfigurationError: a change cannot work; nothing was made.
    """
    environ = os.environ if environ is None else environ
    clock = clock or WallClock()
    home = home_of(folder.journal)
    changes = ({"journal": home.address} if home else {}) | dict(changes or {})  # beside its parent
    if at < FIRST:
        raise RunError(f"nothing can go on from fact {at}: a run begins with {FIRST} facts; give a later one")
    if say is not None and not say.strip():
        raise ConfigurationError("what is to be said to the boss is empty")
    new = new_folder(runs or folder.path.parent, title_of(folder), clock.now())
    async with AsyncExitStack() as stack:
        with nothing_left_behind(new):
            settle(new.path, changes.get("journal") or FOLDER, new.id)
            parent = _take_journal(folder, new, at)
            past = read_past(new)
            settings = rooted(changed(past.settings, changes, "fork"))
            check_against(past.state, settings, changes)
            opened = open_models(settings, environ, models or {})
            check_price(settings)
            _check_prompts(settings)
            outfit = await stack.enter_async_context(equipped(settings, tools, environ, opened.secrets, held_in(new)))
            chosen = find_scenario(past.began.scenario) if past.began.scenario else None
            stamp = Stamp(BOSS, new.id, 0, 0, clock.now())
            workspace = take_workspace(folder.workspace, new.workspace, commits_in(new), stamp)
            stack.callback(workspace.close)
            placed = await placing(stack, new.id, settings, opened, workspace, clock, environ)
            journal = open_journal(new.journal, clock, durability=settings.durability)
            journal.hide(outfit.secrets.hide_in)
            stack.push_async_callback(journal.close)
            told = msgspec.json.encode(settings).decode()
            name = settings.model.name or ""
            forked = ev.RunForked(new.id, parent, past.state.position, name, is_simulated(settings), told, __version__)
            await journal.append(
                [Fact(ENGINE, 0, forked), *new_caps(changes), *outfit.pins, *_said(say, journal.epoch)]
            )
        yield await enter(
            stack, new, new.id, journal, workspace, settings, opened, placed, outfit, chosen, clock, past.state
        )


def take_workspace(source: Path, target: Path, known: Sequence[Revision], stamp: Stamp) -> Workspace:
    """Clone a run's shared files, with the branch at the newest of the known commits.

    Facts of commits may be recorded in another order than the commits were made, so the last one named need not be the
    newest.

    Raises:
        RunError: none of them is in the history.
        ConfigurationError: the source cannot be read.
    """
    workspace = Workspace.create(target, source, stamp=stamp)
    repository = open_repository(target)
    try:
        head, wanted = head_of(repository), set(known)
        newest = next((commit for commit in repository.walk(head.id) if str(commit.id) in wanted), None)
        if newest is None:
            raise RunError(f"the workspace {source} has none of the commits that the journal speaks of")
        if newest.id != head.id:
            move_branch(repository, head.id, commit_at(repository, str(newest.id)).id, durable=True)
    finally:
        repository.free()
    return workspace


def commits_in(folder: RunFolder) -> list[Revision]:
    """Every commit that a run's journal speaks of, the one that it began with among them."""
    with closing(open_reader(folder.journal)) as reader:
        events = [record.event for record in reader.records(kinds=[ev.RunStarted, ev.FileCommitted], bodies=False)]
    return [revision for event in events if (revision := getattr(event, "revision", None))]


def _take_journal(folder: RunFolder, new: RunFolder, at: int) -> str:
    """Copy the facts that the two runs have in common; returns the parent's id."""
    with tempfile.TemporaryDirectory(dir=new.path) as scratch:
        try:
            source = copy_files(folder.journal, Path(scratch))
        except HeldError:
            source = folder.journal  # a running engine has its log open already: reading leaves no trace
        with told_of(folder.journal, source):
            last = take_until(source, new.journal, at)
    if isinstance(last.event, ev.RunEnded):
        raise RunError(f"fact {at} of {folder.id} is its end: fork from an earlier one, or resume the run")
    return folder.id


def title_of(folder: RunFolder) -> str:
    """The words in the parent's name, without its time and its last letters."""
    words = folder.id.split("-")
    return " ".join(words[2:-1]) or folder.id


def _check_prompts(settings: Settings) -> None:
    if settings.prompts is None:
        return
    if not Path(settings.prompts).is_dir():
        raise ConfigurationError(f"{settings.prompts} is not a folder of prompts: give one with files such as rules.md")
    Prompts(Path(settings.prompts))


def _said(words: str | None, epoch: int) -> list[Fact]:
    if words is None:
        return []
    # The engine counts the mail that it hands on from 1, so 0 is free.
    mail = Message(f"{BOSS}#0.{epoch}.0", PERSON, (BOSS,), storable(words), "person")
    return [Fact(ENGINE, 0, ev.HumanSpoke("fork", storable(words))), Fact(BOSS, 0, ev.MessageSent(mail))]
