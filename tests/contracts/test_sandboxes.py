"""What every sandbox promises, asked of each member of the table."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from megaagent.errors import ConfigurationError, SandboxError
from megaagent.sandboxes import SANDBOXES, make, probe
from megaagent.sandboxes.bubblewrap import Bubblewrap
from megaagent.sandboxes.contract import Execution, Level, Limits, Program, Sandbox
from megaagent.sandboxes.harvest import harvest, prepare

COUNTER = "import sys\nprint('ready')\nfor line in sys.stdin: print(int(line) * 2)\nprint('bye')"


@pytest.fixture(params=SANDBOXES)
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    member = make(request.param)
    folder = tmp_path / "trial"
    folder.mkdir()
    try:
        await (await member.start(Program(("python", "-c", ""), stdin=""), folder)).wait()
    except SandboxError as error:
        pytest.skip(str(error))
    return member


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare(tmp_path / "folder", {"hello.py": b"print('hello')\nopen('made.txt', 'w').write('made')"})
    return tmp_path / "folder"


async def run(sandbox: Sandbox, folder: Path, *command: str, stdin: str | None = "", **limits: float) -> Execution:
    program = Program(command, stdin=stdin, limits=Limits(**limits))  # type: ignore[arg-type]
    return await (await sandbox.start(program, folder)).wait()


def python(code: str) -> tuple[str, ...]:
    return ("python", "-c", code)


def count_marked(mark: str) -> int:
    found = 0
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += mark.encode() in process.read_bytes()
        except OSError:
            continue
    return found


async def test_runs_a_file_and_what_it_wrote_is_harvested(sandbox: Sandbox, folder: Path) -> None:
    ended = await run(sandbox, folder, "python", "hello.py")
    assert (ended.exit_code, ended.output, ended.cut) == (0, "hello\n", ())
    assert 0 < ended.seconds < 10
    assert harvest(folder, {}).written["made.txt"] == b"made"


async def test_runs_the_tests_with_pytest(sandbox: Sandbox, folder: Path) -> None:
    (folder / "test_it.py").write_text("def test_it(tmp_path): assert tmp_path.is_dir()")
    ended = await run(sandbox, folder, "python", "-m", "pytest", "-q")
    assert ended.exit_code == 0, ended.output
    assert "1 passed" in ended.output


async def test_other_packages_cannot_be_imported(sandbox: Sandbox, folder: Path) -> None:
    ended = await run(sandbox, folder, *python("import pytest, sqlite3, json\nimport msgspec"))
    assert ended.exit_code == 1
    assert "No module named 'msgspec'" in ended.output


async def test_shell_and_python_of_the_same_kind(sandbox: Sandbox, folder: Path) -> None:
    ended = await run(sandbox, folder, "sh", "-c", "echo shell; python3 -c 'import sys; print(sys.version_info[:2])'")
    assert ended.output.startswith("shell\n(3, ")
    assert ended.exit_code == 0


async def test_exit_codes_and_signals(sandbox: Sandbox, folder: Path) -> None:
    assert (await run(sandbox, folder, *python("raise SystemExit(7)"))).exit_code == 7
    ended = await run(sandbox, folder, *python("import ctypes; ctypes.string_at(0)"))
    assert ended.exit_code == -11
    missing = await run(sandbox, folder, "no-such-program")
    assert missing.exit_code == 127
    assert "no-such-program" in missing.output


async def test_standard_input_is_given_and_closed(sandbox: Sandbox, folder: Path) -> None:
    text = "ä" * 200_000
    code = "import sys; t = sys.stdin.read(); print(len(t), set(t))"
    assert (await run(sandbox, folder, *python(code), stdin=text)).output == "200000 {'ä'}\n"


async def test_the_environment_holds_no_more_than_needed(
    sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    ended = await run(
        sandbox, folder, *python("import os; print(sorted(os.environ)); print(os.path.isdir(os.environ['HOME']))")
    )
    assert "PATH" in ended.output and "True" in ended.output
    assert "OPENAI" not in ended.output


async def test_a_dialogue(sandbox: Sandbox, folder: Path) -> None:
    process = await sandbox.start(Program(python(COUNTER)), folder)
    text = ""
    while "ready" not in text:
        came, running = await process.read(quiet=0.05, patience=10)
        text += came
        assert running
    for number in (1, 21):
        await process.send(f"{number}\n")
        assert await process.read(quiet=0.05, patience=10) == (f"{2 * number}\n", True)
    assert await process.read(quiet=0.05, patience=0.05) == ("", True)
    await process.stop()
    assert (await process.wait()).exit_code == -9
    with pytest.raises(SandboxError):
        await process.send("1\n")


async def test_read_returns_at_the_end(sandbox: Sandbox, folder: Path) -> None:
    process = await sandbox.start(Program(python("print('last words')")), folder)
    begun = time.monotonic()
    text, running = await process.read(quiet=20, patience=20)
    assert (text, running) == ("last words\n", False)
    assert time.monotonic() - begun < 10
    assert await process.read(quiet=20, patience=20) == ("", False)
    assert (await process.wait()).output == "last words\n"


async def test_a_closed_input_is_told(sandbox: Sandbox, folder: Path) -> None:
    code = "import os, time; os.close(0); print('closed'); time.sleep(30)"
    process = await sandbox.start(Program(python(code)), folder)
    assert (await process.read(quiet=0.05, patience=10))[0] == "closed\n"
    with pytest.raises(SandboxError):
        for _ in range(100):
            await process.send("x" * 1000)
    await process.stop()


FAMILY = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        os.execvp('sh', ['sh', '-c', 'while true; do sleep 1; done', sys.argv[1]])
print('ready')
time.sleep(60)
"""


