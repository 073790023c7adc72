"""Calls on a store that is being packed beside them.

The packer puts a new pack into place and then takes the old ones away. Who lists the folder of packs while it does may
see neither (a folder's list of names is no snapshot), and an object that is there is not found. It is there when it is
looked for again, with a handle that has seen nothing yet. It also removes folders of loose objects that have become
empty, perhaps between the moment in which a writer makes one and the moment in which it uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import pygit2

from megaagent.errors import ToolError

P = ParamSpec("P")
R = TypeVar("R")

TRIES = 4


class UnknownRevisionError(ToolError):
    """There is no such revision, as far as can be seen now."""


class Renewable(Protocol):
    """What holds a handle on the store that can be made anew."""

    def renew(self) -> None:
        """From now on this thread uses another handle."""
        ...


W = TypeVar("W", bound=Renewable)


def steady(method: Callable[Concatenate[W, P], R]) -> Callable[Concatenate[W, P], R]:
    """Make the call again with a new handle when an object is not found; for calls that may be made twice.

    What is still not found then is missing. An agent's wrong name or revision costs a second look, too, since nothing
    tells it from the other case.
    """

    @wraps(method)
    def again(self: W, *arguments: P.args, **named: P.kwargs) -> R:
        for _ in range(TRIES - 1):
            try:
                return method(self, *arguments, **named)
            except (KeyError, pygit2.GitError, UnknownRevisionError):
                self.renew()
            except OSError as error:
                if error.errno is not None:  # the system's own word, such as a full disk, and not libgit2's "not found"
                    raise
                self.renew()
        return method(self, *arguments, **named)

    return again
