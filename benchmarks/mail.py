"""Mail under load: `python -m benchmarks mail [--agents N] [--rate MESSAGES_PER_S]`.

All agents have a call in flight. From then on answers come at an even pace whatever the engine does (open loop), each
with twenty `talk` calls to agents drawn by a seed; every later answer takes five seconds. In process, with a
durable journal (simulated: no model is asked). Afterwards everybody reads its mail, and it is counted whether each
message was in exactly one request.

    messages_per_s  accepted, durable and in the mailbox of their receiver, over the time that it took
    p50_ms, p99_ms  from the model's answer until the message is in the receiver's mailbox, which its next request holds
    cpu_us_per_message  of the whole process, all that a step is besides its messages included
    lost, doubled   messages that were in no request, or in more than one
    broadcast_bytes what one message to a group of 1,000 adds to the journal, in bytes, beside the length of its text
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.crowd import crowd
from benchmarks.lag import Lag, quiet
from megaagent import events as ev
from megaagent.events import BOSS, Record, ToolCall, Usage
from megaagent.journal import open_reader
from megaagent.launch import resume
from megaagent.models.contract import ModelRequest, ModelResponse

TALKS = 20
SECONDS = 5.0  # of load; and until a later answer
GROUP = 1_000
MOST = 50_000  # agents, each with a call in flight
MODEL = "openai:minimal"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks mail", description=__doc__)
    parser.add_argument("--agents", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=20_000.0, help="messages per second that are offered")
    given = parser.parse_args(arguments)
    if not TALKS + 2 <= given.agents <= MOST or not given.rate > 0:
        parser.error(f"--agents can be {TALKS + 2} to {MOST:,}, and --rate above 0")
    figures = asyncio.run(measure(given.agents, given.rate))
    print(json.dumps({"benchmark": "mail", "agents": given.agents, "transport": "in process"} | figures))
    return 0


class Talkers:
    """Answers at its own pace, whatever the engine does: once with twenty messages, then by resting (simulated)."""

    def __init__(self, agents: int, rate: float):
        self._random = random.Random(0)
        self._agents = agents
        self._pause = TALKS / rate
        self._asked = 0
        self._begin = asyncio.Event()
        self._next = 0.0
        self.began = 0.0  # process time at which the load began
        self.names: Sequence[str] = ()
        self.said: dict[str, float] = {}  # when each speaker's answer was given

    async def complete(self, request: ModelRequest) -> ModelResponse:
        me = request.messages[1].text.partition("You are ")[2].partition(" ")[0]
        if any(message.role == "assistant" for message in request.messages):
            await asyncio.sleep(SECONDS)
            return _answer([("wait", {"names": [BOSS], "reason": "all is said", "minutes": 1000})])
        loop = asyncio.get_running_loop()
        self._asked += 1
        if self._asked == self._agents:
            self._next, self.began = loop.time(), time.process_time()
            self._begin.set()
        await self._begin.wait()
        self._next += self._pause
        await asyncio.sleep(self._next - loop.time())
        chosen = [name for name in self._random.sample(self.names, TALKS + 1) if name != me][:TALKS]
        self.said[me] = time.perf_counter()
        return _answer([("talk", {"to": [name], "message": f"To {name}: " + "a note. " * 12}) for name in chosen])

    async def close(self) -> None: ...


def _answer(calls: list[tuple[str, dict[str, object]]]) -> ModelResponse:
    made = tuple(
        ToolCall(f"call_{number}", name, msgspec.json.encode(arguments).decode())
        for number, (name, arguments) in enumerate(calls)
    )
    return ModelResponse("", made, Usage(1500, 40 * len(made)), "tool_calls", "simulated")


async def measure(agents: int, rate: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="megaagent-mail-") as place:
        folder = await crowd(Path(place), agents, 50, "http://127.0.0.1:9", "Lead.", **{"limits.active": agents + 1})
        wanted = agents * TALKS
        waits: list[float] = []
        first, last, resting, used = 0.0, 0.0, 0, 0.0
        heard = Counter[str]()
        sent, all_sent, all_rest = 0, asyncio.Event(), asyncio.Event()

        def watch(records: Sequence[Record]) -> None:
            nonlocal first, last, sent, resting, used
            now = time.perf_counter()
            for record in records:
                match record.event:
                    case ev.MessageSent(message=message) if message.kind == "talk" and message.to != (BOSS,):
                        said = talkers.said[ev.name_of(message.sender)]
                        waits.append(1000 * (now - said))
                        first, last, sent = first or said, now, sent + 1
                        if sent == wanted:
                            used = time.process_time() - talkers.began
                            all_sent.set()
                    case ev.CallIntended(mail=mail):
                        heard.update(mail)
                    case ev.TurnEnded():
                        resting += 1
                        if resting >= agents and sent >= wanted:
                            all_rest.set()
                    case _:
                        pass

        talkers = Talkers(agents, rate)
        async with resume(folder, models={MODEL: talkers}, environ={"OPENAI_API_KEY": "simulated"}) as live:
            talkers.names = [ev.name_of(id) for id in live.state.members if id != BOSS]
            live.watch(watch)
            async with Lag() as lag:
                await all_sent.wait()
            await all_rest.wait()
            await quiet(live.state)
            await live.control.stop("measured")
            await live.result()
            own = _talk(live.folder.journal)
    per_message = [heard[id] for id in own]
    waits.sort()
    return {
        "offered_per_s": round(rate),
        "messages": sent,
        "messages_per_s": round(sent / (last - first)),
        "p50_ms": round(waits[len(waits) // 2], 1),
        "p99_ms": round(waits[int(0.99 * len(waits))], 1),
        "cpu_us_per_message": round(1e6 * used / sent),
        "lost": per_message.count(0),
        "doubled": sum(count > 1 for count in per_message),
        "lag_ms_p99": lag.p99_ms(),
        "broadcast_bytes": await _broadcast(),
    }


def _talk(journal: Path) -> list[ev.MessageId]:
    """The messages that were sent, as the journal has them."""
    with closing(open_reader(journal)) as reader:
        sent = [r.event.message for r in reader.records() if isinstance(r.event, ev.MessageSent)]
    return [message.id for message in sent if message.kind == "talk" and message.to != (BOSS,)]


async def _broadcast() -> int:
    """Bytes that one message of 2,000 characters to a group of 1,000 adds to the rows of the journal."""
    to = tuple(f"boss/lead/writer{number}" for number in range(GROUP))
    one = msgspec.json.encode(ev.MessageSent(ev.Message("boss/lead#1.0.1", "boss/lead", to[:1], "x" * 2000, "talk")))
    all_ = msgspec.json.encode(ev.MessageSent(ev.Message("boss/lead#1.0.1", "boss/lead", to, "x" * 2000, "talk")))
    return len(all_) - len(one)
