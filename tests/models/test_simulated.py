"""The simulated model: scripts, pace, tokens, weather."""

from __future__ import annotations

import asyncio
import json
import math
from statistics import geometric_mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megaagent.clock import VirtualClock
from megaagent.errors import ConfigurationError, ModelError
from megaagent.events import Usage
from megaagent.models import script
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.script import Part, Playing, Script, Seen, change_task_status, say, talk, terminate, wait
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.models.weather import StormyModel


def tools(*names: str) -> tuple[ToolSpec, ...]:
    return tuple(ToolSpec(name, "", {"type": "object"}) for name in names)


ALL = tools("talk", "wait", "terminate")


def system(name: str, path: str, level: str = "an ordinary agent") -> tuple[ChatMessage, ...]:
    return (
        ChatMessage("system", "Rules for all. You are one of many."),
        ChatMessage("system", f"You are {name} ({path}), {level}.\nYour role: test."),
    )


def mail(sender: str, text: str, kind: str = "talk", id: str = "m") -> str:
    return f'<mail id="{id}" from="{sender}" kind="{kind}">\n{text}\n</mail>'


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


def after(answer: ModelResponse, *texts: str) -> tuple[ChatMessage, ...]:
    """The answer and what its calls returned, as a conversation keeps them."""
    results = (ChatMessage("tool", text, call_id=c.id) for text, c in zip(texts, answer.calls, strict=True))
    return (ChatMessage("assistant", answer.text, answer.calls), *results)


async def play(model: SimulatedModel, *messages: ChatMessage, offered: tuple[ToolSpec, ...] = ALL) -> ModelResponse:
    return await model.complete(ModelRequest("sim", messages, offered))


def simulated(**parts: script.Play) -> SimulatedModel:
    return SimulatedModel(Script(parts), latency=AT_ONCE)


def first_call(answer: ModelResponse) -> tuple[str, dict[str, object]]:
    return answer.calls[0].name, json.loads(answer.calls[0].arguments)


async def test_what_a_part_is_told():
    told: dict[str, object] = {}

    def watcher(me: Part) -> Playing:
        told["who"] = (me.name, me.path, me.level)
        told["task"] = me.task
        seen = yield say(talk("a", "one"), talk("b", "two"), text="x")
        told["seen"] = seen
        told["notices"] = me.notices
        told["ok"] = [result.ok for result in me.results]
        told["last"] = me.last.text
        told["heard"] = (me.heard("a"), me.heard("a", "report"), me.heard("nobody"))
        told["reported"] = (me.reported("a"), me.reported("a", "b"))
        told["status"] = me.status
        yield wait(["a"], "more")
        return None

    model = simulated(watcher=watcher)
    task = user(mail("boss", "Do &lt;mail things", "assignment") + "\nThe engine adds this.")
    start = (*system("watcher", "boss/engine/watcher"), task)
    first = await play(model, *start)
    letters = user(mail("a", "hello", id="m1") + "\n" + mail("a", "line\n\nline", "report", "m2"))
    rest = (*after(first, "sent", "Error: no such agent"), letters)
    await play(model, *start, *rest, user("<status>\nchecklist: 1 open\n</status>"))

    assert told["who"] == ("watcher", "boss/engine/watcher", "an ordinary agent")
    assert told["task"] == "Do <mail things"
    assert told["notices"] == ["The engine adds this."]
    assert told["ok"] == [True, False]
    assert told["last"] == "Error: no such agent"
    assert told["status"] == "<status>\nchecklist: 1 open\n</status>"
    assert told["reported"] == (True, False)
    seen = told["seen"]
    assert isinstance(seen, Seen)
    assert [(m.id, m.kind, m.text) for m in seen.mail] == [("m1", "talk", "hello"), ("m2", "report", "line\n\nline")]
    assert [result.tool for result in seen.results] == ["talk", "talk"]
    heard = told["heard"]
    assert isinstance(heard, tuple)
    assert [letter and letter.id for letter in heard] == ["m2", "m2", None]


async def test_the_status_is_no_observation():
    def counter(me: Part) -> Playing:
        while True:
            yield talk("boss", f"{len(me.results)} results, {len(me.notices)} notices")

    model = simulated(counter=counter)
    start = system("counter", "boss/counter")
    first = await play(model, *start, user("<status>one</status>"))
    second = await play(model, *start, *after(first, "sent"), user("<status>two</status>"))
    assert first_call(second)[1]["message"] == "1 results, 0 notices"


async def test_a_part_that_has_ended_hands_in_again_when_woken():
    def short(me: Part) -> Playing:
        yield talk("boss", "hello")
        return "the report"

    model = simulated(short=short)
    start = system("short", "boss/short")
    one = after(await play(model, *start), "sent")
    end = await play(model, *start, *one)
    assert first_call(end) == ("terminate", {"report": "the report"})
    woken = await play(model, *start, *one, *after(end, "handed in"), user(mail("boss", "thanks")))
    assert first_call(woken) == ("terminate", {"report": "the report"})


