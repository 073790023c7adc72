"""Draws the pictures of the README.

    python scripts/picture.py RUN_FOLDER [--at SECONDS]
    python scripts/picture.py --organization

The first makes docs/picture.svg: the live view of a finished run as it stood at one moment. The facts of the run's
journal are folded up to that moment and drawn by the command line's own code. The picture needs nothing from the
network: rich's template names web fonts, ours names fonts that machines have.

The second makes docs/organization.svg: the 590 agents of a rehearsed policy run, as `megaagent report --format svg`
draws them. It takes about half a minute.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from html import unescape
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import TerminalTheme

from megaagent.cli.drawing import frame
from megaagent.cli.panorama import Panorama
from megaagent.cli.words import UNICODE
from megaagent.folder import find_run
from megaagent.journal import open_reader

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "picture.svg"
ORGANIZATION = ROOT / "docs" / "organization.svg"
WIDTH, HEIGHT = 96, 16  # cells
MOMENT = 18.6  # seconds after the first fact: the Gobang run is half done, and its agents stand differently

THEME = TerminalTheme(
    (22, 27, 34),
    (214, 220, 228),
    [
        (72, 79, 88),
        (255, 123, 114),
        (126, 211, 133),
        (227, 187, 94),
        (121, 184, 255),
        (210, 168, 255),
        (86, 212, 221),
        (214, 220, 228),
    ],
)

# As rich's own template, without @font-face: what it names lies on a server.
TEMPLATE = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>The live view of a simulated MegaAgent run</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 17px; font-family: system-ui, sans-serif; fill: #9aa5b1; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the pictures of the README.")
    parser.add_argument("run", type=Path, nargs="?", help="the run's folder")
    parser.add_argument("--organization", action="store_true", help="the organization of a policy run instead")
    parser.add_argument("--at", type=float, default=MOMENT, help="seconds after the first fact")
    parser.add_argument("--to", type=Path, help="where the picture goes")
    given = parser.parse_args()
    if (given.run is None) == (not given.organization):
        parser.error("name a run's folder, or say --organization")
    to = given.to or (ORGANIZATION if given.organization else PICTURE)
    to.write_text(organization() if given.organization else picture(given.run, given.at), encoding="utf-8")
    sys.stdout.write(f"{to}\n")
    return 0


def picture(run: Path, at: float) -> str:
    """The live view of a run, `at` seconds after its first fact, as SVG."""
    reader = open_reader(find_run(run.parent, f"{run.absolute()}/").journal)
    try:
        records = list(reader.records())
    finally:
        reader.close()
    now = records[0].time + at
    panorama = Panorama()
    for record in records:
        if record.time <= now:
            panorama.take_in(record)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(
        Group(*frame(panorama, now, WIDTH, HEIGHT, UNICODE), "")
    )  # the picture's edge cuts into its last line
    command = f"megaagent run --scenario {panorama.scenario}" if panorama.scenario else "megaagent run GOAL"
    drawn = console.export_svg(title=command, theme=THEME, code_format=TEMPLATE, unique_id="view")
    return re.sub(r'x="([\d.]+)" (y="[\d.]+") textLength="([\d.]+)" ([^>]*)>((?:&#160;)+)([^<]+)', _indented, drawn)


def organization() -> str:
    """The organization of the policy scenario, rehearsed in virtual time."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.policy import AGENTS, chosen
    from msgspec.structs import replace

    from megaagent.models.simulated import Latency, SimulatedModel
    from megaagent.report.gathering import Gathering, report_of
    from megaagent.report.picture import picture as drawn
    from megaagent.scenarios.policy.scenario import Policy
    from megaagent.scenarios.policy.script import script
    from megaagent.testing import rehearse

    model = SimulatedModel(script(), name="sim:policy", latency=Latency())
    run = rehearse(model, Policy().goal, settings=chosen(AGENTS))
    gathering = Gathering()
    for record in run.records:
        gathering.take_in(record)
    report = report_of(gathering)
    return drawn(replace(report, run=replace(report.run, scenario="Policy")))


def _indented(found: re.Match[str]) -> str:
    """A text that begins with blanks, moved to the right instead: some viewers drop blanks at the beginning."""
    x, y, length, rest, blanks, text = found.groups()
    cells = len(unescape(blanks + text))
    cell = float(length) / cells
    shift = cell * len(unescape(blanks))
    return f'x="{float(x) + shift:g}" {y} textLength="{float(length) - shift:g}" {rest}>{text}'


if __name__ == "__main__":
    sys.exit(main())
