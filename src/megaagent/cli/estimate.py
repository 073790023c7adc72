"""megaagent estimate: what a run will cost, before it is paid for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from megaagent.cli.options import Models, Runs
from megaagent.errors import ConfigurationError

if TYPE_CHECKING:
    from megaagent.evaluation.estimate import Estimate, Figures, Wish

HELP = """\b
Examples:
  megaagent estimate "Write a Markdown to HTML converter with tests" \\
      --agents 12 --model openai:gpt-4.1 --rpm 500 --tpm 200000
  megaagent estimate policy --agents 590 --model openai:gpt-4.1
  megaagent estimate "Another game" --like RUN --model openai:gpt-4.1

No model is asked. The shape of the organization is played in virtual time, with the prompts, the cache and the gate of
a real run, at the price of the model. Without --like it is the shape of the simulated Gobang run."""


def command(
    models: Models,
    goal: Annotated[
        str | None, typer.Argument(metavar="GOAL|SCENARIO", help="What is to be made, or a scenario's name.")
    ] = None,
    agents: Annotated[
        int | None, typer.Option("--agents", metavar="N", help="How many agents there will be.", show_default=False)
    ] = None,
    rpm: Annotated[
        float | None,
        typer.Option("--rpm", metavar="R", help="Requests per minute that the provider allows.", show_default=False),
    ] = None,
    tpm: Annotated[
        float | None,
        typer.Option("--tpm", metavar="T", help="Tokens per minute that the provider allows.", show_default=False),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like", metavar="RUN", help="A finished run whose shape and pace are taken.", show_default=False
        ),
    ] = None,
    economy: Annotated[
        bool,
        typer.Option("--economy", help="With calls that nothing waits for by the batch, as run --economy."),
    ] = False,
    tier: Annotated[
        list[str] | None,
        typer.Option(
            "--tier",
            metavar="TIER",
            help="With --economy: whose calls always go by the batch (economy.tiers); may be given again.",
            show_default=False,
        ),
    ] = None,
    runs: Runs = None,
    json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> int:
    from megaagent.evaluation.estimate import Wish, estimate
    from megaagent.evaluation.estimate import like as like_run
    from megaagent.evaluation.shape import GOBANG
    from megaagent.folder import find_run, runs_folder
    from megaagent.models import parse_model
    from megaagent.models.prices import parse_price
    from megaagent.scenarios import SCENARIOS, scenario
    from megaagent.settings import Settings, changed

    shape, past_goal, past_model = like_run(find_run(runs_folder(runs, os.environ), like)) if like else (None, "", "")
    name = goal if goal in SCENARIOS else None
    words = scenario(name).goal if name else goal or past_goal
    if not words.strip():
        raise ConfigurationError(
            'there is no goal: megaagent estimate "Write a ..." --agents 10 --model openai:gpt-4.1'
        )
    model = models.model or past_model
    if not model:
        raise ConfigurationError("no model is named: --model openai:gpt-4.1, for instance; its price is taken")
    parse_model(model)
    usual = shape.agents if shape else 590 if name == "policy" else GOBANG.agents
    price = parse_price(models.price) if models.price else None
    if tier and not economy:
        raise ConfigurationError("--tier is a part of --economy: give both")
    thrift = changed(Settings(), {"economy.on": economy, "economy.tiers": tier or []}, "--tier").economy
    wish = Wish(words, usual if agents is None else agents, model, price, rpm, tpm, shape, name, thrift)
    found = estimate(wish, _progress)
    if json:
        import msgspec

        print(msgspec.json.encode({"estimate": found, "model": model, "agents": wish.agents}).decode())
        return 0
    print("\n".join(_lines(found, wish)))
    return 0


def _lines(found: Estimate, wish: Wish) -> Iterator[str]:
    from megaagent.cli.words import duration, money, plural

    limits = [f"{wish.requests:,.0f} requests a minute"] if wish.requests else []
    limits += [f"{wish.tokens:,.0f} tokens a minute"] if wish.tokens else []
    yield f"{plural(wish.agents, 'agent')}, {wish.model}, {' and '.join(limits) or 'no limits per minute'}"
    yield ""
    yield f"{'':<14}{'EXPECTED':>14}  RANGE"
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("money", lambda f: money(f.cost)),
        ("time", lambda f: duration(f.seconds)),
        ("tokens", lambda f: f"{f.tokens:,}"),
        ("  prompt", lambda f: f"{f.usage.prompt:,}"),
        ("  completion", lambda f: f"{f.usage.completion:,}"),
        ("model calls", lambda f: f"{f.calls:,}"),
        ("cache share", lambda f: f"{f.cached:.0%}"),
        ("programs", lambda f: duration(f.programs)),
    ]
    if wish.economy.on:
        rows += _thrift()
    for name, show in rows:
        between = f"  {show(found.low)} to {show(found.high)}" if found.played > 1 else "  -"
        yield f"{name:<14}{show(found.expected):>14}{between}"
    yield ""
    drawn = f"{found.spread} ({plural(found.played, 'run')} played)" if found.played > 1 else "none, one run was played"
    yield f"shape: {found.source}; range: {drawn}"
    pace = (
        "the law that was fitted to GPT-4.1" if found.pace == 1.0 else f"that law, times {found.pace:.2f} as measured"
    )
    yield f"pace: {pace}; programs take what they took there, one after the other for each agent"
    yield "no model was asked: this is a simulation, and a real organization may decide otherwise"


def _thrift() -> list[tuple[str, Callable[[Figures], str]]]:
    from megaagent.cli.words import money

    return [("in batches", lambda f: f"{f.batched:,}"), ("saved by them", lambda f: money(f.saved))]


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {total} played " if done < total else "\r\x1b[K")
        sys.stderr.flush()
