"""The parts of the six agents that the boss and `search` recruit; `script.py` has the boss and the judge.

Mail may come at any step and in any order, so a part waits for the words that it needs and not for a number of steps.
Each agent makes one mistake that real models make, sees the engine's answer, and repairs it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from typing import TypeAlias

from megaagent.models.script import (
    Act,
    Letter,
    Part,
    Playing,
    Says,
    Seen,
    add_agent,
    call,
    change_task_status,
    edit_file,
    exec_python_file,
    list_files,
    raw,
    read_file,
    recall,
    review,
    run_command,
    say,
    search_files,
    stop_program,
    talk,
    terminate,
    wait,
    write_file,
)
from megaagent.models.script import input as type_in
from megaagent.models.script import text as bare_text
from megaagent.scenarios.gobang.roles import EVALUATOR
from megaagent.scenarios.gobang.texts import STARTED, UNSTARTED, changes, text

Scene: TypeAlias = Generator[Says | Act, Seen, None]

RUN_TESTS = "python -m pytest -q"


# -- what they all do ------------------------------------------------------------------------------------------


def told(me: Part, sender: str, words: str) -> Letter | None:
    """The first mail from `sender` with these words in it."""
    return next((letter for letter in me.mail if letter.sender == sender and words in letter.text), None)


def until(me: Part, sender: str, words: str) -> Scene:
    """Rest until `sender` has written these words."""
    while not told(me, sender, words):
        yield wait([sender], f"I need your word: {words}")


def reports(me: Part, names: Iterable[str], since: int = 0) -> Scene:
    """Rest until each of these has handed in, counted from the mail number `since`."""
    for name in names:
        while not any(letter.sender == name and letter.kind == "report" for letter in me.mail[since:]):
            yield wait([name], "I review what is handed in")


def ran(me: Part, *acts: Act) -> Scene:
    """Run the program that is the last of the acts; again, when the engine was stopped while it ran."""
    yield say(*acts)
    while "the engine was stopped while this program ran" in me.last.text:
        yield acts[-1]


def hand_in(me: Part, report: str, done: Iterable[str], *last: Act) -> Scene:
    """Hand in after the `last` acts, and again after a refusal; goes on when somebody writes to the agent at rest."""
    yield say(*last, change_task_status(done=list(done)), terminate(report))
    while not me.last.ok:
        yield terminate(report)


def rest_until(me: Part, sender: str, words: str) -> Scene:
    """Stay handed in until `sender` has written these words."""
    while not told(me, sender, words):
        yield terminate("Nothing was asked of me.")


def revision_in(result: str) -> str:
    """The revision in the answer of `read_file`, or the one that a conflict says to write against."""
    found = re.search(r"(?:at revision|with base) ([0-9a-f]+)", result)
    return found[1] if found else ""


# -- two agents change the same two files ----------------------------------------------------------------------


def read_shared(me: Part, other: str) -> Generator[Says | Act, Seen, tuple[str, str]]:
    """Read what `other` will change too, and tell it; returns the revisions of settings.py and README.md."""
    yield from until(me, "writer", "settings.py")
    seen = yield say(read_file("settings.py"), read_file("README.md"))
    settings, readme = (revision_in(result.text) for result in seen.results)
    yield talk(
        other,
        f"I have read settings.py at {settings} and README.md at {readme}. I shall change both as soon as you have "
        "read them too.",
    )
    return settings, readme


def change_shared(me: Part, other: str, settings: str, readme: str) -> Scene:
    """Change both files from the revisions that both agents have read; who comes second settles what conflicts."""
    yield from until(me, other, "I have read settings.py")
    seen = yield say(
        write_file("settings.py", text(f"early/settings_{me.name}.py"), settings),
        write_file("README.md", text(f"early/README_{me.name}.md"), readme),
    )
    conflict = seen.results[0]
    if not conflict.ok:
        # Both have changed the line of the AI's time: 0.8 s is safe on slow machines, and the bounds stay.
        yield write_file("settings.py", text("settings.py"), revision_in(conflict.text))
    yield talk("writer", "My part of README.md is written, and settings.py has my numbers.")


# -- the parts --------------------------------------------------------------------------------------------------


def rules(me: Part) -> Playing:
    plan = ["write board.py", "try it", "get test_board.py to pass"]
    # The answer is cut off in the middle of the text, as it happens with long ones.
    yield say(
        change_task_status(todo=plan), raw("write_file", '{"path": "board.py", "content": "\\"\\"\\"The rules of')
    )
    yield write_file("board.py", text("early/board.py"))
    yield from ran(
        me,
        run_command(
            'python -c "from board import Board; b = Board(); '
            "[b.play(b.parse(n)) for n in 'D8 A1 E8 B1 F8 C1 G8 A3 H8'.split()]; print(b.winner, b)\"",
            stdin="",
        ),
    )
    yield talk(
        "group",
        "board.py stands: Board(size) with play, undo, parse, name, legal_moves, winner, is_draw and is_over; a move "
        "that is not allowed raises IllegalMove, whose text says why.",
    )
    while not told(me, "tester", "test_board.py passes"):
        if told(me, "tester", "test_board.py fails") and not me.result_of("edit_file"):
            yield say(read_file("board.py"), search_files("DIRECTIONS"))
            yield say(*(edit_file("board.py", old, new) for old, new in changes("board.py")))
            yield talk("tester", "I have mended board.py: the falling diagonal was missing from DIRECTIONS. Try again.")
        else:
            yield wait(["tester"], "I mend board.py if test_board.py fails")
    yield from hand_in(me, "board.py holds the rules; tester has run test_board.py against it, and it passes.", plan)
    yield from rest_until(me, "interface", "draw")
    yield talk(
        "interface",
        "A full board without a five: is_draw is True, winner is None, and is_over is True for that as for a win. "
        "parse refuses any text that is no point, play a taken point, and undo an empty game: all raise IllegalMove, "
        "whose text is made for the user. legal_moves() is empty when the game is over, so ask is_over before the AI.",
    )
    return "I have told interface how board.py shows a draw."


def search(me: Part) -> Playing:
    plan = ["recruit for evaluate.py", "begin search.py", "my part of README.md and settings.py", "write search.py"]
    yield say(
        change_task_status(todo=plan),
        add_agent(EVALUATOR.name, EVALUATOR.description, EVALUATOR.prompt),
        write_file("search.py", text("early/search.py")),
        talk(
            ["interface", "tester"], "search.py stands for a start: choose_move(board, seconds) gives the AI's point."
        ),
    )
    base = revision_in(me.results[2].text)
    revisions = yield from read_shared(me, "interface")
    yield from change_shared(me, "interface", *revisions)
    yield write_file("search.py", text("search.py"), base)
    yield from until(me, "rules", "board.py stands")
    yield from reports(me, ["evaluator"])
    yield from ran(
        me,
        read_file("evaluate.py"),
        run_command(f"{RUN_TESTS} test_search.py", stdin=""),
    )
    played = me.last
    if not played.ok:
        yield review(["evaluator"], "return", f"search.py cannot play with evaluate.py:\n{played.text[-2000:]}")
        yield from reports(me, ["evaluator"], len(me.mail))
    accepted = review(["evaluator"], "accept", "Position has all that search.py calls, and the AI plays with it.")
    report = f"search.py and evaluate.py are the AI. test_search.py says: {' '.join(played.text.split())[-200:]}"
    yield from hand_in(me, report, plan, accepted)
    return "The AI is as I have handed it in."


def evaluator(me: Part) -> Playing:
    plan = ["write evaluate.py", "count its windows", "write test_search.py"]
    yield change_task_status(todo=plan)
    yield write_file("evaluate.py", text("evaluate.py"))
    yield list_files("*.py")
    while "board.py" not in me.last.text:
        yield wait(["rules"], "evaluate.py needs board.py to run", minutes=0.1)
        yield list_files("*.py")
    program = "from evaluate import all_windows; print(len(all_windows(15)))"
    yield call("run_python", code=program)
    if not me.last.ok:  # there is no tool of that name
        yield from ran(me, run_command(f'python -c "{program}"', stdin=""))
    counted = me.last.text.split()[0]
    yield write_file("test_search.py", text("test_search.py"))
    yield from hand_in(
        me, f"evaluate.py stands: {counted} windows on 15 lines. test_search.py is for you to run.", plan
    )
    return "evaluate.py is as I have handed it in."


def interface(me: Part) -> Playing:
    plan = ["write main.py", "my part of README.md and settings.py", "play a game with main.py"]
    word = "main.py will call Board.parse and Board.play for the user, and choose_move(board, seconds) for the AI."
    yield say(change_task_status(todo=plan), list_files(), talk(["rules", "tests"], word))
    if not me.last.ok:  # nobody is called so; the nearest name was told, and rules got its copy
        yield talk("tester", word)
    revisions = yield from read_shared(me, "search")
    yield from change_shared(me, "search", *revisions)
    yield say(
        write_file("main.py", text("early/main.py")),
        talk("tester", "main.py stands: --first, --size, --seconds and --moves, and the game itself."),
    )
    yield from until(me, "rules", "board.py stands")
    yield from until(me, "search", "search.py stands")
    yield from ran(me, exec_python_file("main.py", ["--seconds", "0.2"], stdin="H8\nquit\n"))
    answered = "AI plays" in me.last.text
    yield from hand_in(
        me, f"main.py plays over standard input; a move was {'' if answered else 'not '}answered, and I left it.", plan
    )

    yield from rest_until(me, "boss", "main.py has gaps")
    yield say(
        change_task_status(done=plan, todo=["close the gaps of main.py"]),
        talk(
            "rules", "How does Board tell a draw, and what does it raise for input that is no move? main.py needs both."
        ),
        read_file("main.py"),
    )
    yield from until(me, "rules", "is_draw is True")
    yield say(
        *(edit_file("main.py", old, new) for old, new in changes("main.py")),
        talk(["tester", "writer"], "main.py has no gaps that I know: it refuses, takes back, helps, and says Draw."),
    )
    yield from ran(me, exec_python_file("main.py", ["--seconds", "0.2"], stdin="P8\n\nH8\nH8\nundo\nhelp\nquit\n"))
    refused = me.last.text.count("Illegal move:")
    yield from hand_in(
        me,
        f"main.py refused {refused} of 3 inputs that are no move and asked again; it knows undo, help, quit and Draw.",
        [*plan, "close the gaps of main.py"],
    )
    return "main.py is as I have handed it in."


def tester(me: Part) -> Playing:
    plan = ["write test_board.py", "get it to pass", "play a game with main.py"]
    yield change_task_status(todo=plan)
    yield write_file("test_board.py", text("test_board.py"))
    yield from until(me, "rules", "board.py stands")
    yield from ran(me, run_command(f"{RUN_TESTS} test_board.py", stdin=""))
    if not me.last.ok:
        failed = "\n".join(line for line in me.last.text.splitlines() if line.startswith("FAILED"))
        yield talk("rules", f"test_board.py fails on your board.py:\n{failed}")
        yield from until(me, "rules", "I have mended board.py")
        yield from ran(me, run_command(f"{RUN_TESTS} test_board.py", stdin=""))
    yield talk(
        "rules", "test_board.py passes." if me.last.ok else f"test_board.py fails still:\n{me.last.text[-2000:]}"
    )
    yield from until(me, "interface", "main.py stands")
    yield from until(me, "search", "search.py stands")
    yield from ran(me, exec_python_file("main.py", ["--seconds", "0.2"]))
    yield type_in("H8")
    report = "test_board.py passes on board.py; main.py answered a move that I typed."
    yield say(stop_program(), terminate(report))  # the checklist is still open
    yield from hand_in(me, report, plan)

    yield from rest_until(me, "boss", "all tests")
    again = "run all tests"
    yield from ran(me, change_task_status(done=plan, todo=[again]), run_command(RUN_TESTS, stdin=""))
    tests = me.last.text.splitlines()[-2] if me.last.ok else f"failed: {me.last.text[-2000:]}"
    yield from until(me, "interface", "main.py has no gaps")
    yield from ran(me, exec_python_file("main.py", ["--seconds", "0.2"], stdin="hello world\nH8\nundo\nquit\n"))
    refused = "refused" if "Illegal move:" in me.last.text else "did not refuse"
    yield from hand_in(me, f"All tests were run: {tests}. main.py {refused} nonsense.", [*plan, again])
    return "The tests are as I have handed them in."


def writer(me: Part) -> Playing:
    plan = ["begin README.md and settings.py", "see that no part is missing"]
    yield say(
        change_task_status(todo=plan),
        write_file("settings.py", text("early/settings.py")),
        write_file("README.md", text("early/README.md")),
    )
    word = "README.md and settings.py are begun: read them, then write your parts, which are marked."
    yield bare_text(word)
    yield talk(["interface", "search"], word)  # the engine has said that nobody received it
    for name in ("interface", "search"):
        yield from until(me, name, "My part of README.md is written")
    yield say(read_file("README.md"), search_files("To be written"))
    yield from hand_in(me, "README.md has all its parts, settings.py all its numbers.", plan)

    while not me.heard("boss", "review"):
        yield terminate("README.md is as I have handed it in.")
    yield say(recall("start main.py"), read_file("README.md"))
    yield edit_file("README.md", UNSTARTED, STARTED)
    yield from hand_in(me, "README.md now says how the game is started, and what it needs.", plan)

    yield from rest_until(me, "boss", "README.md must agree")
    again = "compare README.md with main.py"
    yield say(change_task_status(done=plan, todo=[again]), read_file("README.md"))
    yield from until(me, "interface", "main.py has no gaps")
    yield from ran(me, exec_python_file("main.py", ["--help"], stdin=""))
    known = [option for option in ("--first", "--size", "--seconds", "--moves") if option in me.last.text]
    yield from hand_in(me, f"README.md agrees with main.py, which knows {', '.join(known)}.", [*plan, again])
    return "README.md is as I have handed it in."
