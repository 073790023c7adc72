"""The scripted run that is killed again and again: 12 agents on three levels who use every kind of effect.

A boss with two admins of four workers each and a scribe: shared files with merges, talk, reviews with a return, a
program whose files are kept, a user's tool with an effect outside the journal, bare text, and two rounds of
verification. Everything that the checker must find again is a line that begins with `keep `, a key of `deposit`, or a
fact. Each part looks only at what it has seen, and goes on when it is told that an outcome is unknown.
"""

from __future__ import annotations

import re

from megaagent.models.script import (
    Part,
    Play,
    Playing,
    Script,
    add_agent,
    call,
    change_task_status,
    edit_file,
    exec_python_file,
    read_file,
    review,
    say,
    talk,
    terminate,
    text,
    verdict,
    wait,
    write_file,
)

SHARED = "shared.txt"
GOAL = "Write shared.txt with a line of everybody, a file of each worker, and made.txt by a program."
ATTEMPTS = 5  # at what a crash or a conflict may have spoiled


def script(admins: int = 2, workers: int = 4) -> Script:
    """The parts of 2 + admins * (1 + workers) agents.

    Args:
        admins: groups under the boss.
        workers: in each group.
    """
    groups = {f"a{a}": [f"a{a}w{w}" for w in range(workers)] for a in range(admins)}
    everybody = [name for group in groups.values() for name in group]
    parts: dict[str, Play] = {"boss": _boss(list(groups), everybody), "scribe": _scribe}
    for admin, group in groups.items():
        parts[admin] = _admin(group)
    for index, name in enumerate(everybody):
        friend = everybody[(index + 1) % len(everybody)]
        parts[name] = _worker(name, friend, by_edit=index % 2 == 1, hasty=index == 2)
    return Script(parts, verifier=_verifier)


def prompt(name: str, files: str) -> str:
    """A role that stands alone."""
    job = f"You write {files} and nothing else, beside your line in {SHARED}."
    return f"You are {name}. {job} You work alone. Hand in when it is done."


def _boss(admins: list[str], workers: list[str]) -> Play:
    def play(me: Part) -> Playing:
        sections = "".join(f"== {name} ==\n-\n" for name in [*workers, "scribe"])
        yield say(write_file(SHARED, sections), change_task_status(todo=["recruit", "review"]))
        recruits = [add_agent(name, f"leads {name}", prompt(name, f"{name}.txt")) for name in admins]
        yield say(
            call("deposit", key="boss-before"),
            *recruits,
            add_agent("scribe", "writes notes", prompt("scribe", "notes.txt")),
            change_task_status(done=["recruit"]),
        )
        accepted: set[str] = set()
        returned = False
        while len(accepted) < len(admins) + 1:
            waiting = {letter.sender for letter in me.mail if letter.kind == "report"} - accepted
            reports = sum(letter.sender == "scribe" and letter.kind == "report" for letter in me.mail)
            if "scribe" in waiting and not returned:
                returned = True
                yield review(["scribe"], "return", "one line more, please")
            elif waiting - {"scribe"} or (returned and reports > 1 and "scribe" not in accepted):
                ready = sorted(waiting - {"scribe"}) + ["scribe"] * (reports > 1 and "scribe" not in accepted)
                yield review(ready)
                accepted |= set(ready) if me.last.ok else set()
            else:
                yield wait([], "their parts")
        yield say(change_task_status(done=["review"]), call("deposit", key="boss-after"))
        yield terminate("everything is in place")
        while not me.heard("verifier", "review"):
            if me.last.tool == "terminate" and not me.last.ok:  # it had unread mail
                yield terminate("everything is in place")
            else:
                yield wait(["scribe"], "the verdict")
        yield write_file("gap.txt", "keep the gap is closed\n")
        return "the gap is closed"

    return play


def _admin(group: list[str]) -> Play:
    def play(me: Part) -> Playing:
        yield say(*(add_agent(name, f"worker {name}", prompt(name, f"{name}.txt")) for name in group))
        yield talk("group", f"keep calm, says {me.name}")
        while not me.reported(*group):
            yield wait([], "their parts")
        yield say(review(group), write_file(f"{me.name}.txt", f"keep summary of {me.name}\n"))
        return f"the group of {me.name} is done"

    return play


def _worker(name: str, friend: str, *, by_edit: bool, hasty: bool) -> Play:
    def play(me: Part) -> Playing:
        if hasty:
            yield text("I shall think about it first.")
        yield say(
            write_file(f"{name}.txt", f"first of {name}\n"),
            call("deposit", key=f"{name}-one"),
            edit_file(f"{name}.txt", f"first of {name}\n", f"keep second of {name}\n"),
            call("deposit", key=f"{name}-two"),
            talk(friend, f"greetings from {name}"),
            talk(friend, f"and again from {name}"),
        )
        yield from _line(me, name, by_edit)
        return f"{name}.txt and a line"

    return play


def _line(me: Part, name: str, by_edit: bool) -> Playing:
    """Add the agent's line to the shared file; what was read before is the base, so that merges happen."""
    old, new = f"== {name} ==\n-\n", f"== {name} ==\nkeep line of {name}\n-\n"
    for _ in range(ATTEMPTS):
        if by_edit:
            yield edit_file(SHARED, old, new)
        else:
            yield read_file(SHARED)
            head, _, body = me.last.text.partition(":\n")
            found = re.search(r"revision (\w+)", head)
            yield write_file(SHARED, body.replace(old, new), base=found[1] if found else None)
        if me.last.ok:
            return None
        yield read_file(SHARED)
        if f"keep line of {name}\n" in me.last.text:
            return None  # by a step that the journal has lost
    return None


def _scribe(me: Part) -> Playing:
    yield say(
        write_file("notes.txt", "keep notes\n"),
        write_file("make.py", "open('made.txt', 'w').write('keep made\\n')\n"),
        change_task_status(todo=["make"]),
    )
    for _ in range(ATTEMPTS):
        yield say(talk("boss", f"I run it, attempt {len(me.results)}"), exec_python_file("make.py", stdin=""))
        if not me.last.ok:
            continue
        yield call("keep_files", paths=["made.txt"])
        if me.last.ok:
            break
    yield change_task_status(done=["make"])
    yield from _line(me, "scribe", by_edit=False)
    yield terminate("the notes")
    while not me.heard("boss", "review"):
        yield terminate("")
    yield edit_file("notes.txt", "keep notes\n", "keep notes\nkeep one line more\n")
    return "the notes, with one line more"


def _verifier(me: Part) -> Playing:
    while True:
        there = any("gap.txt" in message.text for message in me.mail) or "gap.txt" in " ".join(me.notices)
        yield verdict(there, [] if there else ["gap.txt is missing"])
