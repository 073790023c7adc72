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


@asynccontextmanager
async def living(runs: Path) -> AsyncGenerator[Run]:
    """A run that asks a question first, with its control socket."""
    model: Model = SimulatedModel(Script({"boss": boss}, default=writer), name="sim:test", latency=AT_ONCE)
    settings = changed(Settings(), {"attended": True, "budget.cost": 5.0}, "the test")
    async with start(
        "Three small files.", model="sim:test", models={"sim:test": model}, runs=runs, settings=settings
    ) as run:
        yield run
