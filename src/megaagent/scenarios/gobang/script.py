"""`sim:gobang`: how seven simulated agents develop the game. No model is asked; everything else is real.

The boss recruits five, one of whom recruits a sixth. Two change the same files at the same time, tests fail and are
made to pass, work is returned, and the judge finds gaps in what was handed in first. All texts that are written come
from `files/`; what the agents do with them is decided by what they see.
"""

from __future__ import annotations

import re

from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    ask_user,
    assign,
    change_task_status,
    exec_python_file,
    list_files,
    read_file,
    review,
    say,
    verdict,
)
from megaagent.scenarios.gobang.crew import (
    Scene,
    evaluator,
    hand_in,
    interface,
    ran,
    reports,
    rules,
    search,
    tester,
    writer,
)
from megaagent.scenarios.gobang.roles import TEAM

NEEDED = ("main.py", "README.md")  # what the goal names, beside the modules that it needs
PLAN = ["recruit", "review what is handed in", "play the whole game"]


def boss(me: Part) -> Playing:
    # All in one answer: each may write to any other in its first step.
    yield say(*(add_agent(role.name, role.description, role.prompt) for role in TEAM))
    yield say(
        change_task_status(todo=PLAN),
        ask_user("Is a game in the terminal enough, or do you want a window too? Without an answer: the terminal."),
    )
    yield from see_readme(me)
    yield from reports(me, ["rules", "interface"])
    yield say(review(["rules", "interface"], "accept", "The files are there and were run."), list_files())
    yield from reports(me, ["tester", "search"])
    yield from ran(
        me,
        review(["tester", "search"]),
        exec_python_file("main.py", ["--first", "ai", "--seconds", "0.2"], stdin="quit\n"),
    )
    report = (
        "The game is main.py with board.py, search.py, evaluate.py and settings.py; start it with python main.py. The "
        "tests were run by tester, and main.py by me. README.md says how to play."
    )
    yield from hand_in(me, report, PLAN)
    while letter := me.heard("verifier"):
        yield from close_gaps(me, letter.text, report)
    return report


def see_readme(me: Part) -> Scene:
    """Review README.md while the others are still at work: it must say how the game is started."""
    yield from reports(me, ["writer"])
    yield read_file("README.md")
    if "python main.py" not in me.last.text:
        since = len(me.mail)
        yield review(
            ["writer"], "return", "README.md does not say how to start the game. Add the command and its needs."
        )
        yield from reports(me, ["writer"], since)
        yield read_file("README.md")
    yield review(["writer"], "accept", "README.md says all that a player needs.")


def close_gaps(me: Part, gaps: str, report: str) -> Scene:
    """Share out what the verifier found to those who are at rest, see to it that it is done, and hand in again."""
    since = len(me.mail)
    named = "\n".join(line for line in gaps.splitlines() if line.startswith("- main.py")) or gaps
    yield say(
        change_task_status(done=PLAN, todo=["close the gaps"]),
        assign("interface", f"main.py has gaps; done when none is left. The verifier says:\n{named}"),
        assign("tester", "Run all tests, those of the AI too, and type nonsense at the new main.py."),
        assign("writer", "README.md must agree with the new main.py: its inputs, its options, its endings."),
    )
    mended = ["interface", "writer", "tester"]
    yield from reports(me, mended, since)
    yield from ran(
        me,
        review(mended, "accept", "The gaps are closed."),
        exec_python_file("main.py", ["--seconds", "0.2"], stdin="H8\nH8\nundo\nquit\n"),
    )
    played = "main.py refused a taken point when I played." if "Illegal move:" in me.last.text else me.last.text[-500:]
    yield from hand_in(me, f"{report} {played}", PLAN)


def judge(me: Part) -> Playing:
    """Confirms when every executed check has passed and nothing that the goal names is missing."""
    shown = "\n".join(me.notices)
    failed = re.findall(r"^\[failed\] ([^:\n]*)", shown, re.MULTILINE)
    gaps = [f"main.py is not finished: {len(failed)} of its checks fail ({', '.join(failed)})"] if failed else []
    gaps += [f"{name} is missing" for name in NEEDED if not re.search(rf"^{re.escape(name)}  ", shown, re.MULTILINE)]
    yield verdict(not gaps, gaps, "The rest does what the goal asks for." if gaps else "All checks have passed.")
    return None


SCRIPT = Script(
    {
        "boss": boss,
        "rules": rules,
        "search": search,
        "evaluator": evaluator,
        "interface": interface,
        "tester": tester,
        "writer": writer,
    },
    verifier=judge,
)
