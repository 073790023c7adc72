"""Recall: by words, by meaning where there is an embedding model, and never a reason for a run to stop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.organization.test_debts import recruit

from megaagent import events as ev
from megaagent.errors import ModelError, RunError
from megaagent.events import Message, Record, Usage
from megaagent.models.prices import Price
from megaagent.models.script import Part, Playing, Script, recall, review, say, talk, wait, write_file
from megaagent.models.vectors import Embedded, SimulatedEmbedder, likeness, packed
from megaagent.organization.likeness import Source, kept
from megaagent.organization.memory import in_order
from megaagent.settings import Settings, changed
from megaagent.testing import Rehearsal, rehearse

NOTES = ("The swimmers swam across the lake", "Bread needs flour and water", "The parser reads tokens")


def boss(me: Part) -> Playing:
    yield say(recruit("ann"), *(talk("ann", note) for note in NOTES))
    while not me.reported("ann"):
        yield wait(["ann"], "her part")
    yield review(["ann"], "accept")
    yield recall("swimmer swimming")
    yield recall("flour")
    return "done"


def ann(me: Part) -> Playing:
    yield write_file("part.txt", "text")
    return "handed in"


class Counting(SimulatedEmbedder):
    """Remembers what it was asked."""

    def __init__(self, fails: bool = False):
        super().__init__()
        self.fails = fails
        self.asked: list[Sequence[str]] = []

    async def embed(self, texts: Sequence[str]) -> Embedded:
        self.asked.append(texts)
        if self.fails:
            raise ModelError("connection", "refused")
        return await super().embed(texts)


def play(embedder: Counting | None, **options: object) -> Rehearsal:
    vectors = Source(embedder, "openai:vectors", Price(1.0, 0.0)) if embedder is not None else None
    return rehearse(Script({"boss": boss, "ann": ann}), vectors=vectors, **options)  # type: ignore[arg-type]


def recalled(run: Rehearsal) -> list[str]:
    return run.answers_to("recall", "boss")


def test_words_alone_do_not_find_what_is_said_otherwise():
    first, second = recalled(play(None))
    assert "Nothing of yours" in first
    assert "Bread needs flour" in second


def test_with_vectors_it_is_found():
    embedder = Counting()
    first, second = recalled(play(embedder))
    assert "The swimmers swam" in first.splitlines()[0]
    assert "Bread needs flour" in second.splitlines()[0]


def test_a_text_is_made_a_vector_of_once_and_paid_from_the_budget():
    embedder = Counting()
    run = play(embedder)
    told = run.facts(ev.TextsEmbedded)
    assert [fact.texts for fact in told] == [len(texts) for texts in embedder.asked]
    positions = [position for fact in told for position in fact.positions]
    assert len(positions) == len(set(positions)) >= len(NOTES)
    tokens = sum(fact.tokens for fact in told)
    assert sum(fact.cost or 0.0 for fact in told) == pytest.approx(tokens / 1e6)
    answered = run.facts(ev.ModelAnswered)
    assert run.state.run.usage.prompt == tokens + sum(answer.usage.prompt for answer in answered)
    assert run.state.run.reserved_tokens == 0
    # what others said for themselves alone is nobody's
    own = {r.position for r in run.records if isinstance(r.event, ev.ModelAnswered) and r.agent != "boss"}
    assert own
    assert not own & set(positions)


def test_a_server_that_fails_is_told_of_once_and_recall_goes_by_words():
    embedder = Counting(fails=True)
    run = play(embedder)
    assert run.ending.status == "completed"
    first, second = recalled(run)
    assert "Nothing of yours" in first
    assert "Bread needs flour" in second
    [failed] = run.facts(ev.EmbeddingFailed)
    assert (failed.model, failed.fault) == ("openai:vectors", "connection")
    assert len(embedder.asked) == 1


class Billing(Counting):
    """Is paid for answers that are of no use."""

    async def embed(self, texts: Sequence[str]) -> Embedded:
        self.asked.append(texts)
        error = ModelError("broken", "no embedding")
        error.maybe_paid, error.usage = True, Usage(1234)
        raise error


def test_what_was_paid_for_nothing_is_recorded():
    embedder = Billing()
    run = play(embedder)
    [told] = run.facts(ev.TextsEmbedded)
    assert (told.texts, told.tokens, told.positions) == (0, 1234, ())
    assert told.cost == pytest.approx(1234e-6)
    assert len(run.facts(ev.EmbeddingFailed)) == len(embedder.asked) == 1
    answered = run.facts(ev.ModelAnswered)
    assert run.state.run.usage.prompt == 1234 + sum(answer.usage.prompt for answer in answered)


def test_what_no_purse_allows_is_not_asked():
    def rich(me: Part) -> Playing:
        yield say(talk("group", "x" * 4000), recall("anything " * 200))
        return "done"

    embedder = Counting()
    dear = Source(embedder, "openai:vectors", Price(1e6, 0.0))  # a dollar a token
    chosen = changed(Settings(), {"budget.cost": 2.0}, "test")
    run = rehearse(Script({"boss": rich}), vectors=dear, price=Price(1, 1), settings=chosen)
    assert run.ending.status == "completed"
    assert embedder.asked == []


def message(position: int, sender: str, to: str, kind: ev.MessageKind = "talk") -> Record:
    return Record(position, 1, 0.0, sender, 1, ev.MessageSent(Message(f"m{position}", sender, (to,), "text", kind)))


def test_both_rankings_count_and_of_equals_the_newer_the_weightier_and_the_nearer():
    other = {n: message(n, f"boss/x{n}", f"boss/y{n}/z") for n in range(1, 9)}
    # found by both is better than found first by one
    assert in_order("boss/a/b", other, [1, 2, 3], [4, 2, 5])[0] == 2
    assert in_order("boss/a/b", {1: other[1], 2: other[2]}, [1], [2]) == [2, 1]
    pair = {1: message(1, "boss/x", "boss/y", "assignment"), 2: other[2]}
    assert in_order("boss/a/b", {1: pair[1], 2: message(2, "boss/x", "boss/y")}, [1, 2], []) == [1, 2]
    near = {1: message(1, "boss/a", "boss/a/b"), 2: other[2]}
    assert in_order("boss/a/b", near, [1], [2]) == [1, 2]


def test_a_packed_vector_keeps_its_direction():
    one = packed([0.5, -0.25, 0.0, 1.0])
    assert len(one) == 4
    assert likeness(one, packed([5.0, -2.5, 0.0, 10.0])) == pytest.approx(1.0, abs=1e-3)
    assert likeness(one, packed([-0.5, 0.25, 0.0, -1.0])) == pytest.approx(-1.0, abs=1e-3)
    assert likeness(one, packed([1.0])) == 0.0
    assert likeness(one, bytes(4)) == 0.0
    assert likeness(packed([1e308, -1e308]), packed([1.0, -1.0])) == pytest.approx(1.0)


class Damaged:
    """A journal whose contents cannot be read, or are not there."""

    def __init__(self, data: bytes | None):
        self.data = data

    def blob(self, digest: str) -> bytes | None:
        if digest == "damaged":
            raise RunError("the content is damaged")
        return self.data


def test_vectors_that_cannot_be_read_are_made_anew():
    assert kept(Damaged(None), "gone") == []  # type: ignore[arg-type]
    assert kept(Damaged(b""), "damaged") == []  # type: ignore[arg-type]
    assert kept(Damaged(b"no vectors"), "other") == []  # type: ignore[arg-type]
    assert kept(Damaged(b"\x91\xc4\x01a"), "good") == [b"a"]  # type: ignore[arg-type]
