"""A run whose model cannot be used pauses at its first call, with one line that says what to do, and spends nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from megaagent import Result, Settings, start
from megaagent.models.contract import Model
from megaagent.models.script import Script
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import changed

QUICK = changed(Settings(), {"model.price": "1:2", "retry.base": 0.001, "retry.attempts": 2}, "the test")


async def run_to_its_end(tmp_path: Path, model: str, url: str, environ: Mapping[str, str]) -> Result:
    run = start("Make a file.", model=model, base_url=url, runs=tmp_path, settings=QUICK, environ=environ)
    async with run as live:
        return await live.result()


def served(model: Model, name: str, url: Callable[[SimServer], str], environ: dict[str, str], tmp_path: Path) -> Result:
    async def main() -> Result:
        async with SimServer({"m": model}, key="sesame") as server:
            return await run_to_its_end(tmp_path, name, url(server), environ)

    return asyncio.run(main())


SMALL = SimulatedModel(Script({}), latency=AT_ONCE, window=17_000)
WIDE = SimulatedModel(Script({}), latency=AT_ONCE)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("model", "name", "key", "said"),
    [
        (WIDE, "m", "wrong", "unauthorized: the key is not accepted: set the provider's key anew"),
        (WIDE, "typo", "sesame", "not_found: no such model, or not at this address"),
        (SMALL, "m", "sesame", "context_overflow: its context is too small for a run's rules and tools"),
    ],
)
def test_a_model_that_no_run_can_use(tmp_path: Path, provider: str, model: Model, name: str, key: str, said: str):
    environ = {f"{provider.upper()}_API_KEY": key}
    result = served(model, f"{provider}:{name}", lambda server: server.url, environ, tmp_path)
    assert (result.status, result.cost) == ("paused", 0.0)
    assert result.reason.startswith(said)
    assert "\n" not in result.reason


CHAT = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}
ODD: list[tuple[str, int, Any, str]] = [
    ("openai", 200, "<html>welcome</html>", "what answers there does not speak this protocol"),
    ("anthropic", 200, CHAT, "what answers there does not speak this protocol"),
    ("openai", 400, {"error": {"message": "m does not support tools"}}, "this model takes no tools"),
    ("openai", 400, {"error": {"message": "'messages' must be shorter"}}, "refuses the request as it stands"),
]


@pytest.mark.parametrize(("provider", "status", "body", "said"), ODD)
def test_a_server_that_no_run_can_use(tmp_path: Path, provider: str, status: int, body: Any, said: str):
    async def main() -> Result:
        async def handler(request: web.Request) -> web.Response:
            text, kind = (body, "text/html") if isinstance(body, str) else (json.dumps(body), "application/json")
            return web.Response(status=status, text=text, content_type=kind)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        async with TestServer(app, host="127.0.0.1") as server:
            return await run_to_its_end(tmp_path, f"{provider}:m", str(server.make_url("/v1")), {})

    result = asyncio.run(main())
    assert result.status == "paused"
    assert said in result.reason
