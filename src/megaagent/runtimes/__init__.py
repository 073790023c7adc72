"""Where model calls and programs are executed: a shelf with one table.

Ray comes as a second member; a runtime is one file and one line here, imported when used.
"""

from __future__ import annotations

RUNTIMES: dict[str, str] = {"local": "megaagent.runtimes.local:LocalRuntime"}
