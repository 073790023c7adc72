"""Wrong inputs: one line that says what, where and what to do; the right exit code; nothing left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import pytest
from tests.cli.theatre import piped, shell

from megaagent.cli import COMMANDS
from megaagent.cli.exits import CONFIGURATION, ENDINGS, INTERRUPTED, MEANINGS, RUN_FOLDER, table
from megaagent.cli.related import RELATED
from megaagent.events import Status

GOAL = "Make something."
MODEL = ("--model", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "--price", "1:2")

WRONG: list[tuple[tuple[str, ...], str]] = [
    (("rum",), "No such command 'rum'"),
    (("run", GOAL, "--nonsense"), "No such option: --nonsense"),
    (("report", "--format", "pdf"), "Invalid value for '--format': 'pdf' is not one of"),
    (("export", "--redact"), "Option '--redact' requires an argument. See: megaagent export --help"),
    (("run", GOAL, "--scenario", "gobang"), "GOAL and --scenario exclude each other: give one of them"),
    (("run", "--goal-file", "x", "--scenario", "gobang"), "--goal-file and --scenario exclude each other"),
    (("run", "--scenario", "gobnag"), "there is no scenario called 'gobnag'; did you mean gobang?"),
    (("run", GOAL), "no model is named"),
    (("run",), "the goal is empty"),
    (("run", "   ", *MODEL), "the goal is empty"),
    (("run", "--goal-file", "absent.md", *MODEL), "--goal-file absent.md: No such file or directory"),
    (("run", "--goal-file", "binary", *MODEL), "binary: not UTF-8 text at byte 0"),
    (("run", "--goal-file", "huge", *MODEL), "huge: over 1,048,576 bytes are too long for a goal"),
    (("run", GOAL, "--model", "opnai:m", "--price", "1:2"), "unknown provider 'opnai'; did you mean openai"),
    (("run", GOAL, "--model", "sim:gobag"), "no such simulated model; there are sim:gobang"),
    (("run", GOAL, "--settings", "absent.toml"), "settings file absent.toml: No such file or directory"),
    (("run", GOAL, "--settings", "wrong.toml"), "settings file wrong.toml, line 2: unknown field budget.costs"),
    (("run", GOAL, *MODEL, "--set", "limits.agents"), "write NAME=VALUE"),
    (("run", GOAL, *MODEL, "--set", "limits.agent=5"), "unknown field limits.agent; there are agents"),
    (("run", GOAL, *MODEL, "--check", "test -e \udcff"), "checks: not valid text (UTF-8)"),
    (("run", GOAL, *MODEL, "--journal", "postgres://h/\udcff"), "journal: not valid text"),
    (("run", GOAL, *MODEL, "--set", "limits.agents=many"), "limits.agents: Expected `int`, got `str`"),
    (("run", GOAL, *MODEL, "--set", "tools.ask_before=run_command"), 'a list is written ["a", "b"]'),
    (("run", GOAL, *MODEL, "--set", "sandbox.level=none-at-all"), "there are none, landlock, bubblewrap"),
    (("run", GOAL, *MODEL, "--set", "economy.tiers=['all']"), "there are boss, admin, worker, judge, summarizer"),
    (("run", GOAL, *MODEL, "--set", "model.embedding=x:y"), "it is a table: set its fields"),
    (("run", GOAL, *MODEL, "--max-cost", "0"), "budget.cost must be more than 0"),
    (("run", GOAL, *MODEL, "--max-cost", "inf"), "budget.cost must be more than 0 and finite, not inf"),
    (("run", GOAL, *MODEL, "--set", "budget=1", "--max-steps", "2"), "budget is a table of settings, not 1"),
    (("run", GOAL, *MODEL, "--max-cost", "ten"), "Invalid value for '--max-cost'"),
    (("run", GOAL, *MODEL, "--speed", "-1"), "simulation.speed must be 0 (at once) or more"),
    (("run", GOAL, "--model", "openai:m", "--price", "cheap"), "price"),
    (("run", GOAL, *MODEL, "--runs", "binary"), "cannot make a run's folder in binary"),
    (("run", GOAL, *MODEL, "--json", "--plain"), "exclude each other: give one of them"),
    (("budget",), "no cap is given: use --max-cost DOLLARS or --max-tokens N"),
    (("show", "--kind", "FileComitted"), "there is no such kind of fact; nearest are FileCommitted"),
    (("show", "--limit", "0"), "Invalid value for '--limit'"),
    (("serve-sim", "gobag"), "no such simulated model; there are sim:gobang"),
    (("serve-sim", "gobang", "--port", "99999"), "Invalid value for '--port'"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: " ".join(value)[:50].replace("/", "_"))
async def test_wrong_inputs(tmp_path: Path, arguments: tuple[str, ...], said: str):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "huge").write_bytes(b"x" * 1_100_000)
    (tmp_path / "wrong.toml").write_text("[budget]\ncosts = 3\n")
    before = sorted(tmp_path.iterdir())
    ended = await piped(tmp_path, *arguments)
    assert said in ended.err
    assert ended.err.startswith("megaagent: error: ")
    assert ended.err.count("\n") == 1
    assert ended.code == CONFIGURATION
    assert ended.out == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_help_has_an_example(tmp_path: Path, command: str):
    ended = await piped(tmp_path, command, "--help")
    assert ended.code == 0
    assert f"\n    megaagent {command}" in ended.out
    assert "See also: " in ended.out
    assert COMMANDS[command] in " ".join(ended.out.split())
    assert max(map(len, ended.out.splitlines())) <= 80


def test_what_a_help_points_to_is_there():
    assert set(RELATED) == set(COMMANDS)
    assert all(other in COMMANDS and other != command for command, others in RELATED.items() for other in others)


async def test_help_is_a_word_too(tmp_path: Path):
    assert (await piped(tmp_path, "help", "top")).out == (await piped(tmp_path, "top", "--help")).out
    assert (await piped(tmp_path, "help")).out == (await piped(tmp_path)).out


async def test_the_list_of_commands_and_the_version(tmp_path: Path):
    for arguments in ((), ("--help",), ("-h",)):
        ended = await piped(tmp_path, *arguments)
        assert ended.code == 0
        assert all(f"\n  {command} " in ended.out for command in COMMANDS)
        assert all(summary in ended.out for summary in COMMANDS.values()), "none is cut"
    assert (await piped(tmp_path, "--version")).out.startswith("megaagent ")


def test_help_brings_nothing_that_it_does_not_need():
    """A command's module is imported for its help; what the command works with only when it runs."""
    heavy = ("aiohttp", "pygit2", "rich", "sqlite3", "asyncio", "megaagent.launch", "megaagent.journal")
    program = (
        "import sys; from megaagent.cli import application; application(); "
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    assert shell(sys.executable, "-c", program, *heavy, folder=Path.cwd()) == "\n"
    for command in COMMANDS:
        chosen = program.replace("application()", f"application({command!r})")
        brought = shell(sys.executable, "-c", chosen, *heavy, folder=Path.cwd()).split()
        assert set(brought) <= {"asyncio"}, command


def test_every_ending_has_its_own_code_and_a_meaning():
    assert set(ENDINGS) == set(get_args(Status))
    assert len(set(ENDINGS.values())) == len(ENDINGS)
    assert {*ENDINGS.values(), CONFIGURATION, RUN_FOLDER, INTERRUPTED} <= set(MEANINGS)
    assert all(f"{code}  " in table() for code in MEANINGS)


async def test_a_setting_on_the_command_line_holds_when_its_own_option_is_absent(tmp_path: Path):
    done = await piped(tmp_path, "run", "g", "--model", "sim:gobang", "--set", "budget.cost=-1")
    assert done.code == 2
    assert "budget.cost" in done.err
