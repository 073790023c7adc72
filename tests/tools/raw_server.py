"""An MCP server without the SDK, which breaks the rules that the SDK would keep.

    python raw_server.py HOW [FILE]

HOW: `good`, or how it begins: `dies`, `silent`, `chatty`, `double`, `endless`,
`shapeless`; `restless` always says that its tools have changed. With a FILE, its tools are described by
what the file says when they are listed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOW = sys.argv[1]
FILE = Path(sys.argv[2]) if len(sys.argv) > 2 else None
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NAMES = [
    "echo",
    "environment",
    "die",
    "sleep",
    "lie",
    "nonsense",
    "lines",
    "messages",
    "line",
    "large",
    "announce",
    "child",
    "half",
    "parts",
    "refuse",
]


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def listed() -> list[dict[str, Any]]:
    about = FILE.read_text() if FILE is not None else "a tool of the raw server"
    names = [*NAMES, *(word[1:] for word in about.split() if word.startswith("+"))]  # what FILE adds
    tools: list[dict[str, Any]] = [{"name": name, "description": about, "inputSchema": TEXT} for name in names]
    if HOW == "shapeless":
        tools.append({"name": "shapeless", "description": "Takes a list.", "inputSchema": {"type": "array"}})
    return tools * 2 if HOW == "double" else tools


def answer(name: str, text: str) -> Any:
    match name:
        case "environment":
            return os.environ.get(text, "(none)")
        case "die":
            print("dying of thirst", file=sys.stderr, flush=True)
            os._exit(3)
        case "sleep":
            time.sleep(float(text))
        case "lines":
            for number in range(int(text)):
                print(f"log line {number}")
        case "messages":
            for number in range(int(text)):
                send(method="notifications/message", params={"level": "info", "data": number})
        case "line":
            while True:
                sys.stdout.write("x" * (1 << 20))
        case "large":
            return "x" * int(text)
        case "half":
            return "half a character: \ud83d"
        case "child":
            return f"{os.getpid()} {subprocess.Popen(['sleep', '1000']).pid}"
        case "announce":
            send(method="notifications/tools/list_changed")
        case _:
            pass
    return text


for line in sys.stdin if HOW not in ("dies", "silent") else ():
    asked = json.loads(line)
    match asked.get("method"):
        case "initialize":
            if HOW == "chatty":
                print("Welcome!", flush=True)
            version = asked["params"]["protocolVersion"]
            info = {"name": "raw", "version": "1"}
            result: Any = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            result = {"tools": listed()} | ({"nextCursor": "more"} if HOW == "endless" else {})
        case "tools/call":
            name, given = asked["params"]["name"], asked["params"]["arguments"]
            text = answer(name, given["text"])
            result = {"content": 7} if name == "lie" else {"content": [{"type": "text", "text": text}]}
            if name == "parts":
                result["content"] *= 20_001
            if name == "refuse":
                send(id=asked["id"], error={"code": -32000, "message": f"no room for {text}"})
                continue
        case _:
            if "id" in asked:
                send(id=asked["id"], error={"code": -32601, "message": "Method not found"})
            continue
    nonsense = asked["method"] == "tools/call" and asked["params"]["name"] == "nonsense"
    send(id=999 if nonsense else asked["id"], result=result)
    if HOW == "restless" and asked["method"] == "tools/list":
        send(method="notifications/tools/list_changed")
if HOW == "dies":
    print(f"the key {os.environ.get('RAW_KEY')} is wrong", file=sys.stderr)
    sys.exit(1)
if HOW == "silent":
    time.sleep(3600)
