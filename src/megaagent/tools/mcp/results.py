"""What a server says, as data of ours: the tools that it offers, and the text of a result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

import mcp_types as types
import msgspec

from megaagent.events import Struct, storable

MOST_TOOLS: Final = 200  # of one server
LONGEST_DESCRIPTION: Final = 4_000  # characters; it stands in every prompt
LONGEST_SCHEMA: Final = 20_000  # bytes


class Offer(Struct, frozen=True):
    """A tool as its server describes it; `schema` is JSON Schema of the arguments."""

    name: str
    description: str
    schema: dict[str, Any]


def offer_of(tool: types.Tool) -> Offer:
    """The part of a listing that agents see and that is pinned."""
    text = " ".join(storable(tool.description or tool.title or "").split())
    return Offer(storable(tool.name), text, tool.input_schema)


def digest_of(offers: Sequence[Offer]) -> str:
    """A hash of what a server offers, whatever the order."""
    text = json.dumps([[o.name, o.description, o.schema] for o in sorted(offers, key=lambda o: o.name)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def problem_with(offer: Offer) -> str:
    """Why a tool cannot be offered to agents; nothing when it can."""
    if offer.schema.get("type") != "object":
        return "its arguments are no object"
    if len(msgspec.json.encode(offer.schema)) > LONGEST_SCHEMA:
        return f"the schema of its arguments has more than {LONGEST_SCHEMA:,} bytes"
    return ""


def differences(old: Sequence[Offer], new: Sequence[Offer]) -> list[str]:
    """What is not as it was, in words; texts of the server's stand in quotes, as far as agents would be shown them."""
    before, after = ({offer.name: offer for offer in offers} for offers in (old, new))
    lines = [f"no longer offers {name!r}" for name in before.keys() - after.keys()]
    lines += [f"now offers {name!r}: {_shown(after[name])!r}" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        was, now = before[name], after[name]
        if was.description != now.description:
            lines.append(f"describes {name!r} as {_shown(now)!r}, no longer as {_shown(was)!r}")
        if was.schema != now.schema:
            lines.append(f"takes other arguments for {name!r}: {json.dumps(now.schema)[:LONGEST_SCHEMA]}")
    return sorted(lines)


def _shown(offer: Offer) -> str:
    return offer.description[:LONGEST_DESCRIPTION]


LIST: Final = Offer(
    "list_resources",
    "List what this server has to read: addresses with names and descriptions.",
    {"type": "object", "properties": {}, "additionalProperties": False},
)
READ: Final = Offer(
    "read_resource",
    "Read one of the things that this server has, by its address.",
    {
        "type": "object",
        "properties": {"uri": {"type": "string", "description": "the address, as list_resources has it"}},
        "required": ["uri"],
        "additionalProperties": False,
    },
)


def listed(resources: Sequence[types.Resource], templates: Sequence[types.ResourceTemplate], most: int) -> str:
    """Resources, one a line; addresses with parts to fill in come last."""
    known = [(each.uri, each.name, each.mime_type, each.description) for each in resources]
    known += [(each.uri_template, each.name, each.mime_type, each.description) for each in templates]
    lines = [
        " ".join(f"{uri} {name}{f' ({kind})' if kind else ''}{f': {about}' if about else ''}".split())
        for uri, name, kind, about in known
    ]
    return _cut("\n".join(lines), most)


def contents_of(result: types.ReadResourceResult, most: int) -> str:
    """What was read, as text; what is no text is named with its size."""
    parts: list[str] = []
    for content in result.contents:
        if isinstance(content, types.TextResourceContents):
            parts.append(content.text)
        else:
            parts.append(f"[{content.mime_type or 'data'}, {len(content.blob) * 3 // 4:,} bytes, not shown]")
    return _cut("\n".join(parts), most)


def text_of(result: types.CallToolResult, most: int) -> str:
    """The result as text; what is no text is named with its size."""
    parts = [_block(block) for block in result.content]
    if not any(parts) and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return _cut("\n".join(part for part in parts if part), most)


def _cut(text: str, most: int) -> str:
    if len(text) > most:
        text = f"{text[:most]}\n[cut: {len(text):,} characters, {most:,} are shown]"
    return text or "(nothing)"


def _block(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent(text=text):
            return text
        case types.ImageContent(data=data, mime_type=kind) | types.AudioContent(data=data, mime_type=kind):
            return f"[{kind}, {len(data) * 3 // 4:,} bytes, not shown]"
        case types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, text=text)):
            return f"[{uri}]\n{text}"
        case types.EmbeddedResource(resource=resource):
            return f"[{resource.uri}, not shown]"
        case types.ResourceLink(uri=uri, name=name):
            return f"[{name}: {uri}]"