async def test_stop_kills_the_whole_tree(sandbox: Sandbox, folder: Path) -> None:
    mark = f"mark-{os.getpid()}-stop"
    process = await sandbox.start(Program((*python(FAMILY), mark)), folder)
    assert (await process.read(quiet=0.05, patience=10))[0] == "ready\n"
    assert count_marked(mark) >= 1
    await process.stop()
    assert count_marked(mark) == 0
    await process.stop()


async def test_cancelling_who_waits_kills_the_whole_tree(sandbox: Sandbox, folder: Path) -> None:
    mark = f"mark-{os.getpid()}-cancel"
    process = await sandbox.start(Program((*python(FAMILY), mark)), folder)
    await process.read(quiet=0.05, patience=10)
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert count_marked(mark) == 0


async def test_daemons_do_not_outlive_the_program(sandbox: Sandbox, folder: Path) -> None:
    mark = f"mark-{os.getpid()}-daemon"
    ended = await run(sandbox, folder, *python(FAMILY.replace("time.sleep(60)", "")), mark)
    assert (ended.exit_code, ended.output) == (0, "ready\n")
    assert count_marked(mark) == 0


async def test_time_is_limited(sandbox: Sandbox, folder: Path) -> None:
    ended = await run(sandbox, folder, *python("print('begun')\nwhile True: input()"), stdin=None, seconds=0.5)
    assert (ended.exit_code, ended.output, ended.cut) == (-9, "begun\n", ("time",))


async def test_a_flood_is_kept_within_bounds_and_does_not_stop_others(sandbox: Sandbox, folder: Path) -> None:
    process = await sandbox.start(
        Program(python("while True: print('x' * 999)"), limits=Limits(seconds=1.0, output=5000)), folder
    )
    longest = 0.0
    waiting = asyncio.create_task(process.wait())
    while not waiting.done():
        before = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - before)
    ended = await waiting
    assert longest < 0.5
    assert ended.cut == ("time", "output")
    assert len(ended.output) < 5100
    assert "bytes left out" in ended.output


