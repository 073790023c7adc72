"""A small organization that lives while a test steers it: the boss asks a person, and waits for the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from megaagent import start
from megaagent.models.contract import Model
from megaagent.models.script import Part, Playing, Script, add_agent, ask_user, review, say, wait, write_file
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.running import Run
from megaagent.settings import Settings, changed

ROLE = (
    "You are {name}. You write the file {name}.txt, alone, and tell boss about it. "
    "You are done when {name}.txt stands; then hand in with terminate."
)


def boss(me: Part) -> Playing:
    yield say(*(add_agent(name, f"writes {name}.txt", ROLE.format(name=name)) for name in ("ann", "ben")))
    answer = yield ask_user("Blue or green?")
    yield write_file("colour.txt", answer.results[-1].text + "\n")
    while not (me.reported("ann") and me.reported("ben")):
        yield wait([], "their parts")
    yield review(["ann", "ben"])
    return "colour.txt, ann.txt and ben.txt"


def writer(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", "one\ntwo\n")
    if me.heard("person"):
        yield write_file(f"{me.name}.txt", "one\ntwo\na person wrote\n")
    return f"{me.name}.txt"


def head(me: Part) -> Playing:
    """Asks a person, and ends when two of its three have handed in and the third is gone."""
    yield say(*(add_agent(name, f"writes {name}.txt", ROLE.format(name=name)) for name in ("ann", "ben", "cat")))
    answer = yield ask_user("**Blue** or green?")
    yield write_file("colour.txt", answer.results[-1].text + "\n")
    while not me.reported("ann", "ben"):
        yield wait([], "their parts")
    yield review(["ann", "ben"])
    return "colour.txt, ann.txt and ben.txt"


def patient(me: Part) -> Playing:
    """Writes its file, and once more when a person has written to it."""
    yield write_file(f"{me.name}.txt", "one\ntwo\n")
    while not me.heard("person", "person"):
        yield wait(["ben"], "its part comes first")
    yield write_file(f"{me.name}.txt", "one\ntwo\na person wrote\n")
    return f"{me.name}.txt"


ASKING = {"attended": True, "tools.approvals": [{"tools": ["write_file"], "agents": ["ben"]}]}


@asynccontextmanager
async def living(runs: Path, *, asking: bool = False) -> AsyncGenerator[Run]:
    """A run that asks a question first, with its control socket.

    Args:
        asking: one of its agents may write only when a person approves, and the others wait for it.
    """
    script = Script({"boss": head, "ann": patient, "cat": patient} if asking else {"boss": boss}, default=writer)
    model: Model = SimulatedModel(script, name="sim:test", latency=AT_ONCE)
    settings = changed(Settings(), {"attended": True, "budget.cost": 50.0 if asking else 5.0}, "the test")
    settings = changed(settings, ASKING, "the test") if asking else settings
    async with start(
        "Three small files.", model="sim:test", models={"sim:test": model}, runs=runs, settings=settings
    ) as run:
        yield run
