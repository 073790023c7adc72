"""Whole runs on the real journal, workspace and sandbox: starting, resuming, streaming, starting from something."""

from __future__ import annotations

import gc
import hashlib
import subprocess
from pathlib import Path

import pytest

from megaagent import ConfigurationError, Result, RunError, Settings, replay, resume, run, start
from megaagent import events as ev
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.contract import Model
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    call,
    exec_python_file,
    list_files,
    read_file,
    review,
    run_command,
    say,
    wait,
    write_file,
)
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.organization.engine import Organization
from megaagent.settings import changed
from megaagent.testing import rehearse

ANN = (
    "You are ann. Write part.txt; you work alone and write nothing else. When part.txt is there you are done: hand in "
    "with a report."
)


def boss(me: Part) -> Playing:
    yield say(add_agent("ann", "writes part.txt", ANN), write_file("own.txt", "mine\n"))
    while not me.reported("ann"):
        yield wait([], "her part")
    yield review(["ann"])
    return "own.txt and part.txt"


def ann(me: Part) -> Playing:
    yield write_file("part.txt", "hers\n")
    return "part.txt"


def models(script: Script, latency: Latency = AT_ONCE) -> dict[str, Model]:
    return {"sim:test": SimulatedModel(script, name="sim:test", latency=latency)}


def quick(tmp_path: Path, script: Script | None = None, **options: object) -> Result:
    script = script or Script({"boss": boss, "ann": ann})
    goal = str(options.pop("goal", "Two small files."))
    return run(goal, model="sim:test", models=models(script), runs=tmp_path, **options)


def test_a_result_says_everything(tmp_path: Path):
    result = quick(tmp_path)
    assert (result.status, result.completed, result.simulated) == ("completed", True, True)
    assert result.text == "own.txt and part.txt"
    assert (result.path / "part.txt").read_text() == "hers\n"
    assert [agent.id for agent in result.tree.group] == ["boss/ann"]
    assert result.tree.group[0].files == ("part.txt",)
    assert result.usage.prompt > 0 and result.cost > 0
    assert (result.folder / "report.md").read_text().count("simulation: no model was asked") == 1


def test_a_finished_run_is_proved_by_replay_and_is_one_file(tmp_path: Path):
    result = quick(tmp_path)
    proof = replay(RunFolder(result.folder))
    assert proof.problems == ()
    assert proof.commits_checked == 2 and proof.digests_checked >= 1
    assert {path.name for path in result.folder.iterdir()} >= {
        "journal.db",
        "workspace.git",
        "deliverable",
        "report.md",
    }
    assert not list(result.folder.glob("journal.db-*"))


def test_a_second_run_never_overwrites_a_first(tmp_path: Path):
    first, second = quick(tmp_path), quick(tmp_path)
    assert first.folder != second.folder
    assert first.folder.exists() and second.folder.exists()


def test_the_git_history_tells_which_agent_wrote_what(tmp_path: Path):
    result = quick(tmp_path)
    log = git(result.folder / "workspace.git", "log", "--format=%an %(trailers:key=MegaAgent-Step,valueonly)", "main")
    assert {line.split()[0] for line in log.splitlines() if line.strip()} >= {"boss", "ann"}


def test_a_user_s_function_becomes_a_tool_in_one_line(tmp_path: Path):
    def shout(words: str) -> str:
        """Say it louder."""
        return words.upper()

    def part(me: Part) -> Playing:
        yield call("shout", words="hello")
        return me.last.text

    assert quick(tmp_path, Script({"boss": part}), tools=[shout]).text == "HELLO"


def test_programs_run_in_the_sandbox_and_what_they_write_can_be_kept(tmp_path: Path):
    def part(me: Part) -> Playing:
        yield write_file("make.py", "open('made.txt', 'w').write('made')\nprint(input() + '!')\n")
        yield exec_python_file("make.py", stdin="hi\n")
        assert me.last.ok and "hi!" in me.last.text and "made.txt" in me.last.text
        yield call("keep_files", paths=["made.txt"])
        yield write_file("test_it.py", "def test_it():\n    assert open('made.txt').read() == 'made'\n")
        yield run_command("python -m pytest -q", stdin="")
        assert "1 passed" in me.last.text
        return me.last.text

    result = quick(tmp_path, Script({"boss": part}))
    if "cannot be run here" in result.text:
        pytest.skip("no sandbox holds on this machine")
    assert result.completed
    assert (result.path / "made.txt").read_text() == "made"


