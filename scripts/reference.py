"""Writes docs/reference.md from the tables of the program: commands, exit codes, settings, tools, facts, and the rest.

    python scripts/reference.py            write it
    python scripts/reference.py --check    exit with 1 if it is not what the tables say

What a setting means is read from the docstring of its class. The few that explain themselves there by their names, or
in a comment, are explained in `EXPLAINED`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import typer

from megaagent import events
from megaagent.cli import COMMANDS, application
from megaagent.cli.exits import MEANINGS
from megaagent.models import PROVIDERS
from megaagent.sandboxes import SANDBOXES
from megaagent.scenarios import SCENARIOS, SCRIPTS, scenario
from megaagent.settings import Settings
from megaagent.tools import TOOLS, toolbox

REFERENCE = Path(__file__).parent.parent / "docs" / "reference.md"

EXPLAINED = {
    "model.stream": "ask for answers piece by piece.",
    "model.temperature": "passed on to the model; the provider's own default when it is not set.",
    "sandbox.limits.seconds": "wall time of one program, seconds.",
    "sandbox.limits.cpu_seconds": "processor time of one program, seconds.",
    "sandbox.limits.memory": "bytes of memory, for each process.",
    "sandbox.limits.disk": "bytes that a program may leave in its folder.",
    "sandbox.limits.file_size": "bytes of one file that it writes.",
    "sandbox.limits.processes": "processes and threads at once.",
    "sandbox.limits.output": "bytes of output that are kept, the beginning and the end.",
    "simulation.speed": "divides the time that a real model would take; 0 answers at once.",
    "simulation.seed": "of the simulated latencies, and of the jitter of retries.",
    "durability": "how the journal is synced to disk: full (each commit), normal, or off (for tests).",
}


def main() -> int:
    text = reference()
    if "--check" in sys.argv[1:]:
        if REFERENCE.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{REFERENCE} is not what the tables say; run: python scripts/reference.py\n")
        return 1
    REFERENCE.write_text(text, encoding="utf-8")
    return 0


def reference() -> str:
    """The whole page."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Written by `scripts/reference.py` from the tables in the code; a test compares the two. Do not edit by hand."
    yield ""
    yield "[Commands](#commands) · [Exit codes](#exit-codes) · [Settings](#settings) · [Tools](#tools) ·"
    yield "[Facts](#facts) · [Providers](#providers) · [Sandboxes](#sandboxes) · [Scenarios](#scenarios)"
    yield from _commands()
    yield "\n## Exit codes\n"
    yield from _table(("code", "meaning"), ((str(code), meaning) for code, meaning in MEANINGS.items()))
    yield "\n## Settings\n"
    yield "Fields of a settings file (TOML, a table per room), of `--set NAME=VALUE`, and of `megaagent.Settings`.\n"
    yield from _table(("name", "type", "default", "meaning"), settings_rows())
    yield "\n## Tools\n"
    yield "What every agent is offered, in this order. Tools of your own come after these.\n"
    yield from _table(("tool", "arguments", "only looks", "what the model is told"), _tool_rows())
    yield "\n## Facts\n"
    yield "What a journal can hold, as `megaagent show --json` prints it. Each row also has its position, epoch, time,"
    yield "agent and step.\n"
    yield from _table(("fact", "fields", "meaning"), _fact_rows())
    yield "\n## Providers\n"
    yield "The part of `--model PROVIDER:NAME` before the colon. `--base-url`, `model.base_url` in the settings, or"
    yield "`OPENAI_BASE_URL`, `VLLM_BASE_URL` and so on in the environment replace the address.\n"
    yield from _table(("provider", "address", "key"), _provider_rows())
    yield "\n## Sandboxes\n"
    yield "Strongest first, which is the order in which they are tried.\n"
    yield from _table(("sandbox", "level"), ((f"`{n}`", str(int(level))) for n, (level, _) in SANDBOXES.items()))
    yield "\n## Scenarios\n"
    rows = ((f"`{name}`", f"`{scenario(name).model}`", _first_line(scenario(name).goal)) for name in SCENARIOS)
    yield from _table(("scenario", "model unless named", "goal"), rows)
    yield f"\nSimulated models: {', '.join(f'`sim:{name}`' for name in SCRIPTS)}."


