"""What a journal says before a run goes on from it, and what cannot be asked of a run with that past."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import msgspec

from megaagent import events as ev
from megaagent.errors import ConfigurationError, RunError
from megaagent.events import ENGINE, Fact, Struct
from megaagent.folder import RunFolder
from megaagent.journal import JournalReader, open_reader
from megaagent.organization.snapshots import no_collection, restored
from megaagent.organization.state import State
from megaagent.settings import Settings

CAPS = ("budget.tokens", "budget.cost", "budget.seconds", "budget.steps", "budget.disk")


class Past(Struct, frozen=True):
    """What a journal holds.

    Attributes:
        settings: that were last in force, but for caps that a person raised.
    """

    began: ev.RunStarted
    settings: Settings
    state: State


def read_past(folder: RunFolder) -> Past:
    """Fold a run's journal, from its newest snapshot on if there is one that fits; nothing is changed.

    Raises:
        RunError: it cannot be read as the journal of a run.
    """
    with closing(open_reader(folder.journal)) as reader:
        began, settings = _beginnings(folder, reader)
        state = restored(reader) or State()
        try:
            with no_collection():
                for record in reader.records(state.position):
                    try:
                        state.apply(record)
                    except (LookupError, AssertionError, ValueError) as error:
                        kind = type(record.event).__name__
                        raise RunError(
                            f"{folder.journal}: fact {record.position} ({kind}) does not follow from those before it "
                            f"({error!r}): the journal is damaged; see megaagent check-journal, then megaagent repair"
                        ) from error
            return Past(began, msgspec.json.decode(settings, type=Settings), state)
        except msgspec.MsgspecError as error:
            raise RunError(f"{folder.journal}: the run's settings cannot be read: {error}") from error


def _beginnings(folder: RunFolder, reader: JournalReader) -> tuple[ev.RunStarted, str]:
    """The first fact, and the settings that are in force."""
    first = reader.record(1)
    if first is None or not isinstance(first.event, ev.RunStarted):
        raise RunError(f"{folder.journal} does not begin as a run: it is damaged, or of something else")
    settings = first.event.settings
    for record in reader.records(agent=ENGINE, kinds=[ev.RunForked]):
        assert isinstance(record.event, ev.RunForked)
        settings = record.event.settings
    return first.event, settings


class Held(Struct, frozen=True):
    """What a run has settled about its servers of tools.

    Attributes:
        pins: what each is held to.
        asked: ids of the questions about changes of their tools.
    """

    pins: dict[str, ev.ToolsPinned]
    asked: tuple[str, ...]


def held_in(folder: RunFolder) -> Held:
    """What a run has settled about its servers of tools."""
    with closing(open_reader(folder.journal)) as reader:
        kinds = [ev.ToolsPinned, ev.ApprovalAsked]
        events = [record.event for record in reader.records(agent=ENGINE, kinds=kinds)]
    pins = {event.server: event for event in events if isinstance(event, ev.ToolsPinned)}
    return Held(pins, tuple(event.id for event in events if isinstance(event, ev.ApprovalAsked)))


def check_against(state: State, settings: Settings, changes: Mapping[str, Any]) -> None:
    """Refuse settings that what has happened contradicts.

    Args:
        settings: with the changes in them.
        changes: what is asked for, by dotted name.

    Raises:
        ConfigurationError: it names the setting, and what it must be at least.
    """
    run = state.run
    used = run.usage.prompt + run.usage.completion
    depth = max((member.id.count("/") + 1 for member in state.members.values()), default=1)
    at_least = {
        "budget.cost": (settings.budget.cost, run.cost, f"${run.cost:.4f} is spent already; give more"),
        "budget.tokens": (settings.budget.tokens, used, f"{used:,} tokens are used already; give more"),
        "budget.seconds": (
            settings.budget.seconds,
            run.active_seconds,
            f"the run was at work for {run.active_seconds:.0f} s already; give more",
        ),
        "budget.steps": (settings.budget.steps, run.steps, f"{run.steps:,} steps are taken already; give more"),
        "budget.disk": (settings.budget.disk, state.bytes, f"{state.bytes:,} bytes are used already; give more"),
    }
    for name, (asked, spent, why) in at_least.items():
        if changes.get(name) is not None and asked is not None and asked <= spent:
            raise ConfigurationError(f"{name} cannot be {asked:g}: {why}")
    if settings.limits.agents < run.agents:
        raise ConfigurationError(
            f"limits.agents cannot be {settings.limits.agents}: the run has recruited {run.agents} already"
        )
    if settings.limits.depth < depth:
        raise ConfigurationError(f"limits.depth cannot be {settings.limits.depth}: the run is {depth} levels deep")


def new_caps(changes: Mapping[str, Any]) -> list[Fact]:
    """The fact that new caps hold, when there are any."""
    caps = {name.removeprefix("budget."): value for name, value in changes.items() if name in CAPS}
    caps = {name: value for name, value in caps.items() if value is not None}
    return [Fact(ENGINE, 0, ev.BudgetRaised(**caps))] if caps else []
