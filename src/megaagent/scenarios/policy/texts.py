"""What the simulated ministries write: the framework, and section by section the policies."""

from __future__ import annotations

from collections.abc import Callable

from megaagent.scenarios.policy.nation import SECTIONS, Department, Nation, departments

SPAN = "2027 to 2031"
REVIEWS = ("every six months", "every three months", "once a year, in March", "every four months")
REPORTS = (
    "publishes the figures of section 4 with each review",
    "lays the review before the committee of parliament that is in charge",
    "holds a public hearing with each review and answers it in writing",
)
TURN_TO = (
    "People turn to any of its branches, by telephone, in writing or in person; an answer comes within {days} days.",
    "Each town hall takes questions for it and passes them on; who asked gets an answer within {days} days.",
    "It keeps one number and one address for all matters of this policy, and answers within {days} days.",
)
DELEGATES = (
    "It may hand tasks over to districts, with the money for them, and stays answerable.",
    "Districts carry out what concerns them; where they do not, it acts in their place after a warning.",
    "It buys services only where it has published why it cannot do them itself.",
)
STARTS = ((2027, 3), (2027, 5), (2027, 2), (2027, 9), (2027, 6))
PACES = ((0, 11, 26, 45), (0, 9, 20, 38), (0, 14, 24, 41), (0, 8, 29, 47))
FLAWED_SUMS = ("health", "energy")  # whose parts of the budget do not make the total at first
ONE_YEAR_OFF = ("finance", "fisheries", "tourism", "youth")  # who write another year for a joint measure at first
TRUSTING = ("finance",)  # whose minister does not compare joint measures, so that the leader finds what is wrong


def policy_file(department: str) -> str:
    return f"policy_{department}.txt"


def feedback_file(department: str) -> str:
    return f"feedback_{department}.txt"


def mark(department: str, section: str) -> str:
    """What stands in place of something that a member of staff is still to write."""
    return f"(to be written by {department}_{section})"


def policy_frame(department: Department) -> str:
    """A policy with its headings only, so that six can write it at once."""
    parts = [f"POLICY OF THE DEPARTMENT OF {department.name.upper()}, {SPAN}"]
    parts += [f"{title}\n\n{mark(department.name, section)}" for section, title in SECTIONS.items()]
    return "\n\n".join(parts) + "\n"


def feedback_frame(department: Department) -> str:
    parts = [f"WHAT CITIZENS SAID ABOUT {policy_file(department.name)}, AND WHAT BECAME OF IT"]
    parts += [f"{title}\n\n{mark(department.name, section)}" for section, title in SECTIONS.items()]
    return "\n\n".join(parts) + "\n"


def framework(nation: Nation) -> str:
    known = departments()
    ceilings = ", ".join(f"{name} {known[name].budget:,}" for name in nation.names)
    lines = [
        f"FRAMEWORK FOR ALL POLICIES, {SPAN}",
        f"Budget ceilings in million crowns: {ceilings}.",
        "Joint measures, repeated word for word in both policies:",
        *(measure.line for measure in nation.measures()),
    ]
    return "\n".join(lines) + "\n"


# -- sections ---------------------------------------------------------------------------------------------------------


def purpose(it: Department, joint: list[str]) -> str:
    what, baseline, target, unit = metric(it, 0)
    lines = [
        f"Objective: {it.objective}",
        f"Why now: {what} stands at {baseline} {unit}, and nothing that is decided already leads to {target}.",
        f"Whom it concerns: among others {', '.join(f'the {person}' for person in it.people)}.",
        "Principles:",
        *(f"- {principle}" for principle in it.principles),
    ]
    return "\n".join(lines)


def laws(it: Department, joint: list[str]) -> str:
    return "\n".join(law(it, number) for number in range(len(it.actions)))


def law(it: Department, number: int) -> str:
    start = 2027 + (number + it.number) % 3
    return f"{number + 1}. {it.actions[number]}. In force from {start}-{1 + (5 * number + 3 * it.number) % 12:02}."


def office(it: Department, joint: list[str]) -> str:
    partners = " and ".join(joint) or "no other department"
    days = 10 + 4 * (it.number % 5)
    lines = [
        f"Responsible office: {it.office}.",
        TURN_TO[it.number % len(TURN_TO)].format(days=days),
        f"It decides on {it.actions[0].partition(':')[0]} and {it.actions[-1].partition(':')[0]} itself; the others "
        "need the minister's signature.",
        f"{DELEGATES[it.number // 3 % len(DELEGATES)]} It works with: {partners}.",
    ]
    return "\n".join(lines)


def metrics(it: Department, joint: list[str]) -> str:
    lines: list[str] = []
    for number in range(len(it.metrics)):
        what, baseline, target, unit = metric(it, number)
        lines.append(f"- {what}: baseline {baseline} {unit} (2026), target {target} {unit} (2031)")
    sources = (
        "The statistics office counts them",
        "The office's own records give them, audited",
        "A survey gives them",
    )
    often = "once a quarter" if it.number % 2 else "twice a year"
    lines.append(f"{sources[it.number % 3]}, {often}; {metric(it, 0)[0]} is looked at first.")
    return "\n".join(lines)


def metric(it: Department, number: int) -> tuple[str, str, str, str]:
    """What is measured, baseline, target, unit."""
    what, baseline, target, unit = (part.strip() for part in it.metrics[number].split("|"))
    return what, baseline, target, unit


def timeline(it: Department, joint: list[str]) -> str:
    year, month = STARTS[it.number % len(STARTS)]
    dates = [month - 1 + after for after in PACES[it.number % len(PACES)]]
    lines = [
        f"{year + months // 12}-{months % 12 + 1:02}: {milestone}"
        for months, milestone in zip(dates, it.milestones, strict=True)
    ]
    cadence = REVIEWS[it.number % len(REVIEWS)]
    lines.append(f"Review: {cadence}, by the {it.office}, which {REPORTS[it.number % len(REPORTS)]}.")
    return "\n".join(lines)


def budget(it: Department, joint: list[str]) -> str:
    """The parts and the joint measures; some departments make a mistake here that others are to find."""
    lines = [f"Total: {it.budget:,} million crowns, {SPAN}, within the ceiling of framework.txt"]
    flaw = it.budget // 20 if it.name in FLAWED_SUMS else 0
    for item, percent in it.shares.items():
        lines.append(f"- {item}: {it.budget * percent // 100 + flaw:,} million crowns")
        flaw = 0
    lines.append("Joint measures:" if joint else "Joint measures: none")
    return "\n".join([*lines, *joint])


def first_part(it: Department, *, flawed: bool) -> str:
    """The first line of the budget's parts, wrong or right."""
    item, percent = next(iter(it.shares.items()))
    flaw = it.budget // 20 if flawed else 0
    return f"- {item}: {it.budget * percent // 100 + flaw:,} million crowns"


def year_off(line: str) -> str:
    """A joint measure with another year than agreed."""
    return line.replace("from 2028", "from 2029")


WRITERS: dict[str, Callable[[Department, list[str]], str]] = {
    "purpose": purpose,
    "laws": laws,
    "office": office,
    "metrics": metrics,
    "timeline": timeline,
    "budget": budget,
}
"""What writes each section; `joint` are its joint measures as lines, or for the office the partners."""
