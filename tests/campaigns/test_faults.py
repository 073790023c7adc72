"""The faulty provider's judge of requests, and one case of each kind; the campaign itself is run by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from campaigns.faults import meet, singles
from campaigns.wire import problems

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer key\r\n\r\n"


def asked(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def told(call_id: str = "c1", text: str = "done") -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": call_id}


RULES = {"role": "system", "content": "rules"}
USER = {"role": "user", "content": "hi"}
WRONG = {
    "no rules": [USER],
    "ends with the model": [RULES, USER, {"role": "assistant", "content": "hello"}],
    "a call without an answer": [RULES, USER, asked()],
    "a call that is answered later": [RULES, USER, asked(), USER, told()],
    "an answer to nothing": [RULES, USER, told()],
    "an answer twice": [RULES, USER, asked(), told(), told()],
    "an id twice": [RULES, USER, asked(), told(), asked(), told()],
    "an id that is too long": [RULES, USER, asked("c" * 65), told("c" * 65)],
    "cut arguments": [RULES, USER, asked(arguments='{"a'), told()],
    "arguments that are no object": [RULES, USER, asked(arguments="[1]"), told()],
    "NaN": [RULES, USER, asked(arguments='{"a": NaN}'), told()],
    "a name that is none": [RULES, USER, asked(name="write file"), told()],
    "an empty message": [RULES, {"role": "user", "content": " "}],
    "an empty result": [RULES, USER, asked(), told(text="")],
    "an empty answer": [RULES, USER, {"role": "assistant", "content": ""}, USER],
    "an unknown role": [RULES, {"role": "developer!", "content": "hi"}, USER],
    "NUL": [RULES, {"role": "user", "content": "a\0b"}],
    "a lone surrogate": [RULES, {"role": "user", "content": "a\ud800b"}],
}


def body(messages: list[dict[str, Any]]) -> bytes:
    return json.dumps({"model": "m", "messages": messages, "max_completion_tokens": 10}).encode()


@pytest.mark.parametrize("case", WRONG)
def test_a_request_against_the_rules_is_seen(case: str):
    assert list(problems(HEAD, body(WRONG[case]), "key"))


def test_a_request_by_the_rules_is_found_good_and_the_key_is_asked_for():
    good = body([RULES, USER, asked(), told(), asked("c2"), told("c2"), USER])
    assert list(problems(HEAD, good, "key")) == []
    assert list(problems(HEAD, good, "another key")) == ["the key is not sent"]
    assert list(problems(HEAD, good[:-5], "key"))


@pytest.mark.parametrize("name", ["503", "length with half a tool call", "doubled arguments", "unknown tool", "401"])
async def test_one_case_of_each_kind(tmp_path: Path, name: str):
    case = next(each for each in singles(0) if each.name == name)
    outcome = await meet(case, tmp_path)
    assert outcome.violations == ()
    assert outcome.played
