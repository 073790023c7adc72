"""Where the two heavy jobs of a run are done: the settings of this room."""

from __future__ import annotations

from typing import Literal

from megaagent.events import Struct


class RuntimeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where model calls and programs are executed.

    Attributes:
        kind: "local" is this process and this machine's sandbox; "ray" sends both to a Ray cluster.
        address: of the cluster, as HOST:PORT; "local" begins a Ray on this machine that ends with the run; None is
            $RAY_ADDRESS, or "local" without it.
        callers: processes that make model calls, on each node.
        calls: of models in flight at once in each of them; more wait at the head.
        places: programs live at once in the whole cluster; 0 stands for one per core (or per `programs_on`).
        models_on, programs_on: a custom resource that nodes must have for the one or the other, such as "sandboxed";
            each program takes 1 of it in place of a core. None takes every node with a core.
        idle: seconds after which a place for programs that nobody needs is given back to the cluster.
    """

    kind: Literal["local", "ray"] = "local"
    address: str | None = None
    callers: int = 1
    calls: int = 500
    places: int = 0
    models_on: str | None = None
    programs_on: str | None = None
    idle: float = 30.0