async def test_output_that_is_not_text(sandbox: Sandbox, folder: Path) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'\xff\xfe ok'); sys.stdout.flush(); print('\nerror', file=sys.stderr)"
    ended = await run(sandbox, folder, *python(code))
    assert ended.output == "\ufffd\ufffd ok\nerror\n"


async def test_many_at_once(sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    async def one(number: int) -> str:
        own = tmp_path / f"folder{number}"
        own.mkdir()
        return (await run(sandbox, own, *python(f"print({number})"))).output

    assert await asyncio.gather(*map(one, range(20))) == [f"{n}\n" for n in range(20)]


async def test_bad_commands_are_refused_in_words(sandbox: Sandbox, folder: Path) -> None:
    with pytest.raises(SandboxError, match="NUL"):
        await sandbox.start(Program(("a\0b",)), folder)
    with pytest.raises(SandboxError, match="command"):
        await sandbox.start(Program(()), folder)
    with pytest.raises(SandboxError, match="too long"):
        await sandbox.start(Program(("true", "x" * 100_000)), folder)
    with pytest.raises(SandboxError, match="not there"):
        await sandbox.start(Program(("true",)), folder / "nowhere")
    with pytest.raises(SandboxError, match="no-such-package"):
        await sandbox.start(Program(("true",), packages=("no-such-package",)), folder)


async def test_nothing_stays_in_the_temporary_folder(
    sandbox: Sandbox, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "temporary"
    own.mkdir()
    own.chmod(0o755)
    monkeypatch.setattr("tempfile.tempdir", str(own))
    await run(sandbox, folder, "sh", "-c", "mkdir -p $HOME/a/b; chmod 0 $HOME/a; exit 3")
    with pytest.raises(SandboxError):
        await sandbox.start(Program(("true", "x" * 100_000)), folder)
    assert list(own.iterdir()) == []


async def test_the_program_dies_with_the_engine(sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}-engine"
    name = next(name for name, (level, _) in SANDBOXES.items() if level == sandbox.level)
    engine = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ENGINE, name, str(folder), FAMILY, mark),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert engine.stdout is not None
    assert await engine.stdout.readline() == b"ready\n"
    assert count_marked(mark) >= 2
    engine.kill()
    await engine.communicate()
    async with asyncio.timeout(10):
        while count_marked(mark):
            await asyncio.sleep(0.01)


ENGINE = """
import asyncio, sys
from pathlib import Path
from megaagent.sandboxes import make
from megaagent.sandboxes.contract import Program

async def main():
    name, folder, code, mark = sys.argv[1:]
    process = await make(name).start(Program(("python", "-c", code, mark)), Path(folder))
    print((await process.read(0.05, 10))[0], end="", flush=True)
    await process.wait()

asyncio.run(main())
"""


# -- the search ------------------------------------------------------------------------------------------------------


async def test_the_search_finds_no_less_than_required() -> None:
    begun = time.monotonic()
    found = await probe(Level.LANDLOCK)
    assert time.monotonic() - begun < 3
    assert found.notes
    if found.sandbox is None:
        assert found.level == Level.NONE
    else:
        assert found.sandbox.level == found.level >= Level.LANDLOCK


async def test_below_the_required_level_there_is_no_sandbox() -> None:
    found = await probe(Level.MICROVM)
    assert found.sandbox is None
    assert "microvm" in found.notes[-1]


async def test_a_missing_bubblewrap_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = await probe(Level.BUBBLEWRAP)
    assert found.sandbox is None
    assert "apt install bubblewrap" in found.notes[0]


async def test_a_bubblewrap_that_cannot_be_run_is_an_answer(folder: Path) -> None:
    for executable in ("/nowhere/bwrap", "/bin/false"):
        with pytest.raises(SandboxError, match="bubblewrap"):
            await Bubblewrap(executable).start(Program(("true",), stdin=""), folder)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bubblewrap, landlock, none"):
        make("docker")