def test_checks_are_commands_that_must_pass(tmp_path: Path):
    def part(me: Part) -> Playing:
        yield write_file("test_it.py", "def test_it():\n    assert False\n")
        yield call("terminate", report="done")
        assert me.heard("verifier", "review")
        yield write_file("test_it.py", "def test_it():\n    assert True\n", base=None)
        return "mended"

    settings = changed(Settings(), {"checks": ["python -m pytest -q"]}, "test")
    result = quick(tmp_path, Script({"boss": part}), settings=settings)
    assert (result.status, result.text) == ("completed", "mended")


async def test_facts_are_streamed_from_the_first_to_the_last(tmp_path: Path):
    script = Script({"boss": boss, "ann": ann})
    async with start("Two small files.", model="sim:test", models=models(script), runs=tmp_path) as live:
        records = [record async for record in live]
        result = await live.result()
    assert [record.position for record in records] == list(range(1, len(records) + 1))
    assert isinstance(records[0].event, ev.RunStarted)
    assert isinstance(records[-1].event, ev.RunEnded)
    assert result.completed


async def test_a_stopped_run_is_resumed_and_nothing_is_bought_twice(tmp_path: Path):
    script = Script({"boss": boss, "ann": ann})
    slow = models(script, Latency(fixed=0.05, per_completion=0, per_prompt=0, sigma=0))
    async with start("Two small files.", model="sim:test", models=slow, runs=tmp_path) as live:
        async for record in live:
            if isinstance(record.event, ev.FileCommitted):
                break
        await live.control.stop("enough for today")
        stopped = await live.result()
    assert stopped.status == "stopped"
    async with resume(RunFolder(stopped.folder), models=models(script)) as live:
        result = await live.result()
    assert result.completed
    records = list(open_reader(stopped.folder / "journal.db").records())
    answered = [r.event.call for r in records if isinstance(r.event, ev.ModelAnswered)]
    assert len(answered) == len(set(answered))
    assert replay(RunFolder(stopped.folder)).problems == ()


async def test_an_engine_that_vanishes_in_mid_step_is_carried_on_from_the_answer(tmp_path: Path):
    script = Script({"boss": boss, "ann": ann})
    async with start("Two small files.", model="sim:test", models=models(script), runs=tmp_path) as live:
        folder = live.folder
        async for record in live:
            if isinstance(record.event, ev.ModelAnswered):
                break  # leaving the block calls everything off: no ending is recorded
    assert not any(isinstance(r.event, ev.RunEnded) for r in open_reader(folder.journal).records())
    async with resume(folder, models=models(script)) as live:
        result = await live.result()
    assert result.completed
    assert sorted(path.name for path in result.path.iterdir()) == ["own.txt", "part.txt"]
    commits = [r.event for r in open_reader(folder.journal).records() if isinstance(r.event, ev.FileCommitted)]
    assert sorted(commit.path for commit in commits) == ["own.txt", "part.txt"]


async def test_an_exhausted_run_goes_on_with_a_bigger_purse(tmp_path: Path):
    script = Script({"boss": boss, "ann": ann})
    poor = changed(Settings(), {"budget.tokens": 30_000, "budget.cost": None}, "test")
    async with start("Two small files.", model="sim:test", models=models(script), runs=tmp_path, settings=poor) as live:
        result = await live.result()
    assert result.status == "exhausted"
    async with resume(RunFolder(result.folder), models=models(script), changes={"budget.tokens": 900_000}) as live:
        result = await live.result()
    assert result.completed


async def test_a_completed_run_and_a_running_one_are_not_resumed(tmp_path: Path):
    script = Script({"boss": boss, "ann": ann})
    async with start("Two small files.", model="sim:test", models=models(script), runs=tmp_path) as live:
        with pytest.raises(RunError, match="going on: process"):
            async with resume(live.folder, models=models(script)):
                pass
        result = await live.result()
    with pytest.raises(RunError, match="is completed"):
        async with resume(RunFolder(result.folder), models=models(script)):
            pass


