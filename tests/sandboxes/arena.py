"""The host around a sandbox in a test: sets up what a hostile program would like to reach, and runs it.

Run as `python arena.py '{"member": ..., "arguments": {...}, ...}'` so that the same trial can be made as another user.
Prints JSON.
"""

# Runs alone: nothing waits for it:
# ruff: noqa: ASYNC220, ASYNC221, PTH111, PTH115, PTH208

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from megaagent.errors import SandboxError
from megaagent.sandboxes.bubblewrap import Bubblewrap
from megaagent.sandboxes.contract import Limits, Program, Sandbox
from megaagent.sandboxes.harvest import discard
from megaagent.sandboxes.landlock import Landlock
from megaagent.sandboxes.unconfined import Unconfined

MEMBERS = {"bubblewrap": Bubblewrap, "landlock": Landlock, "none": Unconfined}


async def fight(sandbox: Sandbox, only: list[str]) -> dict[str, Any]:
    """Let `tests/hostile/probes.py` try everything; its table, and what of the host was harmed."""
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        folder, canary, journal = Path(base, "run/folder"), Path(base, "canary"), Path(base, "run/journal.sqlite")
        folder.mkdir(parents=True)
        for path in (canary, journal):
            path.write_text("secret")
            path.chmod(0o666)
        (folder / "probes.py").write_text((Path(__file__).parents[1] / "hostile/probes.py").read_text())
        abstract = f"megaagent-{os.getpid()}"
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.socket(socket.AF_UNIX) as named,
            socket.socket(socket.AF_UNIX) as hidden,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram,
        ):
            named.bind(f"{base}/named")
            hidden.bind("\0" + abstract)
            datagram.bind(f"{base}/datagram")
            for listener in (named, hidden):
                listener.listen()
            for path in (f"{base}/named", f"{base}/datagram"):
                Path(path).chmod(0o777)
            victim = subprocess.Popen(["sleep", "100"], env={"PATH": os.environ.get("PATH", ""), "SECRET": "1"})
            host = {
                "port": server.getsockname()[1],
                "unix": f"{base}/named",
                "datagram": f"{base}/datagram",
                "abstract": abstract,
                "canary": str(canary),
                "journal": str(journal),
                "base": base,
                "home": os.path.expanduser("~"),
                "engine": os.getpid(),
                "victim": victim.pid,
                "processes": os.readlink("/proc/self/ns/pid"),
                "only": only,
            }
            before = canary.stat()
            try:
                program = Program(("python", "probes.py", json.dumps(host)), stdin="", limits=Limits(seconds=40))
                execution = await (await sandbox.start(program, folder)).wait()
                alive = victim.poll() is None
            finally:
                victim.kill()
                victim.wait()
        after = canary.stat()
        harmed = [] if alive else ["victim"]
        if (before.st_mode, before.st_mtime, before.st_uid) != (after.st_mode, after.st_mtime, after.st_uid):
            harmed.append("canary")
        return {"table": execution.output, "exit_code": execution.exit_code, "harmed": harmed}


async def execute(sandbox: Sandbox, wish: dict[str, Any]) -> dict[str, Any]:
    """Run one program; how it ended, how long it took, and which of its processes are left."""
    mark = f"mark-{os.getpid()}-{time.monotonic_ns()}"
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        folder = Path(base, "folder")
        folder.mkdir()
        limits = Limits(**wish.get("limits", {}))
        program = Program((*wish["command"], mark), stdin="", limits=limits)
        begun = time.monotonic()
        execution = await (await sandbox.start(program, folder)).wait()
        seconds = time.monotonic() - begun
        size = int(subprocess.run(["du", "-sk", folder], capture_output=True, check=True).stdout.split()[0]) << 10
        discard(folder)
    return {
        "exit_code": execution.exit_code,
        "output": execution.output,
        "cut": execution.cut,
        "seconds": seconds,
        "size": size,
        "left": [pid for pid in filter(str.isdigit, os.listdir("/proc")) if mark in command_line(pid)],
    }


def command_line(pid: str) -> str:
    try:
        return Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


async def main() -> dict[str, Any]:
    wish = json.loads(sys.argv[1])
    os.environ["SECRET"] = "of the engine"
    sandbox = MEMBERS[wish["member"]](**wish.get("arguments", {}))
    try:
        return await (execute(sandbox, wish) if "command" in wish else fight(sandbox, wish.get("only", [])))
    except SandboxError as error:
        return {"unavailable": str(error)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
