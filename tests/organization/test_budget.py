"""Purses are a tree: whatever the order in which calls begin and end, none passes a cap above it (promise P7)."""

from __future__ import annotations

from random import Random

import pytest
from campaigns.budget import IN_FLIGHT
from campaigns.purses import Books, Caps, play
from hypothesis import given, settings
from hypothesis import strategies as st

from megaagent.errors import ConfigurationError
from megaagent.events import BOSS, VERIFIER
from megaagent.organization.budget import Crowded, Exhausted
from megaagent.settings import Settings, changed

WHO = st.integers(0, 40)
ACTS = st.one_of(
    st.tuples(st.just("recruit"), WHO),
    st.tuples(st.just("reserve"), WHO, st.integers(1, 6_000), st.integers(0, 50_000).map(lambda n: n / 1e6)),
    st.tuples(st.just("reserve"), WHO, st.integers(1, 6_000), st.integers(0, 50_000).map(lambda n: n / 1e6)),
    st.tuples(st.just("intend"), WHO),
    st.tuples(st.just("intend"), WHO),
    st.tuples(st.just("answer"), WHO, st.sampled_from([0.0, 0.3, 1.0, 5.0])),
    st.tuples(st.just("fail"), WHO, st.sampled_from(["timeout", "broken", "cancelled"]), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("give_up"), WHO),
    st.tuples(
        st.just("set_aside"), WHO, st.none() | st.integers(1, 30_000), st.none() | st.sampled_from([0.01, 0.1, 1.0])
    ),
    st.tuples(st.just("close"), WHO),
    st.tuples(st.just("assign"), WHO),
    st.tuples(st.just("retire"), WHO),
)
OF_AGENTS = ("recruit", "reserve", "set_aside", "close", "assign", "retire")
CAPS = st.builds(
    Caps,
    st.none() | st.integers(1_000, 300_000),
    st.none() | st.sampled_from([0.01, 0.5, 10.0]),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.sampled_from([1.0, 0.8, 0.3]),
    st.none() | st.integers(1, 40),
)


@settings(max_examples=300, deadline=None)
@given(caps=CAPS, acts=st.lists(ACTS, max_size=120))
def test_no_interleaving_over_any_tree_passes_a_cap_and_no_money_is_lost(caps: Caps, acts: list[tuple[str, ...]]):
    books = Books(caps)
    for name, which, *more in acts:
        agents = list(books.groups)
        subject = agents[int(which) % len(agents)] if name in OF_AGENTS else which
        getattr(books, name)(subject, *more)
    books.check()
    books.settle()
    books.check()
    books.check_fold()


@pytest.mark.parametrize("seed", range(4))
def test_five_hundred_calls_at_once_over_a_tree(seed: int):
    books = Books(Caps(5_000_000, 100.0, share=0.9))
    play(books, Random(seed), 3_000, IN_FLIGHT)
    assert books.most >= IN_FLIGHT * 0.8


def small(tokens: int = 10_000, **more: float) -> Books:
    books = Books(Caps(tokens, None, **more))
    books.recruit(BOSS)
    return books


def test_a_lone_child_may_use_all_that_is_not_held_back_for_reviews():
    books = small(reserve=0.1, share=0.5)
    books.ledger.reserve("boss/a1", 9_000, None)
    with pytest.raises(Crowded):
        books.ledger.reserve("boss/a1", 1, None)
    books.ledger.reserve(BOSS, 500, None)  # for reviews
    with pytest.raises(Crowded):
        books.ledger.reserve(BOSS, 1, None)
    books.ledger.reserve(VERIFIER, 500, None)  # what is left is the verifier's


def test_one_of_two_may_use_its_share_and_its_sibling_the_rest():
    books = small(reserve=0.0, share=0.6)
    books.recruit(BOSS)
    books.reserve("boss/a1", 6_000, 0.0)
    books.intend(0)
    books.answer(0, 1.0)
    with pytest.raises(Exhausted, match="a1's token budget of 6,000 would be passed") as refused:
        books.ledger.reserve("boss/a1", 1, None)
    assert (refused.value.agent, refused.value.whole) == ("boss/a1", False)
    books.ledger.reserve("boss/a2", 4_000, None)


