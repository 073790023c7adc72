"""What the pages say is what the journal and the workspace hold."""

from __future__ import annotations

import hashlib
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.dashboard.made import Hand, beginning, begun, embellish, made_run, recruiting
from tests.dashboard.visiting import Visitor

from megaagent import events as ev
from megaagent.dashboard.address import Place
from megaagent.dashboard.assets import assets
from megaagent.dashboard.serving import serving
from megaagent.events import BOSS, ENGINE, Fact, Message
from megaagent.folder import RunFolder
from megaagent.journal import SQLiteJournal, open_reader
from megaagent.workspace import Committed, Stamp


async def test_the_list_tells_of_every_run(run: RunFolder, visitor: Visitor) -> None:
    shutil.copytree(run.path, run.path.parent / "20261121-110000-other-0002")
    (run.path.parent / "20261121-120000-broken-0003").mkdir()
    (run.path.parent / "20261121-120000-broken-0003" / "journal.db").write_text("no database")
    broken, other, first = (await visitor.get("/api/runs"))["runs"]
    assert broken["status"] == "unreadable" and "not a database" in broken["reason"]
    assert other["id"] == "20261121-110000-other-0002" and first["id"] == run.id
    assert first["agents"] == 30 and first["simulated"] and not first["live"] and first["status"] == "cut off"
    again = (await visitor.get("/api/runs"))["runs"]
    assert again[2] == first  # read on from where it was left, nothing is counted twice


async def test_pages_of_the_journal_meet_without_a_gap(run: RunFolder, visitor: Visitor) -> None:
    seen: list[int] = []
    before: int | None = None
    while True:
        given = {} if before is None else {"before": before}
        page = await visitor.get(f"{visitor.api}/journal", limit=97, **given)
        seen += [fact["position"] for fact in page["facts"]]
        before = page["next"]
        if before is None:
            break
    reader = open_reader(run.journal)
    assert seen == list(range(reader.last(), 0, -1))
    reader.close()


@pytest.mark.parametrize(
    "wanted",
    [
        {"kinds": "MessageSent"},
        {"kinds": "CallIntended,ModelAnswered"},
        {"agent": "boss/a1"},
        {"agent": "boss/a1", "kinds": "ModelAnswered,ChecklistChanged"},
        {"text": "TARIFF of ports"},
        {"kinds": "AgentRecruited", "text": "a17"},
    ],
)
async def test_a_filter_finds_all_and_nothing_else(wanted: dict[str, str], run: RunFolder, visitor: Visitor) -> None:
    import msgspec

    page = await visitor.get(f"{visitor.api}/journal", limit=200, order="oldest", **wanted)
    kinds, text = wanted.get("kinds", ""), wanted.get("text", "").lower()
    reader = open_reader(run.journal)
    fitting = [
        record.position
        for record in reader.records()
        if (not kinds or type(record.event).__name__ in kinds.split(","))
        and wanted.get("agent", record.agent) == record.agent
        and text in msgspec.json.encode(record).decode().lower()
    ]
    reader.close()
    assert [fact["position"] for fact in page["facts"]] == fitting[:200] and fitting


async def test_long_texts_are_cut_in_lists_and_whole_on_demand(tmp_path: Path) -> None:
    folder, workspace = begun(tmp_path)
    journal = SQLiteJournal.create(folder.journal, Hand(), durability="off")
    await journal.append(beginning(folder.id, "x" * 5000, workspace.head()))
    await journal.close()
    workspace.close()
    async with serving(tmp_path, Place()) as links, Visitor(links, folder.id) as visitor:
        page = await visitor.get(f"{visitor.api}/journal", kinds="RunStarted")
        goal: str = page["facts"][0]["event"]["goal"]
        assert goal.startswith("xxx") and goal.endswith("(5,000 characters)") and len(goal) < 700
        whole = await visitor.get(f"{visitor.api}/fact", position=1)
        assert whole["event"]["goal"] == "x" * 5000


