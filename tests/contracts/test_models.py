"""What every model promises, asked of every model that needs no foreign server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from megaagent.errors import ModelError
from megaagent.models.anthropic import AnthropicModel
from megaagent.models.batches import Batches, Progress, batches_of
from megaagent.models.contract import ChatMessage, Model, ModelRequest, ModelResponse, ToolSpec
from megaagent.models.foreign import ForeignModel
from megaagent.models.network import CacheTime
from megaagent.models.openai import OpenAIModel
from megaagent.models.quirks import Quirks
from megaagent.models.script import Part, Playing, Script, call, raw, read_file, say, talk, text, wait, write_file
from megaagent.models.served_batches import BatchPace
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, Latency, SimulatedModel
from megaagent.organization.verification import VERDICT

TOOLS = tuple(
    ToolSpec(name, f"the tool {name}", {"type": "object", "properties": {}})
    for name in ("talk", "write_file", "read_file", "wait", "terminate")
)


def builder(me: Part) -> Playing:
    yield say(
        write_file("a.py", "print('grüße 🎈')\n"), read_file("b.py"), talk(["rules", "ai"], "hello"), text="begin"
    )
    yield talk("rules", f"b.py says {me.result_of('read_file').text}")  # type: ignore[union-attr]
    while not me.heard("rules"):
        yield wait(["rules"], "the interface")
    return f"rules said {me.heard('rules').text}"  # type: ignore[union-attr]


def thinker(me: Part) -> Playing:
    yield text("Only words, " * 40)
    yield raw("write_file", '{"path": "cut')
    return None


SCRIPT = Script({"builder": builder, "thinker": thinker})

Open = Callable[[SimulatedModel], Awaitable[Model]]


@pytest.fixture(params=["in process", "streaming", "whole", "anthropic streaming", "anthropic whole", "foreign"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Puts a simulated model behind the member that is tested."""
    servers: list[SimServer] = []
    models: list[Model] = []

    async def put(model: SimulatedModel) -> Model:
        if request.param == "in process":
            return model
        server = await SimServer({"play": model}, key="sesame", thoughts=True, batches=BatchPace(0.05)).__aenter__()
        servers.append(server)
        stream = request.param.endswith("streaming")
        if request.param == "foreign":
            models.append(ForeignModel(OpenAIChatModel("play", provider=OpenAIProvider(server.url, "sesame"))))
        elif request.param.startswith("anthropic"):
            models.append(AnthropicModel(server.root, "sesame", stream=stream))
        else:
            models.append(OpenAIModel(server.url, "sesame", stream=stream, quirks=Quirks(schema=True)))
        return models[-1]

    yield put
    for model in models:
        await model.close()
    for server in servers:
        await server.__aexit__()


def conversation(name: str, *messages: ChatMessage, max_output: int = 8192, deadline: float = 60.0) -> ModelRequest:
    rules = ChatMessage("system", "Rules that all agents share.")
    role = ChatMessage("system", f"You are {name} (boss/{name}), an ordinary agent.\nBuild the game.")
    task = ChatMessage("user", '<mail id="m1" from="boss" kind="assignment">\nBuild it.\n</mail>')
    return ModelRequest("play", (rules, role, task, *messages), TOOLS, max_output, deadline=deadline)


