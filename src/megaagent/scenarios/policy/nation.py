"""The nation of the scenario: its departments, what they share, and how many agents there are of each kind."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

import msgspec

from megaagent.errors import ConfigurationError
from megaagent.events import Struct

SECTIONS = {
    "purpose": "1. Objective and principles",
    "laws": "2. Laws and actions",
    "office": "3. Responsible office",
    "metrics": "4. Metrics",
    "timeline": "5. Timeline and review",
    "budget": "6. Budget and joint measures",
}
"""The sections of every policy; each is the work of one member of a ministry's staff."""

AGENTS = 590  # 1 leader, 31 ministers, 186 staff, 372 citizens
TESTERS = 2  # citizens for each section, unless the nation is larger
MOST_TESTERS = 50  # that one member of staff can lead
FEWEST, MOST = 7, 1 + 31 * (1 + len(SECTIONS) * (1 + MOST_TESTERS))

_MEASURES = """\
finance energy: the carbon price is 45 crowns a tonne from 2028
health sport: doctors prescribe sports clubs from 2029, 60 crowns each
education science: 400 teachers a year work in research from 2027
economy consumer: small firms are warned 30 days before a fine
labour migration: 200 hours of language at work are paid from 2027
trade fisheries: fish clears the border in four hours from 2028
industry energy: peak plants get 30,000 crowns a megawatt from 2029
agriculture water: no fertilizer within 10 metres of rivers from 2027
environment regions: 80 rangers come from shrinking districts
climate housing: new homes need at most 45 kWh of heat from 2029
transport tourism: the winter pass holds on all trains from 2028
digital justice: courts take filings online from 2029, paper is free
culture youth: 1,500 music school places for volunteers from 2028
family pensions: care counts as three years' contribution from 2027
interior emergency: one control room in each region from 2030
defence foreign: missions abroad have a civil plan from 2027
"""


class Department(Struct, frozen=True):
    """What one ministry will put into its policy.

    Attributes:
        budget: million crowns over five years; `shares` are parts of it in percent.
        metrics: `what | baseline | target | unit`.
        people: whom the policy concerns; citizens are drawn from them.
    """

    office: str
    objective: str
    principles: list[str]
    actions: list[str]
    metrics: list[str]
    milestones: list[str]
    budget: int
    shares: dict[str, int]
    people: list[str]
    name: str = ""
    number: int = 0


class Measure(Struct, frozen=True):
    """Something that two departments do together; `line` is how framework and policies say it."""

    id: str
    lead: str
    partner: str
    line: str


@cache
def departments() -> dict[str, Department]:
    """All departments by their names, in the order in which they are recruited."""
    tree = tomllib.loads(
        (resources.files("megaagent.scenarios.policy") / "departments.toml").read_text(encoding="utf-8")
    )
    return {
        name: msgspec.convert(fields | {"name": name, "number": number}, Department)
        for number, (name, fields) in enumerate(tree.items())
    }


@cache
def measures() -> tuple[Measure, ...]:
    """All joint measures."""
    found: list[Measure] = []
    for number, line in enumerate(_MEASURES.splitlines(), 1):
        pair, _, agreed = line.partition(": ")
        lead, partner = pair.split()
        id = f"JM-{number:02}"
        found.append(Measure(id, lead, partner, f"{id} {lead} + {partner}: {agreed}"))
    return tuple(found)


class Nation(Struct, frozen=True):
    """How many agents there are, and of which kind.

    Attributes:
        names: departments that there are.
        testers: citizens that test each section of a department.
    """

    names: tuple[str, ...]
    testers: dict[str, tuple[int, ...]]

    @property
    def agents(self) -> int:
        return 1 + sum(1 + len(SECTIONS) + sum(counts) for counts in self.testers.values())

    def measures(self) -> list[Measure]:
        """The joint measures of departments that there are."""
        return [measure for measure in measures() if {measure.lead, measure.partner} <= set(self.names)]

    def measures_of(self, department: str) -> list[Measure]:
        return [measure for measure in self.measures() if department in (measure.lead, measure.partner)]


def nation(agents: int = AGENTS) -> Nation:
    """A nation of about so many agents, of the same shape as that of 590: fewer ministries, or more citizens for each.

    Raises:
        ConfigurationError: too few for one ministry, or too many for the ministries that there are.
    """
    if not FEWEST < agents <= MOST:
        raise ConfigurationError(f"the policy scenario can have {FEWEST + 1} to {MOST:,} agents, not {agents:,}")
    ministry = 1 + len(SECTIONS)
    full = ministry + TESTERS * len(SECTIONS)
    names = tuple(departments())[: max(1, min(len(departments()), (agents - 1) // full))]
    places = len(names) * len(SECTIONS)
    citizens = min(agents - 1 - len(names) * ministry, places * MOST_TESTERS)
    each, more = divmod(citizens, places)
    counts = [each + (place < more) for place in range(places)]
    groups = [tuple(counts[start : start + len(SECTIONS)]) for start in range(0, places, len(SECTIONS))]
    return Nation(names, dict(zip(names, groups, strict=True)))
