"""Packs of batches become fewer and larger beside the writers, by Git's own maintenance in a process of its own.

`git repack --geometric` rolls up small packs and whatever lies loose, so that their number grows with the logarithm of
the history; it takes no lock, removes nothing before its replacement is in place, and looks at no revision, so that a
batch which is not on the branch yet is as safe as any other. Killed at any instant it leaves at most a file that Git
passes over. Without `git` (2.32 or newer) nothing is packed, and nothing else changes.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

PACKS = 40  # of batches, after which they are rolled up; each that is read holds a file open
LOOSE = 1000  # objects that lie alone, after which they are
FACTOR = 2  # how much larger each pack is than all smaller ones together
NICE = 10
PATIENCE = 10.0  # seconds that closing waits for a packer that was asked to end


class Packing:
    """What grows in a repository, and the process that packs it. For one thread at a time.

    Args:
        path: the repository.
        git: the command, None when there is none.
    """

    def __init__(self, path: Path, git: str | None = None):
        self._path = path
        self._git = git or shutil.which("git")
        self._process: subprocess.Popen[bytes] | None = None
        self._alive = -1  # the end of a pipe that tells when it and all that it has started are gone
        objects = path / "objects"
        self._packs = sum(1 for _ in (objects / "pack").glob("*.pack"))
        # As Git estimates it: names are spread evenly over 256 folders.
        self._loose = 256 * len(list((objects / "17").glob("*")))
        self._after = PACKS

    def grown(self, packs: int, loose: int = 0) -> None:
        """Take note of what was added, and pack when it is time."""
        self._packs += packs
        self._loose += loose
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process)
        if self._process is None and self._git and (self._packs >= self._after or self._loose >= LOOSE):
            self._start(self._git)

    @property
    def busy(self) -> bool:
        """Whether the packer is at work."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the packer and what it has started; what they have not finished is as it was."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._all_gone(0.0):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)  # it leads a session of its own, and does not end its children
                self._all_gone(PATIENCE)
        process.wait()
        os.close(self._alive)

    def _all_gone(self, seconds: float) -> bool:
        """Whether nobody has the pipe any more that the packer and all that it starts inherit."""
        poll = select.poll()
        poll.register(self._alive)
        return bool(poll.poll(1000 * seconds))

    def _start(self, git: str) -> None:
        settings = ("gc.auto=0", "core.hooksPath=/dev/null", "pack.threads=1", "core.multiPackIndex=false")
        options = [word for setting in settings for word in ("-c", setting)]
        command = [git, f"--git-dir={self._path.absolute()}", *options]
        command += ["repack", f"--geometric={FACTOR}", "-d", "-q", "--no-write-bitmap-index"]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        self._alive, inherited = os.pipe()
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(inherited,),
            )
        except OSError as error:
            log.warning("the workspace is not packed: %s", error)
            os.close(self._alive)
            self._git = None
            return
        finally:
            os.close(inherited)
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        self._packs = self._loose = 0  # from here on, what comes beside it

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        os.close(self._alive)
        if process.returncode:
            # Tried again, but seldom: it may be an old Git, or a disk without room for the new pack.
            self._after = min(2 * self._after, 64 * PACKS)
            log.warning("git repack of %s ended with %d; it is tried again later", self._path, process.returncode)
        else:
            self._after = PACKS
