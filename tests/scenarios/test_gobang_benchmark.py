"""The benchmark runs, gives its figures in one line, and says what is wrong with its arguments."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from megaagent.scenarios.gobang.play import Referee, name_of, point_of
from megaagent.scenarios.gobang.players import greedy_player

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_figures() -> None:
    done = run("gobang_ai", "--games-greedy", "1", "--games-random", "2", "--seconds", "0.05")
    assert done.returncode == 0, done.stderr
    *progress, last = done.stdout.splitlines()
    figures = json.loads(last)
    assert len(progress) == 3
    assert (figures["games_greedy"], figures["games_random"], figures["breaches"]) == (1, 2, 0)
    assert figures["wins_random"] == 2
    assert 0 < figures["median_move_s"] <= figures["max_move_s"]


def test_an_unknown_name_lists_the_names() -> None:
    done = run("nothing")
    assert done.returncode == 2
    assert "'nothing'" in done.stderr
    assert "gobang_ai" in done.stderr
    assert run().returncode == 2


def test_a_folder_without_a_game_is_refused(tmp_path: Path) -> None:
    done = run("gobang_ai", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert "no main.py" in done.stderr


def test_the_greedy_player_makes_and_stops_rows() -> None:
    def answer(moves: str) -> str:
        return name_of(greedy_player(Referee(point_of(move) or (0, 0) for move in moves.split()), random.Random(1)))

    assert answer("") == "H8"
    assert answer("D8 A1 E8 B1 F8 C1 G8 D1") in ("C8", "H8")
    assert answer("A8 H2 B8 J3 C8 L2 D8") == "E8"
    assert answer("G8 A1 H8 O1 I8") in ("F8", "J8")
