"""How strong and how quick the Gobang AI is: games against a greedy and a random player over standard input.

The players and the referee here share no code with the program that they play against.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.unconfined import start_copy
from megaagent.scenarios.contract import Start
from megaagent.scenarios.gobang.play import FIRST, SECOND, Breach, Game, Patience
from megaagent.scenarios.gobang.players import Player, greedy_player, random_player
from megaagent.scenarios.gobang.texts import write_deliverable


async def play(start: Start, player: Player, number: int, seconds: float | None) -> tuple[str, list[float], int]:
    """One game; the AI begins those with even numbers. Returns won, lost, drawn or the breach, times and stones."""
    chance = random.Random(number)
    human = SECOND if number % 2 == 0 else FIRST
    game = Game(start, human=human, seconds=seconds, patience=Patience(answer=30, game=900))
    try:
        async with game:
            while not game.referee.over:
                await game.play(player(game.referee, chance))
    except Breach as breach:
        return f"breach: {breach}", game.times, len(game.referee.stones)
    winner = game.referee.winner
    result = "drawn" if winner is None else "lost" if winner == human else "won"
    return result, game.times, len(game.referee.stones)


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    start: Start = partial(start_copy, folder=folder)
    turns = asyncio.Semaphore(options.parallel)
    times: list[float] = []
    wins = {"greedy": 0, "random": 0}
    breaches = 0

    async def one(kind: str, player: Player, number: int) -> None:
        nonlocal breaches
        async with turns:
            result, took, stones = await play(start, player, number, options.seconds)
        times.extend(took)
        wins[kind] += result == "won"
        breaches += result.startswith("breach")
        begins = "AI" if number % 2 == 0 else kind
        slowest = f"{max(took):.2f} s" if took else "-"
        print(
            f"{kind} {number + 1}: {result} by the AI, {stones} stones, {begins} first, slowest {slowest}", flush=True
        )

    async with asyncio.TaskGroup() as games:
        for number in range(options.games_greedy):
            games.create_task(one("greedy", greedy_player, number))
        for number in range(options.games_random):
            games.create_task(one("random", random_player, number))
    return {
        "wins_greedy": wins["greedy"],
        "games_greedy": options.games_greedy,
        "wins_random": wins["random"],
        "games_random": options.games_random,
        "moves": len(times),
        "max_move_s": round(max(times, default=0.0), 3),
        "median_move_s": round(statistics.median(times), 3) if times else 0.0,
        "breaches": breaches,
        "seconds": options.seconds,  # null: the game's own default
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gobang_ai", description=__doc__)
    parser.add_argument("--games-greedy", type=int, default=10)
    parser.add_argument("--games-random", type=int, default=20)
    parser.add_argument("--seconds", type=float, help="thinking time per move (default: the game's own)")
    parser.add_argument("--parallel", type=int, default=2, help="games at a time (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="a delivered game (default: the one that MegaAgent ships)")
    options = parser.parse_args(arguments)
    if options.folder and not (options.folder / "main.py").is_file():
        parser.error(f"--folder: {options.folder} has no main.py; name the folder of a delivered Gobang game")
    with tempfile.TemporaryDirectory(prefix="gobang-") as place:
        folder = options.folder or write_deliverable(Path(place) / "shipped")
        print(json.dumps(asyncio.run(measure(options, folder))))
    return 0