async def story(runs: Path) -> RunFolder:
    """Two agents who wait for each other's work, with mail, debts, files, and a conversation."""
    folder, workspace = begun(runs)
    clock = Hand()
    journal = SQLiteJournal.create(folder.journal, clock, durability="off")

    async def say(agent: str, step: int, *events: ev.AnyEvent) -> None:
        clock.time += 1
        await journal.append([Fact(agent, step, event) for event in events])

    def write(agent: str, step: int, text: str) -> ev.FileCommitted:
        stamp = Stamp(agent, folder.id, step, 0, clock.time)
        done = workspace.write("part.md", text.encode(), workspace.head(), stamp)
        assert isinstance(done, Committed)
        return ev.FileCommitted("part.md", done.revision, done.digest, done.size, merged=step == 2)

    await journal.append(beginning(folder.id, "Write part.md.", workspace.head()))
    for number, agent in enumerate(("boss/ann", "boss/ben"), 1):
        await journal.append(recruiting(agent, number, f"task of {agent}", f"You are {agent}, " + "role " * 400))
    for agent in ("boss/ann", "boss/ben"):
        mail = f"{agent}#0.1"
        await say(agent, 1, ev.CallIntended(f"{agent}#1", "step", "sim:made", "", (mail,), 100, 0.5))
    calls = (ev.ToolCall("1", "write_file", '{"path": "part.md"}'),)
    usage = ev.Usage(1000, 100, 400)
    await say("boss/ann", 1, ev.ModelAnswered("boss/ann#1", "I write.", calls, usage=usage, cost=0.25))
    await say("boss/ann", 1, write("boss/ann", 1, "one\ntwo\n"), ev.ToolReturned(0, "1", "write_file", "written"))
    ask = Message("boss/ann#1.2", "boss/ann", ("boss/ben",), "Is two right?")
    await say("boss/ann", 1, ev.MessageSent(ask), ev.TurnEnded("wait", ("boss/ben",), "need an answer"))
    await say("boss/ben", 1, ev.ModelAnswered("boss/ben#1", "", calls, usage=usage, cost=0.75))
    await say("boss/ben", 1, write("boss/ben", 2, "one\nthree\n"), ev.ToolReturned(0, "1", "write_file", "no", False))
    await say("boss/ben", 1, ev.ChecklistChanged((ev.ChecklistItem("read", True), ev.ChecklistItem("answer"))))
    await say(
        "boss/ben", 1, ev.TurnEnded("wait", ("boss/ann",), "thinks of it"), ev.ConflictMet("part.md", None, "0" * 40)
    )
    await say(ENGINE, 0, ev.AgentNudged("boss/ben", "stalled", "nudge", "go on"))
    await say("boss/ben", 2, ev.CallIntended("boss/ben#2", "step", "sim:made", "", ("boss/ann#1.2",), 100, 0.5))
    await journal.close()
    workspace.close()
    return folder


@pytest.fixture
async def told(tmp_path: Path) -> Any:
    folder = await story(tmp_path)
    async with serving(tmp_path, Place()) as links, Visitor(links, folder.id) as visitor:
        yield visitor


async def test_an_agent_is_told_with_what_it_owes_and_why_it_waits(told: Visitor) -> None:
    ann = await told.get(f"{told.api}/agent", id="ann")
    assert ann["id"] == "boss/ann" and ann["stand"] == "waiting" and ann["prompt"].startswith("You are boss/ann")
    assert [debt["task"] for debt in ann["owes"]] == ["task of boss/ann"] and ann["owes"][0]["creditor"] == BOSS
    assert [link["name"] for link in ann["why"]] == ["ann", "ben"]
    assert "need an answer" in ann["why"][0]["words"] and ann["why"][1]["words"] == "its model is being asked"
    assert ann["files"] == ["part.md"] and ann["cost"] == 0.25 and ann["inbox"] == []
    ben = await told.get(f"{told.api}/agent", id="boss/ben")
    assert ben["failures"] == 1 and [item["text"] for item in ben["checklist"]] == ["read", "answer"]
    assert [mail["text"] for mail in ben["inbox"]] == ["Is two right?"]
    boss = await told.get(f"{told.api}/agent", id="boss")
    assert boss["subtree"]["agents"] == 3 and boss["subtree"]["cost"] == 1.0 and len(boss["owed"]) == 2


