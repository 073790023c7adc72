"""Models of pydantic-ai's under our contract."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic_ai import exceptions as faults
from pydantic_ai import messages as wire
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from megaagent.errors import ConfigurationError, ModelError
from megaagent.events import ToolCall, Usage
from megaagent.models import open_model
from megaagent.models.contract import ChatMessage, ModelRequest, ToolSpec
from megaagent.models.foreign import ForeignModel
from megaagent.models.prices import cost_of

TOOL = ToolSpec("say", "says", {"type": "object", "properties": {"text": {"type": "string"}}})
RULES = ChatMessage("system", "rules")
USER = ChatMessage("user", "hi")


def ask(*messages: ChatMessage, **more: Any) -> ModelRequest:
    return ModelRequest("m", (RULES, USER, *messages), (TOOL,), 100, **more)


async def test_its_own_test_model_calls_our_tool():
    answer = await ForeignModel(TestModel()).complete(ask())
    assert [call.name for call in answer.calls] == ["say"]
    assert answer.usage.prompt > 0


async def test_the_conversation_and_the_settings_reach_it_and_what_is_signed_goes_back():
    heard: list[tuple[list[wire.ModelMessage], AgentInfo]] = []

    def play(messages: list[wire.ModelMessage], info: AgentInfo) -> wire.ModelResponse:
        heard.append((messages, info))
        thought = wire.ThinkingPart("why", signature="signed", provider_name="p")
        parts = [thought, wire.TextPart("I say"), wire.ToolCallPart("say", {"text": "ü"}, tool_call_id="c1")]
        return wire.ModelResponse(
            parts=parts, usage=RequestUsage(input_tokens=50, cache_read_tokens=20, output_tokens=5)
        )

    model = ForeignModel(FunctionModel(play))
    first = await model.complete(ask(temperature=0.3))
    assert (first.text, first.reasoning) == ("I say", "why")
    assert first.calls == (ToolCall("c1", "say", '{"text": "ü"}'),)
    assert first.usage == Usage(50, 5, 20)
    messages, info = heard[0]
    assert [part.part_kind for part in messages[0].parts] == ["system-prompt", "user-prompt"]
    assert info.model_settings is not None
    assert (info.model_settings["max_tokens"], info.model_settings["temperature"]) == (100, 0.3)
    assert [tool.name for tool in info.function_tools] == ["say"]

    said = ChatMessage("assistant", first.text, first.calls, None, first.reasoning, first.echo)
    result = ChatMessage("tool", "said", call_id="c1")
    await model.complete(ask(said, result))
    back = heard[1][0]
    assert [part.part_kind for part in back[1].parts] == ["thinking", "text", "tool-call"]
    assert getattr(back[1].parts[0], "signature", None) == "signed"
    assert [part.part_kind for part in back[2].parts] == ["tool-return"]
    await model.complete(ModelRequest("another", (RULES, USER, said, result), (TOOL,), 100))
    assert [part.part_kind for part in heard[2][0][1].parts] == ["text", "tool-call"]


FAILURES: list[tuple[Exception, str]] = [
    (faults.ModelHTTPError(401, "m", {"error": {"message": "bad key"}}), "unauthorized"),
    (faults.ModelHTTPError(404, "m", {"error": {"message": "no such model"}}), "not_found"),
    (faults.ModelHTTPError(429, "m", {"error": {"message": "slow down"}}, retry_after=7.0), "rate_limit"),
    (faults.ModelHTTPError(400, "m", {"error": {"message": "prompt is too long"}}), "context_overflow"),
    (faults.ModelHTTPError(503, "m", None), "overloaded"),
    (faults.UnexpectedModelBehavior("odd"), "broken"),
    (faults.UserError("cannot do that"), "bad_request"),
]


@pytest.mark.parametrize(("failure", "fault"), FAILURES)
async def test_each_failure_is_known_for_what_it_is(failure: Exception, fault: str):
    def fail(messages: list[wire.ModelMessage], info: AgentInfo) -> wire.ModelResponse:
        raise failure

    with pytest.raises(ModelError) as caught:
        await ForeignModel(FunctionModel(fail)).complete(ask())
    assert caught.value.fault == fault
    assert caught.value.retry_after == getattr(failure, "retry_after", None)


async def test_the_deadline_holds():
    async def sleep(messages: list[wire.ModelMessage], info: AgentInfo) -> wire.ModelResponse:
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(ModelError) as caught:
        await ForeignModel(FunctionModel(sleep)).complete(ask(deadline=0.02))
    assert (caught.value.fault, caught.value.maybe_paid) == ("timeout", True)


def test_names_that_are_none_and_what_is_missing_are_told():
    with pytest.raises(ConfigurationError, match="Unknown model"):
        open_model("pydantic:nowhere:m", environ={})
    with pytest.raises(ConfigurationError, match="leave --base-url away"):
        open_model("pydantic:test", environ={}, base_url="http://localhost/v1")
    assert isinstance(open_model("pydantic:test", environ={}), ForeignModel)


def test_its_prices_are_known():
    usage = Usage(1_000_000, 0)
    assert cost_of(usage, "pydantic:google:gemini-2.5-flash") == pytest.approx(
        cost_of(usage, "gemini:gemini-2.5-flash")
    )
    assert cost_of(usage, "pydantic:anthropic:claude-opus-5-5") == cost_of(usage, "anthropic:claude-opus-5-5")
    assert cost_of(usage, "pydantic:nowhere:m") is None
