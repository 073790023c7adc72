"""Playing a game of Gobang against a program that is not trusted to keep the rules.

The conversation is the one that the goal asks for: the program prints a line that starts with `Your move` when it is
the user's turn, `AI plays H8` for its own move, a line that starts with `Illegal move` for input that it refuses, and
`You win`, `The AI wins` or `Draw` at the end. Every claim is compared with a board of our own.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from types import TracebackType

from megaagent.errors import SandboxError
from megaagent.events import Struct
from megaagent.sandboxes.contract import Limits, Process, Program
from megaagent.scenarios.contract import Start

SIZE = 15
IN_A_ROW = 5
DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))
FIRST, SECOND = 0, 1

YOU_WIN, AI_WINS, DRAW = "You win", "The AI wins", "Draw"

Point = tuple[int, int]  # column and row, from 0

_PROMPT = re.compile(r"your move\b\W*", re.IGNORECASE)
_AI_MOVE = re.compile(r"AI plays:? *(\S+?)[.!]?$", re.IGNORECASE)
_REFUSAL = re.compile(r"illegal move\b", re.IGNORECASE)
_ENDING = re.compile(rf"({YOU_WIN}|{AI_WINS}|{DRAW})[.!]?$", re.IGNORECASE)
_CRASH = "Traceback (most recent call last)"
_FLOOD = 1 << 20  # characters of one answer; a game that prints its board needs under two thousand
_QUIET = 0.02  # seconds without output after which it is looked whether the answer is complete
_QUOTED = 200


class Breach(Exception):
    """The program did something that a Gobang game must not do; the text says what was seen."""


class Patience(Struct, frozen=True):
    """How long a program is given, in seconds of real time."""

    answer: float = 3.0  # for any answer; after it the program counts as hanging
    game: float = 30.0  # for one game


def name_of(point: Point) -> str:
    """What a point is called: (7, 7) is H8."""
    return f"{chr(ord('A') + point[0])}{point[1] + 1}"


def point_of(name: str) -> Point | None:
    """The point with this name, or None if no point of the board has it."""
    found = re.fullmatch(r"([A-Za-z])([0-9]{1,2})", name)
    if not found:
        return None
    point = ord(found[1].upper()) - ord("A"), int(found[2]) - 1
    return point if max(point) < SIZE and min(point) >= 0 else None


class Referee:
    """The rules, independent of the program under test.

    Args:
        moves: points played already, in order.
    """

    def __init__(self, moves: Iterable[Point] = ()):
        self.stones: dict[Point, int] = {}
        self.winner: int | None = None
        for point in moves:
            self.play(point)

    @property
    def to_move(self) -> int:
        return len(self.stones) % 2

    @property
    def over(self) -> bool:
        return self.winner is not None or len(self.stones) == SIZE * SIZE

    def free(self) -> list[Point]:
        """The points without a stone, row by row."""
        points = ((column, row) for row in range(SIZE) for column in range(SIZE))
        return [point for point in points if point not in self.stones]

    def play(self, point: Point) -> None:
        player = self.to_move
        self.stones[point] = player
        if self.longest(point, player) >= IN_A_ROW:
            self.winner = player

    def longest(self, point: Point, player: int) -> int:
        """Length of the longest row that a stone of `player` on this point is part of, or would be."""
        return max(1 + self.run(point, player, d) + self.run(point, player, (-d[0], -d[1])) for d in DIRECTIONS)

    def run(self, point: Point, player: int, direction: Point) -> int:
        """How many stones of `player` follow the point in one direction."""
        length = 0
        while True:
            point = point[0] + direction[0], point[1] + direction[1]
            if self.stones.get(point) != player:
                return length
            length += 1


class Answer(Struct, frozen=True):
    """What the program printed until it was the user's turn, the game's end, or its own.

    Attributes:
        text: everything, as it came.
        moves: what the AI says that it played.
        refusal: the first line that refuses the user's input.
        ending: how the game ended, in the words of the goal.
        asks: it is the user's turn.
        running: the program had not ended.
        seconds: from the question to the AI's first move, or to the end of the answer.
    """

    text: str
    moves: tuple[str, ...]
    refusal: str | None
    ending: str | None
    asks: bool
    running: bool
    seconds: float

    @property
    def quote(self) -> str:
        """The end of the text, for people."""
        text = " | ".join(line.strip() for line in self.text.splitlines() if line.strip())
        return repr(text if len(text) <= _QUOTED else "..." + text[-_QUOTED:]) if text else "nothing"


def _read(text: str, running: bool, seconds: float) -> Answer:
    """Find in the text what the goal's fixed lines say."""
    moves: list[str] = []
    refusal = ending = None
    asks = False
    for line in map(str.strip, text.splitlines()):
        asks = bool(_PROMPT.match(line)) or (asks and not line)
        # A program that does not end its prompt with a new line prints the next thing behind it.
        line = _PROMPT.sub("", line, count=1) if _PROMPT.match(line) else line
        asks = asks and not line
        if found := _AI_MOVE.match(line):
            moves.append(found[1])
        elif found := _ENDING.match(line):
            ending = next(end for end in (YOU_WIN, AI_WINS, DRAW) if end.lower() == found[1].lower())
        elif _REFUSAL.match(line):
            refusal = refusal or line
    return Answer(text, tuple(moves), refusal, ending, asks, running, seconds)