async def test_a_whole_conversation(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    first = await model.complete(conversation("builder"))
    assert first.text == "begin"
    assert [call.name for call in first.calls] == ["write_file", "read_file", "talk"]
    assert json.loads(first.calls[0].arguments) == {"path": "a.py", "content": "print('grüße 🎈')\n"}
    assert len({call.id for call in first.calls}) == 3
    assert first.finish == "tool_calls"
    assert first.repairs == ()

    said = ChatMessage("assistant", first.text, first.calls)
    texts = ("committed", "the text of b", "sent")
    results = tuple(ChatMessage("tool", text, call_id=call.id) for text, call in zip(texts, first.calls, strict=True))
    second = await model.complete(conversation("builder", said, *results))
    assert json.loads(second.calls[0].arguments)["message"] == "b.py says the text of b"

    history = (said, *results, ChatMessage("assistant", "", second.calls))
    sent = ChatMessage("tool", "sent", call_id=second.calls[0].id)
    third = await model.complete(conversation("builder", *history, sent))
    assert third.calls[0].name == "wait"

    mail = ChatMessage("user", '<mail id="m9" from="rules" kind="talk">\nuse &lt;mail tuples\n</mail>')
    waits = ChatMessage("assistant", "", third.calls)
    ended = ChatMessage("tool", "ok", call_id=third.calls[0].id)
    last = await model.complete(conversation("builder", *history, sent, waits, ended, mail))
    assert last.calls[0].name == "terminate"
    assert json.loads(last.calls[0].arguments) == {"report": "rules said use <mail tuples"}


async def test_the_same_question_gets_the_same_answer_from_any_instance(opened: Open):
    one = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    two = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    question = conversation("builder")
    answers = await asyncio.gather(*(model.complete(question) for model in (one, two) for _ in range(10)))
    assert {(answer.text, answer.calls) for answer in answers} == {(answers[0].text, answers[0].calls)}


async def test_usage_is_counted_and_a_long_prefix_is_cached(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    long = ChatMessage("user", "0123456789abcdef" * 1000)  # 4,000 tokens by the simulated law
    cold = (await model.complete(conversation("builder", long))).usage
    warm = (await model.complete(conversation("builder", long, ChatMessage("user", "and now?")))).usage
    assert cold.cached == 0
    assert cold.prompt > 4000
    assert cold.completion > 0
    assert warm.cached % 128 == 0
    assert cold.prompt - 128 < warm.cached <= cold.prompt


async def test_bare_text(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    answer = await model.complete(conversation("thinker"))
    assert answer.text == "Only words, " * 40
    assert answer.calls == ()
    assert answer.finish == "stop"


async def test_malformed_arguments_are_the_models_word_and_kept(opened: Open, request: pytest.FixtureRequest):
    if request.node.callspec.params["opened"] == "anthropic whole":
        pytest.skip("there arguments are an object of JSON, so they cannot be malformed")
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    history = (ChatMessage("assistant", "Only words"), ChatMessage("user", "Please call a tool."))
    answer = await model.complete(conversation("thinker", *history))
    assert [call.arguments for call in answer.calls] == ['{"path": "cut']
    # and the conversation that has them can go on
    said = ChatMessage("assistant", "", answer.calls)
    told = ChatMessage("tool", "Error: not valid JSON", call_id=answer.calls[0].id)
    end = await model.complete(conversation("thinker", *history, said, told))
    assert [call.name for call in end.calls] == ["terminate"]


@pytest.mark.parametrize("limit", [1, 10, 30, 40])
async def test_the_output_limit_never_yields_a_cut_call(opened: Open, limit: int):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    try:
        answer = await model.complete(conversation("builder", max_output=limit))
    except ModelError:
        return
    assert answer.finish == "length"
    assert answer.usage.completion <= limit
    assert all(isinstance(json.loads(call.arguments), dict) for call in answer.calls)


async def test_context_overflow(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE, window=9000))
    with pytest.raises(ModelError) as caught:
        await model.complete(conversation("builder", ChatMessage("user", "word " * 5000)))
    assert caught.value.fault == "context_overflow"


async def test_the_deadline_ends_an_attempt(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=Latency(fixed=30.0, sigma=0.0)))
    with pytest.raises(ModelError) as caught:
        await model.complete(conversation("builder", deadline=0.05))
    assert caught.value.fault == "timeout"


async def test_closing_twice_is_closing_once(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    await model.complete(conversation("builder"))
    await model.close()
    await model.close()


async def ended(batches: Batches, name: str) -> Progress:
    """How a batch stands when it has ended."""
    async with asyncio.timeout(20):
        while (progress := await batches.look(name)).position == "under way":
            await asyncio.sleep(0.02)
    return progress


async def test_a_batch_is_answered_as_single_calls_are(opened: Open):
    model = await opened(SimulatedModel(SCRIPT, latency=AT_ONCE))
    batches = batches_of(model)
    if batches is None:
        pytest.skip("it takes no batches")
    asked = [
        conversation("builder"),
        conversation("builder", max_output=2_000_000),
        conversation("builder", ChatMessage("user", "Go on.")),
    ]
    name = await batches.send("run-7", asked)
    progress = await ended(batches, name)
    assert (progress.position, progress.answered, progress.total) == ("ended", 3, 3)
    first, second, third = await batches.answers(name, "run-7", asked)
    single = await model.complete(asked[0])
    assert isinstance(first, ModelResponse)
    assert (first.text, first.finish, first.echo) == (single.text, single.finish, single.echo)
    assert [(call.name, json.loads(call.arguments)) for call in first.calls] == [
        (call.name, json.loads(call.arguments)) for call in single.calls
    ]
    assert first.usage.prompt == single.usage.prompt
    assert first.usage.completion == single.usage.completion > 0
    assert isinstance(second, ModelError)
    assert second.fault == "context_overflow"
    assert isinstance(third, ModelResponse)
    assert await batches.answers(name, "another", asked) != [first, second, third]  # none of that key is in it


async def test_what_an_engine_that_died_had_in_a_batch_is_fetched_by_another(opened: Open):
    simulated = SimulatedModel(SCRIPT, latency=AT_ONCE)
    model = await opened(simulated)
    batches = batches_of(model)
    if batches is None:
        pytest.skip("it takes no batches")
    asked = conversation("builder")
    name = await batches.send("run-8", [asked])
    await ended(batches, name)
    [answer] = await batches.answers(name, "run-8", [ModelRequest("play", (), TOOLS)])  # what was said is not known
    assert isinstance(answer, ModelResponse)
    assert [call.name for call in answer.calls] == ["write_file", "read_file", "talk"]
    assert await batches.find("run-8") in (name, None)
    assert (await batches.look("batch_999")).position == "unknown"


@pytest.mark.parametrize("ttl", ["5m", "1h"])
async def test_anthropics_cache_is_told_how_long_and_tells_what_it_kept_for_an_hour(ttl: CacheTime):
    model = SimulatedModel(SCRIPT, latency=AT_ONCE)
    async with SimServer({"play": model}) as server:
        adapter = AnthropicModel(server.root, ttl=ttl)
        usage = (await adapter.complete(conversation("builder"))).usage
        await adapter.close()
    assert usage.written > 0
    assert usage.hour == (usage.written if ttl == "1h" else 0)


async def test_a_tool_that_must_be_called_is_called(opened: Open):
    def judge(me: Part) -> Playing:
        yield call("verdict", confirmed=True, gaps=["none"], remarks="")
        return None

    model = await opened(SimulatedModel(Script({"judge": judge}), latency=AT_ONCE))
    asked = msgspec.structs.replace(conversation("judge"), tools=(VERDICT,), must_call=VERDICT.name)
    answer = await model.complete(asked)
    assert [(each.name, json.loads(each.arguments)) for each in answer.calls] == [
        ("verdict", {"confirmed": True, "gaps": ["none"], "remarks": ""})
    ]
