"""Whole runs with `--economy` against a server that takes batches: killed in the middle, and carried on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import closing
from pathlib import Path

import pytest

from megaagent import events as ev
from megaagent import replay
from megaagent.errors import RunError
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.launch import resume
from megaagent.models.prices import Price
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, wait
from megaagent.models.script import write_file as write
from megaagent.models.served_batches import BatchPace
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.report.gathering import gathered, report_of

NAMES = ("ann", "bob", "eve")
PROMPT = "You are {0}. Write {0}.txt; you work alone and write nothing else. When {0}.txt is there, hand in a report."
PRICE = "2:8"


def boss(me: Part) -> Playing:
    yield say(*(add_agent(name, f"writes {name}.txt", PROMPT.format(name)) for name in NAMES))
    while not me.reported(*NAMES):
        yield wait([], "their parts")
    yield review(list(NAMES))
    return "three files"


def worker(me: Part) -> Playing:
    yield write(f"{me.name}.txt", "text\n")
    return f"{me.name}.txt"


def served(pace: BatchPace) -> SimServer:
    model = SimulatedModel(Script({"boss": boss}, default=worker), latency=AT_ONCE)
    return SimServer({"play": model}, key="sesame", thoughts=True, batches=pace)


def facts(folder: RunFolder, *kinds: type[ev.Event]) -> list[ev.AnyEvent]:
    with closing(open_reader(folder.journal)) as reader:
        return [record.event for record in reader.records(kinds=kinds)]


async def killed_when(
    server: SimServer, protocol: str, runs: Path, kind: type[ev.Event], *, batched: bool = False
) -> RunFolder:
    """A run in a process of its own, killed as soon as its journal has a fact of that kind (`batched`: in a batch)."""
    url = server.url if protocol == "openai" else server.root
    economy = ["--economy", "--set", 'economy.tiers=["worker"]', "--set", "economy.gather=0.1"]
    economy += ["--set", "economy.look=0.1", "--price", PRICE]
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-c",
            "from megaagent.cli import main; main()",
            "run",
            "Three files.",
            "--runs",
            str(runs),
            "--quiet",
        ),
        *("--model", f"{protocol}:play", "--base-url", url, *economy),
        env={**os.environ, "OPENAI_API_KEY": "sesame", "ANTHROPIC_API_KEY": "sesame"},
    )
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.02)
            assert process.returncode is None, "the run ended before it was killed"
            for path in runs.glob("*/journal.db"):
                try:
                    found = facts(RunFolder(path.parent), kind)
                except RunError:
                    continue
                if any(not batched or getattr(fact, "batch", "") for fact in found):
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                    return RunFolder(path.parent)


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
async def test_what_was_with_the_provider_when_the_engine_was_killed_is_fetched_and_bought_once(
    protocol: str, tmp_path: Path
):
    async with served(BatchPace(1.5)) as server:
        folder = await killed_when(server, protocol, tmp_path, ev.BatchSent)
        [sent] = facts(folder, ev.BatchSent)
        assert not facts(folder, ev.BatchEnded)
        environ = {"OPENAI_API_KEY": "sesame", "ANTHROPIC_API_KEY": "sesame"}
        async with resume(folder, environ=environ) as live:
            result = await live.result()
        assert result.completed
        assert sorted(path.name for path in folder.deliverable.glob("*.txt")) == [f"{name}.txt" for name in NAMES]
        assert replay(folder).problems == ()
        first = facts(folder, ev.BatchEnded)[0]
        assert isinstance(sent, ev.BatchSent)
        assert isinstance(first, ev.BatchEnded)
        assert (first.batch, first.how, first.answered) == (sent.batch, "ended", 3)
        answers = [each for each in facts(folder, ev.ModelAnswered) if isinstance(each, ev.ModelAnswered)]
        assert len({answer.call for answer in answers}) == len(answers)
        # P1: the provider's books and the journal agree call by call
        billed = [call for call in server.bill if call.batched]
        batched = [answer for answer in answers if answer.batch]
        assert sorted(call.usage.prompt for call in billed) == sorted(answer.usage.prompt for answer in batched)
        assert len(server.bill) == len(answers)
        assert len(batched) == 6
        assert facts(folder, ev.CallFailed) == []
        saved = sum(answer.saved for answer in answers)
        with closing(open_reader(folder.journal)) as reader:
            figures = report_of(gathered(reader)).figures
        assert (figures.batches, figures.batched, figures.unbatched) == (2, 6, 0)
        assert figures.saved == pytest.approx(saved, abs=1e-6)
        assert f"6 calls went by the batch, for ${saved:.4f} less than singly" in folder.report.read_text()
        for answer in batched:
            assert answer.cost == pytest.approx(Price(2, 8).cost(answer.usage) / 2)
            assert answer.saved == pytest.approx(answer.cost)


async def test_what_of_a_batch_had_come_home_when_the_engine_was_killed_is_not_taken_twice(tmp_path: Path):
    async with served(BatchPace(0.2)) as server:
        folder = await killed_when(server, "openai", tmp_path, ev.ModelAnswered, batched=True)
        async with resume(folder, environ={"OPENAI_API_KEY": "sesame"}) as live:
            result = await live.result()
        assert result.completed
        answers = [each for each in facts(folder, ev.ModelAnswered) if isinstance(each, ev.ModelAnswered)]
        assert len({answer.call for answer in answers}) == len(answers) == len(server.bill)
        assert {each.how for each in facts(folder, ev.BatchEnded) if isinstance(each, ev.BatchEnded)} == {"ended"}
        assert live.state.run.reserved_cost == pytest.approx(0.0)


async def test_a_batch_whose_name_never_reached_the_journal_is_found_again_where_the_provider_can(tmp_path: Path):
    async with served(BatchPace(1.0)) as server:
        folder = await killed_when(server, "openai", tmp_path, ev.BatchIntended)
        async with resume(folder, environ={"OPENAI_API_KEY": "sesame"}) as live:
            result = await live.result()
        assert result.completed
        answers = facts(folder, ev.ModelAnswered)
        billed = len(server.bill)
        lost = [each for each in facts(folder, ev.BatchEnded) if isinstance(each, ev.BatchEnded) and each.how == "lost"]
        # Either the provider has it, and it is fetched; or it never had it, and what is reserved for it says so.
        assert billed == len(answers)
        failed = [each for each in facts(folder, ev.CallFailed) if isinstance(each, ev.CallFailed)]
        assert len(failed) == (3 if lost else 0)
        assert all(each.fault == "batch" and each.tokens for each in failed)
