"""The report of a run: true figures, one file, agents' text as text only, whatever state the run is in."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from tests.dashboard.browsing import browser, chromium
from tests.dashboard.made import made_run
from tests.hostile.judging import obeyed
from tests.organization.test_debts import boss_of, prompt, recruit, worker
from tests.report.stories import kept

from megaagent import events as ev
from megaagent.errors import RunError
from megaagent.events import Record
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, talk, wait, write_file
from megaagent.models.simulated import Latency
from megaagent.report.document import Report, schema
from megaagent.report.gathering import Gathering, gathered, report_of
from megaagent.report.page import page
from megaagent.report.picture import picture
from megaagent.testing import Rehearsal, rehearse

TWO = Latency(2.0, 0.0, 0.0, sigma=0.0)  # each answer takes two seconds
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202eevil\x1b[31m&amp;</style>'


def gathering_of(records: list[Record]) -> Gathering:
    gathering = Gathering()
    for record in records:
        gathering.take_in(record)
    return gathering


def of_folder(folder: RunFolder) -> tuple[Report, Gathering]:
    reader = open_reader(folder.journal)
    try:
        gathering = gathered(reader)
    finally:
        reader.close()
    return report_of(gathering), gathering


class Looked(HTMLParser):
    """What elements and attributes a page has, and its text."""

    VOID = ("meta",)

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"{self._open} are never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def harmless(made: str) -> Looked:
    """A page that runs nothing and asks for nothing."""
    looked = Looked(made)
    tags = {tag for tag, _ in looked.elements}
    assert not tags & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "input",
        "a",
        "base",
        "use",
        "image",
    }
    for tag, attributes in looked.elements:
        for name, value in attributes.items():
            assert not name.startswith("on") and name not in ("href", "src", "style", "xlink:href"), (tag, name)
            assert name == "xmlns" or "://" not in (value or ""), (tag, name, value)
    [sheet] = re.findall("<style>(.*?)</style>", made, re.DOTALL)
    assert "url(" not in sheet and "@import" not in sheet
    assert not obeyed(made)
    return looked


def played(script: Script, **more: object) -> Rehearsal:
    return rehearse(script, "Write two parts. Then stop.", latency=TWO, **more)  # pyright: ignore[reportArgumentType]


def hostile() -> Rehearsal:
    """A run in which goal, roles, mail, files and reports are markup."""

    def boss(me: Part) -> Playing:
        yield say(add_agent("ann", EVIL, prompt("ann", EVIL)), write_file("a.md", EVIL), talk("boss", EVIL))
        while not me.reported("ann"):
            yield wait([], EVIL)
        yield review(["ann"], "return", EVIL)
        while not me.reported("ann"):
            yield wait([], EVIL)
        yield review(["ann"], "accept", EVIL)
        return EVIL

    def ann(me: Part) -> Playing:
        yield write_file(f"x {EVIL[:20]}.txt".replace("/", ""), EVIL)
        yield talk(EVIL, EVIL)
        while True:
            return EVIL

    return rehearse(Script({"boss": boss, "ann": ann}), f"The goal {EVIL}", latency=TWO)


def test_its_figures_are_those_of_the_run() -> None:
    run = played(Script({"boss": boss_of("ann", "bob")}, default=worker))
    report = report_of(gathering_of(run.records))
    assert (
        report.run.status == "completed" and report.run.goal == "Write two parts. Then stop." and report.run.simulated
    )
    calls = run.facts(ev.ModelAnswered)
    assert report.figures.agents == 3 and report.figures.calls == len(calls) == sum(r.calls for r in report.stages)
    assert report.figures.prompt == sum(call.usage.prompt for call in calls) == sum(row.prompt for row in report.models)
    assert report.time.seconds == pytest.approx(run.seconds)
    assert report.time.work == pytest.approx(2.0 * len(calls))
    assert report.time.critical == pytest.approx(run.seconds)  # nothing but calls takes time here
    assert report.time.efficiency == pytest.approx(1.0) and report.time.peak == 3  # ann, bob and the boss
    assert [(f.path, f.writes, [a.name for a in f.authors]) for f in report.files] == [
        ("ann.txt", 1, ["ann"]),
        ("bob.txt", 1, ["bob"]),
    ]
    assert [(agent.name, agent.part) for agent in report.agents] == [("boss", -1), ("ann", 0), ("bob", 1)]
    assert {part.name: part.agents for part in report.parts} == {"boss alone": 1, "ann": 1, "bob": 1}
    assert [round.confirmed for round in report.rounds] == [True]


def test_the_page_is_one_file_that_says_it_was_simulated() -> None:
    gathering = gathering_of(played(Script({"boss": boss_of("ann", "bob")}, default=worker)).records)
    looked = harmless(page(report_of(gathering), gathering))
    for words in (
        "This was a simulation: no model was asked",
        "Write two parts",
        "completed",
        "all parts are there",
        "ann",
    ):
        assert words in looked.text
    [policy] = [a["content"] for tag, a in looked.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-")


def test_what_agents_wrote_is_text_and_nothing_else() -> None:
    run = hostile()
    gathering = gathering_of(run.records)
    report = report_of(gathering)
    looked = harmless(page(report, gathering))
    assert "<script>alert(1)</script>" in looked.text  # it is there, as text
    drawn = picture(report)
    ElementTree.fromstring(drawn)
    assert "<script" not in drawn and not obeyed(drawn)


def test_data_keep_to_their_schema_and_read_back() -> None:
    report = report_of(gathering_of(played(Script({"boss": boss_of("ann")}, default=worker)).records))
    data = msgspec.json.encode(report)
    assert msgspec.json.decode(data, type=Report) == report
    told = json.loads(data)
    described = schema()["$defs"]
    assert set(told) == set(described["Report"]["properties"])
    assert set(told["time"]) <= set(described["Time"]["properties"])


@pytest.mark.parametrize("agents", [1, 7, 60, 590])
async def test_organizations_of_any_size_have_a_page_and_a_picture(agents: int, tmp_path: Path) -> None:
    folder = await made_run(tmp_path, agents, acts=2 * agents + 20)
    report, gathering = of_folder(folder)
    assert len(report.agents) == agents
    made = page(report, gathering)
    harmless(made)
    assert len(made) < 600_000
    drawn = ElementTree.fromstring(picture(report))
    assert str(agents) in "".join(drawn.itertext())
    assert report.run.status == "cut off"  # nobody is at work on it, and it has not ended


async def test_ten_thousand_agents_are_folded(tmp_path: Path) -> None:
    folder = await made_run(tmp_path, 10_000, acts=2_000)
    report, gathering = of_folder(folder)
    made = page(report, gathering)
    harmless(made)
    assert len(made) < 2_000_000 and "9,600 more" in made
    assert len(picture(report)) < 1_000_000


def test_a_run_that_goes_on_is_told_as_it_stands(tmp_path: Path) -> None:
    run = played(Script({"boss": boss_of("ann", "bob")}, default=worker))
    half = [record for record in run.records if record.time <= run.records[0].time + 5]
    folder = kept(tmp_path / "half", half)
    reader = open_reader(folder.journal)
    try:
        gathering = gathered(reader)
    finally:
        reader.close()
    report = report_of(gathering, "running")
    assert report.run.status == "running" and report.figures.calls < len(run.facts(ev.ModelAnswered))
    harmless(page(report, gathering))


def test_of_a_damaged_run_what_can_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    run = played(Script({"boss": boss_of("ann", "bob")}, default=worker))
    folder = kept(tmp_path / "damaged", run.records)
    middle = len(run.records) // 2
    with sqlite3.connect(folder.journal) as database:
        database.execute("UPDATE record SET body = x'7b' WHERE position = ?", (middle,))
    database.close()
    report, gathering = of_folder(folder)
    assert report.run.damage is not None and f"row {middle}" in report.run.damage
    assert "The journal of this run is damaged" in harmless(page(report, gathering)).text
    assert 0 < report.figures.calls < len(run.facts(ev.ModelAnswered))
    with sqlite3.connect(folder.journal) as database:
        database.execute("UPDATE record SET body = x'7b' WHERE position = 1")
    database.close()
    with pytest.raises(RunError, match="row 1"):
        of_folder(folder)


def test_of_a_torn_file_what_lies_before_the_tear_is_told(tmp_path: Path) -> None:
    run = rehearse(Script({"boss": boss_of(*(f"w{number}" for number in range(9)))}, default=worker), latency=TWO)
    folder = kept(tmp_path / "torn", run.records)
    with sqlite3.connect(folder.journal) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(size,)] = database.execute("PRAGMA page_size")
        # The page that holds a late fact, found by what stands in it.
        mark = run.records[-40].event
    database.close()
    data = bytearray(folder.journal.read_bytes())
    words = msgspec.json.encode(mark, order="deterministic")
    at = data.rindex(words[: min(len(words), 60)]) // size * size
    data[at : at + size] = b"A" * size
    folder.journal.write_bytes(data)
    report, gathering = of_folder(folder)
    assert report.run.damage is not None and 0 < report.figures.calls < len(run.facts(ev.ModelAnswered))
    assert gathering.state.position > 50
    harmless(page(report, gathering))


def test_a_lost_text_does_not_take_the_report_with_it(tmp_path: Path) -> None:
    def boss(me: Part) -> Playing:
        yield write_file("a.md", "x")
        return "done"

    run = rehearse(Script({"boss": boss}), "A goal of many words. " * 200)
    folder = kept(tmp_path / "lost", run.records)
    with sqlite3.connect(folder.journal) as database:
        database.execute("DELETE FROM blob")
    database.close()
    report, gathering = of_folder(folder)
    assert report.run.goal == "(this text cannot be read)" and report.run.damage and report.run.status == "completed"
    harmless(page(report, gathering))


def test_time_without_an_engine_is_left_out(tmp_path: Path) -> None:
    run = played(Script({"boss": boss_of("ann", "bob")}, default=worker))
    cut = next(r.position for r in run.records if isinstance(r.event, ev.ModelAnswered) and r.agent == "boss/ann")
    late = 86_400.0
    resumed = Record(cut + 1, 2, run.records[cut - 1].time + late, ev.ENGINE, 0, ev.RunResumed("0"))
    rest = [msgspec.structs.replace(r, position=r.position + 1, time=r.time + late) for r in run.records[cut:]]
    gathering = gathering_of([*run.records[:cut], resumed, *rest])
    report = report_of(gathering)
    assert report.time.ended - report.time.began > late
    assert report.time.seconds == pytest.approx(run.seconds)
    assert report.run.resumed == 1
    assert "No engine was at work" in page(report, gathering)


def test_a_part_that_failed_is_marked_in_the_picture() -> None:
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        yield review(["ann"], "accept")
        yield review(["bob"], "drop", "not needed")
        return "done"

    report = report_of(gathering_of(played(Script({"boss": boss}, default=worker)).records))
    drawn = picture(report)
    assert drawn.count('<g class="card g1 wrong"') == 1 and '<g class="card g0 wrong"' not in drawn
    assert [waste.count for waste in report.waste if waste.name == "discarded"] == [1]


@pytest.mark.parametrize("width", [1280, 390])
async def test_a_browser_shows_it_whole_and_runs_and_fetches_nothing(width: int, tmp_path: Path) -> None:
    chromium()
    gathering = gathering_of((await asyncio.to_thread(hostile)).records)
    file = tmp_path / "report.html"
    file.write_text(page(report_of(gathering), gathering), encoding="utf-8")
    async with browser() as started:
        context = await started.new_context(viewport={"width": width, "height": 900})
        opened = await context.new_page()
        wrong: list[str] = []
        asked: list[str] = []
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("dialog", lambda dialog: wrong.append(dialog.message))
        opened.on("request", lambda request: asked.append(request.url))
        await opened.goto(file.as_uri())
        for summary in await opened.query_selector_all("summary"):
            await summary.click()
        assert asked == [file.as_uri()] and not wrong
        assert await opened.evaluate("getComputedStyle(document.querySelector('.tile')).borderStyle") == "solid"
        wide = await opened.evaluate("document.documentElement.scrollWidth")
        assert wide <= width  # wide tables and drawings scroll within themselves
