"""One MCP server: begun when it is needed, begun again when it has died, and held to the tools that it began with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from mcp import MCPError
from pydantic import ValidationError

from megaagent import events as ev
from megaagent.errors import ConfigurationError, ToolError
from megaagent.tools.mcp.config import ServerConfig
from megaagent.tools.mcp.link import Link, ServerFailed
from megaagent.tools.mcp.results import Offer, differences, digest_of

SHORT: Final = 5.0  # seconds until the next try that a call waits for; otherwise it is refused at once
LONGEST_PAUSE: Final = 60.0  # seconds between two tries
MOST_LATE: Final = 2  # calls in a row without an answer, before it is begun again
UNKNOWN: Final = "whether it took effect is unknown"

Tell = Callable[[ev.AnyEvent], None]
AskAbout = Callable[[str, list[str], Callable[[ev.Ruling], None]], None]
Renewed = Callable[[], None]


class Server:
    """Keeps a connection to one server.

    Args:
        config: what it is.
        hide: takes secrets out of what it says.
        version: of this program, which it is told.

    Attributes:
        offers: what agents are shown, and calls are held against.
    """

    def __init__(self, config: ServerConfig, hide: Callable[[str], str], version: str):
        self.config = config
        self.offers: list[Offer] = []
        self._hide = hide
        self._version = version
        self._link: Link | None = None
        self._connecting = asyncio.Lock()
        self._found: list[Offer] = []  # what it offers now
        self._changes: list[str] = []  # that nobody has approved
        self._deaths = 0  # since a call of it last came to an end
        self._late = 0  # calls in a row that had no answer in time
        self._next_try = 0.0
        self._tell: Tell = _to_nobody
        self._ask_about: AskAbout = _about_nothing
        self._renewed: Renewed = _to_no_agent

    def join(self, tell: Tell, ask_about: AskAbout, renewed: Renewed) -> None:
        """From now on what happens to it is recorded, and a change of its tools is asked about.

        Args:
            ask_about: asks about these changes in place of earlier ones; about none when it is as it was.
            renewed: called when its tools are others, and a person has approved that.
        """
        self._tell = tell
        self._ask_about = ask_about
        self._renewed = renewed
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
            _, self._found = await self._connect()
        except ServerFailed as error:
            raise ConfigurationError(f"the MCP server {self.config.name!r}: {error}") from error
        self.offers = self._found if pinned is None else list(pinned)
        self._changes = differences(self.offers, self._found)

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of one call of a tool, as text.

        Raises:
            ToolError: it failed, or is not made since the server's tools have changed.
        """
        title = f"the MCP server {self.config.name}"
        try:
            link = await self._up()
        except ServerFailed as error:
            raise ToolError(f"nothing was done: {title} is out of order: {error}") from error
        if self._changes:
            raise ToolError(
                f"nothing was done: the tools of {title} are no longer those that it began with, and no person has "
                "approved that yet. Do it another way, or go without."
            )
        try:
            async with asyncio.timeout(self.config.seconds):
                text, wrong = await link.ask(name, arguments)
        except TimeoutError as error:
            self._late += 1
            if self._late >= MOST_LATE:  # it hangs, perhaps: the next call finds a fresh one
                await self._down(link)
            raise ToolError(f"{title} gave no answer within {self.config.seconds:g} s; {UNKNOWN}.") from error
        except ValidationError as error:
            raise ToolError(f"{title} broke the protocol: its answer is not valid; {UNKNOWN}.") from error
        except MCPError as error:
            if not link.lost(error):
                raise ToolError(f"{title} refused the call: {self._hide(error.message)[:2_000]}") from error
            await self._down(link)
            raise ToolError(
                f"{title} ended during this call{link.last_words()}; {UNKNOWN}. It is begun again with the next call."
            ) from error
        except Exception as error:
            await self._down(link)
            raise ToolError(f"{title} cannot be reached: {link.told(error)}; {UNKNOWN}.") from error
        self._deaths = self._late = 0
        if wrong:
            raise ToolError(text)
        return text

    async def close(self) -> None:
        """End it."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    # -- the connection -----------------------------------------------------------------------------------------

    async def _up(self) -> Link:
        """The connection, made again if it was lost."""
        async with self._connecting:
            link = self._link
            if link is not None and link.ended:
                await self._down(link)
            if self._link is None:
                return await self._begin_again()
            if self._link.stale:
                try:
                    self._compare(await self._link.listing())
                except (MCPError, ValidationError) as error:
                    raise ServerFailed(f"it does not list its tools any more: {self._link.told(error)}") from error
            return self._link

    async def _begin_again(self) -> Link:
        now = asyncio.get_running_loop().time
        left = self._next_try - now()
        if left > SHORT:
            raise ServerFailed(f"it could not be begun again and is tried next in {left:.0f} s")
        await asyncio.sleep(max(0.0, left))
        try:
            link, found = await self._connect()
        except ServerFailed:
            self._deaths += 1
            self._next_try = now() + min(LONGEST_PAUSE, 2.0**self._deaths)
            raise
        self._tell(ev.ServerChanged(self.config.name, "up", "begun again"))
        self._compare(found)
        return link

    async def _connect(self) -> tuple[Link, list[Offer]]:
        link = Link(self.config, self._hide, self._version)
        found = await link.opened()
        self._link = link
        return link, found

    async def _down(self, link: Link) -> None:
        """Let go of a connection that is of no use; by whoever finds that first."""
        if self._link is not link:
            return
        self._link = None
        self._late = 0
        self._deaths += 1
        if self._deaths > 1:  # the first time it is begun again at once
            self._next_try = asyncio.get_running_loop().time() + min(LONGEST_PAUSE, 2.0 ** (self._deaths - 1))
        await link.close()
        self._tell(ev.ServerChanged(self.config.name, "down", link.last_words().strip(" ():")))

    # -- its tools ----------------------------------------------------------------------------------------------

    def _compare(self, found: list[Offer]) -> None:
        changes = differences(self.offers, found)
        if changes == self._changes:
            return
        self._found, self._changes = found, changes
        self._show_changes()

    def _show_changes(self) -> None:
        changes = self._changes
        told = "; ".join(changes)[:2_000] or "they are as they were"
        self._tell(ev.ServerChanged(self.config.name, "changed", told))

        def answered(ruling: ev.Ruling) -> None:
            if ruling == "approve" and self._changes == changes:
                self._changes = []
                self.offers = self._found
                self._tell(pinned(self.config.name, self.offers))
                self._renewed()

        self._ask_about(self.config.name, changes, answered)


def pinned(server: str, offers: Sequence[Offer]) -> ev.ToolsPinned:
    """The fact that a server is held to these tools."""
    return ev.ToolsPinned(server, digest_of(offers), msgspec.json.encode(offers).decode())


def _to_nobody(event: ev.AnyEvent) -> None:
    """Nothing is recorded before there is a journal; what matters then is recorded by who begins the server."""


def _about_nothing(server: str, changes: list[str], then: Callable[[ev.Ruling], None]) -> None:
    """Nobody can be asked yet."""


def _to_no_agent() -> None:
    """There are no agents yet."""
