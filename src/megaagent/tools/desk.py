"""What tools may ask of the organization on behalf of the agent that called them.

Small protocols, one per concern; the organization implements them for one step of one agent. Every method answers in
words for the model or raises `ToolError`.
"""

from __future__ import annotations

from typing import Protocol

from megaagent.events import ChecklistItem, Verdict


class People(Protocol):
    """The others: recruiting, assigning, reviewing, talking."""

    __desk__ = True

    def recruit(self, name: str, description: str, prompt: str, tools: list[str] | None) -> str: ...

    def assign(self, name: str, task: str) -> str: ...

    def review(self, names: list[str], verdict: Verdict, remarks: str) -> str: ...

    def talk(self, to: list[str], message: str) -> str: ...

    async def ask_user(self, question: str) -> str: ...


class Files(Protocol):
    """The shared workspace."""

    __desk__ = True

    async def read(self, path: str) -> str: ...

    async def list(self, pattern: str) -> str: ...

    async def search(self, query: str) -> str: ...

    async def write(self, path: str, content: str, base: str | None) -> str: ...

    async def edit(self, path: str, old: str, new: str) -> str: ...


class Programs(Protocol):
    """The sandbox."""

    __desk__ = True

    async def run(self, command: list[str], stdin: str | None) -> str: ...

    async def send(self, text: str) -> str: ...

    async def stop(self) -> str: ...

    async def keep(self, paths: list[str]) -> str: ...


class Own(Protocol):
    """The agent's own checklist and memory."""

    __desk__ = True

    def change_checklist(self, items: list[ChecklistItem]) -> str: ...

    async def recall(self, query: str) -> str: ...


class Turn(Protocol):
    """The end of a turn."""

    __desk__ = True

    def wait(self, names: list[str], reason: str, minutes: float | None) -> str: ...

    def terminate(self, report: str) -> str: ...
