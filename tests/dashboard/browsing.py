"""A real browser at the dashboard: Chromium, driven by Playwright, when both are there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 20_000  # milliseconds, far beyond what any of this takes
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """Where a Chromium is, or the test is skipped with the reason."""
    pytest.importorskip("playwright.async_api", reason="the Python package playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser is installed: looked for {', '.join(NAMES)}")
    return found


@asynccontextmanager
async def browser() -> AsyncGenerator[Any]:
    """A browser with an empty profile."""
    path = chromium()
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield started
        finally:
            await started.close()


class Watched:
    """A page, and everything on it that must not happen.

    Attributes:
        wrong: errors, refusals by the page's policy, dialogs, and requests to anywhere but the server.
    """

    def __init__(self, page: Any, base: str):
        self.page = page
        self.base = base
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("popup", lambda popup: self.wrong.append(f"popup: {popup.url}"))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrong.append(f"console: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(self.base):
            self.wrong.append(f"request: {url[:120]}")

    async def go(self, view: str) -> None:
        """Another part of the page, by its address."""
        await self.page.evaluate("to => { location.hash = to }", view)

    async def seen(self, text: str, where: str = "body") -> None:
        """Wait until a text is on the page."""
        there = "([where, text]) => [...document.querySelectorAll(where)].some((it) => it.textContent.includes(text))"
        try:
            await self.page.wait_for_function(there, arg=[where, text], timeout=PATIENCE)
        except Exception as error:
            raise AssertionError(f"not at {self.page.url}: {text!r}; wrong: {self.wrong}") from error

    async def shot(self, path: Path) -> None:
        await self.page.screenshot(path=str(path))


@asynccontextmanager
async def visit(browser: Any, link: str, width: int = 1280, height: int = 800) -> AsyncGenerator[Watched]:
    """A page in a profile of its own, at a link with its token."""
    context = await browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    try:
        page = await context.new_page()
        watched = Watched(page, link.partition("#")[0])
        await page.goto(link)
        yield watched
    finally:
        await context.close()
