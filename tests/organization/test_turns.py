"""`wait` and `terminate` with their rules, and what is no tool call at all (design §5)."""

from __future__ import annotations

import pytest
from tests.organization.test_debts import boss_of, recruit, worker

from megaagent import events as ev
from megaagent.models.script import (
    Part,
    Playing,
    Script,
    call,
    change_task_status,
    exec_python_file,
    raw,
    read_file,
    recall,
    review,
    say,
    stop_program,
    talk,
    terminate,
    text,
    wait,
    write_file,
)
from megaagent.models.script import (
    input as type_in,
)
from megaagent.models.simulated import Latency
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse


def alone(part) -> Script:
    return Script({"boss": part})


def test_an_open_checklist_holds_terminate():
    def boss(me: Part) -> Playing:
        yield say(change_task_status(["a"], ["b", "c"]), terminate("done"))
        assert "b; c" in me.last.text and not me.last.ok
        yield say(change_task_status(["a", "b", "c"], []), terminate("done"))
        return ""

    run = rehearse(alone(boss))
    assert run.ending.status == "completed"
    [refused] = run.facts(ev.TurnRefused)
    assert refused.how == "terminate"


def test_a_subordinate_that_owes_holds_terminate_and_is_named_with_what_it_waits_for():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"))
        while not me.heard("ann"):
            yield wait(["ann"], "a word")
        yield terminate("done")
        assert "ann still owes you" in me.last.text and "boss: a decision" in me.last.text
        yield talk("ann", "blue")
        while not me.reported("ann"):
            yield wait(["ann"], "the part")
        yield terminate("done")
        assert "wait for your review: ann" in me.last.text
        yield say(review(["ann"]), terminate("done"))
        return ""

    def ann(me: Part) -> Playing:
        while not me.heard("boss", "talk"):
            yield wait(["boss"], "a decision")
        return "blue it is"

    run = rehearse(Script({"boss": boss, "ann": ann}))
    assert run.ending.status == "completed"
    assert len(run.facts(ev.TurnRefused)) == 2


def test_unread_mail_comes_with_the_refusal_and_the_next_terminate_passes():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        yield review(["ann", "bob"])
        return "done"

    def ann(me: Part) -> Playing:
        yield wait(["bob"], "his start")
        yield talk("bob", "one more thing")
        return "ann"

    def bob(me: Part) -> Playing:
        yield talk("ann", "start")
        # ann's mail arrives while this answer is on its way
        yield terminate("bob")
        if not me.last.ok:
            assert "unread mail from ann" in me.last.text
            assert me.heard("ann")
        yield terminate("bob, having read")
        return ""

    run = rehearse(Script({"boss": boss, "ann": ann, "bob": bob}), latency=_steady())
    assert run.ending.status == "completed"


def _steady(seconds: float = 1.0) -> Latency:
    return Latency(fixed=seconds, per_completion=0.0, per_prompt=0.0, sigma=0.0)


def test_three_refusals_without_any_change_go_to_the_superior():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.heard("engine", "notice"):
            yield wait(["ann"], "the part")
        assert "ann was parked" in me.heard("engine", "notice").text  # pyright: ignore[reportOptionalMemberAccess]
        yield talk("ann", "tick it off")
        while not me.reported("ann"):
            yield wait(["ann"], "the part")
        yield review(["ann"])
        return "done"

    def ann(me: Part) -> Playing:
        yield change_task_status([], ["x"])
        while not me.heard("boss", "talk"):
            yield terminate("done")
        yield change_task_status(["x"], [])
        return "now"

    run = rehearse(Script({"boss": boss, "ann": ann}))
    assert run.ending.status == "completed"
    assert len(run.facts(ev.TurnRefused, "ann")) == 3
    assert [e.how for e in run.facts(ev.TurnEnded, "ann")] == ["parked", "terminate"]


def test_a_wait_that_nobody_can_end_is_refused_with_the_path_and_then_parks():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.heard("engine"):
            yield wait(["ann", "bob"], "their parts")
        notice = me.heard("engine")
        assert notice is not None and "nobody can wake you" in notice.text
        yield talk(["ann", "bob"], "hand in")
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        yield review(["ann", "bob"])
        return "done"

    def stubborn(me: Part) -> Playing:
        other = "bob" if me.name == "ann" else "ann"
        while not me.heard("boss", "talk"):
            yield wait([other], "the other to begin")
        return "handed in"

    run = rehearse(Script({"boss": boss}, default=stubborn))
    assert run.ending.status == "completed"
    refused = run.facts(ev.TurnRefused)
    assert refused and all("→" in r.reasons[0] for r in refused)


