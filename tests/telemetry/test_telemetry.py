"""A run as OpenTelemetry spans and metrics, at a receiver that speaks OTLP."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.organization.test_debts import boss_of, recruit, worker
from tests.report.stories import kept
from tests.telemetry.receiver import Receiver, attributes, receiving

from megaagent import events as ev
from megaagent import launch
from megaagent.errors import ConfigurationError
from megaagent.events import VERIFIER, Record, name_of
from megaagent.models.script import Part, Playing, Script, say, wait, write_file
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.settings import Settings, changed
from megaagent.telemetry.metrics import Metrics
from megaagent.telemetry.otlp import Sender
from megaagent.telemetry.sending import Follower, send
from megaagent.telemetry.spans import Span, Spans
from megaagent.testing import Rehearsal, rehearse

SECRET = "a word that nobody else says: xylophone"
TWO = Latency(2.0, 0.0, 0.0, sigma=0.0)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def writer(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", SECRET)
    return f"done: {SECRET}"


def played() -> Rehearsal:
    return rehearse(Script({"boss": boss_of("ann", "bob")}, default=writer), f"Goal: {SECRET}", latency=TWO)


def spans_of(records: list[Record], content: bool = False) -> list[Span]:
    fold = Spans(content=content)
    return [span for record in records for span in fold.take_in(record)]


def operation(span: Any) -> str:
    return str(attributes(span)["gen_ai.operation.name"])


def test_every_turn_call_and_recruit_of_a_run_arrives_once(tmp_path: Path) -> None:
    run = played()
    folder = kept(tmp_path / "run", run.records)
    with receiving() as receiver:
        sent = send(folder, Sender(folder.id, receiver.url))
    assert sent.lost == 0 and sent.spans == len(receiver.spans)
    kinds = Counter(operation(span) for span in receiver.spans)
    assert kinds["chat"] == len(run.facts(ev.ModelAnswered))
    assert kinds["execute_tool"] == len(run.facts(ev.ToolReturned))
    assert kinds["create_agent"] == 2 and kinds["invoke_workflow"] == 1
    judged = sum(record.agent == VERIFIER for record in run.records if isinstance(record.event, ev.VerdictGiven))
    assert kinds["invoke_agent"] == len(run.facts(ev.TurnEnded)) + judged
    assert len({span.span_id for span in receiver.spans}) == len(receiver.spans)
    assert receiver.resource["service.name"] == "megaagent" and receiver.resource["service.instance.id"] == "run"
    assert receiver.traces[0].resource_spans[0].scope_spans[0].schema_url.endswith("/1.41.0")


def test_a_trace_is_one_turn_and_links_to_who_woke_it(tmp_path: Path) -> None:
    folder = kept(tmp_path / "run", played().records)
    with receiving() as receiver:
        send(folder, Sender(folder.id, receiver.url))
    by_id = {span.span_id: span for span in receiver.spans}
    roots = [span for span in receiver.spans if not span.parent_span_id]
    assert all(operation(span) in ("invoke_agent", "invoke_workflow") for span in roots)
    assert len({span.trace_id for span in receiver.spans}) == len(roots)
    for span in receiver.spans:
        if span.parent_span_id:
            above = by_id[span.parent_span_id]
            assert above.trace_id == span.trace_id
            assert above.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= above.end_time_unix_nano
    turns = {(attributes(s)["gen_ai.agent.name"], attributes(s)["megaagent.turn"]): s for s in roots if len(s.links)}
    ann = turns["ann", 1]
    assert {by_id[link.span_id].name for link in ann.links} == {"invoke_workflow megaagent", "invoke_agent boss"}
    last = max((turn for name, turn in turns if name == "boss"))
    woken = {by_id[link.span_id].name for link in turns["boss", last].links}
    assert woken & {"invoke_agent ann", "invoke_agent bob"}
    assert "invoke_agent boss" in {by_id[link.span_id].name for link in turns[name_of(VERIFIER), 1].links}


def test_a_call_has_its_model_tokens_and_times(tmp_path: Path) -> None:
    run = played()
    folder = kept(tmp_path / "run", run.records)
    with receiving() as receiver:
        send(folder, Sender(folder.id, receiver.url))
    chats = [span for span in receiver.spans if operation(span) == "chat"]
    for chat in chats:
        assert chat.end_time_unix_nano - chat.start_time_unix_nano == pytest.approx(2e9, rel=1e-3)
        told = attributes(chat)
        assert told["gen_ai.provider.name"] == "megaagent.simulated" and told["megaagent.simulated"] is True
        assert chat.name == f"chat {told['gen_ai.request.model']}" and told["gen_ai.response.finish_reasons"]
    told = [attributes(chat) for chat in chats]
    usage = [fact.usage for fact in run.facts(ev.ModelAnswered)]
    assert sum(each["gen_ai.usage.input_tokens"] for each in told) == sum(each.prompt for each in usage)
    assert sum(each["gen_ai.usage.output_tokens"] for each in told) == sum(each.completion for each in usage)
    assert sum(each["gen_ai.usage.cache_read.input_tokens"] for each in told) == sum(each.cached for each in usage)


def test_what_was_said_is_sent_only_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = kept(tmp_path / "run", played().records)

    def sent(content: bool) -> Receiver:
        with receiving() as receiver:
            send(folder, Sender(folder.id, receiver.url), content=content)
        return receiver

    assert not any(b"xylophone" in request.SerializeToString() for request in sent(False).traces)
    told = sent(True)
    by_kind: dict[str, str] = {}
    for span in told.spans:
        by_kind.setdefault(operation(span), "")
        by_kind[operation(span)] += str(attributes(span))
    for kind in ("invoke_workflow", "chat", "execute_tool"):
        assert "xylophone" in by_kind[kind], kind
    assert "gen_ai.system_instructions" in by_kind["create_agent"]
    [messages] = [attributes(s)["gen_ai.input.messages"] for s in told.spans if operation(s) == "invoke_workflow"]
    assert msgspec.json.decode(messages)[0]["role"] == "user"


def test_sent_twice_it_is_the_same_run(tmp_path: Path) -> None:
    folder = kept(tmp_path / "run", played().records)
    with receiving() as receiver:
        first = send(folder, Sender(folder.id, receiver.url))
        send(folder, Sender(folder.id, receiver.url))
    assert len(receiver.spans) == 2 * first.spans
    assert len({span.span_id for span in receiver.spans}) == first.spans


def test_metrics_are_those_of_the_moment(tmp_path: Path) -> None:
    run = played()
    folder = kept(tmp_path / "run", run.records)
    with receiving() as receiver:
        send(folder, Sender(folder.id, receiver.url))
    usage = receiver.points("gen_ai.client.token.usage")
    last = max(point.time_unix_nano for point in usage)
    inputs = [p for p in usage if p.time_unix_nano == last and attributes(p)["gen_ai.token.type"] == "input"]
    answers = run.facts(ev.ModelAnswered)
    assert sum(point.sum for point in inputs) == sum(answer.usage.prompt for answer in answers)
    assert sum(point.count for point in inputs) == len(answers)
    assert all(sum(point.bucket_counts) == point.count for point in inputs)
    durations = [p for p in receiver.points("gen_ai.client.operation.duration") if p.time_unix_nano == last]
    assert sum(point.sum for point in durations) == pytest.approx(2.0 * len(answers))
    flying = receiver.points("megaagent.calls.in_flight")
    assert len(flying) > 1 and flying[-1].as_double == 0  # the run has ended
    assert flying[0].time_unix_nano < last == int(run.records[-1].time * 1e9)


def test_a_rate_limit_is_counted_and_shown_in_its_call() -> None:
    call = "boss#1"
    facts: list[ev.AnyEvent] = [
        ev.RunStarted("run", "goal", "openai:gpt-4.1", False, "{}", "0"),
        ev.AgentRecruited("boss", "the boss", "role", "boss"),
        ev.CallIntended(call, "step", "openai:gpt-4.1", ""),
        ev.CallRetried(call, 1, "rate_limit", "HTTP 429", 1.0),
        ev.CallRetried(call, 2, "rate_limit", "HTTP 429", 1.0),
        ev.CallFailed(call, "rate_limit", "HTTP 429"),
    ]
    agents = ["engine:", "engine:", *["boss"] * 4]
    records = [Record(n + 1, 1, 100.0 + n, agents[n], 1, event) for n, event in enumerate(facts)]
    metrics = Metrics()
    for record in records[:4]:
        metrics.take_in(record)
    told = {metric.name: metric for metric in metrics.now()}
    assert told["megaagent.calls.in_flight"].points[0].value == 1
    for record in records[4:]:
        metrics.take_in(record)
    told = {metric.name: metric for metric in metrics.now()}
    [faults] = told["megaagent.call.faults"].points
    assert faults.value == 3 and faults.labels["error.type"] == "rate_limit"
    assert faults.labels["gen_ai.provider.name"] == "openai" and faults.labels["gen_ai.request.model"] == "gpt-4.1"
    assert told["megaagent.calls.in_flight"].points[0].value == 0
    chat, turn = spans_of(records)
    assert chat.error == "rate_limit" and [each.name for each in chat.happenings] == ["megaagent.retry"] * 2
    assert turn.name == "invoke_agent boss" and turn.error == "rate_limit"


def test_a_resumed_run_sends_what_is_new_and_ends_what_was_cut_off() -> None:
    run = played()
    cut = next(r.position for r in run.records if isinstance(r.event, ev.CallIntended) and r.agent == "boss/ann")
    resumed = Record(cut + 1, 2, run.records[cut - 1].time + 1000, ev.ENGINE, 0, ev.RunResumed("0"))
    fold = Spans()
    for record in run.records[:cut]:
        fold.take_in(record)
    ended = fold.take_in(resumed)
    assert {span.name for span in ended if span.error == "interrupted"} >= {"invoke_agent ann"}
    assert all(span.end <= run.records[cut - 1].time for span in ended)


async def test_a_run_sends_its_spans_while_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"sim:story": SimulatedModel(Script({"boss": boss_of("ann")}, default=worker), name="sim:story")}
    settings = changed(Settings(), {"telemetry.otel": True, "simulation.speed": 0, "durability": "off"}, "")
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "policies")
        async with launch.start("Do it.", model="sim:story", models=models, settings=settings, runs=tmp_path) as live:
            result = await live.result()
        assert live.follower is not None
        sent = live.follower.sent
    assert result.status == "completed"
    assert sent is not None and sent.lost == 0 and sent.spans == len(receiver.spans)
    kinds = Counter(operation(span) for span in receiver.spans)
    assert kinds["invoke_workflow"] == 1 and kinds["chat"] == live.state.run.steps
    assert receiver.resource["service.name"] == "policies" and receiver.resource["service.instance.id"] == result.run
    assert all(headers["x-team"] == "blue" for headers in receiver.headers)
    assert receiver.points("megaagent.agents")


def test_who_takes_over_does_not_send_again_what_was_sent(tmp_path: Path) -> None:
    run = played()
    folder = kept(tmp_path / "run", run.records)
    since = next(r.position for r in run.records if isinstance(r.event, ev.VerificationOpened))
    with receiving() as receiver:
        sent = Follower(folder, Sender(folder.id, receiver.url), since=since).close()
    assert sent.spans == len(receiver.spans) > 0
    assert {span.name for span in receiver.spans} >= {"invoke_agent verifier", "invoke_workflow megaagent"}
    assert not any(span.name == "invoke_agent ann" for span in receiver.spans)


def test_a_receiver_that_takes_nothing_costs_the_run_nothing(tmp_path: Path) -> None:
    folder = kept(tmp_path / "run", played().records)
    with receiving() as receiver:
        receiver.status = 400
        sent = send(folder, Sender(folder.id, receiver.url, rest=1e9))
    assert sent.spans == 0 and sent.lost > 10 and sent.problem.startswith(receiver.url)
    assert len(receiver.headers) == 1  # after the first failure nothing more is tried


def test_what_the_environment_asks_for_and_we_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="only http/protobuf"):
        Sender("run", environ={"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


async def test_nothing_is_made_when_spans_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    settings = changed(Settings(), {"telemetry.otel": True}, "")
    with pytest.raises(ConfigurationError, match="only http/protobuf"):
        async with launch.start(scenario="gobang", settings=settings, runs=tmp_path / "runs"):
            raise AssertionError("it has begun")
    assert not (tmp_path / "runs").exists()


def test_a_sampler_keeps_whole_turns_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")

    def boss(me: Part) -> Playing:
        names = [f"w{number}" for number in range(12)]
        yield say(*(recruit(name) for name in names))
        while not me.reported(*names):
            yield wait([], "their parts")
        return "stop"

    run = rehearse(Script({"boss": boss}, default=worker))
    folder = kept(tmp_path / "run", run.records)
    with receiving() as receiver:
        send(folder, Sender(folder.id, receiver.url))
    whole = len({span.context.trace for span in spans_of(run.records)})
    traces = {span.trace_id for span in receiver.spans}
    assert 0 < len(traces) < whole
    ids = {span.span_id for span in receiver.spans}
    assert all(span.parent_span_id in ids for span in receiver.spans if span.parent_span_id)
