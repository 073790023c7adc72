"""A minimal server of chat completions in a process of its own, so that what is measured is the client.

It parses no JSON: how many answers a conversation has had tells which comes next. Simulated: no model is asked.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

ADMIN = b"You lead a group."  # words in a role by which the server knows whom to let wait at the end
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def answer(name: str, arguments: dict[str, object], turn: int) -> bytes:
    """One whole answer with one call, as the protocol has it, with head."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant",
        "content": f"Step {turn}: the work goes on as planned; the next part follows from the one before.",
        "tool_calls": [{"id": f"call_{turn:024d}", "type": "function", "function": function}],
    }
    body = {
        "id": "chatcmpl-simulated",
        "object": "chat.completion",
        "model": "simulated-minimal",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 2000 + 100 * turn, "completion_tokens": 60, "total_tokens": 2060 + 100 * turn},
    }
    data = json.dumps(body).encode()
    return HEAD % len(data) + data


def answers(turns: int) -> list[bytes]:
    """What an agent says, turn by turn, before its last."""
    return [
        answer("change_task_status", {"done": [f"part {turn - 1}"] if turn else [], "todo": [f"part {turn}"]}, turn)
        for turn in range(turns - 1)
    ]


class Peer(asyncio.Protocol):
    """One connection: reads a request to its end, answers after the latency."""

    def __init__(self, turns: int, latency: float):
        self._answers = answers(turns)
        self._rest = answer("wait", {"names": ["group"], "reason": "they are at work", "minutes": 600}, turns)
        self._done = answer("change_task_status", {"done": [f"part {turns - 2}"], "todo": []}, turns)
        self._latency = latency
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._data[:end]).lower()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._data) < end + 4 + size:
            return
        said = self._data.count(b'"role":"assistant"')
        last = self._rest if ADMIN in self._data else self._done
        reply = self._answers[said] if said < len(self._answers) else last
        self._data.clear()
        asyncio.get_running_loop().call_later(self._latency, self._send, reply)

    def _send(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def serve(turns: int, latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Peer(turns, latency), "127.0.0.1", 0, backlog=8192)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # It ends with the process that started it: that closes its standard input.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def serving(turns: int, latency: float) -> Generator[str]:
    """The base URL of a server that lives as long as the block."""
    command = [sys.executable, "-m", "benchmarks.minimal_server", str(turns), str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