def test_nobody_can_wait_for_themselves_for_nobody_or_for_the_gone():
    def boss(me: Part) -> Playing:
        yield wait(["boss"], "x")
        assert "wait for yourself" in me.last.text
        yield wait([], "x")
        assert "name whom you wait for" in me.last.text
        yield wait(["ghost"], "x")
        assert "nobody is called 'ghost'" in me.last.text
        yield wait(["boss"], "x", minutes=-1)
        return "done"

    assert rehearse(alone(boss)).ending.status == "completed"


def test_the_time_of_a_wait_wakes_in_run_time():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        yield wait(["ann"], "its part", minutes=5)
        assert "time of your wait is up" in me.heard("engine").text  # pyright: ignore[reportOptionalMemberAccess]
        while not me.reported("ann"):
            yield wait(["ann"], "its part")
        yield review(["ann"])
        return "done"

    run = rehearse(Script({"boss": boss}, default=worker), latency=_steady(400.0))
    assert run.ending.status == "completed"


def test_calls_after_the_end_of_a_turn_are_not_run_and_the_agent_is_told():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        yield say(wait(["ann"], "its part"), write_file("late.txt", "x"))
        assert "not run" in me.result_of("write_file").text  # pyright: ignore[reportOptionalMemberAccess]
        while not me.reported("ann"):
            yield wait(["ann"], "its part")
        yield review(["ann"])
        return "done"

    run = rehearse(Script({"boss": boss}, default=worker))
    assert run.ending.status == "completed"
    assert "late.txt" not in run.files


def test_bare_text_is_corrected_twice_then_delivered_upward():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.heard("ann", "report"):
            yield wait(["ann"], "its part")
        assert me.heard("ann", "report").text == "third words"  # pyright: ignore[reportOptionalMemberAccess]
        yield talk("ann", "use terminate")
        while sum(m.kind == "report" for m in me.mail) < 2:
            yield wait(["ann"], "its part")
        yield review(["ann"])
        return "done"

    def ann(me: Part) -> Playing:
        yield text("first words")
        assert "no tool call" in me.notices[-1]
        yield text("second words")
        yield text("third words")
        return "properly"

    run = rehearse(Script({"boss": boss, "ann": ann}))
    assert run.ending.status == "completed"
    assert len(run.facts(ev.AgentCorrected)) == 2


def test_malformed_and_unknown_calls_are_explained():
    def boss(me: Part) -> Playing:
        yield raw("write_file", '{"path": "a.txt", "content": ')
        assert "not valid JSON" in me.last.text and '"content"' in me.last.text
        yield call("write_file", path="a.txt", content=3)
        assert "Expected `str`, got `int`" in me.last.text
        yield call("write_file", path="a.txt", content="x", mode="w")
        assert "mode" in me.last.text
        yield call("writefile", path="a.txt")
        assert "Did you mean write_file" in me.last.text
        yield write_file("a.txt", "x")
        return "done"

    run = rehearse(alone(boss))
    assert run.ending.status == "completed"
    assert run.files == {"a.txt": "x"}


def test_a_message_to_an_unknown_name_reaches_the_known_ones():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        yield talk(["ann", "anne"], "hello")
        assert "Delivered to ann" in me.last.text and "nearest: ann" in me.last.text and not me.last.ok
        while not me.reported("ann"):
            yield wait(["ann"], "its part")
        yield review(["ann"])
        return "done"

    def ann(me: Part) -> Playing:
        while not me.heard("boss", "talk"):
            yield wait(["boss"], "hello")
        return "heard it"

    assert rehearse(Script({"boss": boss, "ann": ann})).ending.status == "completed"


