"""The Gobang experiment: does the game that was developed run, take moves, make moves and end, and how strong is it?"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from megaagent.evaluation.contract import Item, Mark, Prediction
from megaagent.evaluation.kinds import Staged
from megaagent.evaluation.programs import Judge
from megaagent.scenarios.contract import Start
from megaagent.scenarios.gobang.check import check
from megaagent.scenarios.gobang.play import FIRST, SECOND, Breach, Game, Patience
from megaagent.scenarios.gobang.players import Player, greedy_player, random_player

FOUR: Mapping[str, tuple[str, ...]] = {
    "it runs without an error": ("starts",),
    "the user can move": ("takes a user's move",),
    "the AI moves": ("answers with a legal move",),
    "it ends with the right winner": ("names the user as winner", "names the AI as winner", "names a draw"),
}
"""The four checks, each by the names of the scenario's checks that it stands for."""

GAMES = 4  # against each opponent, beginning in half of them
THINKING = 0.2  # seconds that the AI is given for a move


class GobangGame(Staged):
    """One item, run as the scenario `gobang`. It passes when the four checks do; each is a quarter of its score."""

    name = "gobang"
    title = "Gobang"
    scenario = "gobang"
    settings: Mapping[str, Any] = {"budget.steps": 2_000}
    runs_programs = True
    seconds = 60.0

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """The four checks, all checks of the scenario, and games against two opponents."""
        assert judge is not None
        files: dict[str, str] = json.loads(prediction.text)
        start = judge.starter({path: text.encode() for path, text in files.items()})
        checks = await check(start)
        passed = {each.name for each in checks if each.passed}
        four = {name: set(needed) <= passed for name, needed in FOUR.items()}
        parts = {name: (int(ok), 1) for name, ok in four.items()}
        parts["all checks of the scenario"] = len(passed), len(checks)
        if four["the AI moves"]:
            for opponent, player in (("greedy", greedy_player), ("random", random_player)):
                parts[f"games won against a {opponent} player"] = await _won(start, player), GAMES
        failed = [f"{each.name}: {each.detail}" for each in checks if not each.passed]
        return Mark(all(four.values()), "; ".join(failed)[:500], parts, sum(four.values()) / len(four))


async def _won(start: Start, player: Player) -> int:
    """Games that the AI wins; one in which it breaks the rules is lost."""
    won = 0
    for number in range(GAMES):
        chance = random.Random(number)
        human = SECOND if number % 2 == 0 else FIRST
        try:
            async with Game(start, human=human, seconds=THINKING, patience=Patience(answer=30, game=300)) as game:
                while not game.referee.over:
                    await game.play(player(game.referee, chance))
                won += game.referee.winner == 1 - human
        except Breach:
            continue
    return won
