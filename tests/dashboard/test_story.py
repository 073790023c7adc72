"""One run from its beginning to its end, steered by a person at the page alone, through a reload and a new server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from tests.dashboard.browsing import Watched, browser, chromium, visit
from tests.dashboard.live import living
from tests.dashboard.test_browser import VIEWS, recorded
from tests.dashboard.visiting import PATIENCE

from megaagent import events as ev
from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import Links, serving
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.launch import Run


async def test_a_run_is_steered_from_the_page_alone(tmp_path: Path) -> None:
    chromium()
    async with living(tmp_path, asking=True) as run, browser() as started, AsyncExitStack() as server:
        links = await server.enter_async_context(serving(tmp_path, Place()))
        async with visit(started, links.full) as page:
            await recorded(run, ev.QuestionAsked)
            await recorded(run, ev.ApprovalAsked)
            await recorded(run, ev.TurnEnded, "its part comes first")
            await _opens_each_view(page, run)
            await _writes_a_file(page, run)
            await _writes_to_an_agent(page, run)
            await _pauses_and_goes_on(page, run)
            await _gives_a_purse(page, run)
            await _stops_a_part(page, run)
            await _reloads(page, run)
            links = await _meets_a_new_server(page, run, server, links)
            await _approves(page, run)
            await _answers(page, run)
            assert (await run.result()).status == "completed"
            await page.seen("completed", "#top")
            await _sees_everything_once(page, run)
            assert not page.wrong
    reader = open_reader(run.folder.journal)
    spoke = [record.event for record in reader.records(kinds=[ev.HumanSpoke])]
    reader.close()
    acts = [fact.action for fact in spoke if isinstance(fact, ev.HumanSpoke)]
    assert acts == [
        "write",
        "write",
        "remove",
        "send",
        "pause",
        "unpause",
        "budget",
        "stop",
        *["send"] * 4,
        "approve",
        "answer",
    ]


async def _opens_each_view(page: Watched, run: Run) -> None:
    await page.seen("running")
    await page.seen("asks you 2×", "table.runs")
    await page.page.get_by_role("link", name=run.folder.id).click()
    await page.seen("1 question", "#top")
    await page.seen("1 approval", "#top")
    assert (await page.page.title()).startswith("(2) ")
    for view, words in VIEWS.items():
        await page.go(f"#/run/{run.folder.id}/{view}")
        await page.seen(words, "#main")
    await page.go(f"#/run/{run.folder.id}/organization?waits=1")
    await page.seen("waits for 2", "#main")  # ann and cat, for ben


async def _writes_a_file(page: Watched, run: Run) -> None:
    await page.go(f"#/run/{run.folder.id}/files")
    await page.page.get_by_role("button", name="Add a file").click()
    await page.page.get_by_label("Name of the file").fill("notes/mine.md")
    await page.page.get_by_label("Content").fill("# Mine\n\n<b>bold</b> **bold**\n")
    await page.page.get_by_role("button", name="Save").click()
    await page.seen("<b>bold</b> **bold**", ".code")
    await page.page.get_by_role("button", name="page", exact=True).click()
    assert await page.page.locator(".md strong").text_content() == "bold"
    await page.page.get_by_role("button", name="content", exact=True).click()
    await page.page.get_by_role("button", name="Edit").click()
    text = page.page.get_by_label("Content")
    await text.fill((await text.input_value()).replace("Mine", "Ours"))
    await page.page.get_by_role("button", name="Save").click()
    await page.seen("# Ours", ".code")
    await page.seen("person", ".code .who")
    await page.page.get_by_role("button", name="Remove").click()
    await page.page.locator("dialog").get_by_role("button", name="Remove").click()
    await page.seen("Remove notes/mine.md", "#main table")  # among all commits
    assert await page.page.locator(".files").get_by_text("notes/mine.md").count() == 0


async def _writes_to_an_agent(page: Watched, run: Run) -> None:
    await page.go(f"#/run/{run.folder.id}/organization?agent=boss%2Fann")
    await page.seen("waits for ben", "#panel")
    await page.page.get_by_label("Message").fill("make it <b>blue</b>")
    await page.page.get_by_role("button", name="Send").click()
    await page.seen("handed in", "#panel h2")  # it has acted on it
    await page.page.get_by_role("tab", name="Conversation").click()
    await page.seen("make it <b>blue</b>", "#panel")
    await page.go(f"#/run/{run.folder.id}/files?path=ann.txt")
    await page.seen("a person wrote", ".code")


async def _pauses_and_goes_on(page: Watched, run: Run) -> None:
    await page.page.locator("#top").get_by_role("button", name="Pause", exact=True).click()
    await page.seen("Unpause", "#top")
    await page.seen("paused", "#top .chip")
    await page.page.keyboard.press("p")
    await recorded(run, ev.RunUnpaused)
    await page.seen("running", "#top .chip")


async def _gives_a_purse(page: Watched, run: Run) -> None:
    await page.go(f"#/run/{run.folder.id}/organization?agent=boss%2Fben")
    await page.seen("boss/ben", "#panel .path")
    await page.page.locator("#panel").get_by_role("button", name="Budget").click()
    await page.page.get_by_label("Money, in dollars").fill("7.5")
    await page.page.locator("dialog").get_by_role("button", name="Set").click()
    await page.seen("$7.50 set aside for it", "#panel")


async def _stops_a_part(page: Watched, run: Run) -> None:
    await page.page.get_by_role("treeitem", name="cat").click()
    await page.seen("boss/cat", "#panel .path")
    await page.page.locator("#panel").get_by_role("button", name="Stop").click()
    await page.page.locator("dialog").get_by_role("button", name="Stop").click()
    await page.seen("failed", "#panel h2")
    await page.seen("has left", "#panel")


async def _reloads(page: Watched, run: Run) -> None:
    """In the middle of the run: the address says what was seen, and nothing is missing or there twice."""
    await page.go(f"#/run/{run.folder.id}/journal?agent=boss%2Fcat")
    await _sees_everything_once(page, run)
    for number in range(3):
        await run.control.send("ann", f"news {number}")
        await page.seen(f"news {number}", ".facts-list")
    await _sees_everything_once(page, run)  # what came while it was looked at, too
    await page.page.reload()
    await page.seen("boss/cat", "#panel .path")
    await _sees_everything_once(page, run)


async def _meets_a_new_server(page: Watched, run: Run, server: AsyncExitStack, links: Links) -> Links:
    """The run goes on without a server; the page is told to open the new link, and has what happened meanwhile."""
    before = len(page.wrong)
    await server.aclose()
    await page.seen("no connection", "#top")
    await run.control.send("ann", "while nobody watched")
    again = await server.enter_async_context(serving(run.folder.path.parent, Place(port=links.port)))
    await page.seen("Not signed in")
    del page.wrong[before:]  # that the connection was lost, and the old cookie refused
    await page.page.goto(again.full)
    await page.seen("running", "#main")
    await page.go(f"#/run/{run.folder.id}/journal")
    await page.seen("while nobody watched", ".facts-list")
    await _sees_everything_once(page, run)
    shown = await page.page.evaluate("() => megaagent.model.rows.map((row) => [row.name, row.stand, row.steps])")
    await page.page.reload()
    await page.seen("while nobody watched", ".facts-list")
    fresh = await page.page.evaluate("() => megaagent.model.rows.map((row) => [row.name, row.stand, row.steps])")
    assert sorted(shown) == sorted(fresh) and len(fresh) == 4
    return again


async def _approves(page: Watched, run: Run) -> None:
    await page.page.locator("#top").get_by_role("link", name="1 approval").click()
    await page.seen("1 call waits for approval", "#main")
    await page.seen("ben.txt", "#main .effect")
    await page.page.get_by_label("Remark").fill("only <i>this</i> file")
    await page.page.get_by_role("button", name="Approve").click()
    await page.seen("approved by the person", "#main")
    await page.seen("only <i>this</i> file", "#main")
    await recorded(run, ev.FileCommitted, "ben.txt")


async def _answers(page: Watched, run: Run) -> None:
    await page.page.keyboard.press("8")
    await page.seen("Blue or green?", "#main")
    await page.page.get_by_label("Answer").fill("Blue.")
    await page.page.get_by_role("button", name="Answer").click()
    await page.seen("answered by the person", "#main")


async def _sees_everything_once(page: Watched, run: Run) -> None:
    """The journal's view lists the newest facts without a gap, as the file has them."""
    await page.go(f"#/run/{run.folder.id}/journal{'?agent=boss%2Fcat' if 'cat' in page.page.url else ''}")
    reader = open_reader(run.folder.journal)
    last = reader.last()
    reader.close()
    await page.seen(str(last), ".fact > button")
    shown = [int(text) for text in await page.page.locator(".facts-list > .fact > button").all_text_contents()]
    assert shown == list(range(shown[0], shown[0] - len(shown), -1)) and shown[0] >= last and len(shown) >= 60


