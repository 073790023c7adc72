"""The check at the root: executed checks first, then a judge that sees goal, files and results, and not the talk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from megaagent import events as ev
from megaagent.agent.conversation import escape
from megaagent.agent.prompt import prompt_of
from megaagent.agent.prompts import Prompts
from megaagent.errors import SandboxError
from megaagent.events import BOSS, VERIFIER, Fact, Struct, name_of
from megaagent.models.contract import ChatMessage, ToolSpec
from megaagent.organization.asking import Question
from megaagent.organization.contexts import Reader
from megaagent.organization.decide import settled
from megaagent.organization.files import Blocking, cut
from megaagent.organization.limits import Limits
from megaagent.organization.state import State
from megaagent.organization.voices import Voices
from megaagent.organization.work import Append
from megaagent.sandboxes.contract import Process, Program
from megaagent.workspace import FileEntry, Workspace

SHOWN = 60_000  # characters of files that the judge is shown
LARGEST = 10_000_000  # bytes of one that is looked into
ATTEMPTS = 3  # at a valid verdict
UNVERIFIED = "handed in, and taken as it is: the settings ask for no verifier"
CONFIRMED = "the verifier confirmed the deliverable"


class Check(Struct, frozen=True):
    """One thing that was tried on a deliverable, with what was seen."""

    name: str
    passed: bool
    detail: str = ""


Start: TypeAlias = Callable[[Program], Awaitable[Process]]
"""Runs a program on a fresh private copy of the deliverable, in the sandbox that the run is configured for."""

Acceptance: TypeAlias = Callable[[Start], Awaitable[Sequence[Check]]]


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """What the judge says; the arguments of its one tool."""

    confirmed: bool
    gaps: list[str] = msgspec.field(default_factory=list[str])
    remarks: str = ""


VERDICT = ToolSpec(
    "verdict",
    "Say whether the deliverable reaches the goal.",
    {
        "type": "object",
        "properties": {
            "confirmed": {"type": "boolean", "description": "true only if nothing that the goal asks for is missing"},
            "gaps": {
                "type": "array",
                "items": {"type": "string"},
                "description": "what is missing or wrong, each checkable",
            },
            "remarks": {"type": "string", "description": "anything else that the boss should know"},
        },
        "required": ["confirmed"],
        "additionalProperties": False,
    },
)


class Verification:
    """Verifies what the boss has handed in, one round at a time.

    Args:
        blocking: runs a function that blocks.
        read: opens the journal for reading, for nobody else: it is used where `blocking` runs.
        acceptance: the executed checks; None when the goal comes with none.
        start: runs a program on a fresh copy of the deliverable.
    """

    def __init__(
        self,
        state: State,
        voices: Voices,
        workspace: Workspace,
        prompts: Prompts,
        limits: Limits,
        append: Append,
        blocking: Blocking,
        read: Callable[[], Reader],
        acceptance: Acceptance | None,
        start: Callable[[Program, str], Awaitable[Process]],
    ):
        self._state = state
        self._voices = voices
        self._workspace = workspace
        self._prompts = prompts
        self._limits = limits
        self._append = append
        self._blocking = blocking
        self._read = read
        self._acceptance = acceptance
        self._start = start

    async def head(self) -> str:
        """The newest revision of the files."""
        return await self._blocking(self._workspace.head)

    async def round(self) -> ev.RunEnded | None:
        """One round: the run's end, or None when the boss got its work back.

        Raises:
            ModelError: the judge cannot be asked.
            Exhausted: the budget does not allow it.
        """
        run = self._state.run
        number = run.rounds if run.verifying else run.rounds + 1
        head = await self.head()
        accepted = [debt for debt in self._state.debts.values() if debt.debtor == BOSS and debt.status == "accepted"]
        if accepted and not self._state.debts_of(BOSS, "reported"):
            reason = CONFIRMED if self._limits.verifier else UNVERIFIED
            return ev.RunEnded("completed", reason, accepted[-1].report, head)  # an engine died between the two
        if not self._limits.verifier:
            [debt] = self._state.debts_of(BOSS, "reported")
            await self._record(number, ev.WorkReviewed(debt.id, "accept"))
            return ev.RunEnded("completed", UNVERIFIED, debt.report, head)
        if not run.verifying:
            await self._record(number, ev.VerificationOpened(number, head))
        checks = await self._run_checks(number, head)
        verdict = await self._judge(number, head, checks)
        failed = [f"the check {check.name!r} fails: {check.detail}" for check in checks if not check.passed]
        gaps = (*failed, *verdict.gaps)
        confirmed = verdict.confirmed and not gaps
        before, verified = self._state.run.gaps, self._state.run.verified
        if confirmed and not settled(self._state):
            overtaken = "not counted: the organization went on working while it was judged"
            await self._record(number, ev.VerdictGiven(number, False, (), overtaken))
            return None
        given = ev.VerdictGiven(number, confirmed, gaps, verdict.remarks)
        [debt] = self._state.debts_of(BOSS, "reported")
        if confirmed:
            await self._record(number, given, ev.WorkReviewed(debt.id, "accept"))
            return ev.RunEnded("completed", CONFIRMED, debt.report, head)
        if number >= self._limits.rounds or (gaps == before and head == verified):
            await self._record(number, given)
            return self._unverified(number, gaps, head, debt.report)
        await self._record(number, given, *_given_back(number, debt.id, gaps))
        return None

    def _unverified(self, number: int, gaps: tuple[str, ...], head: str, report: str) -> ev.RunEnded:
        why = f"after {number} rounds" if number >= self._limits.rounds else "the same gaps, and no file was changed"
        return ev.RunEnded("failed", f"unverified: {why}", report, head, gaps)

    async def _run_checks(self, number: int, head: str) -> Sequence[Check]:
        if self._acceptance is None:
            return ()

        async def start(program: Program) -> Process:
            return await self._start(program, head)

        try:
            checks = await self._acceptance(start)
        except SandboxError as error:
            checks = (Check("the checks could be run", False, str(error)),)
        await self._record(number, *(ev.CheckRun(check.name, check.passed, check.detail) for check in checks))
        return checks

    def _bought(self, number: int) -> list[ev.ModelAnswered]:
        """Answers to this round that are in the journal already."""
        records = self._read().records(agent=VERIFIER, kinds=[ev.ModelAnswered])
        return [r.event for r in records if r.step == number and isinstance(r.event, ev.ModelAnswered)]

    async def _judge(self, number: int, head: str, checks: Sequence[Check]) -> Verdict:
        """Ask for a verdict; an answer bought before a crash is used again, an invalid one is asked for anew."""
        messages = await self._messages(head, checks)
        problem = ""
        bought = await self._blocking(self._bought, number)
        for attempt in range(ATTEMPTS):
            if attempt < len(bought):
                answer = bought[attempt]
            else:
                question = self._question(number, messages, problem, attempt + 1)
                answer = await self._voices.ask("judge", lambda question=question: question)
            assert isinstance(answer, ev.ModelAnswered)
            verdict, problem = read_verdict(answer)
            if verdict is not None:
                return verdict
        return Verdict(False, [f"the verifier gave no valid verdict in {ATTEMPTS} attempts: {problem}"])

    def _question(self, number: int, messages: tuple[ChatMessage, ...], problem: str, attempt: int) -> Question:
        tail = f"Your last answer was no valid verdict: {problem}. Call `verdict` once." if problem else ""
        return Question(
            VERIFIER,
            number,
            "verify",
            prompt_of(messages),
            tail,
            (VERDICT,),
            priority=-1000,
            attempt=attempt,
            must_call=VERDICT.name,
        )

    async def _messages(self, head: str, checks: Sequence[Check]) -> tuple[ChatMessage, ...]:
        [debt] = self._state.debts_of(BOSS, "reported")
        results = "\n".join(f"{mark(check.passed)} {check.name}: {check.detail}".rstrip(": ") for check in checks)
        parts = [
            f"The goal:\n{self._state.run.goal}",
            f"Executed checks:\n{escape(results) or 'none came with the goal'}",
            f"The files:\n{escape(await self._blocking(self._files, head))}",
            f"The report handed in with them:\n{escape(debt.report)}",
        ]
        role = self._prompts.fill("verifier", name=name_of(VERIFIER), path=VERIFIER)
        rules = self._prompts.text("verifier_rules")
        return (ChatMessage("system", rules), ChatMessage("system", role), ChatMessage("user", "\n\n".join(parts)))

    def _files(self, head: str) -> str:
        """All files by name and size, and the contents of as many as fit."""
        entries = self._workspace.list("**", head)
        listing = cut("\n".join(f"{entry.path}  {entry.size} bytes" for entry in entries[:1000]), SHOWN)
        left = SHOWN
        contents: list[str] = []
        for entry in sorted(entries, key=lambda entry: entry.size):
            if left <= 0:
                contents.append(f"... {len(entries) - len(contents)} larger files are not shown")
                break
            contents.append(f"=== {entry.path} ===\n{self._shown(entry, head, left)}")
            left -= len(contents[-1])
        return "\n".join([listing or "(no file)", *contents])

    def _shown(self, entry: FileEntry, head: str, left: int) -> str:
        if entry.size > LARGEST:
            return "(too large to be shown)"
        data = self._workspace.read_bytes(entry.path, head)
        return "(binary)" if b"\0" in data else cut(data.decode(errors="replace"), left)

    async def _record(self, number: int, *events: ev.AnyEvent) -> None:
        await self._append([Fact(VERIFIER, number, event) for event in events], ())


def read_verdict(answer: ev.ModelAnswered) -> tuple[Verdict | None, str]:
    """The verdict in an answer, or what is wrong with it."""
    calls = [call for call in answer.calls if call.name == VERDICT.name]
    if len(calls) != 1:
        return None, f"it has {len(calls)} calls of verdict"
    try:
        return msgspec.json.decode(calls[0].arguments, type=Verdict), ""
    except (msgspec.DecodeError, RecursionError) as error:
        return None, str(error)


def _given_back(number: int, debt: str, gaps: tuple[str, ...]) -> tuple[ev.AnyEvent, ev.AnyEvent]:
    listed = "\n".join(f"- {gap}" for gap in gaps) or "- (the verifier named none, but did not confirm)"
    text = f"The deliverable was not confirmed. Close these gaps and hand in again:\n{listed}"
    message = ev.Message(f"{VERIFIER}#{number}.0", VERIFIER, (BOSS,), text, "review")
    return ev.WorkReviewed(debt, "return", text), ev.MessageSent(message)


def mark(passed: bool) -> Literal["[passed]", "[failed]"]:
    """How a check is marked wherever text shows it."""
    return "[passed]" if passed else "[failed]"
