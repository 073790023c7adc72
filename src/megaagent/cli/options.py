"""Arguments and options that several commands share, in groups, and the run that they name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from megaagent.cli.grouping import Group
from megaagent.errors import ConfigurationError
from megaagent.folder import RunFolder, find_run, runs_folder

if TYPE_CHECKING:
    from megaagent.cli.sight import Sight

RunName: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="RUN", help="A run's id, a part of it, or its folder; the latest by default.")
]
Runs: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--runs",
        metavar="DIR",
        help="Where runs are kept: megaagent-runs here, or $MEGAAGENT_RUNS.",
        show_default=False,
    ),
]
Host: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--host",
        metavar="URL",
        help="Ask the dashboard there (megaagent serve); its whole link is taken too.",
        show_default=False,
    ),
]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="The dashboard's; better in $MEGAAGENT_TOKEN.", show_default=False),
]
Subtree: TypeAlias = Annotated[
    str, typer.Option("--agent", metavar="NAME", help="Only this agent and all below it.", show_default=False)
]
AgentName: TypeAlias = Annotated[str, typer.Argument(metavar="AGENT", help="Its one-word name, or its path.")]
Reason: TypeAlias = Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the record.", show_default=False)]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option("--model", metavar="P:M", help="Which model answers, as provider:model.", show_default=False),
]
BaseUrl: TypeAlias = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Of an OpenAI-compatible server.", show_default=False)
]
Price: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN:OUT[:CACHED]",
        help="Dollars per million tokens, if the price is unknown.",
        show_default=False,
    ),
]
RayAddress: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Of the Ray cluster; $RAY_ADDRESS, or a Ray begun on this machine, without it.",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as limits.agents=50.", show_default=False),
]


@dataclass(frozen=True)
class Chosen(Group):
    """A run that is on this machine."""

    run: RunName = None
    runs: Runs = None

    def folder(self) -> RunFolder:
        """The run that the command line names, or the latest.

        Raises:
            RunError: there is none, or the name fits several.
        """
        return find_run(runs_folder(self.runs, os.environ), self.run)


@dataclass(frozen=True)
class Place(Group):
    """Where runs are: on this machine, or behind the dashboard of another."""

    runs: Runs = None
    host: Host = None
    token: Token = None

    def sight_of(self, run: str | None) -> Sight:
        """A run, to be closed when it is not needed any more.

        Args:
            run: as a person names it; the latest when it is None.

        Raises:
            RunError: there is none of that name, or the dashboard does not answer.
            ConfigurationError: the address or the token cannot be used.
        """
        self.check()
        if self.host is None:
            from megaagent.cli.here import Here

            return Here(Chosen(run, self.runs).folder())
        from megaagent.cli.there import There

        return There.of(self.host, self.token, run)

    def check(self) -> None:
        """
        Raises:
            ConfigurationError: options that exclude each other.
        """
        if self.host is not None and self.runs is not None:
            raise ConfigurationError("--runs is a folder here: with --host the dashboard there says what runs are seen")
        if self.host is None and self.token is not None:
            raise ConfigurationError("--token is for a dashboard: say which, with --host URL")


@dataclass(frozen=True)
class Seen(Place):
    """A run that is looked at or steered, wherever it is."""

    run: RunName = None

    def sight(self) -> Sight:
        """The run, to be closed; as `sight_of`."""
        return self.sight_of(self.run)


@dataclass(frozen=True)
class Models(Group):
    """Who answers."""

    model: Model = None
    base_url: BaseUrl = None
    fallback: Annotated[
        list[str] | None,
        typer.Option(
            "--fallback",
            metavar="P:M",
            help="Asked while the model is not available; may be given again.",
            show_default=False,
        ),
    ] = None
    price: Price = None

    def changes(self) -> dict[str, Any]:
        """What of it was given, as settings."""
        return _given(
            {
                "model.name": self.model,
                "model.base_url": self.base_url,
                "model.fallbacks": self.fallback or None,
                "model.price": self.price,
            }
        )


@dataclass(frozen=True)
class Caps(Group):
    """Caps of a run that has some already."""

    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", metavar="DOLLARS", help="Cap of money; as it was unless given.", show_default=False),
    ] = None
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens", metavar="N", help="Cap of prompt and completion tokens together.", show_default=False
        ),
    ] = None
    max_time: Annotated[
        float | None,
        typer.Option(
            "--max-time", metavar="SECONDS", help="Cap of the time that the run is at work.", show_default=False
        ),
    ] = None
    max_steps: Annotated[
        int | None,
        typer.Option(
            "--max-steps", metavar="N", help="Cap of the answers of models in the whole run.", show_default=False
        ),
    ] = None
    max_disk: Annotated[
        int | None,
        typer.Option("--max-disk", metavar="BYTES", help="Cap of what the run's folder may hold.", show_default=False),
    ] = None

    def changes(self) -> dict[str, Any]:
        """What of it was given, as settings."""
        return _given(
            {
                "budget.cost": self.max_cost,
                "budget.tokens": self.max_tokens,
                "budget.seconds": self.max_time,
                "budget.steps": self.max_steps,
                "budget.disk": self.max_disk,
            }
        )


@dataclass(frozen=True)
class FirstCaps(Caps):
    """Caps of a run that begins."""

    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", metavar="DOLLARS", help="Cap of money (10 unless changed).", show_default=False),
    ] = None


@dataclass(frozen=True)
class Look(Group):
    """How the person wants to watch a run."""

    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")] = False
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line; the last is the result.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="Only the result.")] = False
    web: Annotated[
        bool, typer.Option("--web", help="Show the run in a browser too; a link is printed. See: megaagent serve")
    ] = False


@dataclass(frozen=True)
class Conduct(Group):
    """How a run goes on: what its agents may use, whom they may ask, where the work is done, and single settings."""

    set_: Set = None
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed", metavar="X", help="A simulated model's: 1 is as a real one, 0 at once.", show_default=False
        ),
    ] = None
    check: Annotated[
        list[str] | None,
        typer.Option(
            "--check",
            metavar="COMMAND",
            help="Must exit with 0 on the deliverable; may be given again.",
            show_default=False,
        ),
    ] = None
    tools: Annotated[
        list[str] | None,
        typer.Option(
            "--tools",
            metavar="FILE.py",
            help="Tools of yours: a file of typed functions, or a name that a package offers; may be given again.",
            show_default=False,
        ),
    ] = None
    mcp: Annotated[
        list[str] | None,
        typer.Option(
            "--mcp",
            metavar="FILE",
            help='Tools of MCP servers, as {"mcpServers": {...}}; may be given again.',
            show_default=False,
        ),
    ] = None
    ask_before: Annotated[
        list[str] | None,
        typer.Option(
            "--ask-before",
            metavar="TOOL",
            help="Ask you before an agent uses this tool; write_* is a pattern; may be given again.",
            show_default=False,
        ),
    ] = None
    economy: Annotated[
        bool | None,
        typer.Option(
            "--economy/--no-economy",
            help="Calls that nothing waits for go by the batch, at the provider's lower price.",
            show_default=False,
        ),
    ] = None
    attended: Annotated[
        bool | None,
        typer.Option(
            "--attended/--unattended",
            help="You are there: agents may ask you, and a pause waits for you.",
            show_default=False,
        ),
    ] = None
    otel: Annotated[
        bool | None,
        typer.Option(
            "--otel/--no-otel",
            help="Send spans and metrics by OTLP, to where OTEL_* says. See: megaagent trace",
            show_default=False,
        ),
    ] = None
    journal: Annotated[
        str | None,
        typer.Option(
            "--journal",
            metavar="ADDRESS",
            help="Where the journal is kept: postgres://USER@HOST/DATABASE, or folder.",
            show_default=False,
        ),
    ] = None

    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="KIND",
            help="local, or ray: model calls and programs go to a Ray cluster.",
            show_default=False,
        ),
    ] = None
    ray_address: RayAddress = None

    def changes(self) -> dict[str, Any]:
        """What of it was given, as settings.

        Raises:
            ConfigurationError: a `--set` is no NAME=VALUE, or options contradict each other.
        """
        from megaagent.cli.configured import assignment

        if self.runtime not in (None, "local", "ray"):
            raise ConfigurationError(f"--runtime {self.runtime}: say local or ray")
        if self.ray_address and self.runtime == "local":
            raise ConfigurationError("--ray-address is of a Ray cluster: give it with --runtime ray")

        return dict(map(assignment, self.set_ or [])) | _given(
            {
                "simulation.speed": self.speed,
                "runtime.kind": self.runtime or ("ray" if self.ray_address else None),
                "runtime.address": self.ray_address,
                "checks": self.check or None,
                "tools.functions": self.tools or None,
                "tools.mcp": self.mcp or None,
                "tools.ask_before": self.ask_before or None,
                "economy.on": self.economy,
                "attended": self.attended,
                "telemetry.otel": self.otel,
                "journal": self.journal,
            }
        )


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def how_to_name(folder: RunFolder) -> str:
    """What a person types, here, to name the run: its id where runs are kept, its path elsewhere."""
    here = runs_folder(None, os.environ).absolute()
    if folder.path.parent == here:
        return folder.id
    return quoted(shown(folder.path))


def shown(path: Path) -> str:
    """The path from here when it lies below, and with a slash so that it reads as a path."""
    try:
        relative = path.absolute().relative_to(Path.cwd())
    except ValueError:
        return str(path.absolute())
    return str(relative) if len(relative.parts) > 1 else f"./{relative}"


def quoted(word: str) -> str:
    """The word as a shell takes it."""
    import shlex

    return shlex.quote(word)
