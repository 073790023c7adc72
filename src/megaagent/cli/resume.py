"""megaagent resume: go on where the journal ends."""

from __future__ import annotations

from megaagent.cli.options import Caps, Chosen, Conduct, Look, Models

HELP = """\b
Examples:
  megaagent resume
  megaagent resume 20261121-0931 --max-cost 20
  megaagent resume --model openai:gpt-4.1
  megaagent resume --attended --set limits.agents=50

What was paid for is not paid again; a cap that is given replaces the old one.
Other options hold until the run ends again: name them at the next resume too.
--journal says where the database of the journal is now, if it was moved."""


def command(chosen: Chosen, models: Models, caps: Caps, conduct: Conduct, look: Look) -> int:
    from megaagent.cli.drive import drive
    from megaagent.launch import resume

    changes = conduct.changes() | models.changes() | caps.changes()
    return drive(resume(chosen.folder(), changes=changes), look)