async def test_a_conversation_is_shown_as_it_was_sent(told: Visitor) -> None:
    page = await told.get(f"{told.api}/conversation", id="boss/ann")
    roles = [message["role"] for message in page["messages"]]
    assert roles == ["system", "system", "user", "assistant", "tool"] and page["total"] == 5
    assert "You are boss/ann" in page["messages"][1]["text"] and "task of boss/ann" in page["messages"][2]["text"]
    assert page["messages"][3]["calls"] == [{"name": "write_file", "arguments": '{"path": "part.md"}'}]
    earlier = await told.get(f"{told.api}/conversation", id="boss/ann", before=2)
    assert [message["role"] for message in earlier["messages"]] == ["system", "system"]


async def test_lines_of_a_file_name_their_writers(told: Visitor) -> None:
    content = await told.get(f"{told.api}/file", path="part.md")
    assert [(line[0], line[2]) for line in content["lines"]] == [("boss/ann", "one"), ("boss/ben", "three")]
    history = await told.get(f"{told.api}/history", path="part.md")
    assert [commit["agent"] for commit in history["commits"]] == ["boss/ben", "boss/ann"]
    merged, conflict = history["conflicts"]
    assert (merged["how"], merged["new"]) == ("merged", history["commits"][0]["revision"])
    assert (conflict["how"], conflict["agent"], conflict["settled"]) == ("conflict", "boss/ben", None)
    new, old = (commit["revision"] for commit in history["commits"])
    change = await told.get(f"{told.api}/change", path="part.md", old=old, new=new)
    assert change["lines"][3:] == [" one", "-two", "+three", " "]
    before = await told.get(f"{told.api}/file", path="part.md", revision=old)
    assert [line[2] for line in before["lines"]] == ["one", "two"]


async def test_a_settled_conflict_tells_what_it_came_to(run: RunFolder, visitor: Visitor) -> None:
    journal = SQLiteJournal.open(run.journal, Hand(1_790_100_000.0), durability="off")
    await journal.append([Fact("boss/a1", 9, ev.ConflictMet("part.md", "a" * 40, "b" * 40))])
    await journal.append([Fact("boss/a2", 9, ev.FileCommitted("part.md", "c" * 40, "0" * 64, 1, settles=True))])
    await journal.append([Fact("boss/a1", 10, ev.FileCommitted("part.md", "d" * 40, "0" * 64, 1, settles=True))])
    await journal.close()
    [conflict] = (await visitor.get(f"{visitor.api}/history", path="part.md"))["conflicts"]
    assert conflict["agent"] == "boss/a1" and conflict["settled"] >= conflict["time"]
    assert (conflict["old"], conflict["new"]) == ("b" * 40, "d" * 40)  # by the one who had met it


async def test_a_file_is_given_whole_to_whoever_changes_it(run: RunFolder, visitor: Visitor) -> None:
    text = await visitor.get(f"{visitor.api}/text", path="part.md")
    assert text["text"] == "one\ntwo\n" and len(text["revision"]) == 40
    assert await visitor.status(f"{visitor.api}/text", path="../journal.db") == 409


async def test_who_waits_for_whom_is_told_at_once_for_all(told: Visitor) -> None:
    assert await told.get(f"{told.api}/waits") == [[1, 2, "wait"]]  # ben's model is being asked: it waits for nobody