async def test_a_run_begins_and_is_forked_from_the_page(tmp_path: Path) -> None:
    chromium()
    async with serving(tmp_path, Place()) as links, browser() as started, visit(started, links.full) as page:
        await page.seen("No run yet")
        await page.page.get_by_role("button", name="Start a run").click()
        await page.page.get_by_label("Or a scenario").fill("gobang")
        await page.page.locator("dialog").get_by_role("button", name="Start").click()
        await page.seen("simulated", "#top")
        parent = await _only_run(tmp_path)
        await page.seen("rules", "#main")  # the boss has recruited
        await page.page.locator("#top").get_by_role("button", name="Stop").click()
        await page.page.locator("dialog").get_by_role("button", name="Stop").click()
        await page.seen("stopped", "#top")
        await page.go(f"#/run/{parent.id}/journal?kind=ModelAnswered")
        await page.page.locator(".fact > button").last.click()
        await page.page.get_by_role("button", name="Fork from here").click()
        await page.page.get_by_label("Mail to the boss").fill("Use <b>only</b> ASCII.")
        await page.page.locator("dialog").get_by_role("button", name="Fork").click()
        await page.page.wait_for_function("id => megaagent.run && megaagent.run !== id", arg=parent.id)
        fork = await page.page.evaluate("() => megaagent.run")
        await page.seen(fork, "#top")
        await page.go(f"#/run/{fork}/messages?kind=person")
        await page.seen("Use <b>only</b> ASCII.", "#main")
        await page.page.locator("#top").get_by_role("button", name="Stop").click()
        await page.page.locator("dialog").get_by_role("button", name="Stop").click()
        await page.seen("stopped", "#top")
        # The two beside each other
        await page.go("#/")
        await page.seen(fork, "table.runs")
        for box in await page.page.get_by_role("checkbox").all():
            await box.check()
        await page.page.get_by_role("link", name="Compare the two").click()
        await page.seen("Parted from", "table.beside")
        await page.seen(f"{parent.id}, after its fact", "table.beside")
        await page.seen("planning", "table.beside")
        assert not page.wrong


async def _only_run(runs: Path) -> RunFolder:
    async with asyncio.timeout(PATIENCE):
        while not (found := [path for path in runs.iterdir() if (path / "journal.db").exists()]):
            await asyncio.sleep(0.05)
    assert len(found) == 1
    return RunFolder(found[0])
