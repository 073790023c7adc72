"""The language in which the parts of a simulated organization are written.

A part is a generator: what it yields is the agent's next answer, and between two yields it may look at what it has
seen.

    def searcher(me: Part):
        yield say(change_task_status(todo=["search"]), write_file("ai.py", AI))
        yield talk("rules", "Which move format do you use?")
        while not me.heard("rules"):
            yield wait(["rules"], "need the move format")
        yield exec_python_file("ai.py")
        return "ai.py plays; it beats a random player" if me.last.ok else f"stuck: {me.last.text}"

What a part returns is handed in with `terminate`. A part must depend on nothing but what `me` tells, because it is
played again from its beginning at every request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeAlias

from megaagent.events import Struct


class Act(Struct, frozen=True):
    """One tool call that a part makes; `arguments` is JSON text."""

    tool: str
    arguments: str


class Says(Struct, frozen=True):
    """One answer of a part: text and any number of calls."""

    acts: tuple[Act, ...] = ()
    text: str = ""


class Result(Struct, frozen=True):
    """What came back for one call; `ok` is False when it was refused or failed."""

    tool: str
    arguments: str
    text: str
    ok: bool


class Letter(Struct, frozen=True):
    """One message from another agent, the engine or a person."""

    id: str
    sender: str
    kind: str
    text: str


class Seen(Struct, frozen=True):
    """What followed one answer; it is also what `yield` returns."""

    results: tuple[Result, ...] = ()
    mail: tuple[Letter, ...] = ()
    notices: tuple[str, ...] = ()


_NOTHING = Result("", "{}", "", True)


class Part:
    """What an agent knows of itself and has seen so far.

    Attributes:
        name, path, level: who it is; `path` is its place in the tree.
        role_text: the whole message that tells the role.
        tools: names of the tools that are offered.
        results, mail, notices: everything seen, oldest first; a notice is what the engine said outside of mail.
        status: the checklist and budget as they stand now; no conversation keeps it, so no later answer may follow
            from it.
        summary: what is left of an earlier conversation, after which the part began anew.
    """

    def __init__(self, name: str, path: str, level: str, role_text: str, tools: frozenset[str]):
        self.name, self.path, self.level = name, path, level
        self.role_text = role_text
        self.tools = tools
        self.results: list[Result] = []
        self.mail: list[Letter] = []
        self.notices: list[str] = []
        self.status = ""
        self.summary = ""

    def see(self, seen: Seen) -> None:
        self.results += seen.results
        self.mail += seen.mail
        self.notices += seen.notices

    @property
    def last(self) -> Result:
        """The latest result; an empty good one before the first."""
        return self.results[-1] if self.results else _NOTHING

    @property
    def task(self) -> str:
        """The text of the first assignment, or of the first mail, or nothing."""
        return next((m.text for m in self.mail if m.kind == "assignment"), self.mail[0].text if self.mail else "")

    def result_of(self, tool: str) -> Result | None:
        """The latest result of that tool."""
        return next((result for result in reversed(self.results) if result.tool == tool), None)

    def heard(self, sender: str, kind: str | None = None) -> Letter | None:
        """The latest mail from that agent, of that kind if one is named."""
        return next((m for m in reversed(self.mail) if m.sender == sender and kind in (None, m.kind)), None)

    def reported(self, *names: str) -> bool:
        """Whether a report of each of these has come."""
        return {m.sender for m in self.mail if m.kind == "report"} >= set(names)


Playing: TypeAlias = Generator[Says | Act, Seen, str | None]
Play: TypeAlias = Callable[[Part], Playing]


def bystander(me: Part) -> Playing:
    """The part of an agent that the script does not name: it hands in at once."""
    if "terminate" in me.tools:
        return f"{me.name}: done. My task was: {' '.join(me.task.split())[:200] or 'not told'}"
    yield text(f"This is a simulated answer; no model was asked. I am {me.name}.")
    return None


def content(me: Part) -> Playing:
    """The part of a verifier that is content with every deliverable."""
    while True:
        yield verdict(True, remarks="the checks that were run have passed")


class Script:
    """A simulated organization: who plays what.

    Args:
        parts: by agent name.
        default: for everyone else.
        verifier: for the judge of the deliverable.
    """

    def __init__(self, parts: Mapping[str, Play], *, default: Play = bystander, verifier: Play = content):
        self.parts = dict(parts)
        self.default = default
        self.verifier = verifier

    def part_of(self, name: str) -> Play:
        return self.parts.get(name, self.default)


# -- answers ----------------------------------------------------------------------------------------------------------


def call(tool: str, **arguments: Any) -> Act:
    """A call of any tool; arguments that are None are left out."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return Act(tool, json.dumps(given, ensure_ascii=False))


def raw(tool: str, arguments: str) -> Act:
    """A call whose arguments are this text, valid JSON or not."""
    return Act(tool, arguments)


def say(*acts: Act, text: str = "") -> Says:
    """Several calls in one answer, with text if wanted."""
    return Says(acts, text)


def text(words: str) -> Says:
    """An answer without any call."""
    return Says((), words)


# -- the tools, with the arguments that they have (design §5) ----------------------------------------------------------


def add_agent(name: str, description: str, prompt: str) -> Act:
    return call("add_agent", name=name, description=description, prompt=prompt)


def assign(name: str, task: str) -> Act:
    return call("assign", name=name, task=task)


def review(names: Sequence[str], verdict: str = "accept", remarks: str = "") -> Act:
    return call("review", names=list(names), verdict=verdict, remarks=remarks)


def talk(to: str | Sequence[str], message: str) -> Act:
    return call("talk", to=to if isinstance(to, str) else list(to), message=message)


def read_file(path: str) -> Act:
    return call("read_file", path=path)


def list_files(pattern: str = "**") -> Act:
    return call("list_files", pattern=pattern)


def search_files(query: str) -> Act:
    return call("search_files", query=query)


def write_file(path: str, content: str, base: str | None = None) -> Act:
    return call("write_file", path=path, content=content, base=base)


def edit_file(path: str, old: str, new: str) -> Act:
    return call("edit_file", path=path, old=old, new=new)


def exec_python_file(path: str, args: Sequence[str] | None = None, stdin: str | None = None) -> Act:
    return call("exec_python_file", path=path, args=None if args is None else list(args), stdin=stdin)


def run_command(command: str, stdin: str | None = None) -> Act:
    return call("run_command", command=command, stdin=stdin)


def input(text: str) -> Act:
    return call("input", text=text)


def stop_program() -> Act:
    return call("stop_program")


def change_task_status(done: Sequence[str] = (), todo: Sequence[str] = ()) -> Act:
    return call("change_task_status", done=list(done), todo=list(todo))


def recall(query: str) -> Act:
    return call("recall", query=query)


def ask_user(question: str) -> Act:
    return call("ask_user", question=question)


def wait(names: Sequence[str], reason: str, minutes: float | None = None) -> Act:
    return call("wait", names=list(names), reason=reason, minutes=minutes)


def terminate(report: str) -> Act:
    return call("terminate", report=report)


def verdict(confirmed: bool, gaps: Sequence[str] = (), remarks: str = "") -> Act:
    return call("verdict", confirmed=confirmed, gaps=list(gaps), remarks=remarks)
