"""One MCP server: begun when it is needed, begun again when it has died, and held to the tools that it began with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import mcp_types as types
import msgspec
from mcp import Client, MCPError
from pydantic import ValidationError

from megaagent import events as ev
from megaagent.errors import ConfigurationError, ToolError
from megaagent.tools.mcp.config import ServerConfig
from megaagent.tools.mcp.results import MOST_TOOLS, Offer, differences, digest_of, offer_of, text_of
from megaagent.tools.mcp.transport import Pipe, over_http
from megaagent.tools.rules import fits

MOST_PAGES: Final = 20  # of a listing
SHORT: Final = 5.0  # seconds until the next try that a call waits for; otherwise it is refused at once
LONGEST_PAUSE: Final = 60.0  # seconds between two tries
MOST_LATE: Final = 2  # calls in a row without an answer, before it is begun again
UNKNOWN: Final = "whether it took effect is unknown"

Tell = Callable[[ev.AnyEvent], None]
AskAbout = Callable[[str, list[str], Callable[[ev.Ruling], None]], None]


class ServerFailed(Exception):
    """It could not be begun or did not list its tools; the text says why."""


class Server:
    """Keeps the connection to one server.

    Args:
        config: what it is.
        hide: takes secrets out of what it says.
        version: of this program, which it is told.
    """

    def __init__(self, config: ServerConfig, hide: Callable[[str], str], version: str):
        self.config = config
        self.offers: list[Offer] = []  # what agents are shown, and calls are held against
        self._hide = hide
        self._version = version
        self._client: Client | None = None
        self._pipe: Pipe | None = None
        self._owner: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._connecting = asyncio.Lock()
        self._stale = False  # it has told that its tools changed
        self._found: list[Offer] = []  # what it offers now
        self._changes: list[str] = []  # that nobody has approved
        self._deaths = 0  # since a call of it last came to an end
        self._late = 0  # calls in a row that had no answer in time
        self._next_try = 0.0
        self._tell: Tell = _to_nobody
        self._ask_about: AskAbout = _about_nothing

    def join(self, tell: Tell, ask_about: AskAbout) -> None:
        """From now on what happens to it is recorded, and a change of its tools is asked about."""
        self._tell = tell
        self._ask_about = ask_about
        if self._changes:
            self._show_changes()

    async def begin(self, pinned: Sequence[Offer] | None) -> None:
        """Begin it, and hold it to the tools that it had when the run began.

        Args:
            pinned: those; None when it is new to the run.

        Raises:
            ConfigurationError: it cannot be begun, or does not list its tools.
        """
        try:
            found = await self._connect()
        except ServerFailed as error:
            raise ConfigurationError(f"the MCP server {self.config.name!r}: {error}") from error
        self._found = found
        self.offers = found if pinned is None else list(pinned)
        self._changes = differences(self.offers, found)

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of one call of a tool, as text.

        Raises:
            ToolError: it failed, or is not made since the server's tools have changed.
        """
        title = f"the MCP server {self.config.name}"
        sent = False
        try:
            async with asyncio.timeout(self.config.seconds):
                client = await self._up()
                sent = True
                result = await self._ask(client, name, arguments)
        except TimeoutError as error:
            self._late += sent
            if self._late >= MOST_LATE:  # it hangs, perhaps: the next call finds a fresh one
                await self._down()
            raise ToolError(
                f"{title} gave no answer within {self.config.seconds:g} s; {UNKNOWN if sent else 'nothing was done'}."
            ) from error
        except ServerFailed as error:
            raise ToolError(f"nothing was done: {title} is out of order: {error}") from error
        except ValidationError as error:
            raise ToolError(f"{title} broke the protocol: its answer is not valid; {UNKNOWN}.") from error
        except MCPError as error:
            if error.code != types.CONNECTION_CLOSED:
                raise ToolError(f"{title} refused the call: {self._hide(error.message)[:2_000]}") from error
            why = await self._down()
            raise ToolError(
                f"{title} ended during this call{why}; {UNKNOWN}. It is begun again with the next call."
            ) from error
        except ToolError:
            raise
        except Exception as error:
            await self._down()
            raise ToolError(f"{title} cannot be reached: {self._told(error)}; {UNKNOWN}.") from error
        self._deaths = self._late = 0
        text = text_of(result, self.config.output)
        if result.is_error:
            raise ToolError(text)
        return text

    async def close(self) -> None:
        """End it."""
        self._leave.set()
        if self._owner is not None:
            await asyncio.wait([self._owner], timeout=10)
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
        self._owner = self._client = None
        self._late = 0

    async def _ask(self, client: Client, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        # Not `Client.call_tool`, which holds the result against a schema of the server's own making: its regular
        # expressions could keep the engine busy for ever, and agents are shown the text whatever it says.
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        return await client.session.send_request(request, types.CallToolResult)

    # -- the connection -----------------------------------------------------------------------------------------

    async def _up(self) -> Client:
        """The connection, made again if it was lost, to a server whose tools are those that were approved."""
        async with self._connecting:
            if self._client is not None and self._pipe is not None and self._pipe.ended:
                await self._down()
            if self._client is None:
                self._compare(await self._begin_again())
            elif self._stale:
                self._stale = False
                self._compare(await self._listing(self._client))
            client = self._client
        if self._changes:
            raise ToolError(
                f"nothing was done: the tools of the MCP server {self.config.name} are no longer those that it began "
                "with, and no person has approved that yet. Do it another way, or go without."
            )
        assert client is not None
        return client

    async def _begin_again(self) -> list[Offer]:
        now = asyncio.get_running_loop().time
        left = self._next_try - now()
        if left > SHORT:
            raise ServerFailed(f"it could not be begun again and is tried next in {left:.0f} s")
        await asyncio.sleep(max(0.0, left))
        try:
            found = await self._connect()
        except ServerFailed:
            self._deaths += 1
            self._next_try = now() + min(LONGEST_PAUSE, 2.0**self._deaths)
            raise
        self._tell(ev.ServerChanged(self.config.name, "up", "begun again"))
        return found

    async def _connect(self) -> list[Offer]:
        opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._stale = False
        self._pipe = Pipe(self.config) if self.config.command is not None else None
        self._owner = asyncio.create_task(self._own(opened, self._leave), name=f"mcp {self.config.name}")
        try:
            async with asyncio.timeout(self.config.start_seconds):
                client = await asyncio.shield(opened)
                self._client = client
                return await self._listing(client)
        except BaseException as error:
            self._client = None
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
            if isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
                raise
            slow = f"it did not answer within {self.config.start_seconds:g} s"
            why = slow if isinstance(error, TimeoutError) else self._told(error)
            raise ServerFailed(why + self._last_words()) from error

    async def _own(self, opened: asyncio.Future[Client], leave: asyncio.Event) -> None:
        """Hold the connection open; the SDK wants one task to open and to close it."""
        streams = self._pipe.open() if self._pipe is not None else over_http(self.config)
        try:
            client = Client(
                cast("Any", streams),
                cache=None,
                client_info=types.Implementation(name="megaagent", version=self._version),
                message_handler=self._heard,
            )
            async with client:
                opened.set_result(client)
                await leave.wait()
        except Exception as error:  # a group of them, perhaps: the SDK's tasks fail together
            if not opened.done():
                opened.set_exception(error)

    async def _heard(self, message: Any) -> None:
        self._stale = self._stale or isinstance(message, types.ToolListChangedNotification)

    async def _down(self) -> str:
        """Let go of a connection that is no use; returns what is known of why, in words."""
        why = self._last_words()
        await self.close()
        self._deaths += 1
        if self._deaths > 1:  # the first time it is begun again at once
            self._next_try = asyncio.get_running_loop().time() + min(LONGEST_PAUSE, 2.0 ** (self._deaths - 1))
        self._tell(ev.ServerChanged(self.config.name, "down", why.strip(" ():")))
        return why

    def _last_words(self) -> str:
        if self._pipe is None:
            return ""
        if self._pipe.broken:
            return f": {self._pipe.broken}"
        said = self._hide(" / ".join(list(self._pipe.said)[-3:]))
        return f" (it said: {said[-1_000:]})" if said else ""

    def _told(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = cast("BaseException", error.exceptions[0])
        if isinstance(error, ServerFailed):
            return str(error)
        if isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED:
            return "it ended"
        if isinstance(error, FileNotFoundError):
            return f"there is no program {self.config.command!r}"
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            return f"it broke the protocol: {'.'.join(map(str, first['loc']))}: {first['msg']}"[:500]
        return self._hide(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)[:2_000]

    # -- its tools ----------------------------------------------------------------------------------------------

    async def _listing(self, client: Client) -> list[Offer]:
        offers: list[Offer] = []
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            offers += [offer_of(tool) for tool in page.tools if fits(tool.name, self.config.tools)]
            cursor = page.next_cursor
            if cursor is None:
                break
        if cursor is not None or len(offers) > MOST_TOOLS:
            raise ServerFailed(
                f"it offers more than {MOST_TOOLS} tools: name those that are wanted under "
                f'"tools" in its entry, such as ["read_*"]'
            )
        if len({offer.name for offer in offers}) < len(offers):
            raise ServerFailed("it offers two tools of one name")
        return offers

    def _compare(self, found: list[Offer]) -> None:
        changes = differences(self.offers, found)
        if changes == self._changes:
            return
        self._found, self._changes = found, changes
        if changes:
            self._show_changes()

    def _show_changes(self) -> None:
        changes = self._changes
        self._tell(ev.ServerChanged(self.config.name, "changed", "; ".join(changes)[:2_000]))

        def answered(ruling: ev.Ruling) -> None:
            if ruling == "approve" and self._changes == changes:
                self._changes = []
                self.offers = self._found
                self._tell(pinned(self.config.name, self.offers))

        self._ask_about(self.config.name, changes, answered)


def pinned(server: str, offers: Sequence[Offer]) -> ev.ToolsPinned:
    """The fact that a server is held to these tools."""
    return ev.ToolsPinned(server, digest_of(offers), msgspec.json.encode(offers).decode())


def _to_nobody(event: ev.AnyEvent) -> None:
    """Nothing is recorded before there is a journal; what matters then is recorded by who begins the server."""


def _about_nothing(server: str, changes: list[str], then: Callable[[ev.Ruling], None]) -> None:
    """Nobody can be asked yet."""
