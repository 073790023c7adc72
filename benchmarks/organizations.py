"""Organizations drawn by a seed, for judging schedules: who recruits whom, who works how long, who asks whom.

Some parts are long and most are short, some admins work before they recruit and some after, colleagues ask each other
and wait, work is returned now and then. Nothing but mail and reviews is waited for, so that all time is the model's.
"""

from __future__ import annotations

from random import Random

from megaagent.models.script import (
    Act,
    Part,
    Playing,
    Says,
    Script,
    add_agent,
    change_task_status,
    review,
    say,
    talk,
    terminate,
    wait,
)

MOST = 120  # agents of one organization
DEPTH = 3  # levels below the boss
WORDS = "it is drafted, compared with what was asked for, and put right where the two differ; "


def organization(seed: int) -> Script:
    """The organization of this seed."""
    random = Random(f"organization {seed}")
    groups: dict[str, list[str]] = {"boss": []}
    queue = [("boss", 0)]
    while queue:
        path, depth = queue.pop(0)
        most = (random.randint(3, 9), random.choice([0, 0, 2, 4, 7]), random.choice([0, 0, 0, 1, 3]), 0)[depth]
        names = [f"{path.rpartition('/')[2]}_{number}" for number in range(most)]
        if len(groups) + len(names) > MOST:
            continue
        groups[path] = [f"{path}/{name}" for name in names]
        for below in groups[path]:
            groups.setdefault(below, [])
            queue.append((below, depth + 1))

    def part(me: Part) -> Playing:
        return _Agent(me, Random(f"{seed} {me.path}"), groups).play()

    return Script({}, default=part)


class _Agent:
    """One agent's part."""

    def __init__(self, me: Part, random: Random, groups: dict[str, list[str]]):
        self._me = me
        self._random = random
        superior = me.path.rpartition("/")[0]
        self._colleagues = [path.rpartition("/")[2] for path in groups.get(superior, []) if path < me.path]
        self._group = [path.rpartition("/")[2] for path in groups[me.path]]
        self._replied: set[str] = set()

    def play(self) -> Playing:
        random, me = self._random, self._me
        yield from self._work(random.choice([0, 0, 1, 3]) if self._group else 0)
        if self._group:
            yield self._step(*(add_agent(name, "A part of it.", _prompt(name)) for name in self._group))
            yield from self._lead()
        yield from self._work(random.choice([0, 1, 2]) if self._group else self._length())
        report = f"{me.name} has done its part."
        while True:
            yield self._step(change_task_status(done=["my part"]), terminate(report))
            if not self._unanswered() and not me.last.ok and self._group:
                yield from self._lead()

    def _length(self) -> int:
        """Steps of an agent without a group: most are short, one in ten is long."""
        return self._random.randint(8, 20) if self._random.random() < 0.1 else self._random.randint(1, 5)

    def _work(self, steps: int) -> Playing:
        random = self._random
        plan = [f"part {number}" for number in range(steps)]
        asks = random.randrange(steps) if steps and self._colleagues and random.random() < 0.3 else None
        for number in range(steps):
            if number == asks:
                colleague = random.choice(self._colleagues)
                yield self._step(talk(colleague, "Question: how far are you?"), wait([colleague], "an answer"))
                while not any(m.sender == colleague and m.text.startswith("Answer") for m in self._me.mail):
                    yield self._step(wait([colleague], "an answer"))
            else:
                yield self._step(change_task_status(done=plan[: number + 1], todo=plan[number + 1 :]))
        return None

    def _lead(self) -> Playing:
        """Wait for the group, and return a tenth of what it hands in, once."""
        me, random = self._me, self._random
        returned: set[str] = set()
        reviewed = 0
        open_ones = set(self._group)
        while open_ones:
            since = me.mail[reviewed:]
            new = [m.sender for m in since if m.kind == "report" and m.sender in open_ones]
            reviewed = len(me.mail)
            acts: list[Act] = []
            for name in dict.fromkeys(new):
                again = name not in returned and random.random() < 0.1
                acts.append(review([name], "return" if again else "accept", "One point is missing."))
                (returned.add if again else open_ones.discard)(name)
            if acts or open_ones:
                yield self._step(*acts, *([wait(sorted(open_ones), "their parts")] if open_ones else []))
        return None

    def _step(self, *acts: Act) -> Says:
        """An answer of some length, which also replies to whoever has asked meanwhile."""
        replies = [talk(name, "Answer: as far as agreed.") for name in self._unanswered()]
        self._replied.update(self._unanswered())
        return say(*replies, *acts, text=WORDS * self._random.randint(0, 12))

    def _unanswered(self) -> list[str]:
        asked = [m.sender for m in self._me.mail if m.text.startswith("Question") and m.sender not in self._replied]
        return list(dict.fromkeys(asked))


def _prompt(name: str) -> str:
    return (
        f"You are {name}. Work on your part alone, in no file, and answer who asks you. You are done when your part "
        "is; hand it in then."
    )