class Game:
    """One game, to be used as an asynchronous context manager; leaving it stops the program.

    Args:
        start: where to run the program.
        human: FIRST or SECOND.
        moves: the position to start from.
        seconds: thinking time to ask for; None leaves the program's default.
        patience: how long to wait.

    Attributes:
        referee: the true state of the game.
        times: seconds that each move of the AI took, process start left out.
        opening: the first answer, with the AI's first move when it begins.
    """

    def __init__(
        self,
        start: Start,
        *,
        human: int = FIRST,
        moves: Iterable[Point] = (),
        seconds: float | None = None,
        patience: Patience | None = None,
    ):
        given = tuple(moves)
        self.human = human
        self.patience = patience or Patience()
        self.referee = Referee(given)
        self.times: list[float] = []
        self.opening: Answer
        self._start = start
        self._command = ["python", "main.py", "--first", "human" if human == FIRST else "ai"]
        if given:
            self._command += ["--moves", " ".join(map(name_of, given))]
        if seconds is not None:
            self._command += ["--seconds", str(seconds)]
        self._process: Process
        self._deadline = 0.0

    async def __aenter__(self) -> Game:
        await self._begin(None)
        try:
            self.opening = await self._hear()
            self._follow(self.opening, timed=False)
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._process.stop()

    async def play(self, point: Point) -> Answer:
        """Make a legal move for the user and follow the program's answer.

        Raises:
            Breach: the program refused it, answered with anything but one legal move, or is wrong about the end.
        """
        answer = await self.say(name_of(point))
        if answer.refusal:
            raise Breach(f"refused the legal move {name_of(point)}: {answer.refusal[:_QUOTED]!r}")
        self.referee.play(point)
        self._follow(answer, timed=True)
        return answer

    async def say(self, line: str) -> Answer:
        """Send a line and return what the program answers, without judging it.

        Raises:
            Breach: the program has ended, hangs, floods or shows a traceback.
        """
        await self._send(line + "\n")
        return await self._hear()

    async def leave(self, line: str | None = None) -> int:
        """Let the program end, by a command or because the game is over, and return its exit code.

        Raises:
            Breach: it does not end, or shows a traceback.
        """
        if line is not None:
            await self._send(line + "\n")
        text, running, deadline = "", True, time.monotonic() + self.patience.answer
        while running:
            if time.monotonic() >= deadline:
                raise Breach(f"did not end within {self.patience.answer:g} s when it should have")
            more, running = await self._more(deadline)
            text += more
            self._inspect(text)
        return (await self._process.wait()).exit_code

    async def run_to_end(self, text: str) -> int:
        """Instead of a conversation: give the program all its input at once, and return its exit code.

        Raises:
            Breach: it does not end, or shows a traceback.
        """
        await self._begin(text)
        try:
            return await self.leave()
        finally:
            await self._process.stop()

    async def _begin(self, stdin: str | None) -> None:
        self._deadline = time.monotonic() + self.patience.game
        # The program's own limits are the last resort; they must not strike before ours, which say what was wrong.
        seconds = self.patience.game + 10
        limits = Limits(seconds=seconds, cpu_seconds=seconds)
        self._process = await self._start(Program(tuple(self._command), stdin=stdin, limits=limits))

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self.patience.answer):
                await self._process.send(text)
        except SandboxError:
            raise Breach("ended although the game was not over") from None
        except TimeoutError:
            raise Breach(f"did not read its input for {self.patience.answer:g} s") from None

    async def _hear(self) -> Answer:
        """Read until it is the user's turn, the game is over, or the program has ended."""
        asked = time.monotonic()
        deadline = min(self._deadline, asked + self.patience.answer)
        text, moved = "", 0.0
        while True:
            more, running = await self._more(deadline)
            text += more
            self._inspect(text)
            answer = _read(text, running, moved)
            if answer.moves and not moved:
                moved = time.monotonic() - asked
            if answer.asks or answer.ending or not running:
                return _read(text, running, moved or time.monotonic() - asked)
            if time.monotonic() >= deadline:
                raise Breach(f"{self._overdue()}; it had printed {answer.quote}")

    async def _more(self, deadline: float) -> tuple[str, bool]:
        """Some output, or none when the time is over, and whether the program runs."""
        left = max(0.1, deadline - time.monotonic())
        reading = asyncio.ensure_future(self._process.read(_QUIET, left))
        # Reading goes on as long as the program prints without a pause, so it needs a limit of its own; and one that
        # holds even when the reading cannot be cancelled.
        await asyncio.wait({reading}, timeout=left + 1)
        if not reading.done():
            reading.cancel()
            raise Breach(f"{self._overdue()}, and it did not stop printing")
        return reading.result()

    def _overdue(self) -> str:
        if time.monotonic() >= self._deadline:
            return f"the game took over {self.patience.game:g} s"
        return f"neither asked for a move nor ended within {self.patience.answer:g} s"

    @staticmethod
    def _inspect(text: str) -> None:
        if _CRASH in text:
            raise Breach(f"crashed: {text.strip().splitlines()[-1][:_QUOTED]}")
        if len(text) > _FLOOD:
            raise Breach(f"printed over {_FLOOD} characters in one answer")

    def _follow(self, answer: Answer, *, timed: bool) -> None:
        """Bring the referee up to date with an answer, or say what is wrong with it."""
        referee = self.referee
        if not referee.over and referee.to_move != self.human:
            self._follow_move(answer)
            if timed:
                self.times.append(answer.seconds)
        elif answer.moves:
            raise Breach(f"the AI played {answer.moves[0]} when it was not its turn")
        expected = None
        if referee.over:
            expected = DRAW if referee.winner is None else YOU_WIN if referee.winner == self.human else AI_WINS
        if answer.ending != expected:
            said = f"said {answer.ending!r}" if answer.ending else f"did not say so: {answer.quote}"
            truth = f"the game is over ({expected})" if expected else "the game is not over"
            raise Breach(f"{truth}, but the program {said}")
        if not referee.over and not answer.asks:
            raise Breach(f"ended in the middle of the game: {answer.quote}")

    def _follow_move(self, answer: Answer) -> None:
        if not answer.moves:
            raise Breach(f"no line 'AI plays ...' came, but {answer.quote}")
        first, *more = answer.moves
        if more:
            raise Breach(f"the AI moved more than once: {', '.join(answer.moves[:5])}")
        point = point_of(first)
        if point is None:
            raise Breach(f"the AI played {first[:_QUOTED]!r}, which is not a point of the board")
        if point in self.referee.stones:
            raise Breach(f"the AI played {name_of(point)}, which was taken")
        self.referee.play(point)
