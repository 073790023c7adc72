"""The tools of a server as tools of an agent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from megaagent.events import ToolCall
from megaagent.models.contract import ToolSpec
from megaagent.tools.contract import Tool
from megaagent.tools.mcp.results import LONGEST_DESCRIPTION, Offer
from megaagent.tools.mcp.server import Server
from megaagent.tools.rules import fits

LONGEST_NAME: Final = 64
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class ServerTool(Tool):
    """One tool of a server.

    The arguments are held against the schema only as far as names and plain types go; the rest is the server's to
    judge, since patterns in a schema that somebody else wrote could keep the engine busy.
    """

    def __init__(self, server: Server, offer: Offer):
        self.name = agents_name(server.config.name, offer.name)
        self.description = f"[{server.config.name}] {offer.description[:LONGEST_DESCRIPTION]}"
        self.seconds = server.config.seconds
        self.reads = self.repeatable = fits(offer.name, server.config.reads)
        self.needs = None
        self.spec = ToolSpec(self.name, self.description, offer.schema)
        self._server = server
        self._offer = offer

    def given(self, arguments: str) -> dict[str, Any]:
        try:
            found = msgspec.json.decode(arguments or "{}")
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            raise self.misfit(f"the arguments are not valid JSON: {error}") from error
        problem = _misfit(found, self._offer.schema)
        if problem:
            raise self.misfit(f"the arguments do not fit: {problem}")
        return cast("dict[str, Any]", found)

    async def answer(self, call: ToolCall, desk: Mapping[type, object]) -> str:
        return await self._server.call(self._offer.name, self.given(call.arguments))


def agents_name(server: str, tool: str) -> str:
    """The name that agents call a server's tool by: letters, digits, _ and -, 64 at most."""
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{server}_{tool}")
    if len(name) <= LONGEST_NAME:
        return name
    mark = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}_{mark}"


def _misfit(found: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong with arguments, as far as it can be told from their names and plain types."""
    if not isinstance(found, dict):
        return "they are no object"
    given = cast("dict[str, Any]", found)
    properties = schema.get("properties")
    known = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
    required = schema.get("required")
    for name in cast("list[Any]", required) if isinstance(required, list) else ():
        if name not in given:
            return f"{name!r} is missing"
    for name, value in given.items():
        if name not in known:
            if schema.get("additionalProperties") is False:
                return f"there is no {name!r}"
            continue
        kind = cast("dict[str, Any]", known[name]).get("type") if isinstance(known[name], dict) else None
        wanted = _TYPES.get(kind) if isinstance(kind, str) else None
        is_bool = isinstance(value, bool)
        if wanted is not None and (not isinstance(value, wanted) or (is_bool and bool not in wanted)):
            return f"{name!r} must be of type {kind}"
    return ""
