"""Folders for programs' private copies, which do not stay behind when their owner is killed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from megaagent.sandboxes.harvest import discard

PREFIX: Final = "megaagent-place-"


def scratch() -> tuple[Path, IO[bytes]]:
    """A new folder, and the lock by which others see that its owner lives: to be closed when the folder is gone.

    Raises:
        OSError: it cannot be made.
    """
    making = Path(tempfile.mkdtemp(prefix="megaagent-"))
    making.chmod(0o711)  # programs run as another user when this process is root
    lock = (making / "lock").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = making.with_name(making.name.replace("megaagent-", PREFIX))
    os.rename(making, folder)  # noqa: PTH104  # campaigns let `Path.rename` fail, as a write of a run that is under way
    return folder, lock  # only with this name `sweep` looks for it


def sweep() -> None:
    """Remove the folders whose owners were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(folder)
        with suppress(OSError):
            folder.rmdir()  # its owner was killed just when it had removed the lock; what is not empty stays


def clear(folder: Path) -> None:
    """Remove a folder of one's own; who sweeps just then may take the last step of it."""
    with suppress(FileNotFoundError):
        discard(folder)
