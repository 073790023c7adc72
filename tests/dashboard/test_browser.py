"""The page in a real browser over a run that lives: every view opens, and what a person does is done."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.dashboard.browsing import Watched, browser, chromium, visit
from tests.dashboard.live import living
from tests.dashboard.visiting import PATIENCE

from megaagent import events as ev
from megaagent.dashboard.address import Place
from megaagent.dashboard.serving import serving
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.running import Run

VIEWS = {
    "organization": "boss",
    "timeline": "Whole run",
    "files": "All commits",
    "messages": "assignment",
    "debts": "Debtor",
    "cost": "By model",
    "interventions": "What the supervisor",
    "questions": "open question",
    "approvals": "waits for approval",
    "journal": "AgentRecruited",
}


async def recorded(run: Run, kind: type[ev.Event], words: str = "") -> None:
    """Wait until a fact of that kind that contains the words is in the journal."""
    async with asyncio.timeout(PATIENCE):
        while True:
            reader = open_reader(run.folder.journal)
            found = [record.event for record in reader.records(kinds=[kind])]
            reader.close()
            if any(words in repr(event) for event in found):
                return
            await asyncio.sleep(0.05)


async def test_a_person_watches_and_steers(tmp_path: Path) -> None:
    chromium()
    async with (
        living(tmp_path) as run,
        serving(tmp_path, Place()) as links,
        browser() as started,
        visit(started, links.full) as page,
    ):
        await recorded(run, ev.QuestionAsked)
        await page.seen(run.folder.id)
        await page.page.get_by_role("link", name=run.folder.id).click()
        for view, words in VIEWS.items():
            await page.go(f"#/run/{run.folder.id}/{view}")
            await page.seen(words, "#main")
        assert page.page.url.startswith(page.base) and "token" not in page.page.url

        # writes to an agent
        await page.go(f"#/run/{run.folder.id}/organization?agent=boss%2Fann")
        await page.seen("boss/ann", "#panel")
        await page.page.get_by_label("Message").fill("make it <b>blue</b>")
        await page.page.get_by_role("button", name="Send").click()
        await recorded(run, ev.MessageSent, "make it <b>blue</b>")

        # pauses, and unpauses with a key
        await page.page.get_by_role("button", name="Close").click()
        await page.page.locator("#top").get_by_role("button", name="Pause", exact=True).click()
        await recorded(run, ev.RunPaused)
        await page.seen("Unpause", "#top")
        await page.page.keyboard.press("p")
        await recorded(run, ev.RunUnpaused)

        # is still where it was after a reload, with nothing twice
        await page.go(f"#/run/{run.folder.id}/journal")
        await page.seen("RunUnpaused", ".facts-list")
        await page.page.reload()
        await page.seen("RunUnpaused", ".facts-list")

        # answers
        await page.page.keyboard.press("8")
        await page.seen("Blue or green?", "#main")
        await page.page.get_by_label("Answer").fill("Blue.")
        await page.page.get_by_role("button", name="Answer").click()
        await recorded(run, ev.QuestionAnswered, "Blue.")
        assert (await run.result()).status == "completed"
        await page.seen("completed", "#top")
        await page.go(f"#/run/{run.folder.id}/journal")
        await page.seen("RunEnded", ".facts-list")
        assert (shown := await _positions(page)) == await _expected(run.folder, len(shown)) and len(shown) > 50
        assert not page.wrong


async def test_a_subtree_is_stopped_after_a_question(tmp_path: Path) -> None:
    chromium()
    async with (
        living(tmp_path) as run,
        serving(tmp_path, Place(), only=run.folder.id) as links,
        browser() as started,
        visit(started, links.full) as page,
    ):
        await recorded(run, ev.QuestionAsked)
        await page.seen("ben", "#main")
        await page.page.get_by_role("treeitem", name="ben").click()
        await page.seen("boss/ben", "#panel")
        await page.page.locator("#panel").get_by_role("button", name="Stop").click()
        await page.page.locator("dialog").get_by_role("button", name="Stop").click()
        await recorded(run, ev.AgentRetired, "boss/ben")
        await run.control.stop("the test is over")
        await run.result()
        assert not page.wrong


async def test_a_reader_is_shown_no_way_to_act(run: RunFolder) -> None:
    chromium()
    async with (
        serving(run.path.parent, Place()) as links,
        browser() as started,
        visit(started, links.read, 390, 844) as page,
    ):
        await page.seen(run.id)
        await page.go(f"#/run/{run.id}/organization?agent=boss")
        await page.seen("look only", "#top")
        await page.page.locator("#panel").get_by_role("tab", name="Role").click()
        await page.seen("Compare the tariffs", "#panel")
        assert await page.page.get_by_role("button", name="Pause").count() == 0
        assert await page.page.get_by_role("button", name="Send").count() == 0
        assert await page.page.get_by_role("button", name="Fork").count() == 0
        wide = await page.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0
        assert not page.wrong


async def test_keys_walk_the_tree_and_the_views(run: RunFolder) -> None:
    chromium()
    async with serving(run.path.parent, Place()) as links, browser() as started, visit(started, links.full) as page:
        await page.go(f"#/run/{run.id}/organization")
        await page.seen("a1", "#main")
        keyboard = page.page.keyboard
        await keyboard.press("?")
        await page.seen("walk the tree", "dialog")
        await keyboard.press("Escape")
        await page.page.get_by_role("tree").focus()
        for key in ("ArrowDown", "ArrowDown", "Enter"):
            await keyboard.press(key)
        await page.seen("boss/a1/a10", "#panel")
        await page.page.get_by_role("button", name="Close").focus()
        await keyboard.press("Escape")
        await page.page.locator("#panel").wait_for(state="hidden")
        await keyboard.press("2")
        await page.seen("Whole run", "#main")
        await keyboard.press("/")
        await keyboard.press("9")
        await page.seen("waits for approval", "#main")
        await keyboard.press("j")
        await page.seen("Every fact", "#main")
        before = await page.page.evaluate("() => document.documentElement.dataset.look")
        await keyboard.press("d")
        assert await page.page.evaluate("() => document.documentElement.dataset.look") != before
        assert not page.wrong


async def test_a_stranger_is_told_what_to_do(run: RunFolder) -> None:
    chromium()
    async with (
        serving(run.path.parent, Place()) as links,
        browser() as started,
        visit(started, links.full.partition("#")[0]) as page,
    ):
        await page.seen("open the link that megaagent serve printed")
        assert await page.page.get_by_text(run.id).count() == 0


async def _positions(page: Watched) -> list[int]:
    shown = await page.page.locator(".fact > button").all_text_contents()
    return [int(text) for text in shown]


async def _expected(folder: RunFolder, count: int) -> list[int]:
    reader = open_reader(folder.journal)
    last = reader.last()
    reader.close()
    return list(range(last, last - count, -1))
