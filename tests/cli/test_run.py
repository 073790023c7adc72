"""megaagent run and resume, as a person meets them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.theatre import EVIL, PATIENCE, PROGRAM, Ended, Opening, Silent, environment, piped, plain

from megaagent.cli.drive import drive
from megaagent.cli.exits import CONFIGURATION, ENDINGS, INTERRUPTED, READER_GONE
from megaagent.cli.views import Look
from megaagent.folder import RunFolder, find_run
from megaagent.models.script import Part, Playing, Script, ask_user
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel

GOAL = "Make a program that greets."


def harmless(text: str) -> bool:
    """Whether nothing in a text commands a terminal or reorders it."""
    return all(c.isprintable() or c == "\n" for c in text)


def test_plain_lines_tell_what_happened_and_where_the_result_is(performance: tuple[Path, Ended]):
    folder, ended = performance
    assert ended.code == ENDINGS["completed"], ended.err
    assert harmless(ended.out)
    lines = ended.out.splitlines()
    facts = [line for line in lines if line.startswith(("    0s", "    1s"))]
    assert all(len(line) <= 80 for line in facts)
    told = "\n".join(facts)
    for said in (
        "recruited helper: writes notes",
        "boss: wrote main.py (15 bytes)",
        "helper: → boss: notes are coming",
    ):
        assert said in told
    assert "accepted the work of helper: well done" in told
    assert "the run ended, completed" in told
    assert "[bold]markup[/bold]" in ended.out  # shown as it stands, neither obeyed nor lost
    [run] = (folder / "megaagent-runs").glob("2*")
    assert f"deliverable   megaagent-runs/{run.name}/deliverable" in lines
    assert f"run it        python3 megaagent-runs/{run.name}/deliverable/main.py" in lines
    assert any(line.startswith("figures       2 agents, ") for line in lines)
    assert f"look further  megaagent show {run.name}" in lines
    assert "simulat" not in ended.out
    assert (run / "deliverable" / "main.py").read_text() == "print('hello')\n"


@pytest.mark.parametrize("columns", [60, 100, 200])
async def test_the_live_view_fits(terminal: Opening, tmp_path: Path, served: tuple[str, ...], columns: int):
    shown = await terminal(tmp_path, "run", GOAL, *served, columns=columns, rows=20)
    assert await shown.end() == ENDINGS["completed"], shown.text
    frames = shown.frames()
    assert frames
    for frame in frames:
        assert len(frame) <= 20
        assert all(len(line) <= columns for line in frame)
    assert shown.text.count("\x1b[?1049h") == shown.text.count("\x1b[?1049l") == 1
    assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l"), "the cursor is back"
    assert "completed: the verifier confirmed" in shown.after()
    assert harmless(shown.after())


async def test_a_dumb_terminal(terminal: Opening, tmp_path: Path, served: tuple[str, ...]):
    dumb = await terminal(tmp_path, "run", GOAL, *served, environ={"TERM": "dumb"})
    assert await dumb.end() == 0
    assert "\x1b" not in dumb.text
    assert "recruited helper" in dumb.text
    grey = await terminal(tmp_path, "run", GOAL, *served, environ={"NO_COLOR": "1"})
    assert await grey.end() == 0
    assert grey.frames()
    styles = re.findall(r"\x1b\[([0-9;]*)m", grey.text)
    assert not [code for style in styles for code in style.split(";") if code and 30 <= int(code) <= 107]


async def test_a_terminal_without_unicode_is_drawn_in_ascii(terminal: Opening, tmp_path: Path, served: tuple[str, ...]):
    shown = await terminal(tmp_path, "run", GOAL, *served, environ={"PYTHONIOENCODING": "ascii"})
    assert await shown.end() == 0
    assert shown.text.isascii()
    piped_out = await piped(tmp_path, "run", GOAL, *served, environ={"PYTHONIOENCODING": "ascii"})
    assert piped_out.out.isascii()
    assert "helper: -> boss: notes" in piped_out.out


async def test_json_is_one_fact_per_line_and_the_result_last(tmp_path: Path, served: tuple[str, ...]):
    ended = await piped(tmp_path, "run", "-", "--json", *served, given=GOAL)
    *facts, last = [json.loads(line) for line in ended.out.splitlines()]
    assert [fact["position"] for fact in facts] == list(range(1, len(facts) + 1))
    assert facts[0]["event"]["kind"] == "RunStarted"
    assert facts[0]["event"]["goal"] == GOAL
    assert facts[-1]["event"]["kind"] == "RunEnded"
    assert last["result"]["status"] == "completed"
    assert last["result"]["text"].endswith(EVIL)  # whole, as escapes
    assert harmless(ended.out)


async def test_quiet_prints_the_result_and_nothing_else(tmp_path: Path, served: tuple[str, ...]):
    (tmp_path / "goal.md").write_text(GOAL)
    ended = await piped(tmp_path, "run", "--goal-file", "goal.md", "--quiet", *served)
    assert ended.code == 0
    assert ended.out.splitlines()[1] == "completed: the verifier confirmed the deliverable"
    assert "recruited" not in ended.out


async def test_a_simulation_says_so_first_and_last(tmp_path: Path):
    ended = await piped(
        tmp_path, "run", "--scenario", "gobang", "--speed", "0", "--max-tokens", "60000", "--set", "limits.grace=0.0"
    )
    lines = ended.out.splitlines()
    assert lines[0] == "a simulation: no model is asked"
    assert lines[-1] == "a simulation: no model was asked, the figures are made up"
    assert any("simulated cost $" in line for line in lines)
    assert ended.code == ENDINGS["exhausted"]
    assert any(line.startswith("go on with    megaagent resume ") for line in lines)


def names(server: SimServer) -> tuple[str, ...]:
    return ("--model", "openai:small", "--base-url", server.url, "--price", "1:2")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_one_interrupt_ends_in_good_order(terminal: Opening, tmp_path: Path, how: signal.Signals):
    silent = Silent()
    async with SimServer({"small": silent}) as server:
        shown = await terminal(tmp_path, "run", GOAL, *names(server), "--set", "limits.grace=0.0")
        await shown.until(lambda text: "1 call in flight" in text)
        shown.process.send_signal(how)
        assert await shown.end() == ENDINGS["stopped"], shown.text
        after = shown.after()
        assert "stopped: interrupted" in after
        [run] = (tmp_path / "megaagent-runs").glob("2*")
        assert f"go on with    megaagent resume {run.name}" in after.splitlines()
        assert (await piped(tmp_path, "replay")).code == 0
        silent.may_speak.set()
        again = await piped(tmp_path, "resume", "--max-cost", "7")
    assert again.code == ENDINGS["completed"], again.out + again.err
    assert "engine: the run goes on" in again.out
    assert "engine: run " not in again.out, "what was told before is not told again"
    assert "new caps: $7.00" in again.out
    proof = await piped(tmp_path, "replay")
    assert proof.code == 0, proof.out


async def test_two_interrupts_leave_at_once_and_give_the_terminal_back(terminal: Opening, tmp_path: Path):
    async with SimServer({"small": Silent()}) as server:
        shown = await terminal(tmp_path, "run", GOAL, *names(server), "--set", "limits.grace=30.0")
        await shown.until(lambda text: "1 call in flight" in text)
        shown.process.send_signal(signal.SIGINT)
        await shown.until(lambda text: "press Ctrl-C again" in text)
        shown.process.send_signal(signal.SIGINT)
        assert await shown.end() == INTERRUPTED
    assert "left at once; the journal is intact, go on with: megaagent resume 2" in shown.after()
    assert shown.text.rindex("\x1b[?25h") > shown.text.rindex("\x1b[?25l")
    proof = await piped(tmp_path, "replay")
    assert proof.code == 0, proof.out
    listed = await piped(tmp_path, "ps")
    assert "cut off" in listed.out
    drawn = await piped(tmp_path, "tree")
    assert drawn.out.splitlines()[-1].startswith("cut off: 1 agent")


async def test_a_reader_that_goes_away_does_not_hurt_the_run(tmp_path: Path, served: tuple[str, ...]):
    read_end, write_end = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        "run",
        GOAL,
        "--plain",
        *served,
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=write_end,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(write_end)
    os.close(read_end)
    _, err = await process.communicate()
    assert (process.returncode, err) == (READER_GONE, b"")  # the run is completed, and nobody has read it
    [run] = json.loads((await piped(tmp_path, "ps", "--json")).out)["runs"]
    assert run["status"] == "completed"


async def test_a_terminal_that_takes_nothing_does_not_keep_the_program(terminal: Opening, tmp_path: Path):
    async with SimServer({"small": Silent()}) as server:
        options = (*names(server), "--set", "limits.grace=60.0")
        shown = await terminal(tmp_path, "run", GOAL, *options, columns=300, rows=250)
        await shown.until(lambda text: "1 call in flight" in text)
        shown.stall()  # the next picture is larger than what the terminal's buffer takes: its writer waits
        shown.process.send_signal(signal.SIGINT)
        assert "running" in (await piped(tmp_path, "ps")).out, "the engine answers all the same"
        shown.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert await shown.process.wait() == INTERRUPTED
        await shown.end()


def test_a_fault_of_ours_is_loud_and_names_the_way_on(finished: Path, monkeypatch: pytest.MonkeyPatch):
    class Faulty:
        """A run whose engine has a bug."""

        def __init__(self, folder: RunFolder):
            self.folder, self.simulated, self.notes = folder, False, ()

        def watch(self, watcher: object) -> None:
            pass

        def watch_disk(self, watcher: object) -> None:
            pass

        async def result(self) -> object:
            raise ZeroDivisionError("a bug")

    @asynccontextmanager
    async def faulty() -> AsyncIterator[Any]:
        yield Faulty(find_run(finished / "megaagent-runs", None))

    monkeypatch.chdir(finished)
    with pytest.raises(ZeroDivisionError) as raised:
        drive(faulty(), Look(quiet=True))
    [run] = (finished / "megaagent-runs").glob("2*")
    assert raised.value.__notes__ == [f"The journal is intact; go on with: megaagent resume {run.name}"]


def test_plain_takes_out_our_own_codes_only():
    assert plain("\x1b[1;31mred\x1b[0m [bold]") == "red [bold]"


async def test_a_quiet_run_says_what_it_waits_for_when_somebody_is_there(tmp_path: Path):
    def asks(me: Part) -> Playing:
        yield ask_user("Which licence?")
        return me.last.text

    async with SimServer({"asks": SimulatedModel(Script({"boss": asks}), latency=AT_ONCE)}) as server:
        model = ("--model", "openai:asks", "--base-url", server.url, "--price", "1:2", "--quiet")
        alone = await piped(tmp_path, "run", GOAL, *model)
        assert alone.code == 0 and "Which licence?" not in alone.err
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "run", GOAL, *model, "--attended"),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            asked = (await process.stderr.readline() + await process.stderr.readline()).decode()
            assert "Which licence?" in asked and "megaagent answer" in asked
            assert "asks you a question: megaagent show" in (await piped(tmp_path, "ps")).out
            assert (await piped(tmp_path, "answer", "MIT")).code == 0
            assert "asks you" not in (await piped(tmp_path, "ps")).out
            out, _ = await process.communicate()
    assert process.returncode == 0 and b"MIT" in out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--model", "opnai:m"), "--model 'opnai:m': unknown provider"),
        (("--model", "vllm:m", "--fallback", "opnai:m"), "--fallback 'opnai:m': unknown provider"),
        (
            ("--model", "vllm:m", "--set", "model.tiers.judge='opnai:m'"),
            "model.tiers.judge 'opnai:m': unknown provider",
        ),
    ],
)
async def test_a_wrong_model_is_blamed_where_it_is_named(tmp_path: Path, options: tuple[str, ...], named: str):
    ended = await piped(tmp_path, "run", GOAL, *options, "--price", "1:2")
    assert ended.code == 2 and named in ended.err, ended.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_for_which_there_is_no_room_is_told_in_one_line(finished: Path):
    with Path("/dev/full").open("wb") as full:
        command = [*PROGRAM, "ps", "--json"]
        ended = subprocess.run(
            command, cwd=finished, env=environment(finished), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == CONFIGURATION
    assert ended.stderr.decode() == (
        "megaagent: error: what this command prints cannot be written: No space left on device; "
        "make room, or write elsewhere\n"
    )
