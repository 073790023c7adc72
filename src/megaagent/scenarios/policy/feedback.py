"""What citizens say about a section, and what they are answered: the words that are put in, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable

from megaagent.events import Struct
from megaagent.scenarios.policy import texts
from megaagent.scenarios.policy.nation import SECTIONS, Department

TOWNS = ("Nordmark", "Elden", "Sankt Aran", "Velmora", "Karst", "Brennhaven", "Ostrava Point", "Lindal", "Tessin")


class Remark(Struct, frozen=True):
    """What one citizen says, and the answer that it gets.

    Attributes:
        after: the end of the line of the policy at which words are put in; empty when the answer is a reason.
        answer: the words that are put in, or the reason why nothing is.
    """

    said: str
    after: str
    answer: str

    @property
    def done(self) -> bool:
        return bool(self.after)


def who(it: Department, section: str, number: int) -> str:
    """The citizen with that number in a section, as a person."""
    place = 7 * it.number + 3 * list(SECTIONS).index(section) + number
    return f"{it.people[place % len(it.people)]} in {TOWNS[place % len(TOWNS)]}"


def remark(it: Department, section: str, number: int) -> Remark:
    """What the citizen with that number says about a section of the department's policy."""
    if number >= 2:
        what = it.actions[number % len(it.actions)].partition(":")[0]
        said = f"{SECTIONS[section][3:]} leaves open what {what} costs me as a {it.people[number % len(it.people)]}."
        where = "the parts of the budget are" if section != "budget" else "the total is"
        reason = f"{where} in section 6, and {what} asks no fee of those it is made for; see remark {number % 2 + 1}."
        return Remark(said, "", reason)
    return _REMARKS[section][number](it)


def _named(it: Department, number: int) -> str:
    return it.actions[number].partition(":")[0]


def _purpose_for_me(it: Department) -> Remark:
    person = it.people[it.number % 4]
    said = f"The objective does not say what it changes for a {person} like me."
    return Remark(said, it.objective, f"For a {person} it begins with the {_named(it, 0)}.")


def _purpose_empty(it: Department) -> Remark:
    principle = it.principles[it.number % 3]
    reason = (
        f"the courts read the laws of section 2 by their principles, and {_named(it, 2)} has its reason in this one."
    )
    return Remark(f"'{principle}' binds nobody and should go.", "", reason)


def _law_missed(it: Department) -> Remark:
    number = 1 + it.number % 3
    end = texts.law(it, number)
    words = f"If that date is missed, parliament is told why within {20 + 5 * (it.number % 4)} days."
    return Remark(f"{_named(it, number)} does not say what happens when its own date is missed.", end, words)


def _law_sooner(it: Department) -> Remark:
    number = 4 + it.number % 2
    reason = f"it needs what the milestone '{it.milestones[1]}' brings, and would fail without."
    return Remark(f"{_named(it, number)} should be in force a year sooner; we have waited long enough.", "", reason)


def _office_contact(it: Department) -> Remark:
    person = it.people[(it.number + 1) % 4]
    words = f"A {person} who gets no answer may turn to the ombudsman of {TOWNS[it.number % len(TOWNS)]}."
    return Remark("I asked such an office before and never heard of it again.", f"{it.office}.", words)


def _office_new(it: Department) -> Remark:
    share = max(it.shares.values())
    reason = f"a body of its own would take about {1 + share // 20} percent of the budget from what it is for."
    return Remark(f"Not the {it.office.partition(',')[0]} again: found an independent body.", "", reason)


def _metric_places(it: Department) -> Remark:
    what, _, target, unit = texts.metric(it, 1)
    said = f"'{what}' can look good for the country while it gets worse in {TOWNS[it.number % len(TOWNS)]}."
    # Not the same words for all: who looks for them finds at most so many files.
    words = f"(shown for each district, the worst three by name, from {2027 + it.number % 5})"
    return Remark(said, f"target {target} {unit} (2031)", words)


def _metric_harder(it: Department) -> Remark:
    what, baseline, target, unit = texts.metric(it, 2)
    reason = f"from {baseline} to {target} {unit} in five years is already faster than any neighbouring state has been."
    return Remark(f"{target} {unit} is not enough as a target for '{what}'.", "", reason)


def _date_slips(it: Department) -> Remark:
    words = f"(if it slips by over {30 + 15 * (it.number % 3)} days, the reason is published)"
    return Remark(f"Who tells us when '{it.milestones[2]}' comes late?", it.milestones[2], words)


def _date_election(it: Department) -> Remark:
    reason = f"'{it.milestones[3]}' depends on '{it.milestones[2]}', and both are dated as early as they can be kept."
    return Remark(f"'{it.milestones[3]}' comes after the next election; nobody will feel bound.", "", reason)


def _money_regions(it: Department) -> Remark:
    item = list(it.shares)[1]
    end = f"- {item}: {it.budget * it.shares[item] // 100:,} million crowns"
    words = f"({25 + 5 * (it.number % 5)} percent of it or more outside the capital)"
    return Remark(f"How much for '{item}' ever reaches {TOWNS[(it.number + 4) % len(TOWNS)]}?", end, words)


def _money_double(it: Department) -> Remark:
    item = list(it.shares)[-1]
    reason = f"the ceiling is {it.budget:,}, and each crown more would be taken from {next(iter(it.shares))}."
    return Remark(f"Spend twice as much on '{item}'.", "", reason)


_REMARKS: dict[str, tuple[Callable[[Department], Remark], ...]] = {
    "purpose": (_purpose_for_me, _purpose_empty),
    "laws": (_law_missed, _law_sooner),
    "office": (_office_contact, _office_new),
    "metrics": (_metric_places, _metric_harder),
    "timeline": (_date_slips, _date_election),
    "budget": (_money_regions, _money_double),
}
