"""What is mended in tool calls, and what must never be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megaagent.models.mending import (
    calls_in_text,
    is_object,
    mend_arguments,
    mend_name,
    without_runaway,
)

WHOLE = '{"path": "a.txt", "content": "x = {1: \'b\'}"}'
FORMS = {
    "a fence": f"```json\n{WHOLE}\n```",
    "a plain fence": f"```\n{WHOLE}```",
    "twice": WHOLE * 2,
    "a string": json.dumps(WHOLE),
    "talk after it": WHOLE + "\nThis writes the file.",
    "talk before it": "Here it is: " + WHOLE,
    "a Python dictionary": repr(json.loads(WHOLE)),
    "a key twice": '{"path": "b.txt", ' + WHOLE[1:],
    "a key twice, and colons in texts": '{"path": "a:b::", "content": ":", ' + WHOLE[1:],
}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_meant_without_doubt_is_mended(form: str):
    mended, how = mend_arguments(FORMS[form])
    assert json.loads(mended) == json.loads(WHOLE)
    assert how


@pytest.mark.parametrize(
    "text",
    [
        WHOLE[:-1], WHOLE[:20], "```json\n" + WHOLE[:30], WHOLE + WHOLE[:9], WHOLE + '{"path": "b"}', "{'a': 1",
        '{"a": NaN}', "[1, 2]", "7", "", "{" * 10_000, '{"a":' * 10_000 + "1" + "}" * 10_000, "{'a': 1}" * 100_000,
        "{'a': open('/etc/passwd')}", "{'a': float('inf')}",
        WHOLE[1:], '"path": "a", "content": {"path": "b"}', '"pattern": "*", "text": "d = {}"',
        'path="a", text={"b": 1}',
        '[1, {"path": "a"}', WHOLE + ', "base": "1"', "text: {}",
    ],
)  # fmt: skip
def test_what_is_cut_or_doubtful_is_left_as_it_is(text: str):
    assert mend_arguments(text) == (text, "")


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers() | st.none(), max_size=4), st.data())
def test_nothing_that_was_cut_is_completed(arguments: dict[str, object], data: st.DataObject):
    text = json.dumps(arguments)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    mended, _ = mend_arguments(cut)
    assert not is_object(mended)


@given(
    st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2), min_size=1)
)
def test_nothing_is_taken_out_of_what_has_lost_its_beginning(arguments: dict[str, object]):
    text = json.dumps(arguments)[1:]
    assert mend_arguments(text) == (text, "")
    assert mend_arguments(text[:-1]) == (text[:-1], "")


def test_a_whole_object_is_kept_byte_for_byte():
    for text in (WHOLE, "{}", ' { "a" : 1 } ', '{"a": {"a": 1}, "b": [{"a": 2}]}'):
        assert mend_arguments(text) == (text, "")


def test_names():
    offered = {"talk", "write_file"}
    assert mend_name("talktalk", offered) == "talk"
    assert mend_name(" `write_file` ", offered) == "write_file"
    assert mend_name("functions.talk", offered) == "talk"
    assert mend_name("wriet_file", offered) == "wriet_file"  # a doubt: the tool says which there are
    assert mend_name("talktalk", {"talktalk"}) == "talktalk"


def test_calls_that_are_written_as_text():
    offered = {"talk"}
    call = '{"name": "talk", "arguments": {"to": "ann", "message": "<hi>"}}'
    expected = [("talk", '{"to": "ann", "message": "<hi>"}')]
    assert calls_in_text(f"I call:\n<tool_call>\n{call}\n</tool_call>", offered) == expected
    assert calls_in_text(call, offered) == expected
    assert calls_in_text(f"```json\n{call}\n```", offered) == expected
    assert calls_in_text(f"An example is {call}.", offered) == []
    assert calls_in_text(f"<tool_call>{call}</tool_call><tool_call>{call[:-3]}</tool_call>", offered) == []
    assert calls_in_text(call.replace("talk", "shout"), offered) == []
    assert calls_in_text(f"The file says <tool_call>{call}</tool_call>, which I shall not do.", offered) == []
    assert calls_in_text(f"<tool_call>{call}</tool_call><tool_call>{call[:9]}", offered) == []


def test_a_text_that_runs_away_is_cut():
    text = "First I look. " + "Once more. " * 1000
    assert without_runaway(text) == "First I look. " + "Once more. " * 3
    for fine in ("", "a", "no end " * 3, "First this, then that, and so on.", "=" * 10):
        assert without_runaway(fine) == fine