async def test_open_items_are_told_with_their_age(told: Visitor, tmp_path: Path) -> None:
    [entry] = (await told.get(f"{told.api}/debts"))["checklists"]
    read, answer = entry["items"]
    assert entry["id"] == "boss/ben" and read["since"] is None
    since = answer["since"]
    journal = SQLiteJournal.open(RunFolder(tmp_path / told.run).journal, Hand(since + 50), durability="off")
    items = (ev.ChecklistItem("answer"), ev.ChecklistItem("write"), ev.ChecklistItem("read"))
    await journal.append([Fact("boss/ben", 3, ev.ChecklistChanged(items))])
    await journal.close()
    async with serving(tmp_path, Place()) as links, Visitor(links, told.run) as later:
        ben = await later.get(f"{later.api}/agent", id="boss/ben")
    assert [(item["text"], item["since"] - since) for item in ben["checklist"]] == [
        ("answer", 0.0), ("write", 50.0), ("read", 50.0),
    ]  # fmt: skip


async def test_purses_are_told_with_whose_they_are(tmp_path: Path) -> None:
    folder, workspace = begun(tmp_path)
    journal = SQLiteJournal.create(folder.journal, Hand(), durability="off")
    first, *rest = beginning(folder.id, "Goal.", workspace.head())
    settings = '{"budget": {"cost": 8.0}, "limits": {"subtree_spend": 0.5}}'
    began = ev.RunStarted(folder.id, "Goal.", "sim:made", True, settings, "0", revision=workspace.head())
    await journal.append([Fact(first.agent, 0, began), *rest])
    for number, agent in enumerate(("boss/ann", "boss/ben"), 1):
        await journal.append(recruiting(agent, number))
    await journal.append([Fact(ENGINE, 0, ev.BudgetRaised(cost=3.0, agent="boss/ben"))])
    await journal.close()
    workspace.close()
    async with serving(tmp_path, Place()) as links, Visitor(links, folder.id) as visitor:
        purses = {
            name: (await visitor.get(f"{visitor.api}/agent", id=name))["purse"] for name in ("boss", "ann", "ben")
        }
        assert {name: (purse["cost"], purse["own"]) for name, purse in purses.items()} == {
            "boss": (8.0, False), "ann": (4.0, False), "ben": (3.0, True),
        }  # fmt: skip
        about = await visitor.get(f"{visitor.api}/about")
        assert about["settings"] == {"budget.cost": 8.0, "limits.subtree_spend": 0.5} and about["goal"] == "Goal."


async def test_what_happens_rarely_is_told(tmp_path: Path) -> None:
    folder = await made_run(tmp_path, agents=7, acts=60)
    await embellish(folder)
    async with serving(tmp_path, Place()) as links, Visitor(links, folder.id) as visitor:
        asked = await visitor.get(f"{visitor.api}/asked")
        assert asked["open"] == ["boss/a1#1000.8"] and len(asked["questions"]) == 2
        assert asked["waiting"] == ["boss/a2#1000.1"]
        assert [each["event"]["ruling"] for each in asked["rulings"]] == ["refuse"]
        page = await visitor.get(f"{visitor.api}/organization")
        stands = {row[2]: page["stands"][row[3]] for row in page["rows"]}
        assert stands["a1"] == stands["a2"] == "asking" and stands["a3"] == "handed in"
        assert page["header"]["approvals"] == page["header"]["questions"] == 1
        waits = await visitor.get(f"{visitor.api}/waits")
        assert waits == [
            [1, 2, "wait"],
            [1, 0, "wait"],
            [3, 0, "review"],
            [4, 3, "wait"],
            [5, 4, "wait"],
            [6, 0, "wait"],
        ]
        history = await visitor.get(f"{visitor.api}/history")
        assert [meeting["settled"] is not None for meeting in history["conflicts"]] == [True, False]


async def test_what_a_run_made_is_told_for_comparing(told: Visitor) -> None:
    about = await told.get(f"{told.api}/about")
    digest = hashlib.sha256(b"one\nthree\n").hexdigest()
    assert about["files"] == {"part.md": [digest, 10, "boss/ben"]} and about["total"] == 1
    assert about["parent"] == "" and about["model"] == "sim:made"


