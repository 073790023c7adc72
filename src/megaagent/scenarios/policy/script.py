"""`sim:policy`: how 590 simulated agents draft the policies of a nation. No model is asked; everything else is real.

The leader writes the framework and recruits ministers, each minister six members of staff who write one section each
into the same file at the same time, each of them citizens who test it. What citizens say is answered (done, or declined
with a reason), recorded, and looked at again by who said it. Some make mistakes: sums that do not add up, found by the
minister, who returns the work; years that differ from what was agreed, found by ministers who compare, and one by the
leader.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from typing import TypeAlias

from megaagent.models.script import (
    Act,
    Letter,
    Part,
    Playing,
    Says,
    Script,
    Seen,
    change_task_status,
    edit_file,
    read_file,
    review,
    say,
    search_files,
    talk,
    terminate,
    text,
    verdict,
    wait,
    write_file,
)
from megaagent.scenarios.policy import roles, texts
from megaagent.scenarios.policy.feedback import Remark, remark
from megaagent.scenarios.policy.nation import AGENTS, SECTIONS, Department, Nation, departments, nation
from megaagent.scenarios.policy.texts import feedback_file, mark, policy_file

Scene: TypeAlias = Generator[Says | Act, Seen, None]

FIRST = 6  # ministers who are recruited, and reviewed, before the others
PLAN = ["framework", "recruit", "review", "compare departments"]  # the leader's
FRAMEWORK = "framework.txt"


def script(agents: int = AGENTS) -> Script:
    """The organization of a nation of about so many agents.

    Raises:
        ConfigurationError: there can be no nation of that size.
    """
    return _Cast(nation(agents)).script()


class _Cast:
    """Who plays what in a nation: the part follows from the agent's place in the tree."""

    def __init__(self, nation: Nation):
        self._nation = nation

    def script(self) -> Script:
        return Script({"juror": juror}, default=self.part, verifier=judge)

    def part(self, me: Part) -> Playing:
        _, *below = me.path.split("/")
        if not below:
            return leader(me, self._nation)
        it = departments()[below[0]]
        if len(below) == 1:
            return minister(me, it, self._nation)
        section = below[1].rpartition("_")[2]
        if len(below) == 2:
            testers = self._nation.testers[it.name][list(SECTIONS).index(section)]
            return staff(me, it, section, testers, self._nation)
        return citizen(me, remark(it, section, int(below[2].rpartition("_")[2]) - 1), it, section)


# -- what they all do -------------------------------------------------------------------------------------------------


def reports(me: Part, names: Iterable[str], since: int = 0) -> Scene:
    """Rest until each of these has handed in, counted from the mail number `since`, or has left."""
    owing = set(names)
    while missing := owing - {letter.sender for letter in me.mail[since:] if letter.kind == "report"} - gone(me, owing):
        yield wait(sorted(missing), "I review what is handed in")


def gone(me: Part, names: Iterable[str]) -> set[str]:
    """Those of whom the engine has said that they failed and left."""
    told = [letter.text for letter in me.mail if letter.kind == "notice"]
    return {name for name in names if any(text.startswith(f"{name} has failed") for text in told)}


def recruited(me: Part, names: Sequence[str], answered: int) -> list[str]:
    """Those who have joined, of these whom the answer before the result number `answered` wanted to recruit."""
    asked = [result for result in me.results[answered:] if result.tool == "add_agent"]
    return [name for name, result in zip(names, asked, strict=False) if result.ok]


def hand_in(me: Part, report: str, *last: Act) -> Scene:
    """Hand in after the `last` acts, and again after a refusal; goes on when somebody writes to the agent at rest."""
    yield say(*last, terminate(report))
    while not me.last.ok:
        yield terminate(report)


def measures_in(text: str) -> dict[str, set[str]]:
    """The joint measures in results of `read_file` or `search_files`: id -> the different lines that it has."""
    found: dict[str, set[str]] = {}
    for line in re.findall(r"JM-\d\d \w+ \+ \w+: .*", text):
        found.setdefault(line[:5], set()).add(line.strip())
    return found


# -- the leader -------------------------------------------------------------------------------------------------------


