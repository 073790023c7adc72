"""Completion: what comes next on a half-written line, and the scripts that ask, in each shell that is here."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from tests.cli.theatre import environment, piped

from megaagent.cli import COMMANDS
from megaagent.cli.completing import FILES, candidates
from megaagent.folder import all_runs


def words(*given: str) -> list[str]:
    return [word for word, _ in candidates([*given])]


def test_commands_options_and_words_from_lists() -> None:
    assert words("") == list(COMMANDS)
    assert words("un") == ["unpause"]
    assert words("absent", "") == []
    assert "--every" in words("top", "--") and "--help" in words("top", "--h")
    assert words("top", "--sort", "s") == ["spend", "state", "steps"]
    assert words("cost", "--by=st") == ["--by=stage"]
    assert words("show", "--kind", "FileC") == ["FileCommitted"]
    assert words("report", "--format", "") == ["html", "md", "json", "svg"]
    assert words("run", "--scenario", "go") == ["gobang"]
    assert words("run", "--from", "") == words("export", "-o", "x") == [FILES]
    assert words("completion", "") == ["bash", "zsh", "fish"]


def test_runs_agents_and_shared_files_are_those_that_there_are(finished: Path) -> None:
    runs = ("--runs", str(finished / "megaagent-runs"))
    [run] = [folder.id for folder in all_runs(finished / "megaagent-runs")]
    assert words("tree", *runs, "") == words("send", *runs, "boss", "hello", "2") == [run]
    assert words("why", *runs, "") == ["boss", "helper"]
    assert words("stop", *runs, "--agent", "h") == ["helper"]
    assert words("stop", *runs, "--agent=h") == ["--agent=helper"]
    assert words("blame", *runs, "n") == ["notes.txt"]
    assert words("blame", *runs, "notes.txt", "") == [run]
    assert words("logs", *runs, "--", "h") == ["helper"]


async def test_what_agents_wrote_stays_one_harmless_line(finished: Path) -> None:
    told = await piped(finished, "__complete", "why", "")
    assert told.code == 0 and len(told.out.splitlines()) == 2
    assert all(c.isprintable() or c in "\t\n" for c in told.out)


async def test_what_cannot_be_read_spoils_no_command_line(finished: Path) -> None:
    [run] = all_runs(finished / "megaagent-runs")
    run.journal.write_bytes(b"no journal")
    for place in ((), ("--runs", "elsewhere")):
        ended = await piped(finished, "__complete", "why", *place, "")
        assert (ended.code, ended.out, ended.err) == (0, "", "")


ASKED = {
    "bash": (
        'eval "$(megaagent completion bash)"; COMP_WORDS=(megaagent why h); COMP_CWORD=2; _megaagent; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "fish": 'megaagent completion fish | source; complete -C "megaagent why h"',
    "zsh": (
        'autoload -Uz compinit; compinit -D -u; eval "$(megaagent completion zsh)"; '
        "_describe() { print -l -- ${(P)2} }; words=(megaagent why h); CURRENT=3; _megaagent"
    ),
}


@pytest.mark.parametrize("shell", ASKED)
async def test_a_shell_completes_an_agent(finished: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    named = finished / "bin" / "megaagent"
    named.parent.mkdir()
    named.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from megaagent.cli import main; main()' \"$@\"\n")
    named.chmod(0o755)
    surroundings = environment(finished, PATH=f"{named.parent}:{os.environ['PATH']}")
    process = await asyncio.create_subprocess_exec(
        program,
        *(("-f",) if shell == "zsh" else ()),
        "-c",
        ASKED[shell],
        cwd=finished,
        env=surroundings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    assert [line.partition("\t")[0].partition(":")[0] for line in out.decode().splitlines()] == ["helper"], (out, err)
