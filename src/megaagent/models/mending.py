"""What can safely be mended in a model's tool calls: only forms that say without doubt what was meant.

Nothing that was cut is ever completed: a mended call has one whole JSON object for its arguments. Everything else is
left as it is, and the tool explains to the model what is wrong with it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection
from typing import Any, Final, cast

import msgspec

_FENCED: Final = re.compile(r"^\s*```[a-zA-Z]*\s*\n?(.*?)\n?\s*```\s*$", re.DOTALL)
_TAGGED: Final = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_FIELD: Final = re.compile(r"[\"']\s*:|[:=]\s*[\"']|^\s*[\"'\[]\s*\w")  # in arguments, and in no talk
_LONGEST: Final = 200_000  # characters of arguments in which the slow forms are looked for
_REPEATS: Final = 16  # times that something is said in a row before it counts as running away
_PERIOD: Final = 400  # characters of the longest thing that is looked for


def is_object(text: str) -> bool:
    """Whether the text is one complete JSON object."""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (ValueError, RecursionError):
        return False


def mend_arguments(text: str) -> tuple[str, str]:
    """The arguments as one JSON object, and what was mended; as they are, and nothing, when they cannot be."""
    if is_object(text):
        return _without_doubles(text) if len(text) <= _LONGEST else (text, "")
    if len(text) > _LONGEST:
        return text, ""
    bare = text.strip()
    half = len(bare) // 2
    if len(bare) % 2 == 0 and bare[:half] == bare[half:] and is_object(bare[:half]):
        return bare[:half], "they came twice"
    if (fenced := _FENCED.match(text)) and is_object(fenced[1]):
        return fenced[1], "they stood in a code fence"
    if (inner := _string(bare)) is not None and is_object(inner):
        return inner, "they were JSON within a JSON string"
    if (literal := _python_literal(bare)) is not None:
        return literal, "they were written as a Python dictionary"
    if (alone := _amid_talk(bare)) is not None:
        return alone, "there was talk around them"
    return text, ""


def mend_name(name: str, offered: Collection[str]) -> str:
    """The offered name that was said twice, or with quotes, spaces or a namespace around it; else the name as it is."""
    if name in offered or not offered:
        return name
    half = len(name) // 2
    candidates = (name[:half] if name[:half] * 2 == name else "", name.strip(" \t\n\"'`()"), name.rpartition(".")[2])
    return next((each for each in candidates if each in offered), name)


def calls_in_text(text: str, offered: Collection[str]) -> list[tuple[str, str]]:
    """Name and arguments of calls that a model wrote as text, because its server did not understand them as calls.

    That is: in `<tool_call>` tags at the end of the text (before other words they may be quoted), or a text that is
    nothing but one JSON object with a name and arguments. Every one must be whole and name an offered tool, or none
    counts.
    """
    if len(text) > _LONGEST:
        return []
    tagged = _TAGGED.findall(text)
    if tagged and not text.rstrip().endswith("</tool_call>"):
        return []
    if not tagged:
        fenced = _FENCED.match(text)
        tagged = [fenced[1] if fenced else text.strip()]
    found = [_written_call(each, offered) for each in tagged]
    return [call for call in found if call is not None] if None not in found else []


def without_runaway(text: str) -> str:
    """The text with an end that repeats itself over and over cut to a few times; as it is when it has none."""
    tail = text[-_PERIOD * _REPEATS :]
    for period in range(1, min(_PERIOD, len(tail) // _REPEATS) + 1):
        unit = tail[-period:]
        if tail[-period * _REPEATS :] == unit * _REPEATS:
            end = len(text)
            while end >= period and text[end - period : end] == unit:
                end -= period
            return text[: end + 3 * period]
    return text


def _written_call(text: str, offered: Collection[str]) -> tuple[str, str] | None:
    try:
        document = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    call = cast("dict[str, Any]", document)
    arguments = call.get("arguments", call.get("parameters"))
    name = call.get("name")
    if not isinstance(name, str) or name not in offered or not set(call) <= {"name", "arguments", "parameters", "id"}:
        return None
    if isinstance(arguments, str):
        return (name, arguments) if is_object(arguments) else None
    return (name, json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else None


def _without_doubles(text: str) -> tuple[str, str]:
    """An object whose keys are each there once: of several the last, as most readers of JSON take it."""
    doubles: set[str] = set()

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            doubles.update(key for key in keys if keys.count(key) > 1)
        return dict(pairs)

    try:
        if text.count(":") == _keys(msgspec.json.decode(text)):  # a colon for each key that is left
            return text, ""
        document = json.loads(text, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return text, ""
    if not doubles:
        return text, ""
    return json.dumps(document, ensure_ascii=False), f"a key was there twice ({', '.join(sorted(doubles))[:80]})"


def _keys(value: Any) -> int:
    """How many keys a document has, with those of what is in it."""
    if isinstance(value, dict):
        inside = cast("dict[str, Any]", value)
        return len(inside) + sum(map(_keys, inside.values()))
    return sum(map(_keys, cast("list[Any]", value))) if isinstance(value, list) else 0


def _string(text: str) -> str | None:
    if not text.startswith('"'):
        return None
    try:
        document = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, str) else None


def _python_literal(text: str) -> str | None:
    if not text.startswith("{") or "'" not in text:
        return None
    try:
        document = ast.literal_eval(text)
        written = json.dumps(document, ensure_ascii=False, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return written if isinstance(document, dict) and is_object(written) else None


def _amid_talk(text: str) -> str | None:
    """The one object in a text, with words before or after it; two leave a doubt, and so do other fields beside it."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    alone, before, after = text[start:end], text[:start], text[end:]
    if "{" in after or "}" in after or _FIELD.search(before) or _FIELD.search(after):
        return None
    return alone if alone != "{}" and is_object(alone) else None