def leader(me: Part, nation: Nation) -> Playing:
    """Recruits and reviews in two waves, so that the first begin while the framework and other roles are written."""
    first, others = list(nation.names[:FIRST]), list(nation.names[FIRST:])
    answered = len(me.results)
    yield say(*map(roles.minister, first))
    first = recruited(me, first, answered)
    yield say(change_task_status(todo=PLAN), write_file(FRAMEWORK, texts.framework(nation)))
    if not first:
        return (yield from alone(me, nation))
    answered = len(me.results)
    yield say(*map(roles.minister, others), wait(first, "I review what is handed in"))
    others = recruited(me, others, answered)
    yield from reports(me, first)
    yield search_files("JM-")
    wrong = {name: line for name, line in strayed(me.last.text).items() if name in first}
    accepted = [name for name in first if name not in wrong and me.reported(name)]
    if others or wrong:
        since = len(me.mail)
        yield say(
            *([review(accepted, "accept", "Complete.")] if accepted else []),
            *(review([name], "return", f"Not what {FRAMEWORK} says:\n{line}") for name, line in wrong.items()),
            wait([*wrong, *others], "I review what is handed in"),
        )
        yield from reports(me, wrong, since)
        yield from reports(me, others)
        yield search_files("JM-")
        accepted = [name for name in (*wrong, *others) if me.reported(name)]
    left = strayed(me.last.text)
    report = (
        f"{len(nation.names)} policies are in policy_<department>.txt, what citizens said and what became of it in "
        f"feedback_<department>.txt, and what holds for all in {FRAMEWORK}. I compared the departments: "
        f"{', '.join(wrong) or 'none'} had to mend joint measures, {', '.join(left) or 'none'} differ still."
    )
    yield from hand_in(me, report, review(accepted, "accept", "Complete."), change_task_status(done=PLAN))
    return report


def alone(me: Part, nation: Nation) -> Playing:
    """All policies by a leader who cannot recruit; nobody tests them."""
    for it in map(departments().__getitem__, nation.names):
        yield say(*(write_file(*file) for file in untested(it, nation)))
    report = (
        f"{len(nation.names)} policies are in policy_<department>.txt. I wrote all of them, and nobody tested them."
    )
    yield from hand_in(me, report, change_task_status(done=PLAN))
    return report


def untested(it: Department, nation: Nation) -> list[tuple[str, str]]:
    """A department's policy, with the record that nobody tested it, as path and text."""
    policy, feedback = texts.policy_frame(it), texts.feedback_frame(it)
    agreed = [line for lines in measures_in(texts.framework(nation)).values() for line in lines]
    partners = [m.partner if m.lead == it.name else m.lead for m in nation.measures_of(it.name)]
    joint = {"budget": [line for line in agreed if _shares(line, it.name)], "office": partners}
    for section in SECTIONS:
        part = texts.WRITERS[section](it, joint.get(section, []))
        part = part.replace(texts.first_part(it, flawed=True), texts.first_part(it, flawed=False))
        policy = policy.replace(mark(it.name, section), part)
        feedback = feedback.replace(mark(it.name, section), "(nobody tested this section)")
    return [(policy_file(it.name), policy), (feedback_file(it.name), feedback)]


def strayed(hits: str) -> dict[str, str]:
    """Departments whose policy has another line for a joint measure than the framework, with the framework's."""
    agreed: dict[str, str] = {}
    lines: list[tuple[str, str]] = []
    for file, line in re.findall(r"^(\w+)\.txt:\d+: (JM-.*)$", hits, re.MULTILINE):
        if file == "framework":
            agreed[line[:5]] = line
        else:
            lines.append((file.removeprefix("policy_"), line))
    return {name: agreed[line[:5]] for name, line in lines if line != agreed.get(line[:5], line)}


# -- ministers --------------------------------------------------------------------------------------------------------


