"""megaagent models: which models a run would ask, and whether each can be asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megaagent.cli.exits import CONFIGURATION
from megaagent.cli.options import AsJson, Models, Set

if TYPE_CHECKING:
    from megaagent.checkup import Asked, Known

HELP = """\b
Examples:
  megaagent models
  megaagent models --model openai:gpt-4.1 --check
  megaagent models --settings mine.toml --check --json

Without a model it lists the providers, and for which of them a key is there. With --check each model is asked once,
with the rules and tools of a run, which costs about a cent; the exit code is 2 when one cannot be used."""


def command(
    models: Models,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Settings in a TOML file.", show_default=False)
    ] = None,
    set_: Set = None,
    check: Annotated[bool, typer.Option("--check", help="Ask each model once; this costs about a cent.")] = False,
    json: AsJson = False,
) -> int:
    import asyncio

    from megaagent.checkup import ask_all, known_models
    from megaagent.cli.configured import assignment, configured
    from megaagent.cli.words import glyphs_for, print_json
    from megaagent.errors import ConfigurationError

    tree = configured(settings, [*map(assignment, set_ or []), *models.changes().items()])
    known = known_models(tree, os.environ)
    if not known:
        if check:
            raise ConfigurationError("no model is named, so none can be asked: give --model P:M or --settings FILE")
        return _providers(json)
    asked = asyncio.run(ask_all([each.name for each in known], tree, os.environ)) if check else []
    if json:
        print_json({"models": [_told(each, asked) for each in known]})
    else:
        glyphs = glyphs_for(sys.stdout)
        for each in known:
            _print(each, next((answer for answer in asked if answer.name == each.name), None), glyphs)
        if not check:
            print("ask each once, for about a cent: --check")
    return CONFIGURATION if any(answer.status == "fail" for answer in asked) else 0


def _print(known: Known, asked: Asked | None, glyphs: Any) -> None:
    from megaagent.cli.words import clean

    whose = ", ".join([*known.tiers, *(["fallback"] if known.fallback else [])])
    print(f"{clean(known.name)}  ({whose})")
    print(f"  address  {clean(known.endpoint)}")
    key = known.key if known.key_variable is None else f"{known.key_variable} is {known.key}"
    key = "looked for by pydantic-ai, in the environment" if known.name.startswith("pydantic:") else key
    print(f"  key      {key}")
    print(f"  price    {_price(known)}")
    if known.problem and asked is None:
        print(f"  {glyphs.failed} {clean(known.problem)}")
    if asked is not None:
        mark = {"ok": glyphs.done, "warn": "!", "fail": glyphs.failed}[asked.status]
        spent = f", {asked.usage.prompt + asked.usage.completion:,} tokens" if asked.usage.prompt else ""
        made_up = "simulated " if known.name.startswith("sim:") else ""
        cost = f", {made_up}${asked.cost:.4f}" if asked.cost is not None else ""
        print(f"  {mark} {asked.status}: {clean(asked.told)} ({asked.seconds:.1f} s{spent}{cost})")


def _price(known: Known) -> str:
    if known.price is None:
        return "unknown: give --price IN:OUT or a cap of tokens"
    source = "yours" if known.own_price else "simulated" if known.name.startswith("sim:") else "list"
    return f"${known.price[0]:g} in, ${known.price[1]:g} out per million tokens ({source})"


def _told(known: Known, asked: list[Asked]) -> dict[str, Any]:
    import msgspec

    answer = next((each for each in asked if each.name == known.name), None)
    told: dict[str, Any] = {name: getattr(known, name) for name in type(known).__struct_fields__}
    if answer is not None:
        told["check"] = {name: getattr(answer, name) for name in type(answer).__struct_fields__ if name != "name"}
    return msgspec.to_builtins(told)


def _providers(json: bool) -> int:
    from megaagent.cli.words import print_json
    from megaagent.models import PROVIDERS

    lines = [
        {
            "provider": name,
            "address": provider.base_url,
            "key_variable": provider.key_variable,
            "key": _key_of(name, provider.key_variable),
        }
        for name, provider in PROVIDERS.items()
    ]
    if json:
        print_json({"providers": lines})
        return 0
    print("no model is named; these providers are known (--model PROVIDER:NAME)\n")
    for name, provider in PROVIDERS.items():
        found = _key_of(name, provider.key_variable)
        key = f"{provider.key_variable} is {found}" if provider.key_variable else _WITHOUT_VARIABLE[found]
        print(f"  {name:<11} {key:<32} {provider.base_url or _ELSEWHERE.get(name, 'an address of yours')}")
    return 0


_WITHOUT_VARIABLE = {"not needed": "needs no key", "unknown": "looks for its own"}
_ELSEWHERE = {"sim": "scripts, no model is asked", "pydantic": "wherever pydantic-ai asks"}


def _key_of(provider: str, variable: str | None) -> str:
    if variable is None:
        return "unknown" if provider == "pydantic" else "not needed"
    return "set" if os.environ.get(variable) else "missing"
