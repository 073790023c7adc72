"""The acceptance check of Gobang: plays the delivered game, judges only what it prints, and trusts none of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import nullcontext

from megaagent.events import Struct
from megaagent.scenarios.contract import Check, Start
from megaagent.scenarios.gobang.play import (
    AI_WINS,
    DRAW,
    FIRST,
    SECOND,
    SIZE,
    YOU_WIN,
    Breach,
    Game,
    Patience,
    Point,
    Referee,
    name_of,
    point_of,
)

MOVE_SECONDS = 2.0  # what the goal allows the AI for one move
MOVES_TIMED = 2
MOST_TIMED_GAMES = 4
RANDOM_GAMES = 2
QUICK = 0.1  # seconds of thinking that are asked for wherever neither strength nor speed is what is tried
AT_ONCE = 6  # examinations side by side; a game mostly waits for its next line, so more than cores


class Bench(Struct, frozen=True):
    """What an examination needs: where to run the game, and how long to wait for it."""

    start: Start
    patience: Patience

    def game(self, *, human: int = FIRST, moves: Iterable[Point] = (), seconds: float | None = QUICK) -> Game:
        return Game(self.start, human=human, moves=moves, seconds=seconds, patience=self.patience)


async def check(start: Start, *, only: Collection[str] | None = None, patience: Patience | None = None) -> list[Check]:
    """Try everything that the goal asks for.

    Args:
        start: runs a program on a fresh private copy of the deliverable.
        only: the checks to do, by name; None for all. The first one is always done.
        patience: how long a program is waited for.

    Returns:
        One result for each check, in the order of `CHECKS`.

    Raises:
        SandboxError: programs cannot be run at the configured level.
    """
    bench = Bench(start, patience or Patience())
    first, *others = (name for number, name in enumerate(CHECKS) if not number or only is None or name in only)
    result = await _examined(bench, first)
    if not result.passed:
        return [result, *(Check(name, False, "not tried, because the game does not start") for name in others)]
    places = asyncio.Semaphore(AT_ONCE)
    # The longest begin first, so that none of them is left alone at the end.
    tasks = {name: asyncio.create_task(_examined(bench, name, places)) for name in sorted(others, key=_longest_first)}
    try:
        return [result, *await asyncio.gather(*(tasks[name] for name in others))]
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def _examined(bench: Bench, name: str, places: asyncio.Semaphore | None = None) -> Check:
    async with places or nullcontext():
        try:
            return Check(name, True, await CHECKS[name](bench))
        except Breach as breach:
            return Check(name, False, str(breach))


def _longest_first(name: str) -> bool:
    return CHECKS[name] not in (answers_in_time, beats_random, ai_wins, user_wins)


async def starts(bench: Bench) -> str:
    async with bench.game() as game:
        return f"asked for a move after {game.opening.seconds:.1f} s"


async def takes_a_move(bench: Bench) -> str:
    async with bench.game() as game:
        answer = await game.say("H8")
        if answer.refusal:
            raise Breach(f"refused H8 on the empty board: {answer.refusal!r}")
        if not answer.running:
            raise Breach(f"ended after the user's first move: {answer.quote}")
        return "took H8"


async def answers_with_a_move(bench: Bench) -> str:
    async with bench.game() as game:
        for name in ("H8", "A1", "O15"):
            if (point := point_of(name)) in game.referee.free():
                await game.play(point or (0, 0))
    async with bench.game(human=SECOND) as game:
        if not game.referee.stones:
            raise Breach("with --first ai the AI did not make the first move")
        await game.play(game.referee.free()[0])
    return "every move was on a free point of the board, also when the AI began"


def refuses(*lines: str) -> Callable[[Bench], Awaitable[str]]:
    """The examination that each of these inputs is refused with a message, asked again, and changes nothing."""

    async def examine(bench: Bench) -> str:
        async with bench.game() as game:
            await game.play((7, 7))
            for line in lines:
                await _refused(game, line)
            await game.play(game.referee.free()[-1])
        return f"refused {', '.join(_short(line) for line in lines)} and went on"

    return examine


async def refuses_taken_points(bench: Bench) -> str:
    async with bench.game() as game:
        await game.play((7, 7))
        taken = [name_of(point) for point in game.referee.stones]
        for name in taken:
            await _refused(game, name)
        await game.play(game.referee.free()[-1])
    return f"refused the user's own {taken[0]} and the AI's {taken[1]} and went on"


async def _refused(game: Game, line: str) -> None:
    answer = await game.say(line)
    if not answer.running:
        raise Breach(f"ended after the input {_short(line)}: {answer.quote}")
    if answer.moves or answer.ending:
        raise Breach(f"took {_short(line)} for a move: {answer.quote}")
    if not answer.refusal:
        raise Breach(f"did not refuse {_short(line)} with a line 'Illegal move: ...', but printed {answer.quote}")
    if not answer.asks:
        raise Breach(f"refused {_short(line)} and did not ask again: {answer.quote}")


def _short(line: str) -> str:
    return ascii(line) if len(line) <= 20 else f"{line[:10]!a}... ({len(line)} characters)"


FOURS = {
    "row": "D8 E8 F8 G8 H8",
    "column": "H4 H5 H6 H7 H8",
    "rising diagonal": "D4 E5 F6 G7 H8",
    "falling diagonal": "D12 E11 F10 G9 H8",
}
SCATTERED = "A15 O1 C14 M2 A13"


def _points(names: str) -> list[Point]:
    points = [point_of(name) for name in names.split()]
    return [point for point in points if point is not None]


def _in_turn(first: Iterable[Point], second: Iterable[Point]) -> list[Point]:
    return [point for pair in zip(first, second, strict=False) for point in pair]


async def user_wins(bench: Bench) -> str:
    for line, names in FOURS.items():
        five = _points(names)
        async with bench.game(moves=_in_turn(five[:4], _points(SCATTERED)[:4])) as game:
            try:
                await game.play(five[4])
                if code := await game.leave():
                    raise Breach(f"the finished game ended with exit code {code}")
            except Breach as breach:
                raise Breach(f"five in a {line}: {breach}") from None
    return f"said {YOU_WIN!r} for a row, a column and both diagonals"


async def ai_wins(bench: Bench) -> str:
    for line, names in FOURS.items():
        four, far = _points(names)[:4], _points(SCATTERED)
        # The AI has four and the user, whose turn it is, plays elsewhere.
        async with bench.game(human=SECOND, moves=[*_in_turn(four, far[:3]), four[3]]) as game:
            try:
                await game.play(far[3])
                if not game.referee.over:
                    raise Breach("the AI had four and an open end and did not make five")
            except Breach as breach:
                raise Breach(f"four in a {line}: {breach}") from None
    return f"said {AI_WINS!r} for a row, a column and both diagonals"


async def draws(bench: Bench) -> str:
    full = drawn_game()
    async with bench.game(moves=full[:-1]) as game:
        await game.play(full[-1])
    async with bench.game(human=SECOND, moves=full[:-2]) as game:
        await game.play(full[-2])
    return f"said {DRAW!r} when the user and when the AI filled the board"


def drawn_game() -> list[Point]:
    """All points in an order that ends without a five: colours in pairs along a row, changed from row to row."""
    points = Referee().free()
    first = [point for point in points if (point[0] // 2 + point[1]) % 2 == 0]
    second = [point for point in points if point not in first]
    return [*_in_turn(first, second), first[-1]]


async def helps_and_takes_back(bench: Bench) -> str:
    async with bench.game() as game:
        answer = await game.say("help")
        if answer.moves or answer.refusal or not answer.asks or len(answer.text.split()) < 5:
            raise Breach(f"'help' did not give help and ask again: {answer.quote}")
        await game.play((7, 7))
        answer = await game.say("undo")
        if answer.moves or answer.refusal or not answer.asks:
            raise Breach(f"'undo' did not take the move back and ask again: {answer.quote}")
        again = await game.say("H8")
        if again.refusal:
            raise Breach(f"after 'undo' H8 was not free: {again.refusal!r}")
    return "help was given, and a move taken back"


async def quits(bench: Bench) -> str:
    async with bench.game() as game:
        code = await game.leave("quit")
        if code:
            raise Breach(f"'quit' ended with exit code {code}")
    return "ended at once"


async def survives_end_of_input(bench: Bench) -> str:
    for lines in ("", "H8\n", "H8"):
        game = bench.game()
        code = await game.run_to_end(lines)
        if code:
            raise Breach(f"when the input ended after {lines!r}, the exit code was {code}")
    return "ended politely before a move, after one, and within one"


async def answers_in_time(bench: Bench) -> str:
    """Against a player who stops whatever the AI builds, so that the position gets crowded."""
    times: list[float] = []
    for number in range(MOST_TIMED_GAMES):
        async with bench.game(human=FIRST if number % 2 else SECOND, seconds=None) as game:
            while not game.referee.over and len(times) + len(game.times) < MOVES_TIMED:
                await game.play(_stopper(game.referee))
                slowest = max(game.times, default=0.0)
                if slowest > MOVE_SECONDS:
                    raise Breach(f"the AI took {slowest:.1f} s for a move")
            times += game.times
        if len(times) >= MOVES_TIMED:
            break
    if not times:
        raise Breach("the AI made no move that could be timed")
    return f"{len(times)} moves, the slowest in {max(times):.2f} s"


def _stopper(referee: Referee) -> Point:
    """The point where the opponent's longest row would grow; the most central of them."""
    other, middle = 1 - referee.to_move, SIZE // 2
    return max(referee.free(), key=lambda p: (referee.longest(p, other), -abs(p[0] - middle) - abs(p[1] - middle), p))