def minister(me: Part, it: Department, nation: Nation) -> Playing:
    names = [f"{it.name}_{section}" for section in SECTIONS]
    answered = len(me.results)
    yield say(
        change_task_status(todo=["tested policy", "compare"]),
        write_file(policy_file(it.name), texts.policy_frame(it)),
        write_file(feedback_file(it.name), texts.feedback_frame(it)),
        *(roles.staff(it.name, section) for section in SECTIONS),
        wait(names, "I review what is handed in"),
    )
    names = recruited(me, names, answered)
    if not names:
        report = f"{policy_file(it.name)} is written. I could recruit nobody, so nobody tested it."
        work = [write_file(*file) for file in untested(it, nation)]
        yield from hand_in(me, report, *work, change_task_status(done=["tested policy", "compare"]))
        return report
    yield from reports(me, names)
    shared = [] if it.name in texts.TRUSTING else nation.measures_of(it.name)
    yield say(read_file(policy_file(it.name)), *(search_files(f"{measure.id} ") for measure in shared))
    [policy, *hits] = me.results[-1 - len(shared) :]
    acts = [
        edit_file(policy_file(it.name), own, next(iter(agreed)))
        for result in hits
        for own, agreed in differing(result.text, it.name)
    ]
    sums = summed(policy.text)
    accepted = names
    if sums:
        since, returned = len(me.mail), f"{it.name}_budget"
        accepted = [name for name in names if name != returned]
        yield say(
            *acts,
            review([returned], "return", f"The parts make {sums[0]:,} and the total says {sums[1]:,}. Put it right."),
            review(accepted, "accept", "As it should be."),
            wait([returned], "the sums must be right"),
        )
        yield from reports(me, [returned], since)
        acts, accepted = [], [returned]
        yield read_file(policy_file(it.name))
    report = (
        f"{policy_file(it.name)} is written, tested by {sum(nation.testers[it.name])} citizens and reviewed; "
        f"{feedback_file(it.name)} has what they said."
    )
    yield from hand_in(
        me,
        report,
        *acts,
        review(accepted, "accept", "As it should be."),
        change_task_status(done=["tested policy", "compare"]),
    )
    while letter := me.heard("boss", "review"):
        [agreed] = measures_in(letter.text).values()
        line = next(iter(agreed))
        yield search_files(line[:5])
        mended = [
            edit_file(policy_file(it.name), own, line)
            for own in re.findall(rf"^{policy_file(it.name)}:\d+: (JM-.*)$", me.last.text, re.MULTILINE)
            if own != line
        ]
        yield from hand_in(me, f"{report} {line[:5]} is now as agreed.", *mended)
    return report


def differing(hits: str, department: str) -> list[tuple[str, set[str]]]:
    """Own lines of joint measures that are not those of framework and partner, with those."""
    own = re.findall(rf"^{policy_file(department)}:\d+: (JM-.*)$", hits, re.MULTILINE)
    agreed = set(re.findall(rf"^{FRAMEWORK}:\d+: (JM-.*)$", hits, re.MULTILINE))
    return [(line, agreed) for line in own if agreed and line not in agreed]


def summed(policy: str) -> tuple[int, int] | None:
    """The sum of the budget's parts and the total, when they differ."""
    total = re.search(r"^Total: ([\d,]+)", policy, re.MULTILINE)
    parts = re.findall(r"^- [^\n:]+: ([\d,]+) million crowns", policy, re.MULTILINE)
    numbers = [int(part.replace(",", "")) for part in parts]
    whole = int(total[1].replace(",", "")) if total else 0
    return None if sum(numbers) == whole else (sum(numbers), whole)


# -- their staff ------------------------------------------------------------------------------------------------------


def staff(me: Part, it: Department, section: str, testers: int, nation: Nation) -> Playing:
    policy, plan = policy_file(it.name), [SECTIONS[section], "have it tested"]
    joint: list[str] = []
    if section == "budget":
        yield read_file(FRAMEWORK)
        minutes = 0.05
        while not me.last.ok:  # the leader is still writing it; who looks all the time is stopped for repeating itself
            yield wait([it.name], f"{FRAMEWORK} is not there yet", minutes=minutes)
            yield read_file(FRAMEWORK)
            minutes *= 4
        joint = [line for lines in measures_in(me.last.text).values() for line in lines if _shares(line, it.name)]
        joint = [texts.year_off(line) for line in joint] if it.name in texts.ONE_YEAR_OFF else joint
    elif section == "office":
        joint = [m.partner if m.lead == it.name else m.lead for m in nation.measures_of(it.name)]
    citizens = [roles.citizen_name(it.name, section, number) for number in range(testers)]
    answered = len(me.results)
    yield say(
        change_task_status(todo=plan),
        edit_file(policy, mark(it.name, section), texts.WRITERS[section](it, joint)),
        *(roles.citizen(it, section, number) for number in range(testers)),
        *([wait(citizens, "they test what I have written")] if testers else []),
    )
    citizens = recruited(me, citizens, answered)
    remarks = {name: remark(it, section, number) for number, name in enumerate(citizens)}
    yield from answer(me, policy, remarks)
    entries = "\n".join(entry(section, number, name, remarks[name]) for number, name in enumerate(citizens))
    report = f"'{SECTIONS[section]}' is written; {testers} citizens tested it and were answered."
    yield from hand_in(
        me,
        report,
        *([review(citizens, "accept", "Answered.")] if citizens else []),
        edit_file(feedback_file(it.name), mark(it.name, section), entries or "(nobody tested this section)"),
        change_task_status(done=plan),
    )
    while me.heard(it.name, "review"):
        wrong, right = texts.first_part(it, flawed=True), texts.first_part(it, flawed=False)
        yield from hand_in(me, f"{report} The parts now make the total.", edit_file(policy, wrong, right))
    return report


