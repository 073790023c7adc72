"""Where a run's model calls and programs are done: the runtime that its settings name, opened."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, NamedTuple

from megaagent.choice import SCENARIOS, Adapters, asked_models
from megaagent.clock import Clock
from megaagent.disk import no_beginning
from megaagent.errors import ConfigurationError
from megaagent.runtimes.contract import Runtime
from megaagent.runtimes.local import LocalRuntime
from megaagent.runtimes.ray_wire import Order, Versions
from megaagent.runtimes.scratch import scratch, sweep
from megaagent.sandboxes import Probe, probe
from megaagent.sandboxes.contract import Level
from megaagent.settings import Settings
from megaagent.workspace import Workspace


class Placed(NamedTuple):
    """A runtime, and what a person should know about it before the run begins."""

    runtime: Runtime
    notes: tuple[str, ...]


async def placing(
    stack: AsyncExitStack,
    run: str,
    settings: Settings,
    models: Adapters,
    workspace: Workspace,
    clock: Clock,
    environ: Mapping[str, str],
    sandbox: Probe | None = None,
) -> Placed:
    """Open the runtime until the stack is left.

    Args:
        environ: of the process that connects to a cluster.
        sandbox: what `probe` found on this machine.

    Raises:
        ConfigurationError: it cannot be used, and what to do about it.
    """
    if settings.runtime.kind == "ray":
        from megaagent.runtimes.ray import RayRuntime

        order = order_for(run, settings, workspace, environ)
        runtime = await RayRuntime.open(order, lambda name, limits: models.gates[name].learn(limits), environ, clock)
        stack.push_async_callback(runtime.close)
        return Placed(runtime, (_walls(runtime.level, "in the cluster"), *runtime.notes))
    found = sandbox or await probe(Level[settings.sandbox.level.upper()])
    await asyncio.to_thread(sweep)
    with no_beginning():
        place, lock = scratch()
    stack.callback(lock.close)
    programs = settings.sandbox.programs
    runtime = LocalRuntime(models, workspace, found.sandbox, place, clock, programs=programs, notes=found.notes)
    stack.push_async_callback(runtime.close)
    return Placed(runtime, (_walls(runtime.level, "here"), *(found.notes if found.sandbox is None else ())))


def order_for(run: str, settings: Settings, workspace: Workspace, environ: Mapping[str, str]) -> Order:
    """What workers of a cluster are told.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    try:
        ray: Any = import_module("ray._version")
    except ImportError as error:
        raise ConfigurationError(f"--runtime ray needs Ray: pip install 'megaagent[ray]' ({error})") from error
    return Order(
        run,
        Versions.here(ray.version),
        asked_models(settings, environ),
        import_module(SCENARIOS).SCRIPTS,
        settings.model.stream,
        settings.simulation.seed,
        settings.simulation.speed,
        settings.model.network,
        settings.sandbox.level,
        str(workspace.path.absolute()),
        settings.runtime,
    )


def _walls(level: str, where: str) -> str:
    return f"programs are refused: no sandbox holds {where}" if level == "refused" else f"programs run in: {level}"