# -- commands ---------------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    yield "\n## Commands\n"
    yield "`megaagent COMMAND --help` has examples. RUN is a run's id, a part of it, or its folder; or nothing:"
    yield "then it is the latest.\n"
    yield from _table(("command", "what it does"), ((f"[`{n}`](#{n})", words) for n, words in COMMANDS.items()))
    for name in COMMANDS:
        yield f"\n### {name}\n"
        yield from _command(name)


def _command(name: str) -> Iterator[str]:
    group: Any = typer.main.get_command(application(name))
    arguments: list[str] = []
    options: list[tuple[str, str]] = []
    for parameter in group.commands[name].params:
        shown = parameter.metavar or parameter.name.upper()
        if parameter.param_type_name == "argument":
            arguments.append(shown if parameter.required else f"[{shown}]")
        else:
            value = "" if parameter.is_flag else f" {shown}"
            options.append((f"`{parameter.opts[0]}{value}`", parameter.help or ""))
    yield f"`{' '.join(['megaagent', name, *arguments])}`\n"
    yield from _table(("option", "meaning"), options)


# -- settings ---------------------------------------------------------------------------------------------------------


def settings_rows() -> Iterator[tuple[str, str, str, str]]:
    """Every setting: its dotted name, its type, its default, what it means.

    Raises:
        LookupError: one is explained nowhere, or `EXPLAINED` has one that is not there or is explained already.
    """
    needed: set[str] = set()
    for name, kind, default, words in _fields(Settings(), ""):
        if not words:
            needed.add(name)
            words = EXPLAINED[name]
        yield f"`{name}`", f"`{_spelled(kind)}`".replace("|", "\\|"), _default(default), words
    if spare := EXPLAINED.keys() - needed:
        raise LookupError(f"EXPLAINED has more than is needed: {', '.join(sorted(spare))}")


def _fields(value: Any, before: str) -> Iterator[tuple[str, Any, Any, str]]:
    words = attributes_of(value.__class__)
    for field in msgspec.structs.fields(value):
        name = f"{before}{field.name}"
        default = getattr(value, field.name)
        if isinstance(default, msgspec.Struct):
            yield from _fields(default, f"{name}.")
        else:
            yield name, field.type, default, words.get(field.name, "")


def attributes_of(kind: type) -> dict[str, str]:
    """What the `Attributes:` of a class's docstring say; a line may explain several that share their words."""
    section = re.search(r"^Attributes:\n((?:    .*\n?|\n)*)", inspect.getdoc(kind) or "", re.MULTILINE)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else ():
        if head := re.match(r" {4}(\w+(?:, \w+)*): (.*)", line):
            names = head[1].split(", ")
            found.update(dict.fromkeys(names, head[2]))
        elif line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found


def _spelled(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    if get_origin(kind) is dict:
        return "table of text"
    if get_origin(kind) is tuple:
        return "list of text"
    return " | ".join("none" if part is type(None) else _spelled(part) for part in get_args(kind))


def _default(value: Any) -> str:
    if value is None or value in ((), {}):
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`".replace("'", '"')  # pyright: ignore[reportUnknownArgumentType]
    return f"`{value:_}`" if isinstance(value, int) else f"`{value}`"


# -- tools, facts, providers ------------------------------------------------------------------------------------------


def _tool_rows() -> Iterator[tuple[str, str, str, str]]:
    for spec in toolbox().specs:
        required = spec.parameters.get("required", [])
        names = [name if name in required else f"[{name}]" for name in spec.parameters.get("properties", {})]
        yield f"`{spec.name}`", f"`{' '.join(names)}`" if names else "", "yes" * TOOLS[spec.name][1], spec.description


def _fact_rows() -> Iterator[tuple[str, str, str]]:
    for kind in get_args(events.AnyEvent):
        fields = ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(kind))
        yield f"`{kind.__name__}`", fields, _meaning(kind)


def _meaning(kind: type) -> str:
    text = kind.__doc__ or ""
    parts = [" ".join(text.partition("Attributes:")[0].split())]
    parts += [f"`{name}`: {words.rstrip('.')}." for name, words in attributes_of(kind).items()]
    return " ".join(parts).strip()


def _provider_rows() -> Iterator[tuple[str, str, str]]:
    for name, provider in PROVIDERS.items():
        simulated = "in this process: a script, no model is asked" if name == "sim" else "to be given with `--base-url`"
        address = f"`{provider.base_url}`" if provider.base_url else simulated
        yield f"`{name}`", address, f"`{provider.key_variable}`" if provider.key_variable else "none"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()) for cell in row)} |"


if __name__ == "__main__":
    sys.exit(main())
