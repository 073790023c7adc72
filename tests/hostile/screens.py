"""A run full of texts that a terminal would obey, looked at with every command; the judge looks at the bytes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from tests.cli.theatre import open_terminal, piped, put_down
from tests.hostile.canaries import KEY, OTHER, Echo, leaks, leaks_in
from tests.hostile.judging import OBEYED
from tests.hostile.outputs import BIDI, ESCAPES, MARKUP, PROMPT

from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    call,
    change_task_status,
    exec_python_file,
    review,
    say,
    talk,
    terminate,
    text,
    wait,
    write_file,
)
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel

MARK = "MARKED"
EVIL = f"\x1b[35m{MARK} {ESCAPES} {BIDI} {MARKUP} \r\x08\x0b"
PRINTS = f"import sys\nsys.stdout.write({EVIL!r})\nopen('out.txt', 'w').write({EVIL!r})\nsys.exit(3)\n"

# What our own views write: colours, the cursor, the alternate screen. Nothing else begins with an escape.
OURS = re.compile(r"\x1b\[[0-9;?]*[ABCDGHJKhlm]")
STYLED = re.compile(r"\x1b\[[0-9;]*35[0-9;]*m" + MARK)  # the agent's own code, obeyed


def boss(me: Part) -> Playing:
    yield say(
        write_file("main.py", "print('hello')\n"),
        add_agent("villain", f"does harm {EVIL}", PROMPT.format("villain") + EVIL),
        text=f"I begin. {EVIL}",
    )
    while not me.reported("villain"):
        yield wait(["villain"], f"need it {EVIL}")
    yield say(call(f"no tool {EVIL}", x=EVIL), call("talk", to=f"nobody {EVIL}", message=EVIL))
    yield review(["villain"], "return", f"once more {EVIL}")
    while len([letter for letter in me.mail if letter.kind == "report"]) < 2:
        yield wait(["villain"], f"need it again {EVIL}")
    yield review(["villain"], "accept", f"good {EVIL}")
    return f"The program is main.py.\n{EVIL}"


def villain(me: Part) -> Playing:
    yield text(f"Only words. {EVIL}")
    yield say(
        write_file("evil.py", PRINTS),
        write_file("notes.txt", f"one\n{EVIL}\n"),
        write_file(f"name {EVIL}", "x"),
        change_task_status(done=[f"did {EVIL}"], todo=[]),
        talk("boss", f"mail {EVIL}"),
        call("ask_user", question=f"why {EVIL}"),
    )
    yield exec_python_file("evil.py", stdin="")
    yield call("keep_files", paths=[f"out {EVIL}"])
    yield call("recall", query=EVIL)
    yield terminate(f"first {EVIL}")
    return f"second {EVIL}"


def evil() -> SimulatedModel:
    return SimulatedModel(Script({"boss": boss, "villain": villain}), name=f"sim {EVIL}", latency=AT_ONCE)


COMMANDS = (
    ("ps",),
    ("tree",),
    ("show",),
    ("show", "--json"),
    ("show", "--agent", "villain"),
    ("logs", "boss"),
    ("logs", "villain"),
    ("logs", "verifier"),
    ("report", "--format", "md"),
    ("report", "--format", "json"),
    ("report", "--format", "svg"),
    ("report", "--output", "-"),
    ("top", "--once"),
    ("why", "villain"),
    ("files",),
    ("files", "--json"),
    ("blame", "notes.txt"),
    ("cost", "--by", "tool"),
    ("export", "--events"),
    ("replay",),
    ("patch",),
    ("show", "--kind", EVIL.replace("\0", "")),
    ("logs", EVIL.replace("\0", "")),
)


def obeyed_in(written: str, *, terminal: bool) -> str:
    """The first thing in what was written that a terminal would obey and that is not ours; empty when there is none."""
    if styled := STYLED.search(written):
        return ascii(styled[0])
    rest = OURS.sub("", written).replace("\r\n", "\n").replace("\r", "") if terminal else written
    found = OBEYED.search(rest)
    return "" if found is None else ascii(rest[max(0, found.start() - 40) : found.end() + 20])


async def _run_live(folder: Path, model: tuple[str, ...]) -> list[str]:
    shown = await open_terminal(folder, "run", "Make a program that greets.", *model)
    try:
        code = await shown.end()
    finally:
        await put_down(shown.process)
    return [*_problems("run, live", shown.text, True), *([f"run, live: exit code {code}"] if code else [])]


def _problems(what: str, written: str, terminal: bool) -> list[str]:
    found = obeyed_in(written, terminal=terminal)
    problems = [f"{what} prints {found}"] if found else []
    return [*problems, *(f"{what}: {leak}" for leak in leaks(written.encode("utf-8", "surrogateescape")))]


async def _problems_of_views(folder: Path, full: bool) -> list[str]:
    problems: list[str] = []
    async with SimServer({"small": evil()}) as server:
        model = ("--model", "openai:small", "--base-url", server.url, "--price", "1:2")
        problems += await _run_live(folder, model)
        for look in ("--plain", "--json", "--quiet") if full else ("--plain",):
            ended = await piped(folder, "run", "Make a program that greets.", look, *model)
            problems += _problems(f"run {look}", ended.out + ended.err, False)
            if ended.code:
                problems.append(f"run {look}: exit code {ended.code}: {ended.err[-300:]!a}")
    for number, command in enumerate(COMMANDS):
        if full or number % 2:
            problems += await _in_a_pipe(folder, command)
        if full or number % 2 == 0:
            problems += await _in_a_terminal(folder, command)
    for report in folder.glob("megaagent-runs/*/report.md"):
        problems += _problems("report.md", report.read_text(), False)
    return problems


async def _in_a_pipe(folder: Path, command: tuple[str, ...]) -> list[str]:
    if command == ("patch",):
        return []  # for `git apply`, byte for byte
    ended = await piped(folder, *command)
    problems = _problems(f"{' '.join(command)[:30]!a} in a pipe", ended.out + ended.err, False)
    telling = command[0] in ("show", "logs", "report") and command != ("logs", "verifier")
    if telling and MARK not in ended.out + ended.err:
        problems.append(f"the judge: {command[0]} showed nothing of what was hostile")
    return problems


async def _in_a_terminal(folder: Path, command: tuple[str, ...]) -> list[str]:
    shown = await open_terminal(folder, *command)
    try:
        await shown.end()
    finally:
        await put_down(shown.process)
    return _problems(f"{' '.join(command)[:30]!a} in a terminal", shown.text, True)


async def _problems_of_refusal(folder: Path) -> list[str]:
    """A provider that refuses the key and repeats it in every encoding; the terminal and the run's folder."""
    problems: list[str] = []
    keys = {"OPENAI_API_KEY": KEY, "GITHUB_TOKEN": OTHER}
    async with SimServer({}) as server, Echo(server.url, unauthorized=True) as echo:
        model = ("--model", "openai:small", "--base-url", echo.url, "--price", "1:2")
        for look in ((), ("--json",)):
            ended = await piped(folder, "run", "Make a program.", *look, *model, environ=keys)
            problems += _problems(f"a refused run {look}", ended.out + ended.err, False)
        if not echo.errors:
            problems.append("the judge: nobody asked the provider")
    holding = ("--base-url", f"http://user:{KEY.replace('/', '')}@127.0.0.1:1/v1", "--model", "openai:small")
    ended = await piped(folder, "run", "Make a program.", *holding, environ=keys)
    if ended.code == 0 or "holds a password" not in ended.err:
        problems.append(f"a base URL with a password is not refused: {ended.err[-200:]!a}")
    for run in folder.glob("megaagent-runs/2*"):
        problems += leaks_in(run)
    return problems


def cases(folder: Path, full: bool) -> Iterator[tuple[str, list[str]]]:
    """Every command over a hostile run; a provider that repeats the key.

    Args:
        folder: an empty one.
    """
    (folder / "views").mkdir()
    (folder / "refused").mkdir()
    yield "every view", asyncio.run(_problems_of_views(folder / "views", full))
    yield "a refused key", asyncio.run(_problems_of_refusal(folder / "refused"))