def test_who_is_refused_by_the_run_is_the_part_below_the_boss():
    books = small(reserve=0.1)
    books.recruit("boss/a1")
    books.reserve(BOSS, 9_000, 0.0)
    books.intend(0)
    books.answer(0, 1.0)
    with pytest.raises(Exhausted) as refused:
        books.ledger.reserve("boss/a1/a2", 1, None)
    assert (refused.value.agent, refused.value.whole) == ("boss/a1", True)
    with pytest.raises(Exhausted) as refused:
        books.ledger.reserve(BOSS, 501, None)
    assert refused.value.agent is None


def test_what_is_set_aside_is_kept_from_the_others_and_flows_back_when_the_debt_is_closed():
    books = small(reserve=0.0, share=1.0)
    books.recruit(BOSS)
    books.set_aside("boss/a1", 6_000, None)
    books.ledger.reserve("boss/a2", 4_000, None)
    books.ledger.noted("boss/a2", 4_000, None)
    with pytest.raises(Exhausted):
        books.ledger.reserve("boss/a2", 4_001, None)
    books.reserve("boss/a1", 1_000, 0.0)
    books.intend(0)
    books.answer(0, 1.0)
    with pytest.raises(Exhausted):
        books.ledger.reserve("boss/a2", 4_001, None)
    books.close("boss/a1")
    with pytest.raises(Exhausted):
        books.ledger.reserve("boss/a2", 9_001, None)
    books.ledger.reserve("boss/a2", 9_000, None)


def test_what_is_set_aside_is_there_however_much_the_others_use():
    books = small(reserve=0.0, share=1.0)
    books.recruit(BOSS)
    books.recruit("boss/a1")
    books.set_aside("boss/a1", 6_000, None)
    books.reserve("boss/a2", 4_000, 0.0)
    for agent in ("boss/a1/a3", "boss/a1"):
        books.reserve(agent, 3_000, 0.0)
    assert len(books.coming) == 3
    while books.coming:
        books.intend(0)
    while books.flying:
        books.answer(0, 1.0)
    books.check()
    with pytest.raises(Exhausted):
        books.ledger.reserve("boss/a1", 1, None)


def test_no_more_is_set_aside_than_there_is_nor_less_than_is_used():
    books = small(reserve=0.0, share=1.0)
    books.reserve("boss/a1", 3_000, 0.0)
    assert "the run has only 7,000 tokens" in books.ledger.against("boss/a1", 10_001, None)
    assert "below what is used" in books.ledger.against("boss/a1", 3_000, None)
    assert books.ledger.against("boss/a1", 10_000, None) == ""


def test_what_is_reported_beyond_the_reservation_is_debited_at_every_level_and_stops_new_calls():
    books = small(1_000, reserve=0.0)
    books.recruit("boss/a1")
    books.reserve("boss/a1/a2", 100, 0.0)
    books.intend(0)
    books.answer(0, 11.0)
    assert books.state.run.usage.prompt == books.state.tally_of("boss/a1").tokens == 1_100
    for agent in (BOSS, "boss/a1", "boss/a1/a2", VERIFIER):
        with pytest.raises(Exhausted, match="1,100 used"):
            books.ledger.reserve(agent, 1, 0.0)


def test_no_step_beyond_the_last_is_begun():
    books = Books(Caps(steps=2))
    books.reserve(BOSS, 1, 0.0)
    books.reserve(BOSS, 1, 0.0)
    with pytest.raises(Crowded, match="2 steps"):
        books.ledger.reserve(BOSS, 1, 0.0)
    for _ in range(2):
        books.intend(0)
        books.answer(0, 1.0)
    with pytest.raises(Exhausted, match="2 steps"):
        books.ledger.reserve(BOSS, 1, 0.0)


@pytest.mark.parametrize("name", ["budget.tokens", "budget.cost", "budget.seconds", "budget.steps", "budget.disk"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_cap_of_nothing_is_refused_before_anything_is_spent(name: str, value: int):
    with pytest.raises(ConfigurationError, match=f"{name} must be more than 0"):
        changed(Settings(), {name: value}, "test")
