"""Pictures of every view of the dashboard, to be looked at: light and dark, wide and narrow, small and large.

    python scripts/screenshots.py FOLDER [--agents 7 590 10000] [--views timeline cost]

The organizations are made up (no model is asked). Needs the Python package playwright and a Chromium. What the browser
complains about is printed, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.dashboard.browsing import Watched, browser  # noqa: E402
from tests.dashboard.made import embellish, made_run  # noqa: E402

from megaagent.dashboard.address import Place  # noqa: E402
from megaagent.dashboard.serving import serving  # noqa: E402

SIZES = ((1280, 800), (390, 844))
LOOKS = ("light", "dark")
VIEWS = {
    "organization": "",
    "organization-talk": "organization?talk=1&colour=spend",
    "organization-waits": "organization?waits=1",
    "organization-tree": "organization?layout=tree",
    "agent": "organization?agent=boss/a1",
    "conversation": "organization?agent=boss/a1&tab=Conversation",
    "timeline": "timeline?critical=1",
    "files": "files?path=docs/report.md",
    "file-page": "files?path=docs/report.md&show=page",
    "file-history": "files?path=docs/report.md&show=history",
    "commits": "files?show=history",
    "messages": "",
    "debts": "",
    "cost": "",
    "interventions": "",
    "questions": "",
    "approvals": "",
    "journal": "",
}
SETTLED = 700  # milliseconds that a view is given to be drawn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--agents", type=int, nargs="+", default=[7, 590, 10_000])
    parser.add_argument("--views", nargs="+", default=list(VIEWS), choices=VIEWS, help="only these")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    wrong = asyncio.run(take_all(given.folder, given.agents, given.views))
    for each in wrong:
        sys.stdout.write(each + "\n")
    return 1 if wrong else 0


async def take_all(folder: Path, sizes: list[int], views: list[str]) -> list[str]:
    """Take all pictures; what the browser complained about."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for agents in sizes:
            run = await made_run(
                Path(scratch), agents, acts=max(200, 5 * agents), name=f"20261121-100000-made-{agents}"
            )
            await embellish(run)
            other = await made_run(Path(scratch), agents, acts=100, name=f"20261121-110000-other-{agents}")
            async with serving(Path(scratch), Place()) as links, browser() as started:
                for look in LOOKS:
                    for width, height in SIZES:
                        context = await started.new_context(
                            viewport={"width": width, "height": height}, color_scheme=look, reduced_motion="reduce"
                        )
                        page = Watched(await context.new_page(), links.full.partition("#")[0])
                        await page.page.goto(links.full)
                        await page.page.wait_for_selector("table.runs")
                        await page.shot(folder / f"runs-{agents}-{width}-{look}.png")
                        await page.go(f"#/?compare={run.id},{other.id}&beside=1")
                        await page.page.wait_for_selector("table.beside", timeout=300_000)
                        await page.page.wait_for_timeout(SETTLED)
                        await page.shot(folder / f"compare-{agents}-{width}-{look}.png")
                        await page.go(f"#/run/{run.id}")
                        await page.page.wait_for_selector("#nav a", timeout=300_000)
                        for name in views:
                            await page.go(f"#/run/{run.id}/{VIEWS[name] or name}")
                            await page.page.wait_for_timeout(SETTLED)
                            await page.shot(folder / f"{name}-{agents}-{width}-{look}.png")
                        wrong += page.wrong
                        await context.close()
    return wrong


if __name__ == "__main__":
    sys.exit(main())
