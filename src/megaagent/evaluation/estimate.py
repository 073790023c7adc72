"""What a run will cost before it is paid for: its shape, played in virtual time at the price and pace of a model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from statistics import median

import msgspec

from megaagent import events as ev
from megaagent.choice import FIRST_PROMPT
from megaagent.errors import ConfigurationError
from megaagent.evaluation.shape import FILLER, GOBANG, Shape, filler, lasts, lasts_of, script_of, shape_of
from megaagent.events import Struct, Usage
from megaagent.folder import RunFolder
from megaagent.journal import open_reader
from megaagent.models import PROVIDERS, parse_model
from megaagent.models.gate import Gate
from megaagent.models.prices import Price, cost_of
from megaagent.models.script import Script
from megaagent.models.simulated import Latency, SimulatedModel
from megaagent.organization.economy import EconomySettings
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

STRETCHES = (0.5, 1.0, 2.0)  # of the number of steps, when no run has shown how many there are
SEEDS = 3
MOST_AGENTS = 20_000
FEW = 200  # agents up to which every seed is played
BATCHES = (600.0, 120.0, 3600.0)  # seconds that a batch is taken to last: providers promise a day, and say an hour


class Wish(Struct, frozen=True):
    """What is to be estimated.

    Attributes:
        model: `provider:name`, whose price is taken.
        price: the user's own, which takes precedence.
        requests, tokens: the provider's limits per minute; None where there are none.
        shape: of a finished run, to go by; the one of the simulated Gobang run otherwise.
        economy: which calls go by the batch.
    """

    goal: str
    agents: int
    model: str
    price: Price | None = None
    requests: float | None = None
    tokens: float | None = None
    shape: Shape | None = None
    scenario: str | None = None
    economy: EconomySettings = EconomySettings()


class Figures(Struct, frozen=True):
    """What one played run came to.

    Attributes:
        cost: US dollars.
        seconds: of virtual time, from the first fact to the last.
        cached: the share of prompt tokens that come from the provider's cache.
        programs: seconds of agents' programs, of all together.
        batched: of the calls, those that went by the batch; `saved` is by how many US dollars less than singly.
    """

    cost: float
    seconds: float
    usage: Usage
    calls: int
    agents: int
    cached: float
    programs: float = 0.0
    batched: int = 0
    saved: float = 0.0

    @property
    def tokens(self) -> int:
        return self.usage.prompt + self.usage.completion


class Estimate(Struct, frozen=True):
    """What is expected, and the least and the most of each figure among all runs that were played.

    Attributes:
        source: where the shape is from.
        spread: how the runs differ, in words.
    """

    expected: Figures
    low: Figures
    high: Figures
    played: int
    source: str
    spread: str
    pace: float


def estimate(wish: Wish, tell: Callable[[int, int], None] = lambda done, total: None) -> Estimate:
    """Play the organization some times, each a little differently.

    Args:
        tell: called with the number of runs that were played, and of all.

    Raises:
        ConfigurationError: the price is not known, or there cannot be so many agents.
    """
    if not 1 <= wish.agents <= MOST_AGENTS:
        raise ConfigurationError(f"--agents must be 1 to {MOST_AGENTS:,}, not {wish.agents:,}")
    for option, limit in (("--rpm", wish.requests), ("--tpm", wish.tokens)):
        if limit is not None and not 0 < limit < float("inf"):
            raise ConfigurationError(f"{option} must be more than 0 and finite, not {limit:g}")
    if wish.tokens is not None and wish.tokens < FIRST_PROMPT:
        raise ConfigurationError(
            f"--tpm {wish.tokens:g} has no room for one call, whose prompt alone has {FIRST_PROMPT:,} tokens and more"
        )
    if cost_of(Usage(1, 1), wish.model, wish.price) is None:
        raise ConfigurationError(
            f"the price of {wish.model} is not known: give --price IN:OUT in dollars per million tokens"
        )
    if wish.economy.on and _discount(wish) is None:
        raise ConfigurationError(f"--economy: {wish.model} is not known to take batches; leave --economy away")
    seeds = range(SEEDS if wish.agents <= FEW else 1)
    if wish.scenario == "policy" and wish.shape is None:
        plans = [(1.0, seed) for seed in seeds]
        source, spread = "the script of the scenario policy", "latencies are drawn anew"
    elif wish.shape is None:
        plans = [(stretch, seed) for stretch in STRETCHES for seed in seeds]
        source = GOBANG.source
        spread = "half as many steps of each agent, as many, and twice as many; drawn anew"
    else:
        plans = [(1.0, seed) for seed in range(2 * SEEDS - 1 if wish.agents <= FEW else 1)]
        source, spread = wish.shape.source, "who takes how many steps, and latencies, are drawn anew"
    figures: list[tuple[float, Figures]] = []
    for number, (stretch, seed) in enumerate(plans, 1):
        figures.append((stretch, _figures(_played(wish, seed, stretch), wish)))
        tell(number, len(plans))
    usual = [each for stretch, each in figures if stretch == 1.0]
    every = [each for _, each in figures]
    pace = wish.shape.pace if wish.shape else 1.0
    if wish.economy.on:
        spread += f"; batches take {', '.join(f'{each / 60:g}' for each in BATCHES)} minutes, which is made up"
    return Estimate(_of(usual, median), _of(every, min), _of(every, max), len(plans), source, spread, pace)


def like(folder: RunFolder) -> tuple[Shape, str, str]:
    """The shape of a finished run, its goal, and its model.

    Raises:
        RunError: it cannot be read, or nobody answered in it.
    """
    with closing(open_reader(folder.journal)) as reader:
        records = list(reader.records())
    began = records[0].event
    assert isinstance(began, ev.RunStarted), "every journal begins so"
    shape = shape_of(records, f"the {'simulated run' if began.simulated else 'run'} {folder.id}")
    return shape, began.goal, began.model


def _played(wish: Wish, seed: int, stretch: float) -> Rehearsal:
    shape = wish.shape or GOBANG
    latency = _at_pace(shape.pace)
    settings = _settings(wish)
    batch = BATCHES[seed % len(BATCHES)] * latency.speed
    script = _script(wish, shape, seed, stretch)
    model = SimulatedModel(script, name="sim:estimate", latency=latency, seed=seed, batch=batch)
    return rehearse(
        model,
        wish.goal,
        settings=settings,
        files={FILLER: filler(shape)},
        gate=Gate(settings.gate),
        play=lambda program, revision: (0, "done"),
        lasts=lasts,
        discount=_discount(wish) or 0.0,
    )


def _discount(wish: Wish) -> float | None:
    """Share of the price that batches of the model cost less; None when it takes none."""
    own = wish.economy.discount
    return PROVIDERS[parse_model(wish.model)[0]].batch_discount if own is None else own


def _script(wish: Wish, shape: Shape, seed: int, stretch: float) -> Script:
    if wish.scenario == "policy" and wish.shape is None:
        from megaagent.scenarios.policy.script import script

        return script(wish.agents)
    return script_of(shape, wish.agents, seed, stretch)


def _at_pace(pace: float) -> Latency:
    law = Latency()
    return msgspec.structs.replace(law, speed=1.0 / pace) if pace > 0 else law


def _settings(wish: Wish) -> Settings:
    """As a run has them, but for caps, which an estimate must not meet."""
    changes = {
        "budget.cost": 1e9,
        "budget.disk": None,
        "limits.agents": max(1_000, wish.agents + 1),
        "limits.shown": 1_000_000,
        "gate.requests": wish.requests,
        "gate.tokens": wish.tokens,
    }
    changes |= {f"economy.{name}": value for name, value in msgspec.to_builtins(wish.economy).items()}
    if wish.scenario == "policy":
        changes |= {"limits.output": 4096}
    return changed(Settings(), changes, "the estimate")


def _figures(run: Rehearsal, wish: Wish) -> Figures:
    usage, cost, saved, agents = Usage(), 0.0, 0.0, 0
    answers = run.facts(ev.ModelAnswered)
    for answer in answers:
        usage += answer.usage
        single = cost_of(answer.usage, wish.model, wish.price) or 0.0
        less = single * (_discount(wish) or 0.0) if answer.batch else 0.0
        cost, saved = cost + single - less, saved + less
    agents = len(run.facts(ev.AgentRecruited))
    programs = sum(map(lasts_of, run.facts(ev.ProgramStarted)))
    if run.ending.status != "completed":
        raise ConfigurationError(
            f"an organization of {wish.agents:,} agents cannot be played: it ended {run.ending.status}, "
            f"{run.ending.reason}"
        )
    cached = usage.cached / usage.prompt if usage.prompt else 0.0
    batched = sum(bool(answer.batch) for answer in answers)
    return Figures(cost, run.seconds, usage, len(answers), agents, cached, programs, batched, saved)


def _of(figures: list[Figures], choose: Callable[[list[float]], float]) -> Figures:
    """One figure out of each field, each for itself."""

    def one(field: Callable[[Figures], float]) -> float:
        return choose([field(each) for each in figures])

    usage = Usage(
        round(one(lambda f: f.usage.prompt)),
        round(one(lambda f: f.usage.completion)),
        round(one(lambda f: f.usage.cached)),
    )
    cost, seconds, calls = one(lambda f: f.cost), one(lambda f: f.seconds), round(one(lambda f: f.calls))
    programs, saved, batched = one(lambda f: f.programs), one(lambda f: f.saved), round(one(lambda f: f.batched))
    agents, cached = figures[0].agents, one(lambda f: f.cached)
    return Figures(cost, seconds, usage, calls, agents, cached, programs, batched, saved)
