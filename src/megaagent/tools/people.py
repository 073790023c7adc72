"""Tools for working with others."""

from __future__ import annotations

from megaagent.events import Verdict
from megaagent.tools.desk import People


async def add_agent(people: People, name: str, description: str, prompt: str, tools: list[str] | None = None) -> str:
    """Recruit a subordinate into your group; it starts at once, in parallel, and owes you a result.

    Split work only into parts that can go on independently; a chain where each part needs the one before is done faster
    alone. You will be woken when your subordinates have handed in, and must review each result.

    Args:
        name: one word; if it is taken, it is changed and you are told the real one.
        description: one line: what this agent is for.
        prompt: its whole role. It knows nothing else, so the prompt must stand alone: its own name and job, the exact
            files to write, the names and jobs of those it works with (or that it works alone), and when it is done.
        tools: only to give it less than you have: the tools that it and those below it may use, by name or pattern
            such as read_*.
    """
    return people.recruit(name, description, prompt, tools)


async def assign(people: People, name: str, task: str) -> str:
    """Give a further assignment to a subordinate that you already have.

    Args:
        name: the subordinate.
        task: what it owes you, with the exact files and the end condition.
    """
    return people.assign(name, task)


async def review(people: People, names: list[str], verdict: Verdict, remarks: str = "") -> str:
    """Answer what subordinates have handed in.

    Args:
        names: whose work this answers.
        verdict: accept it; return it with what must change (three times at most); or drop it and dismiss the agent.
        remarks: for return: exactly what is wrong and what is to be done.
    """
    return people.review(names, verdict, remarks)


async def talk(people: People, to: str | list[str], message: str) -> str:
    """Send a message. It never blocks; the receivers read it at their next step.

    Args:
        to: a name, several names, or "group" for everyone who shares your superior or reports to you.
        message: the text; say what you need answered and name exact files.
    """
    return people.talk([to] if isinstance(to, str) else to, message)


async def ask_user(people: People, question: str) -> str:
    """Ask the person who gave the goal; only for what nobody in the organization can decide.

    Args:
        question: one clear question, with the choices that you see.
    """
    return await people.ask_user(question)