async def test_a_summary_begins_anew():
    def long(me: Part) -> Playing:
        if me.summary:
            return f"after the summary: {me.summary}, mail: {len(me.mail)}"
        yield talk("boss", "one")
        yield talk("boss", "two")
        return "never"

    model = simulated(long=long)
    start = system("long", "boss/long")
    summary = user("<summary>\none was said\n</summary>")
    answer = await play(model, *start, summary, user(mail("boss", "go on")))
    assert first_call(answer)[1] == {"report": "after the summary: one was said, mail: 1"}
    old = after(await play(model, *start), "sent")
    answer = await play(model, *start, *old, summary)
    assert first_call(answer)[1] == {"report": "after the summary: one was said, mail: 0"}


async def test_an_agent_that_the_script_does_not_name_hands_in():
    answer = await play(simulated(), *system("stranger", "boss/stranger"), user(mail("boss", "Dig", "assignment")))
    name, arguments = first_call(answer)
    assert name == "terminate"
    assert "stranger" in str(arguments["report"])
    assert "Dig" in str(arguments["report"])


async def test_the_verifier_has_its_own_part():
    def strict(me: Part) -> Playing:
        yield script.verdict(False, ["no tests"])
        yield script.verdict(True)
        return None

    model = SimulatedModel(Script({}, verifier=strict), latency=AT_ONCE)
    start = system("verifier", "verifier:", "the judge")
    first = await play(model, *start, offered=tools("verdict"))
    assert first_call(first) == ("verdict", {"confirmed": False, "gaps": ["no tests"], "remarks": ""})
    second = await play(model, *start, *after(first, "noted"), offered=tools("verdict"))
    assert first_call(second)[1]["confirmed"] is True
    content = await play(simulated(), *start, offered=tools("verdict"))
    assert first_call(content)[1]["confirmed"] is True


async def test_a_request_for_a_summary_is_answered_in_words():
    def talker(me: Part) -> Playing:
        yield talk("boss", "one")
        return None

    start = (*system("stranger", "boss/stranger"), user(mail("boss", "Dig a hole", "assignment")))
    first = await play(simulated(talker=talker), *start)
    answer = await play(simulated(), *start, *after(first, "ok"), user("Summarise."), offered=())
    assert answer.calls == ()
    assert "Dig a hole" in answer.text
    assert "terminate" in answer.text


async def test_a_stranger_to_the_organization_gets_words():
    answer = await simulated().complete(ModelRequest("sim", (user("hi"),)))
    assert "simulated" in answer.text


def test_the_tools_have_the_arguments_that_they_promise():
    made = {
        "add_agent": (script.add_agent("n", "d", "p"), {"name", "description", "prompt"}),
        "assign": (script.assign("n", "t"), {"name", "task"}),
        "review": (script.review(["n"], "return", "r"), {"names", "verdict", "remarks"}),
        "talk": (script.talk(["a"], "m"), {"to", "message"}),
        "read_file": (script.read_file("p"), {"path"}),
        "list_files": (script.list_files(), {"pattern"}),
        "search_files": (script.search_files("q"), {"query"}),
        "write_file": (script.write_file("p", "c", "b"), {"path", "content", "base"}),
        "edit_file": (script.edit_file("p", "o", "n"), {"path", "old", "new"}),
        "exec_python_file": (script.exec_python_file("p", ["a"], "s"), {"path", "args", "stdin"}),
        "run_command": (script.run_command("c", "s"), {"command", "stdin"}),
        "input": (script.input("t"), {"text"}),
        "stop_program": (script.stop_program(), set[str]()),
        "change_task_status": (change_task_status(["d"], ["t"]), {"done", "todo"}),
        "recall": (script.recall("q"), {"query"}),
        "ask_user": (script.ask_user("q"), {"question"}),
        "wait": (wait(["n"], "r", 2), {"names", "reason", "minutes"}),
        "terminate": (terminate("r"), {"report"}),
        "verdict": (script.verdict(True, ["g"], "r"), {"confirmed", "gaps", "remarks"}),
    }
    for tool, (act, arguments) in made.items():
        assert act.tool == tool
        assert set(json.loads(act.arguments)) == arguments
    assert "base" not in json.loads(script.write_file("p", "c").arguments)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_a_part_kept_where_it_stands_says_what_one_played_anew_says(moves: list[tuple[int, int]]):
    """Three conversations of one name, in any order, each going on or repeating itself, before one model."""

    def memory(me: Part) -> Playing:
        heard = 0
        while heard < 4:
            seen = yield say(talk("boss", f"{heard} {len(me.mail)} {me.last.text}"), text=me.summary)
            heard += len(seen.mail)
        return f"heard {heard}"

    async def main() -> None:
        kept = simulated(memory=memory)
        talks = [[*system("memory", "boss/memory"), user(f"conversation {n}")] for n in range(3)]
        for which, what in moves:
            conversation = talks[which]
            question = (*conversation, user("<status>now</status>"))
            answer = await play(kept, *question)
            fresh = await play(simulated(memory=memory), *question)
            assert (answer.text, answer.calls) == (fresh.text, fresh.calls)
            if what > 0:
                conversation += after(answer, f"result {which}")
            if what > 1:
                conversation.append(user(mail("boss", "more")))
            if what > 2:
                conversation.append(user(f"<summary>{which}</summary>"))

    asyncio.run(main())


