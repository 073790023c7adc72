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
        f"Minister, for {policy_file(name)}.",
        f"You are {name}, a minister. Your staff writes and tests {policy_file(name)} within framework.txt. Compare "
        "what you share with other departments. I am boss. You are done when it is tested and you have reviewed it.",
    )


def staff(department: str, section: str) -> Act:
    name = f"{department}_{section}"
    return add_agent(
        name,
        f"Section '{SECTIONS[section]}'.",
        f"You are {name}. Write '{SECTIONS[section]}' of {policy_file(department)} in place of its mark. Recruit "
        f"citizens to test it; answer each, and record it in {feedback_file(department)}. I am {department}. You are "
        "done when all are answered.",
    )


def citizen(it: Department, section: str, number: int) -> Act:
    name = citizen_name(it.name, section, number)
    return add_agent(
        name,
        f"Tests '{SECTIONS[section]}'.",
        f"You are {name}, {who(it, section, number)}. Test '{SECTIONS[section]}' of {policy_file(it.name)} as it would "
        f"meet you; write no files. Tell me, {it.name}_{section}, what fails. You are done when you know my answer and "
        "have looked whether it holds.",
    )


def citizen_name(department: str, section: str, number: int) -> str:
    return f"{department}_{section}_{number + 1}"