def answer(me: Part, policy: str, remarks: dict[str, Remark]) -> Scene:
    """Answer each citizen as soon as it has spoken, until all have handed in."""
    answered: set[str] = set()
    while True:
        spoken = [m.sender for m in me.mail if m.text.startswith("Feedback:") and m.sender not in answered]
        acts = [act for name in dict.fromkeys(spoken) for act in _answer(policy, name, remarks[name])]
        answered.update(spoken)
        if not acts and me.reported(*remarks):
            return
        yield say(*acts, wait(list(remarks), "they look whether my answers hold"))


def _answer(policy: str, name: str, remark: Remark) -> Sequence[Act]:
    if not remark.done:
        return [talk(name, f"Declined: {remark.answer}")]
    return [
        edit_file(policy, remark.after, f"{remark.after} {remark.answer}"),
        talk(name, f'Done: the policy now says "{remark.answer}"'),
    ]


def entry(section: str, number: int, name: str, remark: Remark) -> str:
    """One line of the record of what citizens said."""
    outcome = f'done: put in "{remark.answer}"' if remark.done else f"declined: {remark.answer}"
    return f"{section}-{number + 1} | {name} | {remark.said} | {outcome}"


def _shares(line: str, department: str) -> bool:
    lead, _, partner = line[6:].partition(":")[0].partition(" + ")
    return department in (lead, partner)


# -- citizens ---------------------------------------------------------------------------------------------------------


def citizen(me: Part, remark: Remark, it: Department, section: str) -> Playing:
    author = f"{it.name}_{section}"
    yield read_file(policy_file(it.name))
    yield say(talk(author, f"Feedback: {remark.said}"), wait([author], "your answer to what I said"))
    while not (letter := _answered(me, author)):
        yield wait([author], "your answer to what I said")
    quoted = re.search(r'"(.*)"', letter.text)
    if letter.text.startswith("Done:") and quoted:
        yield read_file(policy_file(it.name))
        there = quoted[1] in me.last.text
        report = f"What I asked for is {'in the policy' if there else 'not in the policy, although I was told so'}."
    else:
        report = f"I was told why not, and can follow it: {letter.text.removeprefix('Declined: ')}"
    yield from hand_in(me, report)
    return report


def _answered(me: Part, author: str) -> Letter | None:
    return next((m for m in me.mail if m.sender == author and m.text.startswith(("Done:", "Declined:"))), None)


# -- the judge --------------------------------------------------------------------------------------------------------


def judge(me: Part) -> Playing:
    """Confirms when every executed check has passed."""
    failed = re.findall(r"^\[failed\] ([^:\n]*)", "\n".join(me.notices), re.MULTILINE)
    gaps = [f"the check {name!r} fails" for name in failed]
    yield verdict(not gaps, gaps, "" if gaps else "All checks have passed.")
    return None


def juror(me: Part) -> Playing:
    """Who is asked about one policy: agrees when it has all its sections and nothing in it is still to be written."""
    seen = "\n".join(me.notices)
    missing = [title for title in SECTIONS.values() if not re.search(rf"^{re.escape(title)}\s*$", seen, re.MULTILINE)]
    if missing:
        yield text(f"disagree: it lacks {', '.join(missing)}.")
    elif "(to be written" in seen:
        yield text("neutral: a part of it is still to be written.")
    else:
        yield text("agree: each section is there and says something of this department.")
    return None


SCRIPT = script()