# -- pace -------------------------------------------------------------------------------------------------------------


def seconds_of(requests: list[ModelRequest], order: list[int], **options: object) -> list[float]:
    """How long each of these takes when they are asked side by side in this order."""
    took = [0.0] * len(requests)
    model = SimulatedModel(Script({}), **options)  # type: ignore[arg-type]

    async def one(index: int) -> None:
        began = asyncio.get_running_loop().time()
        await model.complete(requests[index])
        took[index] = asyncio.get_running_loop().time() - began

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for index in order:
                group.create_task(one(index))

    VirtualClock().run(main)
    return took


REQUESTS = [ModelRequest("sim", (*system(f"a{n}", f"boss/a{n}"), user("x" * 4000)), ALL) for n in range(300)]


def test_the_pace_follows_the_law_and_the_seed_whatever_the_order():
    forth = seconds_of(REQUESTS, list(range(300)), seed=1)
    back = seconds_of(REQUESTS, list(reversed(range(300))), seed=1)
    assert forth == pytest.approx(back)
    assert forth != pytest.approx(seconds_of(REQUESTS, list(range(300)), seed=2))
    # about 1,050 tokens of prompt and 30 of answer; the factor's geometric mean is 1
    assert geometric_mean(forth) == pytest.approx(1.19 + 0.0087 * 30 + 0.000065 * 1050, rel=0.08)
    assert min(forth) < 0.8 * geometric_mean(forth) < 1.2 * geometric_mean(forth) < max(forth)


def test_speed():
    usual, fast = seconds_of(REQUESTS[:3], [0, 1, 2]), seconds_of(REQUESTS[:3], [0, 1, 2], latency=Latency(speed=10))
    assert fast == pytest.approx([seconds / 10 for seconds in usual])
    assert seconds_of(REQUESTS[:3], [0, 1, 2], latency=Latency(speed=math.inf)) == [0, 0, 0]


async def test_the_cache_is_that_of_prefixes():
    model = simulated()

    async def cached(*messages: ChatMessage) -> Usage:
        return (await model.complete(ModelRequest("sim", messages, ALL))).usage

    long, short = user("a" * 8000), user("b" * 2000)
    assert (await cached(long, short)).cached == 0
    again = await cached(long, short)
    assert again.prompt - 128 < again.cached <= again.prompt
    assert (await cached(long, user("other"))).cached == 2048  # 2,004 of the message and some 50 of the tools
    assert (await cached(short, long)).cached == 0  # the same words in another order share no beginning
    assert (await cached(user("c" * 2000))).cached == 0
    assert (await cached(user("c" * 2000))).cached == 0  # under 1,024 tokens nothing is cached
    other_tools = await model.complete(ModelRequest("sim", (long, short), tools("talk")))
    assert other_tools.usage.cached == 0


async def test_text_that_cannot_be_encoded_is_no_trouble():
    assert (await play(simulated(), *system("x", "boss/x"), user("\ud800\0"))).calls


# -- weather ----------------------------------------------------------------------------------------------------------


async def outcomes(seed: int, order: list[int]) -> dict[tuple[int, int], str]:
    model = StormyModel(simulated(), {"rate_limit": 0.3, "broken": 0.1}, seed=seed, retry_after=4.0)
    seen: dict[tuple[int, int], str] = {}
    for attempt in range(3):
        for index in order:
            try:
                await model.complete(REQUESTS[index])
                seen[index, attempt] = "answered"
            except ModelError as error:
                assert error.retry_after == (4.0 if error.fault == "rate_limit" else None)
                seen[index, attempt] = error.fault
    return seen


async def test_the_same_weather_whatever_the_order():
    forth = await outcomes(1, list(range(200)))
    assert forth == await outcomes(1, list(reversed(range(200))))
    assert forth != await outcomes(2, list(range(200)))
    share = {kind: list(forth.values()).count(kind) / 600 for kind in ("rate_limit", "broken", "answered")}
    assert share == pytest.approx({"rate_limit": 0.3, "broken": 0.1, "answered": 0.6}, abs=0.06)
    assert any(forth[n, 0] != forth[n, 1] for n in range(200))  # asking again may help


@pytest.mark.parametrize("rates", [{"rain": 0.1}, {"broken": 1.1}, {"broken": -0.1}])
def test_weather_that_cannot_be(rates: dict[str, float]):
    with pytest.raises(ConfigurationError):
        StormyModel(simulated(), rates)  # type: ignore[arg-type]
