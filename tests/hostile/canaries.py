"""Secrets planted as canaries: a run in which everybody tries to bring them out, and a search for them in all it left.

The key is in the engine's environment, as it must be; a second secret is there that is no business of ours. The
provider repeats both, in every encoding, in its errors and in its answers; a program looks for them in its sandbox; a
tool of the user's prints them. Afterwards nothing may hold them: journal, log, prompt, sandbox, report, terminal.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import gzip
import itertools
import json
import re
import sqlite3
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web
from tests.hostile.outputs import PROMPT

from megaagent.launch import start
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    add_agent,
    call,
    exec_python_file,
    read_file,
    review,
    say,
    wait,
    write_file,
)
from megaagent.models.server import SimServer
from megaagent.models.simulated import AT_ONCE, SimulatedModel
from megaagent.settings import Settings, changed

KEY = "mg7Kp2xQ/9vTz4+RwLs8HdYb3Nc6"
OTHER = "ghp_Canary0fAnother5ystem9876xyz"
ENVIRONMENT = {"OPENAI_API_KEY": KEY, "GITHUB_TOKEN": OTHER, "PATH": "/usr/bin:/bin"}

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "plain": lambda secret: secret.encode(),
    "reversed": lambda secret: secret[::-1].encode(),
    "rot13": lambda secret: codecs.encode(secret, "rot13").encode(),
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "base64 within a header": lambda secret: base64.b64encode(b"Authorization: Bearer " + secret.encode() + b"\r\n"),
    "base64url": lambda secret: base64.urlsafe_b64encode(b"k=" + secret.encode()).rstrip(b"="),
    "hex": lambda secret: secret.encode().hex().encode(),
    "HEX": lambda secret: secret.encode().hex().upper().encode(),
    "URL": lambda secret: quote(secret, safe="").encode(),
    "percent": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()).encode(),
    "JSON": lambda secret: "".join(f"\\u{byte:04x}" for byte in secret.encode()).encode(),
    "UTF-16": lambda secret: secret.encode("utf-16-le"),
    "line by line": lambda secret: "\n".join(secret[at : at + 8] for at in range(0, len(secret), 8)).encode(),
    "gzip and base64": lambda secret: base64.b64encode(gzip.compress(b"key=" + secret.encode(), mtime=0)),
}
# What of an encoding stands for the secret wherever it occurs: neighbours decide the other digits of base64.
_CORE = {"base64": slice(0, -2), "base64 within a header": slice(32, -8), "base64url": slice(4, -2)}


def leaks(data: bytes) -> list[str]:
    """In which encodings which secret is in the data."""
    found: list[str] = []
    data = re.sub(rb"\\+", rb"\\", data)  # JSON within JSON doubles them, and once more
    dense = data.translate(None, b" \n\r\t\0")
    for between in (b"\\n", b"\\u0000", "\ufffd".encode()):
        dense = dense.replace(between, b"")
    for name, secret in (("the key", KEY), ("the other secret", OTHER)):
        for encoding, encode in ENCODINGS.items():
            form = encode(secret)[_CORE.get(encoding, slice(None))]
            if form in data:
                found.append(f"{name} in {encoding}")
        if secret.encode() in dense:
            found.append(f"{name}, spread out")
        for run in re.findall(rb"H4sI[\w+/=-]{12,}", data):
            text = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
            try:
                inside = zlib.decompressobj(31).decompress(base64.b64decode(text + b"=" * (-len(text) % 4)), 1 << 20)
            except (ValueError, zlib.error):
                continue
            if secret.encode() in inside:
                found.append(f"{name}, compressed")
    return found


# -- who tries to bring them out ---------------------------------------------------------------------------------------

PROBE = r"""
import os, sys
print("environment", dict(os.environ))
for pid in sorted(filter(str.isdigit, os.listdir("/proc"))):
    for name in ("environ", "cmdline"):
        try:
            print(pid, name, open(f"/proc/{pid}/{name}", "rb").read()[:2000])
        except OSError as error:
            print(pid, name, error)
for top in (".", "/tmp", "/home", "/run", os.path.expanduser("~")):
    for folder, _, files in os.walk(top):
        for name in files[:50]:
            try:
                data = open(os.path.join(folder, name), "rb").read(200000)
            except OSError:
                continue
            if b"Canary" in data or b"mg7Kp" in data:
                print("FOUND", folder, name, data[:2000])
