"""An evaluation from its items to rows of results: many runs at once, behind one gate, within one purse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from megaagent import __version__
from megaagent.choice import Adapters, check_price, is_simulated, open_models
from megaagent.errors import ConfigurationError, ModelError, RunError, SandboxError
from megaagent.evaluation.arms import SINGLE, Arm, single_tokens
from megaagent.evaluation.asker import Asker
from megaagent.evaluation.contract import Benchmark, Item, Mark
from megaagent.evaluation.itemruns import Ran, delivered, earlier, live_through
from megaagent.evaluation.panel import Opinion, judged, paid_for
from megaagent.evaluation.played import played_models
from megaagent.evaluation.programs import Judge, judging
from megaagent.evaluation.purse import CapReachedError, Purse, Share
from megaagent.evaluation.results import Plan, Results, Row, opened
from megaagent.evaluation.scoring import score_one
from megaagent.events import Struct
from megaagent.models.contract import Model
from megaagent.sandboxes import Probe, probe
from megaagent.sandboxes.contract import Level
from megaagent.settings import Settings, changed

RUNS = "runs"
PANEL = "panel.jsonl"


class Wish(Struct, frozen=True):
    """What is to be evaluated.

    Attributes:
        data: digest of all items that there are, so that others of the same names are noticed.
        settings: of every run, the caps of one item among them.
        max_cost: US dollars for all items of all arms, those of earlier calls included.
        repeats: runs of each item under each arm.
        parallel: items under way at once.
    """

    benchmark: Benchmark
    items: Sequence[Item]
    arms: Sequence[Arm]
    settings: Settings
    into: Path
    data: str
    max_cost: float
    repeats: int = 1
    parallel: int = 8


class Outcome(Struct, frozen=True):
    """What an evaluation came to.

    Attributes:
        rows: of this wish's arms, items and repeats; those of earlier calls among them.
        left: runs that were not begun, since the money would not do or a person must act first.
        halted: it is a person who must act.
        waiting: runs of the single agent that wait for the first arm's, since they may use as many tokens.
        failed: what could not be run or scored, in words; it is tried again by the next call.
    """

    plan: Plan
    rows: list[Row]
    left: int
    failed: list[str]
    spent: float
    halted: bool = False
    waiting: int = 0


async def evaluate(
    wish: Wish,
    *,
    environ: Mapping[str, str],
    tell: Callable[[Row], None] = lambda row: None,
    begins: Callable[[], None] = lambda: None,
    waits: Callable[[str | None], None] = lambda reason: None,
    models: Mapping[str, Model] | None = None,
    sandbox: Probe | None = None,
) -> Outcome:
    """Run and score every item under every arm that has no result yet.

    Args:
        tell: called with each new row.
        begins: called once, when all is found to be in order and before the first run.
        waits: called with why runs wait for their disk, and with None when they go on.
        models: ready-made models by `provider:name`, for tests.
        sandbox: for all runs; searched for, once, when not given.

    Raises:
        ConfigurationError: it cannot work as it is set; nothing was spent.
    """
    item = wish.settings.budget.cost
    settings = changed(wish.settings, {"budget.cost": min(item or wish.max_cost, wish.max_cost)}, "--max-cost")
    check_price(settings)
    if settings.runtime.kind != "local":
        raise ConfigurationError("eval asks its models in this process: leave runtime.kind as local")
    given = models if models is not None else played_models(wish.benchmark, wish.items, wish.settings)
    plan = plan_of(wish)
    async with AsyncExitStack() as stack:
        adapters = open_models(settings, environ, given)
        stack.push_async_callback(adapters.close)
        sandbox = sandbox or await probe(Level[settings.sandbox.level.upper()])
        judge = None
        if wish.benchmark.runs_programs:
            judge = await stack.enter_async_context(judging(seconds=wish.benchmark.seconds, sandbox=sandbox))
        results = stack.enter_context(opened(wish.into, plan))
        evaluation = _Evaluation(wish, adapters, judge, results, environ, tell, waits, sandbox)
        begins()
        await evaluation.go()
        wanted = set(evaluation.keys())
        rows = [row for row in results.rows if row.key in wanted]
        spent = evaluation.purse.spent
        return Outcome(plan, rows, evaluation.left, evaluation.failed, spent, evaluation.halted, evaluation.waiting)


def digest_of(items: Sequence[Item]) -> str:
    """A short digest of items and questions."""
    return sha256(msgspec.json.encode([(item.id, item.question) for item in items])).hexdigest()[:16]


def plan_of(wish: Wish) -> Plan:
    """What makes this evaluation another one than others in the same folder."""
    tree: dict[str, Any] = msgspec.to_builtins(wish.settings)
    for cap in ("budget", "gate", "durability"):
        tree.pop(cap, None)
    told = msgspec.json.encode(tree, order="deterministic").decode()
    name = wish.settings.model.name or ""
    return Plan(wish.benchmark.name, name, wish.data, told, __version__, is_simulated(wish.settings))


class _Evaluation:
    def __init__(
        self,
        wish: Wish,
        adapters: Adapters,
        judge: Judge | None,
        results: Results,
        environ: Mapping[str, str],
        tell: Callable[[Row], None],
        waits: Callable[[str | None], None],
        sandbox: Probe,
    ):
        self._wish = wish
        self._adapters = adapters
        self._judge = judge
        self._results = results
        self._environ = environ
        self._tell = tell
        self._waits_for_disk = waits
        self._trouble: str | None = None
        self._sandbox = sandbox
        self._places = asyncio.Semaphore(wish.parallel)
        self.halted = False
        self.left = 0
        self.waiting = 0
        self.failed: list[str] = []
        spent = sum(row.cost + row.panel for row in results.rows)
        self.purse = Purse(wish.max_cost, spent + self._begun())
        self._asker = Asker(wish.settings, adapters, self.purse)

    def keys(self) -> list[tuple[str, str, int]]:
        """What is to be there in the end."""
        samples = range(self._wish.repeats)
        return [(a.name, item.id, n) for a in self._wish.arms for item in self._wish.items for n in samples]

    def _begun(self) -> float:
        """What runs have spent that were cut off before their result."""
        spent = 0.0
        for arm in self._wish.arms:
            for item in self._wish.items:
                for sample in range(self._wish.repeats):
                    place = self._place(arm, item, sample)
                    if (arm.name, item.id, sample) not in self._results.known and place.exists():
                        spent += self._spent_on(place) + paid_for(place / PANEL)
        return spent

    def _spent_on(self, place: Path) -> float:
        try:
            before = earlier(place)
        except RunError:  # a journal that cannot be read: it may have been all
            return self._wish.settings.budget.cost or 0.0
        return before.cost if before is not None else 0.0

    async def go(self) -> None:
        """Arm after arm, so that the single agent's budget is known when it begins."""
        for arm in self._wish.arms:
            async with asyncio.TaskGroup() as group:
                for item in self._wish.items:
                    for sample in range(self._wish.repeats):
                        if (arm.name, item.id, sample) not in self._results.known:
                            group.create_task(self._one(arm, item, sample))

    async def _one(self, arm: Arm, item: Item, sample: int) -> None:
        async with self._places:
            if self.halted:
                self.left += 1
                return
            if self._waits(arm, item, sample):
                self.waiting += 1
                return
            place = self._place(arm, item, sample)
            budget = self._tokens_of(arm, item, sample)
            try:
                cap = self._wish.settings.budget.cost or self._wish.max_cost
                async with self.purse.share(min(cap, self._wish.max_cost)) as share:
                    ran = await self._run(arm, item, place, share, budget)
                mark, panel = await self._marked(item, ran, place)
            except CapReachedError:
                self.left += 1
                return
            except (RunError, ConfigurationError, ModelError, SandboxError, OSError) as error:
                self.failed.append(f"{arm.name}, {item.id}: {error}")
                return
            if not ran.over:
                self.halted = self.halted or ran.status == "paused"  # a person must act: so would the next ones
                self.failed.append(f"{arm.name}, {item.id}: its run is {ran.status or 'cut off'}: {ran.reason}")
                return
            row = self._row(arm, item, sample, ran, mark, budget, panel)
            try:
                self._results.add(row)
            except RunError as error:  # its run is kept, so the next call takes the result from there
                self.failed.append(f"{arm.name}, {item.id}: {error}")
                return
            self._tell(row)

    async def _run(self, arm: Arm, item: Item, place: Path, share: Share, budget: int | None) -> Ran:
        changes = {**arm.changes, "budget.cost": share.amount, "budget.tokens": budget}
        settings = changed(self._wish.settings, changes, f"arm {arm.name}")
        benchmark, models = self._wish.benchmark, self._adapters.another(settings, self._environ)
        before = earlier(place)
        spent = before.cost if before is not None else 0.0
        try:
            ran = await live_through(
                None if benchmark.scenario else benchmark.goal(item),
                benchmark.scenario,
                settings,
                place,
                models,
                self._environ,
                self._sandbox,
                self._look_at_disk,
            )
        except BaseException:
            after = earlier(place)
            share.spent = max(0.0, after.cost - spent) if after is not None else 0.0
            raise
        share.spent = max(0.0, ran.cost - spent)
        return ran

    def _look_at_disk(self, reason: str | None) -> None:
        """All runs have one disk, so what one of them says is told once."""
        if reason != self._trouble:
            self._trouble = reason
            self._waits_for_disk(reason)

    async def _marked(self, item: Item, ran: Ran, place: Path) -> tuple[Mark, float]:
        """The mark of what was delivered, and what a panel that was asked about it cost."""
        benchmark = self._wish.benchmark
        files = await asyncio.to_thread(delivered, ran)
        mark = await score_one(benchmark, item, benchmark.answer(item, ran.report, files), self._judge)
        if not benchmark.panel or not ran.over:
            return mark, 0.0
        goal = benchmark.goal(item)
        verdicts = await judged(goal, files, benchmark.panel, self._asker.ask, place / PANEL)
        total = len(verdicts.opinions)
        parts = {f"panel: {opinion}": (verdicts.count(opinion), total) for opinion in get_args(Opinion)}
        return replace(mark, parts=mark.parts | parts), verdicts.cost

    def _waits(self, arm: Arm, item: Item, sample: int) -> bool:
        """Whether it is for the single agent, of whom nobody knows yet how many tokens it may use."""
        first = self._wish.arms[0].name
        return arm.name == SINGLE != first and (first, item.id, sample) not in self._results.known

    def _tokens_of(self, arm: Arm, item: Item, sample: int) -> int | None:
        """The single agent may use as many tokens as the first arm did on the same item."""
        settings = self._wish.settings
        first = self._results.known.get((self._wish.arms[0].name, item.id, sample))
        if arm.name != SINGLE or first is None or first.arm == SINGLE:
            return settings.budget.tokens
        return single_tokens(first.tokens, first.reserved, settings)

    def _place(self, arm: Arm, item: Item, sample: int) -> Path:
        name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in item.id)[:60]
        mark = sha256(item.id.encode()).hexdigest()[:6]
        return self._wish.into / RUNS / arm.name / f"{name}-{mark}-{sample}"

    def _row(self, arm: Arm, item: Item, sample: int, ran: Ran, mark: Mark, budget: int | None, panel: float) -> Row:
        return Row(
            arm.name,
            item.id,
            sample,
            mark.passed,
            mark.share,
            mark.why,
            mark.parts,
            ran.status,
            ran.path.absolute().relative_to(self._wish.into.absolute()).as_posix(),
            ran.usage.prompt,
            ran.usage.completion,
            ran.usage.cached,
            round(ran.cost, 6),
            ran.unpriced,
            round(ran.seconds, 3),
            ran.agents,
            ran.steps,
            ran.stages,
            budget,
            round(panel, 6),
            ran.reserved,
        )