async def beats_random(bench: Bench) -> str:
    for number in range(RANDOM_GAMES):
        chance = random.Random(number)
        async with bench.game(human=number % 2) as game:
            while not game.referee.over:
                await game.play(chance.choice(game.referee.free()))
            if game.referee.winner != 1 - game.human:
                raise Breach(f"the AI did not win game {number + 1} against a player who moves at random")
    return f"won {RANDOM_GAMES} of {RANDOM_GAMES}, beginning in half of them"


CHECKS: dict[str, Callable[[Bench], Awaitable[str]]] = {
    "starts": starts,
    "takes a user's move": takes_a_move,
    "answers with a legal move": answers_with_a_move,
    "refuses a taken point": refuses_taken_points,
    "refuses a point off the board": refuses("P8", "H16", "H0", "Z99"),
    "refuses nonsense": refuses("hello world", "8H", "-1", "H8 H9", "\u2603", "H\u0668"),
    "refuses an empty line": refuses("", "   "),
    "refuses huge input": refuses("9" * 100_000, "H" + "8" * 5_000),
    "names the user as winner": user_wins,
    "names the AI as winner": ai_wins,
    "names a draw": draws,
    "helps and takes back": helps_and_takes_back,
    "quits": quits,
    "survives the end of input": survives_end_of_input,
    "answers within 2 s": answers_in_time,
    "beats a random player": beats_random,
}
"""Every check by its name, in order; nothing else is tried when the first one fails."""
