"""A big run watched in a browser: `python -m benchmarks dashboard [--agents N] [--rate N] [--seconds N]`.

A made-up organization (no model is asked) records facts at a steady rate; `megaagent serve` shows it to a Chromium that
draws the whole chart and moves it about. Needs the Python package playwright and a Chromium.

    fps                 frames that the browser drew in a second while the chart moved; 60 is the most
    chart_fps           drawings of the chart in a second; it is drawn only when something has changed
    server_core_share   of one core that the server used
    behind_s_p50        from a fact's recording until the page has it
    run_slowdown        facts a second that were recorded while nobody looked, by those while the run was watched
    append_ms_p50       of an append while nobody looked; append_watched_ms_p50 while the run was watched, on a machine
                        whose cores the browser uses too
    first_page_s        from opening the run's page until its chart is there
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.dashboard.browsing import FLAGS, NAMES
from tests.dashboard.made import Author, made_run, tree

from megaagent.clock import WallClock
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal

MOVES = """() => new Promise((resolve) => {
  const chart = document.querySelector(".chart canvas");
  const box = chart.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const began = performance.now();
  const drawn = window.megaagent.drawing.frames();
  let frames = 0;
  const step = () => {
    frames += 1;
    const sign = Math.floor(frames / 40) % 2 ? 1 : -1;
    chart.dispatchEvent(new WheelEvent("wheel", { clientX: x, clientY: y, deltaY: 12 * sign, bubbles: true }));
    const seconds = (performance.now() - began) / 1000;
    if (seconds < SECONDS) requestAnimationFrame(step);
    else resolve([frames / seconds, (window.megaagent.drawing.frames() - drawn) / seconds]);
  };
  requestAnimationFrame(step);
})"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks dashboard", description=__doc__)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=500, help="facts a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        measured = asyncio.run(measure(Path(scratch), given.agents, given.rate, given.seconds))
    print(json.dumps({"benchmark": "dashboard", "agents": given.agents, "facts_per_s": given.rate} | measured))
    return 0


class Writer:
    """Records facts at a rate, and how long each append took."""

    def __init__(self, folder: RunFolder, agents: int, rate: int):
        self._journal = SQLiteJournal.open(folder.journal, WallClock())
        self._author = Author(tree(agents), seed=2)
        self._rate = rate
        self.recorded: list[tuple[int, float]] = []  # position, when it was durable

    async def write(self, seconds: float) -> tuple[float, float]:
        """Record for so long; facts a second, and the median time of an append in seconds."""
        times: list[float] = []
        began, written = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            facts = self._author.some()
            await self._journal.append(facts)
            times.append(time.monotonic() - now)
            self.recorded.append((self._journal.position, time.time()))
            written += len(facts)
            await asyncio.sleep(max(0.0, began + written / self._rate - time.monotonic()))
        return written / (time.monotonic() - began), statistics.median(times)

    async def close(self) -> None:
        await self._journal.close()


async def measure(scratch: Path, agents: int, rate: int, seconds: float) -> dict[str, Any]:
    from playwright.async_api import async_playwright

    folder = await made_run(scratch, agents, acts=2 * agents)
    writer = Writer(folder, agents, rate)
    alone = await writer.write(seconds / 2)
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from megaagent.cli import main; main()", "serve", str(scratch), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        link = ""
        while not (found := re.search(r"to see and steer: (\S+)", link)):
            link = (await server.stdout.readline()).decode()
        async with async_playwright() as playwright:
            path = next(filter(None, map(shutil.which, NAMES)), None)
            browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
            page = await browser.new_page(viewport={"width": 1280, "height": 800})
            await page.goto(found[1])
            opened = time.monotonic()
            await page.evaluate("to => { location.hash = to }", f"#/run/{folder.id}/organization")
            await page.wait_for_selector(".chart canvas", timeout=300_000)
            first = time.monotonic() - opened
            writing = asyncio.create_task(writer.write(seconds))
            behind = asyncio.create_task(_behind(page, writer, seconds))
            used = core_seconds(server.pid)
            fps, drawn = await page.evaluate(MOVES.replace("SECONDS", str(seconds)))
            used = core_seconds(server.pid) - used
            watched = await writing
            late = await behind
            await browser.close()
    finally:
        server.terminate()
        await server.wait()
        await writer.close()
    return {
        "fps": round(fps, 1),
        "chart_fps": round(drawn, 1),
        "server_core_share": round(used / seconds, 3),
        "behind_s_p50": round(statistics.median(late), 2),
        "run_slowdown": round(alone[0] / watched[0], 3),
        "append_ms_p50": round(1000 * alone[1], 2),
        "append_watched_ms_p50": round(1000 * watched[1], 2),
        "first_page_s": round(first, 1),
    }


async def _behind(page: Any, writer: Writer, seconds: float) -> list[float]:
    """By how much the page was late, looked at twice a second."""
    late: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        position = await page.evaluate("() => window.megaagent.model.position")
        later = next((when for at, when in writer.recorded if at > position), None)
        late.append(0.0 if later is None else max(0.0, time.time() - later))
    return late


def core_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
