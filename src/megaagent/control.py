"""What a person can do to a run, one call each; served on a private socket in the run's folder.

One request per line of JSON, one answer per line. Only the owner of the run's folder can connect (mode 0600).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import BOSS, ENGINE, PERSON, Fact, Message, Ruling, Struct, lineage, name_of, storable
from megaagent.organization.approvals import Approvals
from megaagent.organization.by_hand import FileConflict
from megaagent.organization.cutting import SPENDING
from megaagent.organization.engine import Organization
from megaagent.organization.folds import SPENT_UP
from megaagent.organization.members import Member
from megaagent.organization.questions import Questions

LONGEST = 1 << 20  # bytes of a request
NAMED = 50  # agents that an error names


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of a run.

    Attributes:
        target: an agent's name (of its subtree), the id of a question or an approval, or a file.
        base: the revision at which the file was seen that is written or removed; empty when it was not there.
    """

    do: Literal[
        "pause", "unpause", "stop", "send", "answer", "approve", "refuse", "budget", "write", "remove", "status"
    ]
    target: str = ""
    text: str = ""
    cost: float | None = None
    tokens: int | None = None
    seconds: float | None = None
    steps: int | None = None
    disk: int | None = None
    base: str = ""


class Answer(Struct, frozen=True):
    """What came of it, in words.

    Attributes:
        revision, marked: of a file that others had changed in the same place: where to write what settles it, and both
            texts with Git's conflict markers.
    """

    ok: bool
    text: str
    revision: str = ""
    marked: str = ""


