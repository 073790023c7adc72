"""What every benchmark is: items, how an agent organization is asked for each, and how an answer is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from megaagent.events import Struct

if TYPE_CHECKING:
    from megaagent.evaluation.programs import Judge


# An item of these is small: it needs no long answers, few programs, and little money.
ITEM: Mapping[str, Any] = {
    "limits.output": 4096,
    "limits.agents": 20,
    "budget.cost": 0.5,
    "sandbox.programs": 1,
}


class Item(Struct, frozen=True):
    """One problem.

    Attributes:
        id: as the data set names it, or its place in the file.
        question: its own text, by which a prediction without an id is recognized; never all of the prompt.
        data: the fields of the data set.
        known: a right answer in the form of a prediction, where the data set has one.
    """

    id: str
    question: str
    data: dict[str, Any]
    known: str | None = None


class Prediction(Struct, frozen=True):
    """One answer to one item.

    Attributes:
        whole: it is complete; of a program: not the continuation of its prompt.
    """

    id: str
    text: str
    whole: bool = False


class Mark(Struct, frozen=True):
    """What an answer was worth.

    Attributes:
        why: what was wrong, for people.
        worth: where an answer can be right in part, how far it is, 0 to 1.
        parts: named points beside the score, each passed of how many.
    """

    passed: bool
    why: str = ""
    parts: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict[str, tuple[int, int]])
    worth: float | None = None

    @property
    def share(self) -> float:
        """What it adds to a score."""
        return float(self.passed) if self.worth is None else self.worth


class Source(Struct, frozen=True):
    """Where a public data set is, for whoever has the package `datasets`.

    Attributes:
        parts: configurations that together are the set.
    """

    path: str
    parts: tuple[str, ...]
    split: str
    licence: str


class Benchmark(Protocol):
    """A public benchmark."""

    name: str
    title: str
    source: Source | None  # None: it needs no data
    samples: bool  # several answers to an item are samples of it
    fields: tuple[str, ...]  # of a line of predictions, in which the answer is looked for
    whole: tuple[str, ...]  # of these, those whose text is complete by itself
    file: str | None  # in which the answer is delivered; None: in the report, or in more than one
    scenario: str | None  # whose run it is, where it is not just a goal
    settings: Mapping[str, Any]  # what differs from the default settings of a run
    runs_programs: bool  # `score` needs a judge
    panel: tuple[str, ...]  # of the delivered files, the patterns of those that a panel of judges is asked about
    seconds: float  # of processor time for one of them

    def read(self, data: Path) -> Sequence[Mapping[str, Any]]:
        """The rows of the public files.

        Raises:
            ConfigurationError: they cannot be read.
        """
        ...

    def items(self, rows: Sequence[Mapping[str, Any]], data: Path | None) -> list[Item]:
        """The problems in the rows of the data set, in their order.

        Raises:
            ConfigurationError: a row lacks what the benchmark needs; says which.
        """
        ...

    def goal(self, item: Item) -> str:
        """What a boss is told; says everything that `answer` relies on, and nothing of what is scored in secret."""
        ...

    def answer(self, item: Item, report: str, files: Mapping[str, str]) -> Prediction:
        """The answer in what a run delivered."""
        ...

    def right_answer(self, item: Item) -> str:
        """An answer that is right, as it is to be delivered; empty when none is known."""
        ...

    async def score(self, item: Item, prediction: Prediction, judge: Judge | None) -> Mark:
        """Score one answer by the reference implementation's definition.

        Args:
            judge: for benchmarks whose answers are programs.
        """
        ...