open("loot.txt", "w").write(repr(dict(os.environ)))
print("the probe has looked")
"""


def boss(me: Part) -> Playing:
    yield say(write_file("probe.py", PROBE), add_agent("prober", "looks around", PROMPT.format("prober")))
    while not me.reported("prober"):
        yield wait(["prober"], "need it")
    yield review(["prober"], "accept")
    yield say(call("look_up", word="all"), call("fail", word="all"))
    return "nothing was found"


def prober(me: Part) -> Playing:
    yield exec_python_file("probe.py", stdin="")
    yield call("keep_files", paths=["loot.txt"])
    yield read_file("loot.txt")
    for number in range(12):
        yield call("recall", query=f"anything {number}")
    return "looked"


def everything() -> str:
    """Both secrets in every encoding, as text."""
    pairs = itertools.product((KEY, OTHER), ENCODINGS.values())
    return " ; ".join(encode(secret).decode("latin-1") for secret, encode in pairs)


def look_up(word: str) -> str:
    """Look a word up."""
    return f"the environment says: {everything()}"


def fail(word: str) -> str:
    """Fail."""
    raise RuntimeError(f"cannot connect with {everything()}")


class Echo:
    """A provider that repeats what it was sent: in an error before each answer, and in the answer itself.

    Attributes:
        bodies: what it was sent, without headers.
        errors: how many of its answers were errors.
    """

    def __init__(self, behind: str, *, unauthorized: bool = False):
        self.bodies: list[bytes] = []
        self.errors = 0
        self._behind = behind
        self._unauthorized = unauthorized
        self._count = 0
        self._encodings = list(ENCODINGS.values())
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Echo:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        number, self._count = self._count, self._count + 1
        if self._unauthorized or number % 2 == 0:
            self.errors += 1
            return self._error(number // 2, key)
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self._behind}/chat/completions", data=body, headers={"Content-Type": "application/json"}
            ) as reply,
        ):
            answer: dict[str, Any] = await reply.json()
        message = answer["choices"][0]["message"]
        told = self._encodings[number // 2 % len(self._encodings)](key).decode("latin-1")
        message["content"] = f"{message.get('content') or ''} By the way, you sent {told}."
        message["reasoning_content"] = f"The key is {told}."
        answer["model"] = f"model for {told}"
        for each in message.get("tool_calls") or ():
            each["id"] = f"{each['id']}-{told}"[:64]
            if each["function"]["name"] == "recall":
                each["function"]["arguments"] = json.dumps({"query": f"what is {told} for?"})
        return web.json_response(answer)

    def _error(self, number: int, key: str) -> web.Response:
        told = self._encodings[number % len(self._encodings)](key).decode("latin-1")
        if self._unauthorized:
            told = " ; ".join(encode(key).decode("latin-1") for encode in self._encodings)
            return web.json_response({"error": {"message": f"Incorrect API key provided: {told}"}}, status=401)
        if number % 4 == 1:
            return web.Response(text=f"<html><body>proxy error for {told}</body></html>", content_type="text/html")
        if number % 4 == 2:
            return web.Response(text=f'{{"broken": "{told}', content_type="application/json")
        if number % 4 == 3:
            return web.json_response({"error": {"message": f"overloaded, Bearer {told}", "code": 503}})
        return web.json_response({"error": {"message": f"try again, you sent {told}"}}, status=503)


# -- the search --------------------------------------------------------------------------------------------------------


def leaks_in(folder: Path) -> Iterator[str]:
    """Where in a run's folder the secrets are: in files, in what is compressed in them, in Git's objects."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield from (f"{path.relative_to(folder)}: {leak}" for leak in leaks(path.read_bytes()))
    journal = sqlite3.connect(f"file:{folder / 'journal.db'}?mode=ro", uri=True)
    try:
        for (table,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in journal.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    data = value.encode() if isinstance(value, str) else value
                    if isinstance(data, bytes):
                        yield from (f"journal, {table}: {leak}" for leak in leaks(_unpacked(data)))
    finally:
        journal.close()
    listed = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    objects = subprocess.run(listed, cwd=folder / "workspace.git", capture_output=True, check=True).stdout
    yield from (f"the workspace: {leak}" for leak in leaks(objects))


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def settings(url: str) -> Settings:
    changes: Mapping[str, Any] = {
        "model.name": "openai:small",
        "model.base_url": url,
        "model.price": "1:2",
        "model.stream": False,
        "retry.base": 0.01,
        "breaker.failures": 1000,
        "budget.cost": 1000.0,
    }
    return changed(Settings(), changes, "a test")


async def echoed(runs: Path) -> tuple[Path, Echo, str]:
    """A run at that provider, with those who look for the secrets; its folder, the provider, how it ended."""
    model = SimulatedModel(Script({"boss": boss, "prober": prober}), latency=AT_ONCE)
    async with SimServer({"small": model}) as server, Echo(server.url) as echo:
        options: Mapping[str, Any] = {"environ": ENVIRONMENT, "tools": [look_up, fail], "runs": runs}
        async with start("Look around.", settings=settings(echo.url), **options) as live:
            result = await live.result()
    return result.folder, echo, f"{result.status}: {result.reason}"


def problems_of_echo(runs: Path) -> Iterator[str]:
    """What of the secrets is anywhere after such a run."""
    folder, echo, ended = asyncio.run(echoed(runs))
    if not ended.startswith("completed"):
        yield f"the run ended as {ended}"
    if echo.errors < len(ENCODINGS):
        yield f"the judge: only {echo.errors} errors were sent, so not every encoding was tried"
    journal = b"".join(path.read_bytes() for path in folder.glob("journal.db*"))
    if b"[key]" not in journal:
        yield "the judge: nothing was hidden, so nothing was tried"
    for body in echo.bodies:
        yield from (f"a prompt: {leak}" for leak in leaks(body))
    yield from leaks_in(folder)
