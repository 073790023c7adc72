"""The figures of the paper (Wang et al., arXiv 2408.09955, Findings of ACL 2025), to be set beside others.

They are the paper's own, made by another implementation with the model that is named; nothing here was measured again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from megaagent.events import Struct

WHOSE: Final = "the paper (arXiv 2408.09955)"


class PaperFigures(Struct, frozen=True):
    """What the paper reports; None where it says nothing that is known here.

    Attributes:
        score: percent.
    """

    score: float | None = None
    agents: int | None = None
    seconds: float | None = None
    model: str = "GPT-4o"

    @property
    def in_words(self) -> str:
        """What is reported, in a line."""
        score = [f"score {self.score:.1f}%"] if self.score is not None else []
        agents = [f"{self.agents:,} agents"] if self.agents is not None else []
        return ", ".join([*score, *agents, *([f"{self.seconds:,.0f} s"] if self.seconds is not None else [])])


PAPER: Final[Mapping[str, PaperFigures]] = {
    "mbpp": PaperFigures(92.2),
    "humaneval": PaperFigures(93.3),
    "math": PaperFigures(69.0),
    "gsm8k": PaperFigures(93.0),
    "gobang": PaperFigures(agents=7, seconds=800),
    "policy": PaperFigures(agents=590, seconds=2991),
}
"""By the name of the evaluation."""
