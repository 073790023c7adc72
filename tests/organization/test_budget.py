"""Promise P7: nothing is started whose reservation would pass a cap, in whatever order calls begin and end."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from megaagent import events as ev
from megaagent.events import Record
from megaagent.organization.budget import Exhausted, Ledger
from megaagent.organization.limits import Budget
from megaagent.organization.state import State

CAP = 10_000

asked = st.tuples(st.just("reserve"), st.integers(1, 4_000), st.booleans())
kept = st.tuples(st.just("intend"), st.integers(0, 50), st.booleans())
answered = st.tuples(st.just("answer"), st.integers(0, 50), st.booleans())
failed = st.tuples(st.just("fail"), st.integers(0, 50), st.booleans())
given_up = st.tuples(st.just("give up"), st.integers(0, 50), st.booleans())


class Purse:
    """A ledger with its state, and a plain account of the same calls beside it."""

    def __init__(self, overshoot: int) -> None:
        self.state = State()
        self.ledger = Ledger(self.state, Budget(cost=None, tokens=CAP, reserve=0.1))
        self.coming: list[tuple[str, int]] = []
        self.flying: list[tuple[str, int]] = []
        self.spent = self.stuck = 0
        self._overshoot = overshoot
        self._ids = count(1)

    @property
    def held(self) -> int:
        return self.spent + self.stuck + sum(tokens for _, tokens in [*self.coming, *self.flying])

    def reserve(self, tokens: int, privileged: bool) -> None:
        allowed = CAP if privileged else CAP * 0.9
        try:
            self.ledger.reserve(tokens, None, privileged=privileged)
        except Exhausted:
            assert self.held + tokens > allowed  # it refuses only what would pass
            return
        assert self.held + tokens <= allowed  # and all that would
        self.coming.append((f"boss#{next(self._ids)}", tokens))

    def intend(self, which: int, _: bool) -> None:
        if self.coming:
            call, tokens = self.coming.pop(which % len(self.coming))
            self._fold(ev.CallIntended(call, "verify", "sim:x", "", (), tokens))
            self.ledger.noted(tokens, None)
            self.flying.append((call, tokens))

    def give_up(self, which: int, _: bool) -> None:
        if self.coming:
            _call, tokens = self.coming.pop(which % len(self.coming))
            self.ledger.noted(tokens, None)

    def answer(self, which: int, whole: bool) -> None:
        if self.flying:
            call, tokens = self.flying.pop(which % len(self.flying))
            used = tokens + self._overshoot if whole else tokens // 2
            self._fold(ev.ModelAnswered(call, usage=ev.Usage(used, 0)))
            self.spent += used

    def fail(self, which: int, cancelled: bool) -> None:
        if self.flying:
            call, tokens = self.flying.pop(which % len(self.flying))
            self._fold(ev.CallFailed(call, "cancelled" if cancelled else "timeout", ""))
            self.stuck += tokens if cancelled else 0  # it may have been paid for

    def _fold(self, event: ev.CallIntended | ev.ModelAnswered | ev.CallFailed) -> None:
        self.state.apply(Record(self.state.position + 1, 1, 0.0, ev.VERIFIER, 1, event))


def play(purse: Purse, acts: list[tuple[str, int, bool]]) -> None:
    for name, number, flag in acts:
        getattr(purse, name.replace(" ", "_"))(number, flag)


@given(st.lists(st.one_of(asked, asked, kept, kept, answered, failed, given_up), max_size=80))
def test_no_interleaving_of_calls_passes_the_cap(acts: list[tuple[str, int, bool]]):
    purse = Purse(overshoot=0)
    play(purse, acts)
    run = purse.state.run
    assert run.usage.prompt + run.reserved_tokens + sum(tokens for _, tokens in purse.coming) == purse.held <= CAP


@given(st.lists(st.one_of(asked, asked, kept, kept, answered, answered), max_size=80))
def test_a_provider_that_reports_more_than_reserved_is_debited_and_stops_new_calls(
    acts: list[tuple[str, int, bool]],
):
    purse = Purse(overshoot=5_000)
    play(purse, acts)
    assert purse.state.run.usage.prompt == purse.spent
    if purse.spent >= CAP:
        before = len(purse.coming)
        purse.reserve(1, True)
        assert len(purse.coming) == before


@given(st.lists(st.integers(1, 4_000), max_size=40))
def test_what_was_not_spent_flows_back(reservations: list[int]):
    purse = Purse(overshoot=0)
    for tokens in reservations:
        purse.reserve(tokens, True)
    for number in range(len(purse.coming)):
        purse.intend(number, False)
    while purse.flying:
        purse.fail(0, False)
    assert (purse.state.run.reserved_tokens, purse.held) == (0, 0)
    purse.reserve(CAP, True)
    assert purse.held == CAP
