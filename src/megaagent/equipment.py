"""The tools of a run, gathered from everywhere before anything is made: functions, files, packages, MCP servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from megaagent import __version__
from megaagent import events as ev
from megaagent.errors import ConfigurationError
from megaagent.events import ENGINE, Fact
from megaagent.organization.approvals import Approvals
from megaagent.organization.work import Append
from megaagent.past import Held
from megaagent.redaction import Secrets
from megaagent.settings import Settings
from megaagent.tools import Tool, toolbox
from megaagent.tools.loading import load, whole_names
from megaagent.tools.rules import ApprovalRule, check, unguarded

if TYPE_CHECKING:
    from megaagent.tools.mcp.server import Server


def rooted(settings: Settings) -> Settings:
    """The settings with the files of tools named from the root, so that a run can be resumed from another folder."""
    tools = settings.tools
    tools = replace(tools, functions=whole_names(tools.functions), mcp=whole_names(tools.mcp, ""))
    return replace(settings, tools=tools)


class Equipment:
    """The user's own tools.

    Attributes:
        toolbox: all tools of the run, the built-in ones among them; filled anew when a server's change is approved.
        pins: facts on the servers that are new to the run.
        secrets: those of the environment and of the servers.
        notes: what a person should know of them.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        servers: Sequence[Server],
        pins: Sequence[Fact],
        secrets: Secrets,
        notes: Sequence[str],
        asked: Sequence[str] = (),
    ):
        self.toolbox = toolbox([*tools, *_of_servers(servers)])
        self.notes = notes
        self.pins = pins
        self.secrets = secrets
        self._own = tools
        self._servers = servers
        self._asked = asked
        self._telling: set[asyncio.Future[Any]] = set()

    def join(self, append: Append, approvals: Approvals) -> None:
        """Let what happens to the servers be recorded, and a change of their tools be asked about."""

        def tell(event: ev.AnyEvent) -> None:
            self._keep(append([Fact(ENGINE, 0, event)], ()))

        def asking(name: str) -> Callable[[str, list[str], Callable[[ev.Ruling], None]], None]:
            question = ChangeQuestion(approvals, [id for id in self._asked if id.split(":")[1] == name])
            return lambda server, changes, then: self._keep(question.put(server, changes, then))

        for server in self._servers:
            server.join(tell, asking(server.config.name), self._renew)

    async def close(self) -> None:
        """Let go of what nobody has answered."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _renew(self) -> None:
        """Offer agents what the servers have been approved to offer now; of two tools of one name, the first."""
        named = {tool.name: tool for tool in reversed(toolbox([*self._own]).tools + _of_servers(self._servers))}
        self.toolbox.fill(list(reversed(named.values())))

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


class ChangeQuestion:
    """What a person is asked about the tools of one server: about the latest change only, one question at a time.

    Args:
        asked: ids of earlier questions, also those of engines before this one.
    """

    def __init__(self, approvals: Approvals, asked: Sequence[str] = ()):
        self._approvals = approvals
        self._turn = asyncio.Lock()
        self._newest = 0
        self._asked = list(asked)

    async def put(self, server: str, changes: Sequence[str], then: Callable[[ev.Ruling], None]) -> None:
        """Ask about these changes, and no longer about earlier ones; about nothing when there are none."""
        self._newest += 1
        number = self._newest
        async with self._turn:
            if number != self._newest:
                return  # meanwhile they have changed again
            for id in self._asked:
                await self._approvals.withdraw(id, "its tools have changed again")
            if not changes or number != self._newest:
                return
            # Each change has an id of its own: the word of who has read of one must not be taken for the next.
            id = f"mcp:{server}:{len(self._asked) + 1}" if self._asked else f"mcp:{server}"
            self._asked.append(id)
            told = msgspec.json.encode(changes).decode()
            effect = (f"the MCP server {server} goes on with other tools than those that it began with", *changes)
            asked = ev.ApprovalAsked(id, f"{server}_*", told, effect, "its tools have changed")
            await self._approvals.stand(asked, then)


def _of_servers(servers: Sequence[Server]) -> list[Tool]:
    if not servers:
        return []
    from megaagent.tools.mcp.results import problem_with
    from megaagent.tools.mcp.tools import ServerTool

    return [ServerTool(server, offer) for server in servers for offer in server.offers if not problem_with(offer)]


@asynccontextmanager
async def equipped(
    settings: Settings,
    given: Sequence[Tool | Callable[..., Any]],
    environ: Mapping[str, str],
    secrets: Secrets,
    held: Held | None = None,
) -> AsyncGenerator[Equipment]:
    """The user's tools, with their servers under way until the block is left.

    Args:
        given: tools as objects.
        environ: what stands in the files of servers as `${NAME}`.
        held: what a run that goes on has settled about its servers.

    Raises:
        ConfigurationError: a tool cannot be loaded or used, two share a name, a server cannot be begun, or the
            settings speak of a tool that is not there.
    """
    held = held or Held({}, ())
    tools = [tool if isinstance(tool, Tool) else Tool(tool) for tool in given]
    tools += load(settings.tools.functions)
    toolbox(tools)
    async with AsyncExitStack() as stack:
        servers: list[Server] = []
        facts: list[Fact] = []
        notes = unguarded(settings.tools)
        if not settings.attended:
            notes += [_unasked(rule) for rule in settings.tools.rules()]
        if settings.tools.mcp:
            servers, secrets = await _begun(stack, settings.tools.mcp, environ, secrets, held.pins)
            from megaagent.tools.mcp.results import problem_with
            from megaagent.tools.mcp.server import pinned

            for server in servers:
                problems = {offer.name: problem_with(offer) for offer in server.offers}
                fit = sum(not why for why in problems.values())
                offered = "1 tool" if fit == 1 else f"{fit} tools"
                notes.append(f"the MCP server {server.config.name} offers {offered}")
                notes += [f"its tool {name!r} is left out: {why}" for name, why in problems.items() if why]
                if server.config.name not in held.pins:
                    facts.append(Fact(ENGINE, 0, pinned(server.config.name, server.offers)))
        outfit = Equipment(tools, servers, facts, secrets, notes, held.asked)
        check(settings.tools, outfit.toolbox.names)
        stack.push_async_callback(outfit.close)
        yield outfit


def _unasked(rule: ApprovalRule) -> str:
    done = "made" if rule.unanswered == "approve" else "refused"
    return f"nobody is attached: calls of {', '.join(rule.tools)}, which need approval, are {done} at once"


def _keep_off_the_terminal(name: str) -> None:
    """Let a package's own log go to whoever has asked for logs, and not to the terminal because nobody has."""
    log = logging.getLogger(name)
    if not any(isinstance(handler, logging.NullHandler) for handler in log.handlers):
        log.addHandler(logging.NullHandler())


async def _begun(
    stack: AsyncExitStack,
    files: Sequence[str],
    environ: Mapping[str, str],
    secrets: Secrets,
    pins: Mapping[str, ev.ToolsPinned],
) -> tuple[list[Server], Secrets]:
    """The servers that some files name, all begun at once."""
    from megaagent.tools.mcp.config import read_servers

    configs = read_servers(files, environ)
    if find_spec("mcp") is None or find_spec("mcp_types") is None:
        raise ConfigurationError("MCP servers need the official SDK, version 2: pip install 'megaagent[mcp]'")
    from megaagent.tools.mcp.results import Offer
    from megaagent.tools.mcp.server import Server

    _keep_off_the_terminal("mcp")
    secrets = secrets.including(*(secret for config in configs for secret in config.secrets))
    servers = [Server(config, secrets.hide, __version__) for config in configs]
    for server in servers:
        stack.push_async_callback(server.close)

    async def begin(server: Server) -> None:
        pin = pins.get(server.config.name)
        await server.begin(None if pin is None else msgspec.json.decode(pin.offers, type=list[Offer]))

    for failed in await asyncio.gather(*map(begin, servers), return_exceptions=True):
        if failed is not None:
            raise failed
    return servers, secrets