@pytest.mark.parametrize("kind", ["folder", "repository"])
def test_a_run_may_start_from_something_that_it_never_touches(tmp_path: Path, kind: str):
    source = tmp_path / "mine"
    source.mkdir()
    (source / "old.txt").write_text("as it was\n")
    if kind == "repository":
        git(source, "init", "--quiet", "--initial-branch=trunk")
        git(source, "add", ".")
        git(source, "-c", "user.name=Me", "-c", "user.email=me@example.invalid", "commit", "--quiet", "-m", "mine")
    before = fingerprint(source)

    def part(me: Part) -> Playing:
        yield say(list_files(), read_file("old.txt"))
        assert "as it was" in me.last.text
        yield write_file("new.txt", "new\n")
        return "new.txt is there"

    result = quick(tmp_path / "runs", Script({"boss": part}), source=source)
    assert result.completed
    assert fingerprint(source) == before
    assert sorted(path.name for path in result.path.iterdir()) == ["new.txt", "old.txt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"goal": "  "}, "the goal is empty"),
        ({"goal": "x" * 300_000}, "start with --from"),
        ({"model": "opnai:gpt"}, "did you mean openai"),
        ({"model": None}, "no model is named"),
        ({"model": "openai:gpt-4.1", "environ": {}}, "OPENAI_API_KEY"),
        ({"scenario": "gobnag"}, "gobang"),
        ({"model": "vllm:x", "environ": {}}, "--max-tokens"),
        ({"source": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"source": "/proc/self"}, "/proc/self"),
        ({"settings": changed(Settings(), {"budget.cost": 0.01}, "test")}, "no room for one call"),
        ({"settings": changed(Settings(), {"prompts": "/nowhere"}, "test")}, "there is no folder /nowhere"),
        ({"tools": [lambda: None]}, "tool"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_made(tmp_path: Path, options: dict[str, object], words: str):
    given = {"goal": "Make it.", "model": "sim:test", "models": models(Script({}))} | options
    with pytest.raises(ConfigurationError, match=words):
        run(given.pop("goal"), runs=tmp_path / "runs", **given)
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot make a run's folder"):
        quick(tmp_path / "file" / "runs")


def test_a_folder_of_runs_is_left_out_of_git_and_one_that_is_somebody_s_is_not(tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    quick(project)
    assert not (project / ".gitignore").exists()
    quick(project / "runs")
    assert (project / "runs" / ".gitignore").read_text() == "*\n"


def test_a_run_that_could_not_begin_leaves_somebody_s_folder_as_it_was(tmp_path: Path):
    (tmp_path / ".gitignore").write_text("*.log\n")
    with pytest.raises(ConfigurationError, match="no room for one call"):
        run(
            "Make it.",
            model="sim:test",
            models=models(Script({})),
            runs=tmp_path,
            settings=changed(Settings(), {"budget.cost": 0.01}, "test"),
        )
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def git(folder: Path, *words: str) -> str:
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def fingerprint(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns) for path in files}


async def test_the_time_that_a_vanished_engine_worked_counts(tmp_path: Path):
    script = Script({"boss": boss, "ann": ann})
    slow = models(script, Latency(fixed=0.3, per_completion=0, per_prompt=0, sigma=0))
    async with start("Two small files.", model="sim:test", models=slow, runs=tmp_path) as live:
        folder = live.folder
        async for record in live:
            if isinstance(record.event, ev.FileCommitted):
                break
    records = list(open_reader(folder.journal).records())
    worked = records[-1].time - records[0].time
    async with resume(folder, models=models(script)) as live:
        assert live.state.run.active_seconds >= worked * 0.99 > 0.2
        await live.result()


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


async def test_a_stopped_agents_program_dies_though_it_ignores_every_polite_signal(tmp_path: Path):
    def boss(me: Part) -> Playing:
        yield say(add_agent("ann", "runs a program", ANN))
        yield wait(["ann"], "her part")
        return "without ann"

    def ann(me: Part) -> Playing:
        yield write_file("stubborn.py", STUBBORN)
        yield exec_python_file("stubborn.py")
        yield wait(["boss"], "nothing", minutes=60)
        return "never"

    script = Script({"boss": boss, "ann": ann})
    async with start("A program that stays.", model="sim:test", models=models(script), runs=tmp_path) as live:
        async for record in live:
            if isinstance(record.event, ev.TurnEnded) and record.agent == "boss/ann":
                break
        before = _sleepers()
        said = await live.control.stop("", "ann")
        after = _sleepers()
        result = await live.result()
    assert said == "stopped ann: 0 calls called off, 1 program killed, 0 left running"
    assert len(before) >= 2  # the program and its child, which left its session
    assert not before & after
    assert (result.status, result.text) == ("completed", "without ann")
    assert replay(RunFolder(result.folder)).problems == ()


def _sleepers() -> set[int]:
    """Processes below this one that sleep for ten minutes."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if b"stubborn.py" in line or b"time.sleep(600)" in line:
            found.add(int(path.parent.name))
    return found


def test_a_run_that_is_over_leaves_nothing_in_memory(tmp_path: Path):
    def engines() -> int:
        gc.collect()
        return sum(isinstance(each, Organization) for each in gc.get_objects())

    before, thresholds = engines(), gc.get_threshold()
    quick(tmp_path)
    rehearse(Script({"boss": boss, "ann": ann}), "Two small files.")
    assert engines() == before
    assert gc.get_threshold() == thresholds
