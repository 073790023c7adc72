"""A test of an organization, in virtual time: two agents that write to the same file, and an hour's wait.

    python examples/rehearse.py

Nothing outside this process is touched and no model is asked. With pytest the function `test_two_authors` is a test.
"""

from __future__ import annotations

from megaagent import Script
from megaagent.events import FileCommitted
from megaagent.models.script import Part, Playing, add_agent, edit_file, review, say, wait, write_file
from megaagent.testing import Rehearsal, rehearse

PROMPT = (
    "You are {name}. You change one line of the file list.txt, alone; boss reads it. "
    "You are done when your line stands; then hand in with terminate."
)


def boss(me: Part) -> Playing:
    yield write_file("list.txt", "bread\nbutter\nsalt\n")
    yield say(*(add_agent(name, "writes a line", PROMPT.format(name=name)) for name in ("first", "last")))
    while not me.reported("first", "last"):
        yield wait(["first", "last"], "I need both lines")
    yield review(["first", "last"], "accept")
    return "list.txt has three lines."


def first(me: Part) -> Playing:
    yield edit_file("list.txt", "bread", "rye bread")
    return "the first line stands"


def last(me: Part) -> Playing:
    yield wait(["boss"], "the market opens in an hour", minutes=60)
    yield edit_file("list.txt", "salt", "sea salt")
    return "the last line stands"


def rehearsal() -> Rehearsal:
    return rehearse(Script({"boss": boss, "first": first, "last": last}), "Write a shopping list.")


def test_two_authors() -> None:
    run = rehearsal()
    assert run.ending.status == "completed"
    assert run.files == {"list.txt": "rye bread\nbutter\nsea salt\n"}
    assert [fact.path for fact in run.facts(FileCommitted, "last")] == ["list.txt"]
    assert run.seconds >= 3600  # virtual: the hour was jumped over


if __name__ == "__main__":
    test_two_authors()
    done = rehearsal()
    print(f"{done.ending.status} after {done.seconds / 60:.0f} virtual minutes")
    print(done.files["list.txt"], end="")