async def test_costs_add_up(told: Visitor) -> None:
    costs = await told.get(f"{told.api}/costs")
    assert [(row["name"], row["cost"], row["calls"], row["cached"]) for row in costs["models"]] == [
        ("sim:made", 1.0, 2, 800)
    ]
    assert {row["name"]: row["cost"] for row in costs["subtrees"]} == {"ben": 0.75, "ann": 0.25, "boss alone": 0.0}
    assert costs["tools"][0] == {"name": "write_file", "calls": 2, "refused": 1, "cost": 1.0}
    assert {row["name"]: row["cost"] for row in costs["stages"]} == {"planning": 0.0, "solving": 1.0, "merging": 0.0}
    header = (await told.get(f"{told.api}/organization"))["header"]
    assert header["cost"] == 1.0 and header["calls"] == 1 and header["reserved"] == 0.5


async def test_lanes_and_the_critical_path_follow_the_times(told: Visitor) -> None:
    page = await told.get(f"{told.api}/organization")
    first = page["header"]["first"]
    kinds = page["lanes"]
    answer = await told.get(
        f"{told.api}/timeline", start=first, end=first + 100, agent="boss/ann", group="boss", bins=100
    )
    spans = {
        (kinds[kind], round(start - first), round(end - first)) for kind, start, end in answer["lanes"]["boss/ann"]
    }
    assert ("call", 1, 3) in spans and ("file", 4, 4) in spans and ("wait", 5, 11) in spans
    assert max(answer["groups"]["boss"]) == 2.0 and sum(answer["groups"]["boss"]) == pytest.approx(2 + 4, abs=0.1)
    path = await told.get(f"{told.api}/critical")
    assert [(agent, step) for agent, step, *_ in path["steps"]] == [("boss/ben", 1), ("boss/ben", 2)]


async def test_debts_and_interventions_are_listed(told: Visitor) -> None:
    debts = await told.get(f"{told.api}/debts", status="open")
    assert debts["counts"] == {"open": 3} and [debt["debtor"] for debt in debts["debts"]] == [
        BOSS,
        "boss/ann",
        "boss/ben",
    ]
    assert [entry["id"] for entry in debts["checklists"]] == ["boss/ben"]
    page = await told.get(f"{told.api}/journal", kinds="interventions")
    assert [fact["event"]["kind"] for fact in page["facts"]] == ["AgentNudged"]


async def test_who_talks_to_whom_is_counted(told: Visitor) -> None:
    assert await told.get(f"{told.api}/talks") == [[1, 2, 1]]


async def test_a_journal_of_ten_thousand_rows_is_shown_in_bounded_pages(tmp_path: Path) -> None:
    folder = await made_run(tmp_path, agents=300, acts=2000)
    async with serving(tmp_path, Place()) as links, Visitor(links, folder.id) as visitor:
        page = await visitor.get(f"{visitor.api}/journal", limit=100_000)
        assert len(page["facts"]) == 200 and page["next"]
        debts = await visitor.get(f"{visitor.api}/debts")
        assert debts["counts"]["open"] == 300 and len(debts["debts"]) == 300


def test_libraries_are_shipped_as_they_are_told() -> None:
    """With their licences, versions and sums."""
    shipped = assets()
    told = files("megaagent.dashboard").joinpath("static/vendor/VERSIONS.txt").read_text()
    libraries = [name for name in shipped if name.startswith("vendor/") and name.endswith(".js")]
    assert libraries == ["vendor/d3-hierarchy.min.js"]
    for name in libraries:
        assert hashlib.sha256(shipped[name].data).hexdigest() in told
        assert re.search(rf"{Path(name).name.removesuffix('.min.js')} \d+\.\d+\.\d+", told)
    assert "Permission to use, copy" in shipped["vendor/d3-hierarchy.LICENSE.txt"].data.decode()


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    for name, asset in assets().items():
        text = asset.data.decode()
        if not name.startswith("vendor/"):
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
            assert "innerHTML" not in text and "insertAdjacentHTML" not in text and "document.write" not in text, name


def test_the_page_has_words_for_every_kind_of_fact() -> None:
    from typing import get_args

    words = assets()["js/words.js"].data.decode()
    said = set(re.findall(r"^  (\w+): \(", words, re.MULTILINE))
    assert said >= {kind.__name__ for kind in get_args(ev.AnyEvent)}
