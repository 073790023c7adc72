"""The roles that the simulated leader, ministers and staff write for those whom they recruit.

Each prompt stands alone, as `add_agent` demands, and is short: the leader writes 31 of them before anybody can begin.
"""

from __future__ import annotations

from megaagent.models.script import Act, add_agent
from megaagent.scenarios.policy.feedback import who
from megaagent.scenarios.policy.nation import SECTIONS, Department
from megaagent.scenarios.policy.texts import feedback_file, policy_file


def minister(name: str) -> Act:
    return add_agent(
        name,
        "Minister",
        f"You are {name}. Lead {policy_file(name)} as framework.txt says; compare it with your partners'. Tell me, "
        "boss, when it is tested and complete.",
    )


def staff(department: str, section: str) -> Act:
    name = f"{department}_{section}"
    return add_agent(
        name,
        SECTIONS[section][3:],
        f"You are {name}. Put that section into {policy_file(department)}, let citizens test it, record in "
        f"{feedback_file(department)} what they were answered. Report to me, {department}.",
    )


def citizen(it: Department, section: str, number: int) -> Act:
    name = citizen_name(it.name, section, number)
    return add_agent(
        name,
        f"{who(it, section, number)}",
        f"You are {name}. Test '{SECTIONS[section]}' of {policy_file(it.name)} as it would meet you; write no files. "
        f"Tell me, {it.name}_{section}, what fails. Done when you know my answer and have looked whether it holds.",
    )


def citizen_name(department: str, section: str, number: int) -> str:
    return f"{department}_{section}_{number + 1}"
