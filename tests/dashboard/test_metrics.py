"""`/metrics`: read by Prometheus' own parser, equal to what the page says, and behind the guard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.dashboard.live import living
from tests.dashboard.made import BEGAN, Hand, begun, recruiting
from tests.dashboard.test_steering import asked
from tests.dashboard.visiting import Visitor

from megaagent import events as ev
from megaagent.dashboard.address import Place, watcher_of
from megaagent.dashboard.metrics import Family, render
from megaagent.dashboard.serving import serving
from megaagent.errors import ConfigurationError
from megaagent.events import ENGINE, Fact
from megaagent.journal import SQLiteJournal

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")


async def scraped(visitor: Visitor, token: str) -> tuple[str, str]:
    """What a scraper gets: content type and text."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{visitor.base}/metrics", headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return answer.headers["Content-Type"], await answer.text()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels; the parser refuses what is not in the format."""
    found: dict[Any, float] = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.documentation and family.type in ("counter", "gauge"), family
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, f"{key} comes twice"
            found[key] = sample.value
    return found


async def at_one_moment(visitor: Visitor) -> tuple[Any, str, str]:
    """What the page tells, and the kind and text of what a scraper reads, with nothing having happened between."""
    page = await visitor.get(f"{visitor.api}/organization")
    while True:
        kind, text = await scraped(visitor, visitor.read_token)
        before, page = page, await visitor.get(f"{visitor.api}/organization")
        if before["position"] == page["position"]:
            return page, kind, text


async def test_a_scraper_reads_what_the_page_says(tmp_path: Path) -> None:
    async with living(tmp_path) as run, serving(tmp_path, Place()) as links, Visitor(links, run.folder.id) as visitor:
        await asked(visitor)
        page, kind, text = await at_one_moment(visitor)
        assert kind == "text/plain; version=0.0.4; charset=utf-8" and text.endswith("\n")
        found = samples(text)
        of_run = {("run", run.folder.id), ("simulated", "yes")}

        def value(name: str, **labels: str) -> float:
            return found[f"megaagent_{name}", frozenset(of_run | set(labels.items()))]

        header = page["header"]
        assert value("run_going_on") == 1 and value("open_questions") == 1
        assert value("prompt_tokens_total") == header["prompt"] > 0
        assert value("completion_tokens_total") == header["completion"] > 0
        assert value("cost_dollars_total") == header["cost"] and value("budget_dollars") == 5.0
        assert value("calls_total") == header["steps"] and value("commits_total") == header["commits"]
        states = {name: value("agents", state=name) for name in page["stands"]}
        assert sum(states.values()) == header["agents"] == 3 and states["asking"] == 1
        assert found["megaagent_runs", frozenset({("status", "running")})] == 1
        await run.control.stop()
        await run.result()
        async for _, delta in visitor.news(f"{visitor.api}/changes", 0):
            if delta["header"]["status"] == "stopped":
                break
        _, text = await scraped(visitor, visitor.read_token)
        found = samples(text)  # ended, and told of for a while
        assert value("run_going_on") == 0 and value("calls_in_flight") == 0


async def test_rate_limits_faults_and_the_queue_are_counted(tmp_path: Path) -> None:
    import time

    folder, workspace = begun(tmp_path, "a-run")
    clock = Hand(time.time())
    journal = SQLiteJournal.create(folder.journal, clock, durability="off")
    goal = ev.RunStarted("a-run", "x", 'a "model" \\ of\ntwo lines', False, "{}", "0", revision=workspace.head())
    await journal.append([Fact(ENGINE, 0, goal), Fact(ENGINE, 0, ev.AgentRecruited("boss", "", "", "boss"))])
    for number in range(1, 4):
        await journal.append(recruiting(f"boss/a{number}", number))  # with mail: ready
    asked = ev.CallIntended("boss/a1#1", "step", "m", "", ("boss/a1#0.1",), 100, 0.5)
    await journal.append([Fact("boss/a1", 1, asked)])
    for fault in ("rate_limit", "rate_limit", "timeout"):
        await journal.append([Fact("boss/a1", 1, ev.CallRetried("boss/a1#1", 1, fault, "made up"))])
    await journal.close()
    workspace.close()
    async with serving(tmp_path, Place()) as links, Visitor(links, "a-run") as visitor:
        found = samples((await scraped(visitor, visitor.token))[1])
    of_run = {("run", "a-run"), ("simulated", "no")}
    assert found["megaagent_rate_limited_total", frozenset(of_run)] == 2
    fault = {("outcome", "retried"), ("fault", "timeout")}
    assert found["megaagent_call_faults_total", frozenset(of_run | fault)] == 1
    assert found["megaagent_calls_in_flight", frozenset(of_run)] == 1
    assert found["megaagent_queue", frozenset(of_run)] == 2
    assert found["megaagent_reserved_dollars", frozenset(of_run)] == 0.5
    [info] = [dict(labels) for name, labels in found if name == "megaagent_run_info"]
    assert info["model"] == 'a "model" \\ of\ntwo lines'


async def test_old_runs_are_only_counted(run: object, visitor: Visitor) -> None:
    found = samples((await scraped(visitor, visitor.read_token))[1])
    assert found["megaagent_runs", frozenset({("status", "cut off")})] == 1
    assert not [name for name, labels in found if dict(labels).get("run")], f"the made-up run is of {BEGAN}"


def test_numbers_and_words_are_spelled_as_the_format_wants() -> None:
    text = render([Family("x", "gauge", "one\\two\nthree", [({}, 1e21), ({"a": 'q"\\\n'}, 0.25)])])
    head = "# HELP megaagent_x one\\\\two\\nthree\n# TYPE megaagent_x gauge\n"
    assert text == head + 'megaagent_x 1000000000000000000000\nmegaagent_x{a="q\\"\\\\\\n"} 0.25\n'
    assert samples(text)["megaagent_x", frozenset({("a", 'q"\\\n')})] == 0.25


async def test_a_token_of_ones_own_outlasts_the_server_and_only_looks(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("scraper-0123456789abcdefgh\n")
    file.chmod(0o600)
    for _ in range(2):
        async with serving(run.path.parent, Place(watcher=file)) as links, Visitor(links, run.id) as visitor:
            assert samples((await scraped(visitor, "scraper-0123456789abcdefgh"))[1])
            bearer = {"Authorization": "Bearer scraper-0123456789abcdefgh", "Cookie": ""}
            assert (await visitor.post(f"{visitor.api}/control", {"do": "pause"}, **bearer))[0] == 403


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("short", 0o600, "24 to 256"),
        ("two tokens that are long enough", 0o600, "24 to 256"),
        ("", 0o600, "24 to 256"),
        ("scraper-0123456789abcdefgh", 0o644, "chmod 600"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_a_token_that_will_not_do_is_refused(text: str | None, mode: int, words: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    with pytest.raises(ConfigurationError, match=words):
        watcher_of(Place(watcher=file))
