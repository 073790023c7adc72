"""What a role prompt must say to stand alone (design §5, `add_agent`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

SHORTEST = 80  # characters; anything below cannot name a job, files, colleagues and an end
_WORD = re.compile(r"\w+")
_FILE = re.compile(r"\b[\w./-]+\.\w{1,8}\b|\bno files?\b", re.IGNORECASE)
_ALONE = re.compile(r"\balone\b|\bby yourself\b|\bno collaborators?\b", re.IGNORECASE)
_END = re.compile(r"\b(done|finish(ed)?|complete[ds]?|terminate|hand (it )?in|report|until|deliver)\b", re.IGNORECASE)


def missing_from(prompt: str, name: str, companions: Iterable[str], is_agent: Callable[[str], bool]) -> list[str]:
    """What the prompt of an agent called `name` does not say.

    Args:
        prompt: the role as its recruiter wrote it.
        name: the agent's own name, as asked for.
        companions: names of those that are recruited in the same answer.
        is_agent: whether a word, in lower case, is the name of somebody who exists.
    """
    missing: list[str] = []
    words = set(re.findall(r"\w+", prompt.lower()))
    if len(prompt) < SHORTEST:
        missing.append(f"its job in full sentences ({len(prompt)} characters are too few to stand alone)")
    if not _mentions(words, prompt, name):
        missing.append(f"its own name ({name})")
    if not _FILE.search(prompt):
        missing.append('the exact files that it writes (or "no files")')
    others = any(_mentions(words, prompt, other) for other in companions if other != name)
    if not others and not _ALONE.search(prompt) and not any(map(is_agent, words - {name.lower()})):
        missing.append("the exact names and jobs of those it works with (or that it works alone)")
    if not _END.search(prompt):
        missing.append("when it is done")
    return missing


def _mentions(words: set[str], prompt: str, name: str) -> bool:
    if _WORD.fullmatch(name):
        return name.lower() in words
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", prompt, re.IGNORECASE) is not None
