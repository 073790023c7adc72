"""A small organization that a simulated model plays.

Its members do not write to each other, so that what each does depends on nothing but the seed: how their work falls
together in time changes the order of facts and none of them.
"""

from __future__ import annotations

from collections.abc import Callable

from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    call,
    exec_python_file,
    read_file,
    review,
    say,
    wait,
    write_file,
)

Role = Callable[[Part], Playing]
PROGRAM = """import time
time.sleep({seconds})
open('{name}.txt', 'w').write('{name} ' * {number})
print('{name} wrote')
"""
NAMES = ("ann", "bob", "cleo")


def role(name: str) -> str:
    return (
        f"You are {name}. Write {name}.py, run it, keep what it writes, and hand in; you work beside "
        f"{', '.join(NAMES)} and write nothing else. When {name}.txt is there you are done."
    )


def boss(me: Part) -> Playing:
    yield say(*(add_agent(name, f"writes {name}.py", role(name)) for name in NAMES))
    while not all(me.reported(name) for name in NAMES):
        yield wait([], "their parts")
    yield review(list(NAMES))
    for name in NAMES:
        yield read_file(f"{name}.txt")
    yield write_file("check.py", "print(sorted(open(f'{n}.txt').read() for n in ('ann', 'bob', 'cleo')))\n")
    yield exec_python_file("check.py")
    return "ann.txt, bob.txt and cleo.txt"


def member(name: str, number: int) -> Role:
    def play(me: Part) -> Playing:
        yield write_file(f"{name}.py", PROGRAM.format(name=name, number=number, seconds=0.7 * (number - 3)))
        yield exec_python_file(f"{name}.py")
        yield call("keep_files", paths=[f"{name}.txt"])
        for round in range(number):
            yield write_file(f"{name}-{round}.md", f"round {round} of {name}\n")
        return f"{name}.txt"

    return play


ROLES: dict[str, Role] = {"boss": boss, **{name: member(name, number) for number, name in enumerate(NAMES, 3)}}
SCRIPT = Script(ROLES)
