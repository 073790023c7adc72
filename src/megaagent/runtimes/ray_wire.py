"""What is said between the engine, the process beside it that is connected to Ray, and the workers.

Everything is plain data as MessagePack, so that nothing but our own types is ever built from what comes, and so that
the process between the two hands on requests and answers without reading them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from megaagent import __version__
from megaagent.errors import ModelError, SandboxError
from megaagent.events import Revision, Struct, Usage
from megaagent.models.limits import Limits
from megaagent.models.network import NetworkSettings
from megaagent.runtimes.settings import RuntimeSettings
from megaagent.sandboxes.contract import Execution, Harvest, Program

encode: Final = msgspec.msgpack.encode


class Versions(Struct, frozen=True):
    """What must be the same on all nodes: a request that one of them cannot read would be paid for and lost."""

    megaagent: str
    python: str
    ray: str

    @classmethod
    def here(cls, ray: str) -> Versions:
        return cls(__version__, ".".join(map(str, sys.version_info[:2])), ray)

    def differences(self, other: Versions) -> str:
        """In words, what is not as in `other`; empty when all is."""
        pairs = (
            ("MegaAgent", self.megaagent, other.megaagent),
            ("Python", self.python, other.python),
            ("Ray", self.ray, other.ray),
        )
        return ", ".join(f"{name} {mine} and not {theirs}" for name, mine, theirs in pairs if mine != theirs)


class Asked(Struct, frozen=True):
    """A model that will be asked.

    Attributes:
        name: `provider:model`.
        base_url: where, when the worker's environment shall not say it.
        endpoint: its host as the head names it; a worker that would ask another must not.
    """

    name: str
    base_url: str | None
    endpoint: str


class Order(Struct, frozen=True):
    """What every worker must know before it does anything. It holds no key.

    Attributes:
        run: whose work it is, for who looks at the cluster.
        scripts: of simulated models, by name.
        level: the weakest walls around programs that are accepted.
        workspace: where the head's repository is; only the process beside the head opens it.
    """

    run: str
    versions: Versions
    models: tuple[Asked, ...]
    scripts: Mapping[str, str]
    stream: bool
    seed: int
    speed: float
    network: NetworkSettings
    level: str
    workspace: str
    runtime: RuntimeSettings


class Hello(Struct, frozen=True):
    """What a worker says first.

    Attributes:
        problem: why it cannot be used; empty when it can.
        level: of the walls around programs there.
    """

    node: str
    host: str
    versions: Versions
    problem: str = ""
    level: str = ""


class Failure(Struct, frozen=True):
    """An error on its way to the head; the fields are those of `ModelError` when it is one."""

    kind: Literal["model", "sandbox", "disk", "lost", "bug"]
    detail: str
    fault: str = ""
    retry_after: float | None = None
    status: int | None = None
    maybe_paid: bool = False
    usage: Usage | None = None
    errno: int = 0


class Heard(Struct, frozen=True):
    """What a program said since; with its end, and what it left, when it has ended."""

    text: str
    execution: Execution | None = None
    harvest: Harvest | None = None


class Reply(Struct, frozen=True):
    """What came of a job: a value, or why there is none; and what a provider told of its limits meanwhile."""

    value: msgspec.Raw = msgspec.Raw()
    failure: Failure | None = None
    limits: tuple[tuple[str, Limits], ...] = ()


# -- from the engine to the process beside it -------------------------------------------------------------------------


class Complete(Struct, frozen=True, tag=True):
    """Ask a model."""

    id: int
    model: str
    request: msgspec.Raw


class Begin(Struct, frozen=True, tag=True):
    """Start a program on a private copy of the workspace; by its id it is spoken of afterwards."""

    id: int
    program: Program
    revision: Revision


class Act(Struct, frozen=True, tag=True):
    """Do something with a program: what `Handle` has."""

    id: int
    program: int
    verb: Literal["send", "read", "stop", "wait", "harvest", "close"]
    text: str = ""
    quiet: float = 0.0
    patience: float = 0.0


class Off(Struct, frozen=True, tag=True):
    """Nobody waits for this any more."""

    id: int


Wanted: TypeAlias = Complete | Begin | Act | Off


# -- and back ---------------------------------------------------------------------------------------------------------


class Ready(Struct, frozen=True, tag=True):
    """The cluster can be used; the first thing that is said.

    Attributes:
        level: of the walls around programs, as facts name it; "refused" when none may be run.
        notes: what a person should know, such as nodes that are not used, and why.
    """

    level: str
    notes: tuple[str, ...] = ()


class Refused(Struct, frozen=True, tag=True):
    """It cannot be used, and what to do about it."""

    problem: str


class Done(Struct, frozen=True, tag=True):
    """What came of something that was wanted."""

    id: int
    reply: Reply


Said: TypeAlias = Ready | Refused | Done


def failure_of(error: BaseException) -> Failure:
    """An error as it travels."""
    if isinstance(error, ModelError):
        return Failure(
            "model", error.detail, error.fault, error.retry_after, error.status, error.maybe_paid, error.usage
        )
    if isinstance(error, SandboxError):
        return Failure("sandbox", str(error))
    if isinstance(error, OSError) and error.errno is not None:
        return Failure("disk", error.strerror or str(error), errno=error.errno)
    return Failure("bug", f"{type(error).__name__}: {error}")


def raised(failure: Failure) -> Exception:
    """The error that a failure stands for; one that is lost has rules of its own, by what was lost."""
    if failure.kind == "model":
        fault: Any = failure.fault
        error = ModelError(fault, failure.detail, retry_after=failure.retry_after, status=failure.status)
        error.maybe_paid, error.usage = failure.maybe_paid, failure.usage
        return error
    if failure.kind == "sandbox":
        return SandboxError(failure.detail)
    if failure.kind == "disk":
        return OSError(failure.errno, failure.detail)
    return RuntimeError(failure.detail)
