"""What a provider tells of its limits reaches the gate before it, and a retry goes through the gate again."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from megaagent.choice import open_models
from megaagent.errors import ModelError
from megaagent.models.contract import ChatMessage, ModelRequest, ModelResponse
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, wait
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse

REQUEST = ModelRequest("m", (ChatMessage("user", "hello"),), max_output=10, deadline=5.0)


async def test_the_gate_keeps_to_what_the_answer_told():
    async def answer(request: web.Request) -> web.Response:
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
        headers["x-ratelimit-reset-requests"] = "60s"
        return web.json_response({"model": "m", "choices": [choice], "usage": usage}, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        url = str(server.make_url("/v1"))
        settings = changed(Settings(), {"model.name": "vllm:m", "model.base_url": url, "model.stream": False}, "test")
        adapters = open_models(settings, {}, {})
        try:
            gate = adapters.gates["vllm:m"]
            async with gate.place():
                await adapters["vllm:m"].complete(REQUEST)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await gate.enter(gate.place())
        finally:
            await adapters["vllm:m"].close()


class Busy:
    """Refuses the first call and then all that come before the wait that it asked for is over."""

    def __init__(self, model: SimulatedModel):
        self._model = model
        self._open_at: float | None = None
        self.early = 0

    async def complete(self, request: ModelRequest) -> ModelResponse:
        now = asyncio.get_running_loop().time()
        if self._open_at is None:
            self._open_at = now + 30.0
            raise ModelError("rate_limit", "slow down", retry_after=30.0)
        self.early += now < self._open_at
        await asyncio.sleep(1.0)
        return await self._model.complete(request)

    async def close(self) -> None: ...


def test_nobody_calls_before_the_wait_that_the_provider_asked_for_is_over():
    prompt = "You are {}. Your job: write part.txt. You work alone. You are done when it is there; then hand in."

    def boss(me: Part) -> Playing:
        names = [f"worker{n}" for n in range(20)]
        yield say(*(add_agent(name, "does a part", prompt.format(name)) for name in names))
        while not me.reported(*names):
            yield wait([], "their parts")
        yield review(names)
        return "done"

    busy = Busy(SimulatedModel(Script({"boss": boss}), latency=AT_ONCE))
    run = rehearse(busy)
    assert run.ending.status == "completed"
    assert busy.early == 0
    assert run.seconds >= 30