def test_talk_to_the_group_reaches_colleagues_and_subordinates_but_not_the_superior():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        assert not me.heard("ann", "talk")
        yield review(["ann", "bob"])
        return "done"

    def ann(me: Part) -> Playing:
        yield talk("group", "hello all")
        return "ann"

    def bob(me: Part) -> Playing:
        while not me.heard("ann"):
            yield wait(["ann"], "her hello")
        return "bob"

    assert rehearse(Script({"boss": boss, "ann": ann, "bob": bob})).ending.status == "completed"


def test_a_question_is_answered_at_once_when_nobody_is_there():
    def boss(me: Part) -> Playing:
        yield call("ask_user", question="Red or blue?")
        assert "Decide yourself" in me.last.text
        return "red"

    run = rehearse(alone(boss))
    assert run.ending.status == "completed"
    assert [e.by for e in run.facts(ev.QuestionAnswered)] == ["engine"]


def test_one_program_at_a_time_and_a_dialogue_over_standard_input():
    def play(program, revision):
        if program.stdin is None:
            return 0, "your name?"
        return 0, f"hello {program.stdin.strip()}\n"

    def boss(me: Part) -> Playing:
        yield write_file("hello.py", "...")
        yield exec_python_file("hello.py")
        assert "your name?" in me.last.text and "still running" in me.last.text
        yield exec_python_file("hello.py")
        assert "still runs" in me.last.text
        yield terminate("done")
        assert "program still runs" in me.last.text
        yield type_in("Ada")
        assert "hello Ada" in me.last.text and "exit code 0" in me.last.text
        yield type_in("again")
        assert "no running program" in me.last.text
        yield exec_python_file("hello.py")
        yield stop_program()
        assert "killed by signal 9" in me.last.text
        return "done"

    run = rehearse(alone(boss), play=play)
    assert run.ending.status == "completed"
    assert [e.exit_code for e in run.facts(ev.ProgramEnded)] == [0, -9]


def test_a_program_file_that_does_not_exist_is_told_before_anything_runs():
    def boss(me: Part) -> Playing:
        yield exec_python_file("missing.py")
        assert not me.last.ok and "missing.py" in me.last.text
        return "done"

    run = rehearse(alone(boss))
    assert run.ending.status == "completed"
    assert not run.facts(ev.ProgramStarted)


def test_reads_run_side_by_side_and_recall_finds_the_past():
    def boss(me: Part) -> Playing:
        yield say(write_file("a.txt", "alpha\n"), write_file("b.txt", "beta\n"))
        yield say(read_file("a.txt"), read_file("b.txt"), read_file("c.txt"))
        assert [r.ok for r in me.results[-3:]] == [True, True, False]
        assert "alpha" in me.results[-3].text
        yield say(talk("group", "x"), recall("alpha"))
        return "done"

    assert rehearse(alone(boss)).ending.status == "completed"


def test_nobody_moving_is_nudged_twice_and_then_the_run_is_stalled():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.heard("engine"):
            yield wait(["ann"], "its part")
        while True:
            yield text("I am thinking, too.")

    def ann(me: Part) -> Playing:
        while True:
            yield text("I am thinking.")

    run = rehearse(Script({"boss": boss, "ann": ann}))
    assert run.ending.status == "stalled"
    failed = [e for e in run.facts(ev.AgentNudged) if e.action == "fail"]
    assert [e.id for e in failed] == ["boss/ann", "boss"]
    assert "used a tool" not in run.ending.reason


def test_a_model_that_only_talks_is_told_of_at_the_end():
    def boss(me: Part) -> Playing:
        while True:
            yield text("I am a chat model.")

    run = rehearse(alone(boss))
    assert run.ending.status == "stalled"
    assert "nobody has used a tool: try the model with megaagent models --check" in run.ending.reason


def test_an_agent_that_uses_up_its_steps_fails_and_the_boss_takes_the_run_with_it():
    def boss(me: Part) -> Playing:
        while True:
            yield read_file("missing.txt")

    run = rehearse(alone(boss), settings=changed(Settings(), {"limits.steps": 5}, "test"))
    assert (run.ending.status, run.ending.reason) == ("failed", "the boss has failed: it has used its 5 steps")


@pytest.mark.parametrize("names", [["ann"], ["ann", "bob"], ["ann", "bob", "cat"]])
def test_groups_of_any_size_complete(names: list[str]):
    assert rehearse(Script({"boss": boss_of(*names)}, default=worker)).ending.status == "completed"
