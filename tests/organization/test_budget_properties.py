"""Whatever the order in which calls are reserved, intended, answered and given up: no cap is passed (promise P7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megaagent import events as ev
from megaagent.errors import ConfigurationError
from megaagent.events import BOSS, ENGINE, AnyEvent, Record
from megaagent.organization.budget import Exhausted, Ledger
from megaagent.organization.limits import Budget
from megaagent.organization.state import State
from megaagent.settings import Settings, changed

IN_FLIGHT = 500


class Bench:
    """A ledger with its state, and its own count of what may have been spent."""

    def __init__(self, tokens: int | None, cost: float | None, reserve: float):
        self.state = State()
        self.position = 0
        self.tell(ENGINE, ev.RunStarted("r", "g", "m", True, "{}", "0"))
        self.tell(ENGINE, ev.AgentRecruited(BOSS, "the boss", "g", "boss"))
        self.caps = (tokens, cost, reserve)
        self.ledger = Ledger(self.state, Budget(cost, tokens, None, reserve))
        self.coming: list[tuple[str, int, float]] = []
        self.under_way: list[tuple[str, int, float]] = []
        self.spent = (0, 0.0)
        self.lost = (0, 0.0)  # called off: may have been paid for, stays reserved

    def tell(self, agent: str, event: AnyEvent) -> None:
        self.position += 1
        self.state.apply(Record(self.position, 1, float(self.position), agent, 1, event))

    def committed(self) -> tuple[int, float]:
        calls = [*self.coming, *self.under_way]
        tokens = self.spent[0] + self.lost[0] + sum(call[1] for call in calls)
        return tokens, self.spent[1] + self.lost[1] + sum(call[2] for call in calls)

    def reserve(self, name: str, tokens: int, cost: float, privileged: bool) -> None:
        most, dollars, held_back = self.caps
        share = 1.0 if privileged else 1.0 - held_back
        before = self.committed()
        over = most is not None and before[0] + tokens > most * share
        over_cost = dollars is not None and before[1] + cost > dollars * share + 1e-7
        try:
            self.ledger.reserve(tokens, cost, privileged=privileged)
        except Exhausted:
            near = dollars is not None and before[1] + cost > dollars * share - 1e-7
            assert over or near, "refused although it fits"
            assert self.committed() == before
        else:
            assert not over
            assert not over_cost
            self.coming.append((name, tokens, cost))

    def intend(self) -> None:
        name, tokens, cost = self.coming.pop(0)
        self.tell(BOSS, ev.CallIntended(name, "step", "m", "", (), tokens, cost))
        self.ledger.noted(tokens, cost)
        self.under_way.append((name, tokens, cost))

    def answer(self, which: int, share: float) -> None:
        name, tokens, cost = self.under_way.pop(which % len(self.under_way))
        used, paid = int(tokens * share), round(cost * share, 9)
        self.tell(BOSS, ev.ModelAnswered(name, "x", usage=ev.Usage(prompt=used), cost=paid))
        self.spent = (self.spent[0] + used, self.spent[1] + paid)

    def give_up(self, which: int, fault: str) -> None:
        name, tokens, cost = self.under_way.pop(which % len(self.under_way))
        self.tell(BOSS, ev.CallFailed(name, fault, ""))
        if fault == "cancelled":
            self.lost = (self.lost[0] + tokens, self.lost[1] + cost)


ACTS = st.one_of(
    st.tuples(st.just("reserve"), st.integers(1, 5_000), st.integers(0, 100_000), st.booleans()),
    st.tuples(st.just("intend")),
    st.tuples(st.just("answer"), st.integers(0, IN_FLIGHT), st.floats(0.0, 1.0)),
    st.tuples(st.just("give up"), st.integers(0, IN_FLIGHT), st.sampled_from(["timeout", "broken", "cancelled"])),
)
CAPS = st.tuples(
    st.none() | st.integers(1, 300_000), st.none() | st.integers(1, 10_000).map(lambda n: n / 1000), st.floats(0.0, 0.5)
)


@settings(max_examples=150, deadline=None)
@given(caps=CAPS, acts=st.lists(ACTS, max_size=200))
def test_no_interleaving_passes_a_cap(caps, acts):
    bench = Bench(*caps)
    for number, act in enumerate(acts):
        match act:
            case ("reserve", tokens, micros, privileged):
                bench.reserve(f"boss#{number}", tokens, micros / 1e6, privileged)
            case ("intend",) if bench.coming:
                bench.intend()
            case ("answer", which, share) if bench.under_way:
                bench.answer(which, share)
            case ("give up", which, fault) if bench.under_way:
                bench.give_up(which, fault)
        tokens, cost = bench.committed()
        assert caps[0] is None or tokens <= caps[0]
        assert caps[1] is None or cost <= caps[1] + 1e-6


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 4_000), min_size=IN_FLIGHT, max_size=IN_FLIGHT), st.integers(50_000, 1_500_000))
def test_five_hundred_calls_at_once_stay_below_the_cap_and_what_is_unspent_flows_back(sizes, cap):
    bench = Bench(cap, None, 0.05)
    for number, size in enumerate(sizes):
        bench.reserve(f"boss#{number}", size, 0.0, False)
    assert bench.committed()[0] <= cap * 0.95
    while bench.coming:
        bench.intend()
    assert bench.state.run.reserved_tokens == bench.committed()[0]
    while bench.under_way:
        bench.answer(7, 0.5)
    assert bench.state.run.reserved_tokens == 0
    assert bench.state.run.usage.prompt == bench.spent[0]


def test_what_is_reported_beyond_the_reservation_is_debited_and_stops_new_calls():
    bench = Bench(1_000, None, 0.0)
    bench.reserve("boss#1", 100, 0.0, False)
    bench.intend()
    bench.answer(0, 11.0)
    assert bench.state.run.usage.prompt == 1_100
    with pytest.raises(Exhausted, match="1,100 used"):
        bench.ledger.reserve(1, 0.0, privileged=True)


@pytest.mark.parametrize("name", ["budget.tokens", "budget.cost", "budget.seconds"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_cap_of_nothing_is_refused_before_anything_is_spent(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be more than 0"):
        changed(Settings(), {name: value}, "test")
