"""Where model calls and programs are executed: a shelf with one table.

A runtime is one line here, imported when it is used; which one a run has, its settings say.
"""

from __future__ import annotations

RUNTIMES: dict[str, str] = {
    "local": "megaagent.runtimes.local:LocalRuntime",
    "ray": "megaagent.runtimes.ray:RayRuntime",
}
