"""A whole run whose model is served over Anthropic's protocol, by a server that refuses what the API would refuse."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from megaagent import Result, replay, start
from megaagent import events as ev
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models.script import Part, Playing, Script, add_agent, review, run_command, say, wait
from megaagent.models.script import write_file as write
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel

MODEL = "claude-opus-5-5"  # of those that refuse a thought whose beginning was changed
ANN = "You are ann. Write part.txt; you work alone and write nothing else. When part.txt is there, hand in a report."


def boss(me: Part) -> Playing:
    yield say(add_agent("ann", "writes part.txt", ANN), write("own.txt", "mine\n"), text="Two of us.")
    while not me.reported("ann"):
        yield wait([], "her part")
    yield review(["ann"])
    return "own.txt and part.txt"


def ann(me: Part) -> Playing:
    yield write("part.txt", "hers\n")
    for number in range(5):
        yield say(write(f"note{number}.txt", "seen\n"), run_command(f"cat note{number}.txt"), text="Is it so?")
    return "part.txt"


async def go(tmp_path: Path) -> tuple[Result, list[ev.ModelAnswered], SimServer]:
    script = SimulatedModel(Script({"boss": boss, "ann": ann}), latency=AT_ONCE)
    async with SimServer({MODEL: script}, key="sesame", thoughts=True) as server:
        run = start(
            "Two small files.",
            model=f"anthropic:{MODEL}",
            base_url=server.root,
            runs=tmp_path,
            environ={"ANTHROPIC_API_KEY": "sesame"},
        )
        async with run as live:
            result = await live.result()
    with closing(open_reader(RunFolder(result.folder).journal)) as reader:
        answers = [r.event for r in reader.records(kinds=[ev.ModelAnswered]) if isinstance(r.event, ev.ModelAnswered)]
    return result, answers, server


def test_a_run_over_the_messages_api(tmp_path: Path):
    result, answers, server = asyncio.run(go(tmp_path))
    assert result.completed
    assert replay(RunFolder(result.folder)).problems == ()
    assert len(server.bill) == len(answers) >= 10
    # every thought came back with its answer, and none was refused
    assert all("signature" in answer.echo for answer in answers if not answer.call.endswith("/verify"))
    assert all(answer.repairs == () for answer in answers)
    # the verdict was bound to its schema, since a model that thinks cannot be made to call
    [verdict] = [answer for answer in answers if answer.call.endswith("/verify")]
    assert [call.name for call in verdict.calls] == ["verdict"]
    assert [call.usage.prompt for call in server.bill if call.bound] == [verdict.usage.prompt]
    assert sum(answer.usage.cached for answer in answers) > sum(answer.usage.prompt for answer in answers) / 2
    assert all(answer.usage.written for answer in answers)