class Control:
    """The calls that library, command line and dashboard share.

    Every call that changes something is a fact (`HumanSpoke`) besides its effect.
    """

    def __init__(self, organization: Organization, questions: Questions, approvals: Approvals):
        self._organization = organization
        self._questions = questions
        self._approvals = approvals
        self._stopping = asyncio.Lock()

    async def pause(self, reason: str = "", agent: str = "") -> str:
        """No new step from now on, of the run or of an agent and all below it; calls in flight come home.

        Raises:
            RunError: it is paused already, or no agent of that name is there.
        """
        state, member = self._organization.state, self._below_boss(agent)
        if member is None:
            if state.run.paused is not None:
                raise RunError("the run is paused already")
            await self._record(ev.RunPaused(reason or "paused by a person", "person"), action="pause", text=reason)
            return "paused; go on with: megaagent unpause"
        name = name_of(member.id)
        if member.paused is not None:
            raise RunError(f"{name} is paused already: {member.paused}")
        paused = ev.AgentPaused(member.id, reason or "paused by a person")
        await self._record(paused, action="pause", text=_of(name, reason))
        return f"{name} and all below it are paused; go on with: megaagent unpause --agent {name}"

    async def unpause(self, agent: str = "") -> str:
        """Let the run, or an agent and all below it, go on.

        Raises:
            RunError: it is not paused, or no agent of that name is there.
        """
        state, member = self._organization.state, self._below_boss(agent)
        if member is None:
            if state.run.paused is None:
                raise RunError("the run is not paused")
            await self._record(ev.RunUnpaused(), action="unpause")
            return "goes on"
        name = name_of(member.id)
        above = [id for id in lineage(member.id)[1:] if state.members[id].paused is not None]
        if member.paused is None:
            told = f"; {name_of(above[0])}, above it, is" if above else ""
            raise RunError(f"{name} is not paused{told}")
        await self._record(ev.AgentUnpaused(member.id), action="unpause", text=name)
        still = f" when {name_of(above[0])}, above it, does" if above else ""
        return f"{name} and all below it go on{still}"

    async def stop(self, reason: str = "", agent: str = "") -> str:
        """End the run as `stopped`, so that it can be resumed; or stop an agent and all below it for good.

        Those who are stopped leave: their calls are called off, their programs killed, what they owed has failed and
        their superior is told. Returns when nothing of theirs runs any more.

        Raises:
            RunError: the run has ended, or nobody was ever called so.
        """
        member = self._below_boss(agent, gone=True)
        if member is None:
            if self._organization.state.run.ending is not None:
                raise RunError("the run has ended already")
            await self._record(action="stop", text=reason)
            self._organization.end("stopped", reason or "stopped by a person")
            return "stopping"
        self._check_going_on()
        name, why = name_of(member.id), "stopped by a person" + (f": {reason}" if reason else "")
        async with self._stopping:  # who comes second finds nothing left to stop
            gone = self._organization.state.members[member.id].retired
            spoke = [] if gone else [Fact(ENGINE, 0, ev.HumanSpoke("stop", _of(name, reason)))]
            stopped = await self._organization.stop_subtree(member.id, why, spoke)
        left = f"{stopped.running} left running"
        if gone:
            return f"{name} has left already ({gone}); {left}"
        below = f" and {stopped.agents - 1} below it" if stopped.agents > 1 else ""
        calls, programs = _count(stopped.calls, "call"), _count(stopped.programs, "program")
        return f"stopped {name}{below}: {calls} called off, {programs} killed, {left}"

    async def send(self, agent: str, text: str) -> str:
        """Write to an agent.

        Raises:
            RunError: nobody is called so, or the text is empty.
        """
        id = self._find(agent).id
        if not text.strip():
            raise RunError("the message is empty")
        message = Message(self._organization.new_id(id), PERSON, (id,), text, "person")
        await self._record(action="send", text=f"to {name_of(id)}", facts=[Fact(id, 0, ev.MessageSent(message))])
        return f"delivered to {name_of(id)}"

    async def answer(self, id: str, text: str) -> str:
        """Answer a question that an agent has asked; the only open one when no id is given."""
        if not text.strip():
            raise RunError("the answer is empty")
        open_ones = self._organization.state.run.questions
        id = id or (open_ones[0] if len(open_ones) == 1 else "")
        if not self._questions.answer(id, text):
            if not open_ones:
                raise RunError("no question is open")
            which = f"no question {id!r} is open" if id else "several questions are open: say which"
            raise RunError(f"{which}; open are: {', '.join(open_ones)}")
        await self._record(action="answer", text=text)
        return "answered"

    async def approve(self, id: str = "", remark: str = "") -> str:
        """Let a call be made that waits for it; `state.run.approvals` lists those that do.

        Args:
            id: of the approval, or the name of the agent that waits; the only open one when not given.
            remark: for the agent.

        Raises:
            RunError: no such approval is open, or several are.
        """
        return await self._rule(id, "approve", remark)

    async def refuse(self, id: str = "", remark: str = "") -> str:
        """Do not let a call be made that waits for approval; takes what `approve` takes."""
        return await self._rule(id, "refuse", remark)

    async def _rule(self, id: str, ruling: Ruling, remark: str) -> str:
        self._check_going_on()
        asked = self._approvals.find(id)
        await self._approvals.answer(asked.id, ruling, remark.strip())
        return f"{'approved' if ruling == 'approve' else 'refused'}: {asked.tool} of {name_of(asked.agent)}"

    async def write(self, path: str, text: str | None, base: str | None = None) -> str:
        """Change a file of the workspace as a commit by the person, with which agents merge; no text removes it.

        Args:
            base: the revision at which it was last seen; None when it was not there.

        Raises:
            FileConflict: it was changed since, in the same place; nothing was written.
            RunError: the run has ended, or no file can be called so.
        """
        self._check_going_on()
        return await self._organization.by_hand.change(path, text, base)

    async def raise_budget(
        self,
        cost: float | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        steps: int | None = None,
        disk: int | None = None,
        agent: str = "",
    ) -> str:
        """Set new caps of the run, or what an agent and all below it may spend.

        What an agent is given is set aside out of its superior's purse; what it has not used flows back when its debt
        is closed. One whose work was handed in since its purse was used up goes on.

        Args:
            cost: US dollars.
            disk: bytes of the run's folder.

        Raises:
            RunError: a cap is below what is used already, the superior has not that much, or nobody is called so.
        """
        new = {"cost": cost, "tokens": tokens, "seconds": seconds, "steps": steps, "disk": disk}
        if all(cap is None for cap in new.values()):
            raise RunError("no cap is given")
        for name, cap in new.items():
            if cap is not None and not 0 < cap < math.inf:
                raise RunError(f"a cap must be more than 0, and {name} is {cap}")
        member = self._below_boss(agent)
        if member is None:
            self._check_caps(new)
            raised = ev.BudgetRaised(tokens, cost, seconds, None, steps, disk)
            cut = [m.id for m in self._organization.state.live() if m.halted and (m.paused or "").startswith(SPENT_UP)]
            await self._record(raised, *map(ev.AgentUnpaused, cut), action="budget")
            return "the new budget holds"
        name = name_of(member.id)
        if (seconds, steps, disk) != (None, None, None):
            raise RunError("only the run has caps of time, steps and disk; an agent has money and tokens")
        if not member.owes:
            raise RunError(f"{name} owes nothing, so there is nothing to spend on")
        against = self._organization.ledger.against(member.id, tokens, cost)
        if against:
            raise RunError(against)
        cut = member.halted and (member.paused or "").startswith((SPENDING, SPENT_UP))
        goes_on = [ev.AgentUnpaused(member.id)] if cut else []
        raised = ev.BudgetRaised(tokens, cost, None, member.id)
        await self._record(raised, *goes_on, action="budget", text=name)
        return f"the new budget of {name} holds" + ("; it goes on" if goes_on else "")

    def _check_caps(self, new: Mapping[str, float | None]) -> None:
        state = self._organization.state
        run = state.run
        tokens = run.usage.prompt + run.usage.completion
        used = {
            "cost": (run.cost, f"${run.cost:.4f}"),
            "tokens": (tokens, f"{tokens:,} tokens"),
            "seconds": (run.active_seconds + run.last - run.resumed, "the time that it was at work"),
            "steps": (run.steps, f"{run.steps:,} steps"),
            "disk": (state.bytes, f"{state.bytes:,} bytes"),
        }
        for name, (spent, words) in used.items():
            cap = new[name]
            if cap is not None and cap <= spent:
                raise RunError(f"that is below what is spent already ({words})")

    def status(self) -> str:
        """One line on how the run stands."""
        run = self._organization.state.run
        waits = f", {_count(len(run.approvals), 'approval')} open" if run.approvals else ""
        return f"{run.paused or run.status}: {run.agents} agents, {run.steps} steps, ${run.cost:.4f}{waits}"

    async def do(self, request: Request) -> Answer:
        """Carry out a request that came from outside."""
        try:
            text = await self._dispatch(replace(request, target=storable(request.target), text=storable(request.text)))
        except FileConflict as error:
            return Answer(False, str(error), error.revision, error.marked)
        except RunError as error:
            return Answer(False, str(error))
        return Answer(True, text)

    async def _dispatch(self, request: Request) -> str:
        match request.do:
            case "pause":
                return await self.pause(request.text, request.target)
            case "unpause":
                return await self.unpause(request.target)
            case "stop":
                return await self.stop(request.text, request.target)
            case "send":
                return await self.send(request.target, request.text)
            case "answer":
                return await self.answer(request.target, request.text)
            case "approve":
                return await self.approve(request.target, request.text)
            case "refuse":
                return await self.refuse(request.target, request.text)
            case "budget":
                return await self.raise_budget(
                    request.cost, request.tokens, request.seconds, request.steps, request.disk, request.target
                )
            case "write" | "remove":
                text = request.text if request.do == "write" else None
                return await self.write(request.target, text, request.base or None)
            case "status":
                return self.status()

    async def _record(self, *events: ev.AnyEvent, action: str, text: str = "", facts: list[Fact] | None = None) -> None:
        self._check_going_on()
        spoke = Fact(ENGINE, 0, ev.HumanSpoke(action, text))
        await self._organization.append([spoke, *(Fact(ENGINE, 0, event) for event in events), *(facts or [])])

    def _check_going_on(self) -> None:
        if self._organization.state.run.ending is not None:
            raise RunError("the run has ended; megaagent resume goes on with it")

    def _below_boss(self, agent: str, *, gone: bool = False) -> Member | None:
        """The agent of that name; None when the whole run is meant, for which the boss stands too."""
        member = self._find(agent, gone=gone) if agent else None
        return None if member is None or member.id == BOSS else member

    def _find(self, agent: str, *, gone: bool = False) -> Member:
        """The agent of that name or path; one that has left only when `gone`."""
        state = self._organization.state
        member = state.members.get(state.names.get(agent, agent))
        if member is None or (member.retired is not None and not gone):
            there = sorted(name_of(member.id) for member in state.live())
            more = f" and {len(there) - NAMED} more" if len(there) > NAMED else ""
            raise RunError(f"no agent {agent!r} is there; there are {', '.join(there[:NAMED])}{more}")
        return member


