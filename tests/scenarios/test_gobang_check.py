"""The acceptance check passes the good game and finds what is wrong with each spoiled one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from megaagent.errors import SandboxError
from megaagent.sandboxes.contract import Process, Program
from megaagent.scenarios.contract import Scenario
from megaagent.scenarios.gobang.check import CHECKS, MOVES_TIMED, check, drawn_game
from megaagent.scenarios.gobang.play import FIRST, SECOND, Game, Patience, Referee, name_of, point_of
from megaagent.scenarios.gobang.scenario import Gobang

Delivered = Any  # the class is in conftest.py, which cannot be imported

SHORT = Patience(answer=5.0, game=60.0)


async def failures(delivered: Delivered, *only: str, patience: Patience = SHORT) -> dict[str, str]:
    """The failed checks among those named, with what was seen."""
    results = await check(delivered.start, only=only or None, patience=patience)
    assert {result.name for result in results} == {*(only or CHECKS), "starts"}
    return {result.name: result.detail for result in results if not result.passed}


async def test_the_good_game_passes_everything(delivered: Delivered) -> None:
    results = await check(delivered.start)
    assert [result.name for result in results] == list(CHECKS)
    assert [result for result in results if not result.passed] == []
    assert all(result.detail for result in results)
    timed = next(result for result in results if result.name == "answers within 2 s")
    assert int(timed.detail.split()[0]) >= MOVES_TIMED


ANSWER = 'say(f"AI plays {self.board.name(move)}")'

MUTANTS = [
    pytest.param(
        "main.py", "import argparse", "import nothing_such", "starts", "ModuleNotFoundError", id="broken import"
    ),
    pytest.param(
        "main.py", '        while not self.board.is_over:', '        return\n        while True:', "starts",
        "ended in the middle", id="ends at once",
    ),
    pytest.param(
        "board.py", "(1, 1), (1, -1))", "(1, 1))", "names the user as winner", "five in a falling diagonal",
        id="misses a diagonal",
    ),
    pytest.param(
        "board.py", "(1, 0), (0, 1),", "(0, 1),", "names the AI as winner", "four in a row", id="misses a row"
    ),
    pytest.param(
        "main.py", ANSWER, 'say("AI plays " + self.board.name(self.board.moves[0]))', "answers with a legal move",
        "H8, which was taken", id="plays on a taken point",
    ),
    pytest.param(
        "main.py", ANSWER, 'say("AI plays Q77")', "answers with a legal move", "not a point of the board",
        id="plays off the board",
    ),
    pytest.param(
        "main.py", ANSWER, 'say("The AI has moved")', "answers with a legal move", "no line 'AI plays ...'",
        id="hides its move",
    ),
    pytest.param(
        "main.py", ANSWER, f"{ANSWER}; {ANSWER}", "answers with a legal move", "more than once", id="moves twice"
    ),
    pytest.param(
        "main.py", ANSWER, f'{ANSWER}; say("You win")', "answers with a legal move", "the game is not over",
        id="announces a win that is none",
    ),
    pytest.param(
        "main.py", '"You win" if self.board.winner == self.human else "The AI wins"', '"The AI wins"',
        "names the user as winner", "said 'The AI wins'", id="always claims its own win",
    ),
    pytest.param(
        "main.py", 'return "Draw"', 'return "The AI wins"', "names a draw", "said 'The AI wins'",
        id="claims a draw as its win",
    ),
    pytest.param(
        "board.py", 'if self.cells[point] != EMPTY:', 'if False:', "refuses a taken point", "took 'H8' for a move",
        id="allows a taken point",
    ),
    pytest.param(
        "board.py", 'if not (column < self.size and 0 <= row < self.size):', 'if row >= self.size:',
        "refuses a point off the board", "took 'P8' for a move", id="continues beyond the edge",
    ),
    pytest.param(
        "main.py", 'say(f"Illegal move: {quote!a}: {refusal}")', "pass", "refuses nonsense",
        "did not refuse 'hello world'", id="is silent about nonsense",
    ),
    pytest.param(
        "main.py", 'elif command == "undo":',
        'elif not command:\n            return False\n        elif command == "undo":',
        "refuses an empty line", "ended after the input ''", id="ends at an empty line",
    ),
    pytest.param(
        "main.py", 'command = line.strip().lower()',
        'command = line.strip().lower()\n        int("1" * len(command))', "refuses huge input", "crashed: ValueError",
        id="crashes on huge input",
    ),
    pytest.param(
        "main.py", 'if not line or command in', 'if not line:\n            raise EOFError\n        if command in',
        "survives the end of input", "crashed: EOFError", id="crashes at the end of input",
    ),
    pytest.param(
        "main.py", 'if not line or command in', 'if command in', "survives the end of input", "printed over",
        id="asks for ever at the end of input",
    ),
    pytest.param(
        "main.py", 'say("Goodbye")\n                return', 'sys.exit(3)', "quits",
        "exit code 3", id="quits with an error",
    ),
    pytest.param(
        "main.py", 'self.board.undo()\n        self.board.undo()', 'pass', "helps and takes back", "H8 was not free",
        id="takes nothing back",
    ),
    pytest.param(
        "main.py", 'move = choose_move', 'import time; time.sleep(2.2)\n        move = choose_move',
        "answers within 2 s", "s for a move", id="is slow",
    ),
    pytest.param(
        "main.py", 'move = choose_move(self.board, self.seconds)',
        'free = self.board.legal_moves(); move = free[len(free) * 37 % 101 % len(free)]',
        "beats a random player", "against a player who moves at random", id="plays anywhere",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "name", "seen"), MUTANTS)
async def test_what_is_wrong_is_found(
    delivered: Delivered, file: str, old: str, new: str, name: str, seen: str
) -> None:
    delivered.replace(file, old, new)
    found = await failures(delivered, name)
    assert list(found) == [name]
    assert seen in found[name]


@pytest.mark.parametrize(
    ("flaw", "seen"),
    [
        pytest.param("while True: pass", "it had printed nothing", id="hangs"),
        pytest.param("while True: print('AI plays H8')", "print", id="floods"),
        pytest.param("print('x' * (1 << 21))", "printed over 1048576 characters", id="prints too much"),
        pytest.param("print('Welcome', flush=True); sys.stdin.read()", "it had printed 'Welcome'", id="never asks"),
    ],
)
async def test_a_game_that_never_starts_is_given_up_in_time(delivered: Delivered, flaw: str, seen: str) -> None:
    delivered.replace("main.py", "    try:\n        read_options", f"    {flaw}\n    try:\n        read_options")
    started = time.monotonic()
    results = await check(delivered.start, patience=Patience(answer=1.0, game=10.0))
    assert time.monotonic() - started < 10
    assert [result.name for result in results if not result.passed] == list(CHECKS)
    assert seen in results[0].detail
    assert all("does not start" in result.detail for result in results[1:])


async def test_a_game_that_hangs_later_is_given_up_in_time(delivered: Delivered) -> None:
    delivered.replace("main.py", "        move = choose_move", "        while True: pass\n        move = choose_move")
    found = await failures(delivered, "answers with a legal move", patience=Patience(answer=1.0, game=10.0))
    assert "neither asked for a move nor ended within 1 s" in found["answers with a legal move"]


async def test_a_game_that_never_ends_is_given_up_in_time(delivered: Delivered) -> None:
    delivered.replace("main.py", "say(self.result())", "say(self.result()); sys.stdin.read()")
    found = await failures(delivered, "names the user as winner", patience=Patience(answer=1.0, game=10.0))
    assert "within 1 s" in found["names the user as winner"]


async def test_the_early_game_has_the_gaps_that_the_verifier_should_name(delivered: Delivered) -> None:
    delivered.put("main.py", "early/main.py")
    found = await failures(delivered)
    assert set(found) == {
        "refuses a taken point",
        "refuses a point off the board",
        "refuses nonsense",
        "refuses an empty line",
        "refuses huge input",
        "names a draw",
        "helps and takes back",
        "survives the end of input",
    }


async def test_the_early_board_does_not_know_every_winner(delivered: Delivered) -> None:
    delivered.put("board.py", "early/board.py")
    found = await failures(delivered, "names the user as winner", "names the AI as winner", "names a draw")
    assert set(found) == {"names the user as winner", "names the AI as winner"}
    assert all("falling diagonal" in seen for seen in found.values())


async def test_a_sandbox_that_cannot_start_is_not_the_games_fault() -> None:
    async def start(program: Program) -> Process:
        raise SandboxError("bubblewrap is not allowed here")

    with pytest.raises(SandboxError, match="not allowed"):
        await check(start)


async def test_a_sandbox_that_fails_in_the_middle_is_not_the_games_fault(delivered: Delivered) -> None:
    started = 0

    async def start(program: Program) -> Process:
        nonlocal started
        started += 1
        if started > 3:
            raise SandboxError("no room for a copy")
        return await delivered.start(program)

    with pytest.raises(SandboxError, match="no room"):
        await check(start, patience=SHORT)


async def test_a_prompt_without_a_new_line_is_understood(delivered: Delivered) -> None:
    delivered.replace("main.py", 'end=" " if sys.stdin.isatty() else "\\n"', 'end=" "')
    assert await failures(delivered, "answers with a legal move", "refuses nonsense", "names the user as winner") == {}


async def test_leaving_a_game_stops_the_program(delivered: Delivered) -> None:
    running: list[Process] = []

    async def start(program: Program) -> Process:
        running.append(await delivered.start(program))
        return running[-1]

    async with Game(start, human=SECOND) as game:
        assert len(game.referee.stones) == 1
    async with asyncio.timeout(5):
        execution = await running[0].wait()
    assert execution.exit_code != 0


def test_the_referee_knows_five_in_every_direction() -> None:
    for names in ("A1 B1 C1 D1 E1", "O1 O2 O3 O4 O5", "K11 L12 M13 N14 O15", "A15 B14 C13 D12 E11"):
        five = [point_of(name) or (0, 0) for name in names.split()]
        far = [point_of(name) or (0, 0) for name in ["H8", "H10", "H12", "J8"]]
        referee = Referee([point for pair in zip(five, far, strict=False) for point in pair])
        assert referee.winner is None
        referee.play(five[4])
        assert referee.winner == FIRST
        assert referee.over


def test_the_drawn_game_is_one() -> None:
    points = drawn_game()
    assert len(set(points)) == 225
    referee = Referee(points)
    assert referee.over
    assert referee.winner is None


def test_names_of_points() -> None:
    assert [point_of(name) for name in ("A1", "h8", "O15")] == [(0, 0), (7, 7), (14, 14)]
    assert [point_of(name) for name in ("P1", "A16", "A0", "", "H", "H8 ", "H\u0668")] == [None] * 7
    assert name_of((14, 14)) == "O15"


def test_the_scenario_says_what_the_check_relies_on() -> None:
    scenario: Scenario = Gobang()
    for word in (
        "--first ai",
        "--moves",
        "Your move",
        "AI plays H8",
        "Illegal move:",
        "You win",
        "The AI wins",
        "Draw",
    ):
        assert word in scenario.goal
