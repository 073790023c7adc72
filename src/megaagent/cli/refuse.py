"""megaagent refuse: do not let an agent make a call that waits for a person."""

from __future__ import annotations

from megaagent.cli.options import Place
from megaagent.cli.ruling import Remark, Words, rule

HELP = """\b
Examples:
  megaagent refuse engine --remark "Use the copy in fixtures/ instead."

The live view and "megaagent ps" show what waits. The settings
tools.ask_before and tools.approvals, and "run --attended --ask-before TOOL",
say which calls wait."""


def command(place: Place, words: Words = None, remark: Remark = "") -> int:
    return rule("refuse", words, remark, place)
