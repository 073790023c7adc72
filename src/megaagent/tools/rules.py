"""Who may use which tool, and before which calls a person is asked: the settings, and what they say of one agent.

Names of agents are chosen by agents, so a scope never gives: who is below somebody has at most what that one has, and a
rule that asks for approval holds for everybody below those whom it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from msgspec import field

from megaagent.errors import ConfigurationError, ToolError
from megaagent.events import BOSS, AgentId, Ruling, Struct, lineage, name_of

# Without these an agent could not end its turn, answer others, settle debts or close its list: nobody takes them away.
ALWAYS = ("review", "talk", "change_task_status", "wait", "terminate")
# Tools with which the same can be done: who is asked about one and not about another of them may believe too much.
ALIKE = (("write_file", "edit_file", "keep_files"), ("run_command", "exec_python_file"))
MOST_PATTERNS = 100  # that a recruit is given
LONGEST_PATTERN = 100  # characters

LeftTo = Callable[[AgentId], Sequence[str] | None]


class ApprovalRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Calls before which a person is asked.

    Attributes:
        tools: by name or pattern, such as `files_*`.
        agents: who is asked about, by name, path or pattern, with all below them.
        unanswered: what holds when nobody is there, or nobody answers within `minutes`.
    """

    tools: tuple[str, ...]
    agents: tuple[str, ...] = ("*",)
    unanswered: Ruling = "refuse"
    minutes: float = 30.0


class ToolSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What agents may use, and what a person is asked about first.

    Attributes:
        functions: the user's own tools: files of typed Python functions, or names that installed packages offer.
        mcp: files that name MCP servers, as `{"mcpServers": {...}}`.
        ask_before: tools, by name or pattern, before whose calls a person is asked; a short way to say `approvals`.
        unanswered, minutes: of `ask_before`, as in a rule.
        approvals: rules; the first that fits a call holds, those of `ask_before` come last. One that names agents, but
            not the boss, cannot let through unanswered what a later one refuses.
        scopes: for tools, by name or pattern, the agents that may use them, by name, path or pattern. Nobody may use
            what its superior may not, so the boss must be among them; an empty list takes a tool from everybody.
    """

    functions: tuple[str, ...] = ()
    mcp: tuple[str, ...] = ()
    ask_before: tuple[str, ...] = ()
    unanswered: Ruling = "refuse"
    minutes: float = 30.0
    approvals: tuple[ApprovalRule, ...] = ()
    scopes: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def rules(self) -> tuple[ApprovalRule, ...]:
        """All rules, in the order in which they hold."""
        if not self.ask_before:
            return self.approvals
        return (*self.approvals, ApprovalRule(self.ask_before, ("*",), self.unanswered, self.minutes))


def rule_for(rules: Sequence[ApprovalRule], tool: str, agent: AgentId) -> ApprovalRule | None:
    """The first rule that asks for approval of a call, if any does.

    A rule for some agents loosens no rule after it: who recruits chooses names, and could choose one that is let
    through.
    """
    fitting = [
        rule for rule in rules if fits(tool, rule.tools) and any(is_meant(id, rule.agents) for id in lineage(agent))
    ]
    if not fitting:
        return None
    first = fitting[0]
    if first.unanswered == "approve" and not is_meant(BOSS, first.agents):
        return next((rule for rule in fitting if rule.unanswered == "refuse"), first)
    return first


def unguarded(settings: ToolSettings) -> list[str]:
    """What a person should know before they rely on their rules: what can be done without being asked about."""
    asked = [pattern for rule in settings.rules() for pattern in rule.tools]
    notes: list[str] = []
    for group in ALIKE:
        guarded = [tool for tool in group if fits(tool, asked)]
        others = [tool for tool in group if tool not in guarded]
        if guarded and others:
            what = " and ".join(guarded)
            notes.append(f"nobody is asked before {' or '.join(others)}, which can do the same as {what}")
    return notes


class Scopes:
    """Which tools an agent may use.

    Args:
        settings: say who may use which tools.
        tools: tells the names of all tools of the run.
    """

    def __init__(self, settings: ToolSettings, tools: Callable[[], Sequence[str]]):
        self._scopes = settings.scopes
        self._tools = tools

    def against(self, tool: str, agent: AgentId, left_to: LeftTo) -> str:
        """Why an agent may not use a tool; nothing when it may.

        Args:
            left_to: the tools, by name or pattern, that an agent was recruited with; None is all of its superior's.
        """
        if tool in ALWAYS:
            return ""
        for id in reversed(lineage(agent)):
            for pattern, agents in self._scopes.items():
                if fnmatchcase(tool, pattern) and not is_meant(id, agents):
                    return f"the settings of this run keep it from {'you' if id == agent else name_of(id)}"
            left = left_to(id)
            if left is not None and not fits(tool, left):
                return "you were recruited without it" if id == agent else f"{name_of(id)} was recruited without it"
        return ""

    def kept_from(self, agent: AgentId, left_to: LeftTo) -> list[str]:
        """The tools that an agent may not use."""
        if not self._scopes and all(left_to(id) is None for id in lineage(agent)):
            return []  # the ordinary case: nothing is kept from anybody
        return [tool for tool in self._tools() if self.against(tool, agent, left_to)]

    def check_given(self, patterns: Sequence[str], agent: AgentId, left_to: LeftTo) -> None:
        """Refuse tools that an agent would give to a recruit and that it may not use itself, or that are not there.

        Raises:
            ToolError: it names them, and those that can be given.
        """
        if len(patterns) > MOST_PATTERNS or any(len(pattern) > LONGEST_PATTERN for pattern in patterns):
            raise ToolError(f"tools: at most {MOST_PATTERNS} names of at most {LONGEST_PATTERN} characters each.")
        own = [tool for tool in self._tools() if not self.against(tool, agent, left_to)]
        vain = [pattern for pattern in patterns if not any(fnmatchcase(tool, pattern) for tool in own)]
        if vain:
            names = ", ".join(map(repr, vain))
            raise ToolError(f"nobody was recruited: you have no tool {names} to give. Yours are: {', '.join(own)}.")


def fits(tool: str, patterns: Iterable[str]) -> bool:
    """Whether a tool is named by one of the patterns."""
    return any(fnmatchcase(tool, pattern) for pattern in patterns)


def is_meant(agent: AgentId, patterns: Iterable[str]) -> bool:
    """Whether an agent is named, by its name or its path, by one of the patterns."""
    return any(fnmatchcase(agent, pattern) or fnmatchcase(name_of(agent), pattern) for pattern in patterns)


def check(settings: ToolSettings, tools: Sequence[str]) -> None:
    """Refuse settings that name tools that are not there, or that nobody could live with.

    Args:
        tools: the names of all tools of the run.

    Raises:
        ConfigurationError: it names the setting and what to do.
    """
    for number, rule in enumerate(settings.rules()):
        where = f"tools.approvals[{number}]" if number < len(settings.approvals) else "tools.ask_before"
        for pattern in rule.tools:
            _known(pattern, tools, where)
        if not rule.tools or not rule.agents:
            raise ConfigurationError(f"{where} names no {'tool' if not rule.tools else 'agent'}; * stands for all")
        if not 0 < rule.minutes < math.inf:
            raise ConfigurationError(f"{where}: minutes must be more than 0 and finite, not {rule.minutes}")
    for pattern, agents in settings.scopes.items():
        where = f"tools.scopes.{pattern}"
        _known(pattern, tools, where)
        needed = next((tool for tool in ALWAYS if fnmatchcase(tool, pattern)), None)
        if needed is not None:
            raise ConfigurationError(f"{where}: {needed} cannot be kept from anybody; no agent can work without it")
        if agents and not is_meant(BOSS, agents):
            raise ConfigurationError(
                f"{where}: nobody may use what its superior may not, so the list must name the boss too, and all "
                "others above those who are meant; [] takes the tool from everybody"
            )


def _known(pattern: str, tools: Sequence[str], where: str) -> None:
    if not any(fnmatchcase(tool, pattern) for tool in tools):
        near = get_close_matches(pattern, tools, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ConfigurationError(f"{where}: there is no tool {pattern!r}{hint} The tools are: {', '.join(tools)}")
