"""Commits of which the journal knows nothing any more: its newest facts were lost, in a power cut or by hand.

They are on the branch and stay there. Those of a step whose answer is in the journal are taken over by that step when
it is carried on. The others were made by steps that the journal has lost: they become facts before the run goes on, so
that every write is in the journal again, and the boss is told.
"""

from __future__ import annotations

from itertools import islice, takewhile

import pygit2

from megaagent import events as ev
from megaagent.events import BOSS, ENGINE, PERSON, AgentId, Fact, Message, Revision, Struct
from megaagent.journal import JournalReader
from megaagent.organization.state import State
from megaagent.workspace import Committed, Workspace, stamps
from megaagent.workspace.store import open_repository

MOST = 10_000  # commits looked at; a journal that has lost more than that is one to repair
NAMED = 20  # files that the boss is told of by name


class Found(Struct, frozen=True):
    """A commit that no fact speaks of.

    Attributes:
        agent, step: that made it; the person and 0 when its message does not tell.
    """

    revision: Revision
    agent: AgentId
    step: int
    files: dict[str, Committed]


def unknown_commits(workspace: Workspace, reader: JournalReader, state: State) -> list[Found]:
    """The commits that lost steps have made, oldest first."""
    if state.run.head in (None, workspace.head()):
        return []
    found: list[Found] = []
    repository = open_repository(workspace.path)
    try:
        walk = islice(repository.walk(repository.head.target), MOST)
        for commit in takewhile(lambda commit: str(commit.id) != state.run.head, walk):
            agent, step = maker(commit)
            if not is_of_open_step(commit, state) and not _known(reader, agent, str(commit.id)):
                found.append(Found(str(commit.id), agent, step, workspace.done_in(str(commit.id))))
    finally:
        repository.free()
    return found[::-1]


def adopting(found: list[Found], epoch: int) -> list[Fact]:
    """The facts by which lost steps' commits are in the journal again, and the boss's notice of them."""
    if not found:
        return []
    facts = [
        Fact(
            commit.agent, commit.step, ev.FileCommitted(path, done.revision, done.digest, done.size, merged=done.merged)
        )
        for commit in found
        for path, done in commit.files.items()
    ]
    paths = sorted({path for commit in found for path in commit.files})
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    text = (
        "The newest part of this run's record was lost, and with it what was said and done at the end. Files that were "
        f"written then are still there: {', '.join(paths[:NAMED])}{more}. Look at them before you have work done again."
    )
    # The engine counts the mail that it hands on from 1, so 0 is free.
    notice = Message(f"{BOSS}#0.{epoch}.0", ENGINE, (BOSS,), text, "notice")
    return [*facts, Fact(BOSS, 0, ev.MessageSent(notice))]


def contents(workspace: Workspace, found: list[Found]) -> list[bytes]:
    """What those commits wrote, for the journal to keep as it keeps every write."""
    return [
        workspace.read_bytes(path, done.revision)
        for commit in found
        for path, done in commit.files.items()
        if done.digest is not None
    ]


def is_of_open_step(commit: pygit2.Commit, state: State) -> bool:
    """Whether the commit was made by a step whose answer is there and whose results are not."""
    carried = stamps.trailers(commit.message)
    agent, step = maker(commit)
    member = state.members.get(agent)
    run = carried.get(stamps.RUN) == [state.run.run]
    return run and member is not None and member.pending and member.step == step


def maker(commit: pygit2.Commit) -> tuple[AgentId, int]:
    """Agent and step of a commit."""
    carried = stamps.trailers(commit.message)
    [agent], [step] = carried.get(stamps.AGENT, [PERSON]), carried.get(stamps.STEP, ["0"])
    return agent, int(step) if step.isdigit() else 0


def _known(reader: JournalReader, agent: AgentId, revision: Revision) -> bool:
    """Whether a fact speaks of the commit: facts may be recorded in another order than the commits were made."""
    facts = reader.records(agent=agent, kinds=[ev.FileCommitted], bodies=False)
    return any(isinstance(fact.event, ev.FileCommitted) and fact.event.revision == revision for fact in facts)
