"""What a program may read: the system's tools, the interpreter that runs MegaAgent, and the packages named."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from megaagent.errors import SandboxError

SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Interpreter(NamedTuple):
    """Where the interpreter lives.

    Attributes:
        executable: the real file, not a virtual environment's link to it.
        readable: files and folders that it needs beyond the system's.
        hidden: folders inside them (or inside the system's) with installed packages, which are not offered.
    """

    executable: Path
    readable: tuple[Path, ...]
    hidden: tuple[Path, ...]


def find_interpreter() -> Interpreter:
    """The interpreter that runs this process, without its virtual environment."""
    base = Path(sys.base_prefix).resolve()
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    given = {"base": str(base), "platbase": str(base), "installed_base": str(base), "installed_platbase": str(base)}
    standard = {Path(sysconfig.get_path(name, vars=given)).resolve() for name in ("stdlib", "platstdlib")}
    shared = sorted(path for path in (base / "lib").glob("*.so*") if path.is_file())
    wanted = [executable, *sorted(standard), *shared]
    homes = {*standard, base / "lib/python3", base / "local/lib" / library, Path("/usr/local/lib") / library}
    hidden = [home / name for home in sorted(homes) for name in ("site-packages", "dist-packages")]
    return Interpreter(
        executable,
        tuple(path for path in wanted if path.exists() and not path.is_relative_to("/usr")),
        tuple(path for path in hidden if path.is_dir()),
    )


def find_packages(names: Iterable[str]) -> dict[str, Path]:
    """Files and folders of the installed distributions `names` and all that they require, by their import names.

    Raises:
        SandboxError: one is not installed, or is installed in a way that has no files of its own (editable).
    """
    found: dict[str, Path] = {}
    waiting, seen = list(names), set[str]()
    required = set(waiting)
    while waiting:
        name = waiting.pop()
        if (key := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue
        seen.add(key)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name not in required:
                continue  # a requirement for another system or version
            raise SandboxError(
                f"programs are to see the package {name!r}, which is not installed: install it"
            ) from None
        tops = {path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__", "/")}
        tops = {top for top in tops if not top.endswith(".pth")}
        if not any(not top.endswith(".dist-info") for top in tops) and name in required:
            raise SandboxError(
                f"programs are to see the package {name!r}, which has no files: install it, not editable"
            )
        found |= {top: Path(str(distribution.locate_file(top))).resolve() for top in tops}
        waiting += _requirements(distribution.requires or ())
    return found


def _requirements(lines: Iterable[str]) -> Iterator[str]:
    """Names of what is required; extras are left out, markers need no reading because what is absent is passed over."""
    for line in lines:
        specifier, _, marker = line.partition(";")
        if "extra" not in marker and (match := re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", specifier)):
            yield match[1]
