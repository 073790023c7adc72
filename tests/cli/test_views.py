"""The view model and the pictures of it, without a terminal."""

from __future__ import annotations

import time
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from rich.cells import cell_len

from megaagent import events as ev
from megaagent.cli.drawing import frame, outline
from megaagent.cli.facts import Teller, act
from megaagent.cli.panorama import Panorama
from megaagent.cli.words import ASCII, UNICODE, amount, clean, clean_block, clean_json, duration, fit, money
from megaagent.events import AnyEvent, Message, Record, ToolCall, Usage


class History:
    """Facts one after the other, a second apart."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.add("engine:", ev.RunStarted("r", "goal", "openai:m", False, '{"budget": {"cost": 4.0}}', "0"))
        self.add("engine:", ev.AgentRecruited("boss", "the boss", "goal", "boss"))

    def add(self, agent: str, *events: AnyEvent, step: int = 1) -> History:
        for event in events:
            position = len(self.records) + 1
            self.records.append(Record(position, 1, 1000.0 + position, agent, step, event))
        return self

    def step(self, agent: str, *calls: ToolCall, step: int = 1) -> History:
        call = f"{agent}#{step}"
        intended = ev.CallIntended(call, "step", "openai:m", "")
        return self.add(agent, intended, ev.ModelAnswered(call, calls=calls, usage=Usage(1000, 200), cost=0.25))

    def recruit(self, *agents: str) -> History:
        for agent in agents:
            superior = agent.rpartition("/")[0]
            self.add(superior, ev.AgentRecruited(agent, "works", "p"))
            self.add(superior, ev.AssignmentOpened(f"for {agent}", agent, superior, "do"))
        return self

    def seen(self) -> Panorama:
        panorama = Panorama()
        for record in self.records:
            panorama.take_in(record)
        return panorama


def drawn(panorama: Panorama, width: int = 80, height: int = 24, notice: str = "") -> list[str]:
    return [line.plain for line in frame(panorama, panorama.last, width, height, UNICODE, notice)]


def call(tool: str, **arguments: object) -> ToolCall:
    return ToolCall("c", tool, msgspec.json.encode(arguments).decode())


# -- the view model ----------------------------------------------------------------------------------------------------


def test_the_life_of_an_agent_in_words():
    history = History().recruit("boss/search")
    stands: list[tuple[str, str]] = []

    def note() -> None:
        row = history.seen().rows["boss/search"]
        stands.append((row.stand, row.act))

    note()
    history.step("boss/search", call("write_file", path="search.py", content="x" * 9), call("wait", names=["rules"]))
    note()
    history.add("boss/search", ev.TurnEnded("wait", ("boss/rules",), "need the board"))
    note()
    history.add("boss/search", ev.WorkReported(("for boss/search",), "done"), ev.TurnEnded("terminate"))
    note()
    history.add("boss", ev.WorkReviewed("for boss/search", "return", "no tests"))
    note()
    history.add("boss/search", ev.WorkReported(("for boss/search",), "done"))
    history.add("boss", ev.WorkReviewed("for boss/search", "accept"))
    note()
    history.step("boss/search", call("talk", to="boss"), step=2).add("boss/search", ev.TurnEnded("terminate"))
    note()
    assert stands == [
        ("new", "has a task"),
        ("busy", "writes search.py"),
        ("waiting", "waits for rules: need the board"),
        ("handed in", "handed in"),
        ("new", "returned: no tests"),
        ("accepted", "accepted"),
        ("accepted", "accepted"),
    ]


def test_figures_are_sums_of_the_facts():
    history = History().recruit("boss/a").step("boss").step("boss/a").step("boss/a", step=2)
    history.add("boss", ev.MessageSent(Message("m", "boss", ("boss/a",), "hello")))
    history.add("boss/a", ev.FileCommitted("a.py", "0" * 40, "d"), ev.CallIntended("boss/a#3", "step", "m", ""))
    history.add("engine:", ev.AgentNudged("boss", "stalled", "nudge"), ev.BudgetRaised(cost=9.0))
    seen = history.seen()
    assert (seen.steps, seen.tokens, seen.cost, seen.messages, seen.commits) == (3, 3600, 0.75, 1, 1)
    assert (seen.calls, seen.interventions, seen.max_cost) == ({"boss/a#3"}, 1, 9.0)
    assert (seen.rows["boss"].below, seen.rows["boss"].busy_below) == (1, 1)
    text = "\n".join(drawn(seen))
    assert "2 agents · 1 call in flight · 1 message · 1 commit · 1 intervention" in text
    assert "3.6k tokens · cost $0.7500 of $9.00 · " in text
    assert "files: a.py" in text


def test_the_rate_is_that_of_the_last_minute():
    history = History().step("boss").step("boss", step=2)  # 1,200 tokens each, some seconds after the run began
    seen = history.seen()
    assert seen.rate(1000.0 + 31) == pytest.approx(2400 * 60 / 30, rel=0.05)
    assert seen.rate(1000.0 + 300) == 0
    assert "tokens a minute" in "\n".join(drawn(seen))


def test_a_fact_that_comes_twice_counts_once():
    history = History().step("boss")
    panorama = history.seen()
    for record in history.records:
        panorama.take_in(record)
    assert panorama.steps == 1


def test_the_clock_stands_still_between_engines():
    history = History().add("engine:", ev.RunEnded("stopped", "interrupted"))
    stopped = history.records[-1].time
    assert history.seen().elapsed(stopped + 500) == 2.0
    history.records.append(Record(4, 2, stopped + 1000, "engine:", 0, ev.RunResumed("0")))
    assert history.seen().elapsed(stopped + 1007) == 9.0


def test_a_question_is_shown_with_the_way_to_answer():
    history = History().add("boss", ev.QuestionAsked("boss#1.1", "which [red]licence[/red]?\x1b[2J"))
    lines = drawn(history.seen())
    assert "boss asks: which [red]licence[/red]?[2J" in lines
    assert "  answer with: megaagent answer TEXT" in lines
    history.add("engine:", ev.QuestionAnswered("boss#1.1", "MIT", "person"))
    assert not any("licence" in line for line in drawn(history.seen()))


# -- the picture -------------------------------------------------------------------------------------------------------


def crowd(groups: int, size: int) -> History:
    history = History()
    for group in range(groups):
        history.recruit(f"boss/admin{group}", *(f"boss/admin{group}/worker{group}_{n}" for n in range(size)))
    return history


@pytest.mark.parametrize(("width", "height"), [(60, 24), (100, 30), (40, 12), (20, 5)])
def test_every_picture_fits(width: int, height: int):
    for history in (History(), crowd(3, 4), crowd(20, 30), crowd(80, 1)):
        lines = drawn(history.seen(), width, height, "stopping: press Ctrl-C again")
        assert len(lines) <= height
        assert all(cell_len(line) <= width for line in lines)


def test_a_tree_that_fits_is_shown_whole_and_a_bigger_one_folds_to_counts():
    small = drawn(crowd(2, 2).seen())
    assert sum("worker" in line for line in small) == 4
    big = crowd(20, 30)
    big.step("boss/admin3/worker3_7", call("run_command", command="python -m pytest"))
    tree = drawn(big.seen(), 80, 40)
    assert sum("admin" in line for line in tree) == 20, "every group is there"
    assert any("(+30)" in line for line in tree), "folded to a count"
    wide = drawn(crowd(600, 0).seen(), 80, 24)
    assert any(line.startswith("└ … 58") and line.endswith("more") for line in wide)


def test_small_groups_stay_whole_beside_a_big_one():
    history = History().recruit("boss/big", "boss/small", "boss/small/one", "boss/small/two")
    history.recruit(*(f"boss/big/w{n}" for n in range(500)))
    tree = drawn(history.seen(), 80, 24)
    assert any("one" in line for line in tree)
    assert any("two" in line for line in tree)
    assert any("more" in line for line in tree)


def test_the_outline_hides_nobody():
    panorama = crowd(20, 30).seen()
    assert len(outline(panorama, 80, ASCII)) == len(panorama.rows) == 621


def test_six_hundred_agents_cost_little():
    history = crowd(20, 29)
    for n in range(3000):
        group, worker = n % 20, n % 29
        history.step(
            f"boss/admin{group}/worker{group}_{worker}", call("write_file", path=f"f{n}.py", content="x" * 5000)
        )
    began = time.perf_counter()
    panorama = history.seen()
    folded = (time.perf_counter() - began) / len(history.records)
    began = time.perf_counter()
    for _ in range(10):
        drawn(panorama, 100, 40)
    drew = (time.perf_counter() - began) / 10
    print(f"\n{folded * 1e6:.1f} µs a fact, {drew * 1e3:.1f} ms a picture")
    assert folded < 0.001
    assert drew < 0.1


# -- words -------------------------------------------------------------------------------------------------------------


EVIL = "a\x1b[31m\u202eb\r\n[bold]c"


def sample(kind: Any) -> Any:
    """A value of a type, as plain data, with a hostile text wherever a text may stand."""
    match kind:
        case inspect.StructType():
            return {field.encode_name: sample(field.type) for field in kind.fields} | (
                {"kind": kind.tag} if kind.tag else {}
            )
        case inspect.Metadata():
            return sample(kind.type)
        case inspect.UnionType():
            return sample(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
        case inspect.VarTupleType():
            return [sample(kind.item_type)]
        case inspect.LiteralType():
            return kind.values[0]
        case _:
            return {inspect.IntType: 1, inspect.FloatType: 1.0, inspect.BoolType: True}.get(type(kind), EVIL)


EVERY_KIND = [msgspec.convert(sample(inspect.type_info(kind)), kind) for kind in get_args(AnyEvent)]


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: type(event).__name__)
def test_every_kind_of_fact_has_words_and_none_is_dangerous(event: AnyEvent):
    for glyphs in (UNICODE, ASCII):
        words = Teller(glyphs).words(Record(1, 1, 0.0, "boss\x1b[0m", 1, event))
        assert words
        assert words.isprintable()
        line = Teller(glyphs).line(Record(1, 1, 9.0, "boss", 1, event), 0.0, 40)
        assert cell_len(line) <= 40


def test_calls_as_what_the_agent_does():
    assert act(call("talk", to=["a", "b"], message="m")) == "talks to a, b"
    assert act(call("run_command", command="python -m\npytest")) == "runs python -m pytest"
    assert act(call("own_tool", x=1)) == "calls own_tool"
    assert act(ToolCall("c", "write_file", "{broken")) == "writes"


@given(st.text())
def test_text_of_others_is_harmless_and_fits(text: str):
    assert clean(text).isprintable() or clean(text) == ""
    assert all(line.isprintable() for line in clean_block(text).split("\n"))
    assert cell_len(fit(clean(text), 7, UNICODE)) <= 7
    document = msgspec.json.encode(text).decode()
    assert msgspec.json.decode(clean_json(document)) == text


def test_numbers():
    assert [amount(n) for n in (0, 999, 1000, 12_345, 999_999, 4_500_000)] == [
        "0",
        "999",
        "1.0k",
        "12.3k",
        "1000k",
        "4.5M",
    ]
    assert [duration(s) for s in (0, 59.9, 61, 3720, 90_000)] == ["0s", "59s", "1m01s", "1h02m", "1d01h"]
    assert [money(x) for x in (0, 0.00123, 12.5)] == ["$0.00", "$0.0012", "$12.50"]


def test_what_waits_for_approval_is_shown_with_its_effect_until_it_is_answered():
    effect = ("runs in the sandbox: rm -rf \x1b[2Jbuild",)
    history = History()
    for number in range(3):
        history.add("boss", ev.ApprovalAsked(f"boss#{number}.0", "run_command", "{}", effect))
    panorama = Panorama()
    for record in history.records:
        panorama.take_in(record)
    lines = "\n".join(line.plain for line in frame(panorama, 1010.0, 100, 40, UNICODE))
    assert lines.count("boss waits for your approval of run_command: runs in the sandbox: rm -rf [2Jbuild") == 2
    assert "asks a person to let it run_command" in lines and panorama.rows["boss"].stand == "waiting"
    assert "megaagent approve 'boss#0.0' (or refuse)" in lines and "and 1 more wait for approval" in lines
    history.add("boss", *(ev.ApprovalAnswered(f"boss#{number}.0", "refuse") for number in range(3)))
    for record in history.records:
        panorama.take_in(record)
    lines = "\n".join(line.plain for line in frame(panorama, 1010.0, 100, 40, UNICODE))
    assert "approval" not in lines and "may not do it" in lines


def test_an_agent_that_waits_for_approval_is_not_shown_at_it():
    history = History().step("boss", ToolCall("1", "run_command", '{"command": "make"}'))
    assert any("runs make" in line for line in drawn(history.seen()))
    history.add("boss", ev.ApprovalAsked("boss#1.0", "run_command"))
    waiting = "\n".join(drawn(history.seen()))
    assert "asks a person to let it run_command" in waiting and "runs make" not in waiting
    history.add("boss", ev.ApprovalAnswered("boss#1.0", "approve"))
    assert any("runs make" in line for line in drawn(history.seen()))
