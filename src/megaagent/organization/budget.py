"""What a run may still spend: reserved before each call, settled by the answer (promise P7).

The journal holds what was spent and what is reserved; this keeps, besides, what is reserved for calls whose intent is
on its way into the journal, so that the sum can never pass a cap however many calls begin at once.
"""

from __future__ import annotations

from megaagent.organization.limits import Budget
from megaagent.organization.state import State


class Exhausted(Exception):
    """A reservation would pass a cap; the text names it."""


class Ledger:
    """Reservations of one run.

    Args:
        state: the organization; read for what is spent and reserved.
        budget: the caps, unless a person has raised them since.
    """

    def __init__(self, state: State, budget: Budget):
        self._state = state
        self._budget = budget
        self._coming_tokens = 0
        self._coming_cost = 0.0

    def reserve(self, tokens: int, cost: float | None, *, privileged: bool = False) -> None:
        """Reserve for one call, until `noted` says that its intent is in the journal.

        Args:
            tokens: prompt as counted with a margin, and the whole output allowed.
            cost: US dollars of that; None when the model's price is unknown.
            privileged: reviews by the boss and the verifier may use what is held back for them.

        Raises:
            Exhausted: a cap would be passed; nothing is reserved.
        """
        share = 1.0 if privileged else 1.0 - self._budget.reserve
        run = self._state.run
        most_tokens, most_cost = self.tokens, self.cost
        if most_tokens is not None:
            used = run.usage.prompt + run.usage.completion + run.reserved_tokens + self._coming_tokens
            if used + tokens > most_tokens * share:
                raise Exhausted(f"the token budget of {most_tokens:,} would be passed ({used:,} used or reserved)")
        if most_cost is not None and cost is not None:
            used_cost = run.cost + run.reserved_cost + self._coming_cost
            if used_cost + cost > most_cost * share:
                raise Exhausted(f"the budget of ${most_cost:.2f} would be passed (${used_cost:.4f} used or reserved)")
        self._coming_tokens += tokens
        self._coming_cost += cost or 0.0

    def noted(self, tokens: int, cost: float | None) -> None:
        """The intent that this was reserved for is in the journal, or was given up."""
        self._coming_tokens -= tokens
        self._coming_cost -= cost or 0.0

    def out_of_time(self, now: float) -> bool:
        """Whether the wall time of the run is used up."""
        return self.seconds_left(now) == 0.0

    def seconds_left(self, now: float) -> float | None:
        """Wall time that is left, or None without a cap."""
        run = self._state.run
        return None if self.seconds is None else max(0.0, self.seconds - run.active_seconds - (now - run.resumed))

    @property
    def tokens(self) -> int | None:
        raised = self._state.run.max_tokens
        return self._budget.tokens if raised is None else raised

    @property
    def cost(self) -> float | None:
        raised = self._state.run.max_cost
        return self._budget.cost if raised is None else raised

    @property
    def seconds(self) -> float | None:
        raised = self._state.run.max_seconds
        return self._budget.seconds if raised is None else raised

    def share_used(self) -> float:
        """The largest share of a cap that is spent, 0 to 1 and beyond."""
        run = self._state.run
        shares = [0.0]
        if self.tokens:
            shares.append((run.usage.prompt + run.usage.completion) / self.tokens)
        if self.cost:
            shares.append(run.cost / self.cost)
        return max(shares)
