"""One connection to a server, from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import mcp_types as types
from mcp import Client, MCPError
from mcp.client.auth import OAuthFlowError
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from pydantic import ValidationError

from megaagent.tools.mcp.config import ServerConfig
from megaagent.tools.mcp.http import Door, over_http
from megaagent.tools.mcp.results import LIST, MOST_TOOLS, READ, Offer, contents_of, listed, offer_of, text_of
from megaagent.tools.mcp.transport import Pipe
from megaagent.tools.rules import fits

LISTEN_AGAIN: Final = 5.0  # seconds after the server has ended the stream of its changes
_NOT_THERE: Final = frozenset({"ConnectError", "ConnectTimeout"})  # of the SDK's library for HTTP, whichever that is

MOST_PAGES: Final = 20  # of a listing
LEAVING: Final = 10.0  # seconds that the end may take


class ServerFailed(Exception):
    """A server could not be begun or did not list its tools; the text says why."""


class Link:
    """A connection; one use.

    Args:
        config: whose.
        hide: takes secrets out of what the server says.
        version: of this program, which it is told.

    Attributes:
        stale: the server has told that its tools changed.
    """

    def __init__(self, config: ServerConfig, hide: Callable[[str], str], version: str):
        self.stale = False
        self._config = config
        self._hide = hide
        self._version = version
        self._door = Door()
        self._pipe = Pipe(config) if config.command is not None else None
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._owner = asyncio.create_task(self._own(), name=f"mcp {config.name}")

    @property
    def ended(self) -> bool:
        """Whether nothing more can come from it."""
        return self._owner.done() or (self._pipe is not None and self._pipe.ended)

    async def opened(self) -> list[Offer]:
        """What the server offers, as soon as it is there.

        Raises:
            ServerFailed: it cannot be begun, or lists nothing of use; the connection has ended.
        """
        try:
            async with asyncio.timeout(self._config.start_seconds):
                await asyncio.shield(self._opened)
                return await self.listing()
        except BaseException as error:
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise
            slow = f"it did not answer within {self._config.start_seconds:g} s"
            why = slow if isinstance(error, TimeoutError) else self.told(error)
            raise ServerFailed(why + self.last_words()) from error

    async def listing(self) -> list[Offer]:
        """The tools that the server offers now, as far as they are wanted.

        Raises:
            ServerFailed: they are too many, or two have one name.
        """
        client = self._opened.result()
        self.stale = False
        offers: list[Offer] = []
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            offers += [offer_of(tool) for tool in page.tools if fits(tool.name, self._config.tools)]
            cursor = page.next_cursor
            if cursor is None:
                break
        if cursor is not None or len(offers) > MOST_TOOLS:
            raise ServerFailed(
                f"it offers more than {MOST_TOOLS} tools: name those that are wanted under "
                f'"tools" in its entry, such as ["read_*"]'
            )
        if self._config.resources and client.server_capabilities.resources is not None:
            offers += [offer for offer in (LIST, READ) if fits(offer.name, self._config.tools)]
        if len({offer.name for offer in offers}) < len(offers):
            raise ServerFailed("it offers two tools of one name")
        return offers

    async def ask(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        """The result of one call as text, and whether it is an error."""
        text, wrong = await self._asked(name, arguments)
        for token in self._door.tokens:
            text = text.replace(token, "[key]")
        return text, wrong

    async def _asked(self, name: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        client, most = self._opened.result(), self._config.output
        if self._config.resources and name == LIST.name:
            return await self._resources(), False
        if self._config.resources and name == READ.name:
            return contents_of(await client.read_resource(str(arguments["uri"])), most), False
        # Not `Client.call_tool`, which holds the result against a schema of the server's own making: its regular
        # expressions could keep the engine busy for ever, and agents are shown the text whatever it says.
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        result = await client.session.send_request(request, types.CallToolResult)
        return text_of(result, most), bool(result.is_error)

    async def _resources(self) -> str:
        client = self._opened.result()
        found: list[types.Resource] = []
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_resources(cursor=cursor)
            found += page.resources
            cursor = page.next_cursor
            if cursor is None:
                break
        try:
            templates = (await client.list_resource_templates()).resource_templates
        except MCPError:
            templates = []  # many servers have none and do not know the question
        return listed(found, templates, self._config.output)

    async def close(self) -> None:
        """End it, and the server if it is a program of ours."""
        self._leave.set()
        await asyncio.wait([self._owner], timeout=LEAVING)
        self._owner.cancel()
        await asyncio.gather(self._owner, return_exceptions=True)

    def lost(self, error: MCPError) -> bool:
        """Whether the error tells that the connection is no more; servers use its number for errors of their own."""
        return error.code == types.CONNECTION_CLOSED and (self.ended or error.message == "Connection closed")

    def last_words(self) -> str:
        """What is known of why it ended, to stand behind other words."""
        if self._pipe is None:
            return ""
        if self._pipe.broken:
            return f": {self._pipe.broken}"
        said = self._hide(" / ".join(list(self._pipe.said)[-3:]))
        return f" (it said: {said[-1_000:]})" if said else ""

    def told(self, error: BaseException) -> str:
        """A failure in words."""
        while isinstance(error, BaseExceptionGroup):
            error = cast("BaseException", error.exceptions[0])
        if isinstance(error, ServerFailed):
            return str(error)
        if (login := _login_error(error)) is not None:
            return f"its login failed: {self._hide(str(login))}"[:2_000]
        if (refused := self._door.told()) is not None:
            return refused
        if isinstance(error, MCPError) and self.lost(error):
            return "it ended"
        if isinstance(error, FileNotFoundError):
            cwd = self._config.cwd
            missing = f"folder {cwd!r}" if error.filename == cwd else f"program {self._config.command!r}"
            return f"there is no {missing}"
        if self._config.url is not None and type(error).__name__ in _NOT_THERE:
            return self._hide(f"nothing answers at {self._config.url}: is it running, and is the url right? ({error})")
        if isinstance(error, MCPError):
            return self._hide(f"it answered with an error: {error.message}")[:2_000]
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            return f"it broke the protocol: {'.'.join(map(str, first['loc']))}: {first['msg']}"[:500]
        return self._hide(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)[:2_000]

    async def _own(self) -> None:
        """Hold the connection open; the SDK wants one task to open and to close it."""
        streams = self._pipe.open() if self._pipe is not None else over_http(self._config, self._door)
        try:
            client = Client(
                cast("Any", streams),
                cache=None,
                client_info=types.Implementation(name="megaagent", version=self._version),
                message_handler=self._heard,
            )
            async with client:
                self._opened.set_result(client)
                listening = asyncio.create_task(self._listen(client), name=f"mcp {self._config.name} listens")
                try:
                    await self._leave.wait()
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        except Exception as error:  # a group of them, perhaps: the SDK's tasks fail together
            if not self._opened.done():
                self._opened.set_exception(error)

    async def _listen(self, client: Client) -> None:
        """Hear of changes as the protocol has it since 2026-07-28; a server of before tells them unasked."""
        while True:
            with suppress(SubscriptionLost):
                try:
                    async with client.listen(tools_list_changed=True) as changes:
                        async for _ in changes:
                            self.stale = True
                except (ListenNotSupportedError, MCPError, TimeoutError):
                    return  # it tells nothing of changes, and is listed anew when it is begun again
            self.stale = True  # what has changed meanwhile is not told again
            await asyncio.sleep(LISTEN_AGAIN)

    async def _heard(self, message: Any) -> None:
        self.stale = self.stale or isinstance(message, types.ToolListChangedNotification)


def _login_error(error: BaseException) -> OAuthFlowError | None:
    """The failed login behind an error, if there is one."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OAuthFlowError):
        seen = seen.__cause__ or seen.__context__
    return seen