def _of(name: str, reason: str) -> str:
    return f"{name}: {reason}" if reason else name


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class ControlServer:
    """Serves a `Control` on the socket of a run's folder, from `start` to `close`."""

    def __init__(self, control: Control, path: Path):
        self._control = control
        self._path = path
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        with reachable(self._path) as name:
            listening = socket.socket(socket.AF_UNIX)
            before = os.umask(0o177)
            try:
                listening.bind(name)
            finally:
                os.umask(before)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LONGEST)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._busy:
                task.cancel()
            await asyncio.gather(*self._busy, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            while line := await reader.readline():
                try:
                    request = msgspec.json.decode(line, type=Request)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    answer = Answer(False, f"not a request: {error}")
                else:
                    answer = await self._control.do(request)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the other side went away, or sent a line without end
        finally:
            self._busy.discard(task)
            writer.close()


async def ask(path: Path, request: Request) -> Answer:
    """Send one request to a running engine.

    Raises:
        RunError: no engine listens there.
    """
    try:
        with reachable(path) as name:
            reader, writer = await asyncio.open_unix_connection(name)
    except OSError as error:
        gone = isinstance(error, (FileNotFoundError, ConnectionRefusedError))
        why = "" if gone else f" ({error.strerror})"
        run = path.absolute().parent.name
        raise RunError(
            f"run {run} is not going on{why}; unless it is completed, go on with it: megaagent resume {run}"
        ) from error
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        line = await reader.readline()
    finally:
        writer.close()
    return msgspec.json.decode(line, type=Answer) if line else Answer(False, "the run ended before it answered")


@contextlib.contextmanager
def reachable(path: Path) -> Generator[str]:
    """A short name for a socket in a folder whose path may be longer than the 107 bytes that sockets allow."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}" if len(os.fsencode(path)) > 100 else str(path)
    finally:
        os.close(folder)
