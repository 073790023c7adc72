"""megaagent tree: who is in a run, and how each stands."""

from __future__ import annotations

from megaagent.cli.options import AsJson, Seen

HELP = """The whole organization, unfolded: each agent with what it did last or waits for, its steps and tokens.

\b
Examples:
  megaagent tree
  megaagent tree 20261121-0931 | less
  megaagent tree --json | jq '.agents[] | select(.stand == "waiting") | .id'"""


def command(seen: Seen, json: AsJson = False) -> int:
    import sys

    from rich.console import Console

    from megaagent.cli.crowd import agents_of, panorama_of, standing_of
    from megaagent.cli.drawing import outline
    from megaagent.cli.words import glyphs_for, money, plural, print_json

    with seen.sight() as sight:
        organization = sight.organization()
    head, status = organization.header, standing_of(organization)
    if json:
        print_json({"run": head["run"], "status": status, "header": head, "agents": agents_of(organization)})
        return 0
    console = Console(highlight=False)
    for line in outline(panorama_of(organization), console.width, glyphs_for(sys.stdout)):
        console.print(line, soft_wrap=True)
    simulated = "simulated cost" if head["simulated"] else "cost"
    print(
        f"{status}: {plural(head['agents'], 'agent')}, {plural(head['steps'], 'step')}, "
        f"{simulated} {money(head['cost'])}"
    )
    return 0
