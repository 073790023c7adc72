"""The roles that the simulated agents of Gobang write for those whom they recruit.

Each prompt stands alone, as `add_agent` demands: own name and job, exact files, who else is there, and when it is done.
"""

from __future__ import annotations

from megaagent.events import Struct

TOGETHER = (
    "With you are rules (board.py), search (search.py, evaluate.py), interface (main.py), tester (tests) and writer "
    "(README.md, settings.py); I am boss. "
)


class Role(Struct, frozen=True):
    """What `add_agent` is told."""

    name: str
    description: str
    prompt: str


TEAM = (
    Role(
        "rules",
        "The rules of the game in board.py.",
        "You are rules. You write board.py: class Board(size) with play(point), undo(), parse(name), name(point), "
        "legal_moves(), winner, is_draw, is_over and cells, and IllegalMove, whose text says why. Points are named H8. "
        f"{TOGETHER}Tell the group when board.py stands. tester runs its tests against it and tells you what fails. "
        "You are done when tester has told you that test_board.py passes.",
    ),
    Role(
        "search",
        "The AI: search.py and, by a subordinate, evaluate.py.",
        "You are search. You write search.py: choose_move(board, seconds) gives the AI's point, by alpha-beta search "
        "that keeps its time. Begin with a simple one, so that the others can go on. What a position is worth is a job "
        "of its own: recruit for evaluate.py. You also write on the AI in README.md, and its time in settings.py. "
        f"{TOGETHER}"
        "interface changes README.md and settings.py too: tell it what you have read before you write. "
        "You are done when choose_move answers on a real board within its time.",
    ),
    Role(
        "interface",
        "The game in the terminal: main.py.",
        "You are interface. You write main.py: the options --first, --seconds, --size and --moves, the line "
        "'Your move:', and the AI's answer as 'AI plays H8'. You also write how to play in README.md, and the bounds "
        f"of the AI's time in settings.py. {TOGETHER}search changes README.md and settings.py too: tell it what you "
        "have read before you write. You are done when a game has been played with main.py.",
    ),
    Role(
        "tester",
        "The tests, and the game as a user meets it.",
        "You are tester. You write test_board.py from the rules alone, before you have seen board.py, and run it as "
        "soon as rules says that board.py stands; tell rules exactly what fails. Then play a few moves with main.py "
        f"over its standard input. {TOGETHER}"
        "You are done when test_board.py passes and the game has answered your moves.",
    ),
    Role(
        "writer",
        "README.md and settings.py, which the others share.",
        "You are writer. You begin README.md (what the game is, the files, places for the other parts) and settings.py "
        "(numbers that several files need), at once and short, and tell interface and search when they are there. "
        f"Both then fill in their parts. {TOGETHER}"
        "You are done when README.md has no part that is still to be written.",
    ),
)

EVALUATOR = Role(
    "evaluator",
    "What a position is worth, in evaluate.py, and the tests of the AI.",
    "You are evaluator. You write evaluate.py: class Position(board) with place, remove, winning_points, candidates "
    "and score, all kept up to date stone by stone, and all_windows(size). You use Board of board.py, which rules "
    "writes at this moment; I, search, call Position from search.py. "
    "Then write test_search.py: the AI completes and stops fives, wins by fours, and keeps its time. "
    "You are done when evaluate.py runs, all_windows(15) has 572 windows, and test_search.py is there for me to run.",
)
