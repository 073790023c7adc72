"""Assignments are debts: recruiting, handing in, reviewing, and the run's end (design §5, §6)."""

from __future__ import annotations

from megaagent import events as ev
from megaagent.models.script import (
    Act,
    Part,
    Playing,
    Script,
    add_agent,
    assign,
    change_task_status,
    review,
    say,
    talk,
    terminate,
    verdict,
    wait,
    write_file,
)
from megaagent.settings import Settings, changed
from megaagent.testing import rehearse


def prompt(name: str, job: str = "write part.txt") -> str:
    return (
        f"You are {name}. Your job: {job}. You work alone, without collaborators, and write only part.txt. "
        "You are done when the file is there; then hand in."
    )


def recruit(name: str, job: str = "write part.txt") -> Act:
    return add_agent(name, f"does {job}", prompt(name, job))


def worker(me: Part) -> Playing:
    yield write_file(f"{me.name}.txt", f"the part of {me.name}\n")
    return f"{me.name}.txt is written"


def boss_of(*names: str):
    def boss(me: Part) -> Playing:
        yield say(*(recruit(name) for name in names))
        while not me.reported(*names):
            yield wait([], "their parts")
        yield review(list(names), "accept")
        return "all parts are there"

    return boss


def test_a_group_is_recruited_works_and_is_accepted():
    run = rehearse(Script({"boss": boss_of("ann", "bob")}, default=worker))
    assert run.ending.status == "completed"
    assert run.files == {"ann.txt": "the part of ann\n", "bob.txt": "the part of bob\n"}
    assert {e.id for e in run.facts(ev.AgentRecruited)} == {"boss", "boss/ann", "boss/bob"}
    assert [e.verdict for e in run.facts(ev.WorkReviewed)] == ["accept"] * 3  # two parts and the boss's own
    assert run.state.run.open_debts == 0
    assert {e.id for e in run.facts(ev.AgentRetired)} == {"boss/ann", "boss/bob"}


def test_the_boss_may_do_the_work_alone():
    run = rehearse(Script({"boss": worker}))
    assert run.ending.status == "completed"
    assert run.ending.text == "boss.txt is written"
    assert run.state.run.agents == 1


def test_reports_of_a_group_reach_the_admin_together_and_with_the_facts():
    run = rehearse(Script({"boss": boss_of("ann", "bob", "cat")}, default=worker))
    [opened] = run.facts(ev.ReviewOpened)
    assert set(opened.reported) == {"boss/ann", "boss/bob", "boss/cat"}
    reports = [m for m in run.mail_to("boss") if m.kind == "report"]
    assert all(f"files it changed: {ev.name_of(m.sender)}.txt" in m.text for m in reports)


def test_an_admin_that_waits_for_one_is_woken_when_that_one_reports():
    def boss(me: Part) -> Playing:
        yield say(recruit("quick"), recruit("slow"))
        while not me.reported("quick"):
            yield wait(["quick"], "the quick part")
        assert not me.reported("slow")
        yield say(review(["quick"]), talk("slow", "go"))
        while not me.reported("slow"):
            yield wait(["slow"], "the slow part")
        yield review(["slow"])
        return "done"

    def slow(me: Part) -> Playing:
        while not me.heard("boss", "talk"):
            yield wait(["boss"], "the word")
        return "slow is done"

    run = rehearse(Script({"boss": boss, "slow": slow}, default=worker))
    assert run.ending.status == "completed"
    assert len(run.facts(ev.ReviewOpened)) == 2


def test_returned_work_is_redone_at_most_three_times():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        for turn in range(4):
            while sum(m.kind == "report" for m in me.mail) <= turn:
                yield wait(["ann"], "the part")
            yield review(["ann"], "return", f"again, {turn}")
        assert "3 times" in me.last.text and not me.last.ok
        yield review(["ann"])
        return "done"

    def ann(me: Part) -> Playing:
        for turn in range(4):
            yield terminate(f"version {turn}")
            while sum(m.kind == "review" for m in me.mail) <= turn:
                yield wait(["boss"], "the review")
        return "never"

    run = rehearse(Script({"boss": boss, "ann": ann}))
    assert run.ending.status == "completed"
    assert [e.verdict for e in run.facts(ev.WorkReviewed)] == ["return"] * 3 + ["accept"] * 2


def test_returned_work_needs_remarks_and_only_ones_own_people_are_reviewed():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.reported("ann"):
            yield wait([], "the part")
        yield review(["ann"], "return")
        assert "remarks" in me.last.text
        yield review(["nobody"])
        assert "nobody is called 'nobody'" in me.last.text
        yield review(["boss"])
        assert "not in your group" in me.last.text
        yield review(["ann"])
        yield review(["ann"])
        assert "nothing that waits" in me.last.text
        return "done"

    assert rehearse(Script({"boss": boss}, default=worker)).ending.status == "completed"


def test_dropped_work_dismisses_the_whole_subtree():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.heard("ann"):
            yield wait(["ann"], "a word")
        yield review(["ann"], "drop", "not needed")
        yield talk("ann", "hello?")
        assert "has left" in me.last.text
        return "done without ann"

    def ann(me: Part) -> Playing:
        yield say(recruit("below"), talk("boss", "I have recruited"))
        while True:
            yield wait(["below"], "its part")

    def below(me: Part) -> Playing:
        while True:
            yield wait(["ann"], "never comes")

    run = rehearse(Script({"boss": boss, "ann": ann, "below": below}))
    assert run.ending.status == "completed"
    assert {e.id for e in run.facts(ev.AgentRetired)} == {"boss/ann", "boss/ann/below"}
    assert run.state.run.open_debts == 0


def test_a_further_assignment_wakes_an_agent_that_rests():
    def boss(me: Part) -> Playing:
        yield recruit("ann")
        while not me.reported("ann"):
            yield wait([], "the part")
        yield say(review(["ann"]), assign("ann", "write second.txt too"))
        while sum(m.kind == "report" for m in me.mail) < 2:
            yield wait(["ann"], "the second part")
        yield review(["ann"])
        return "done"

    def ann(me: Part) -> Playing:
        yield write_file("first.txt", "1")
        yield terminate("first")
        yield write_file("second.txt", "2")
        return "second"

    run = rehearse(Script({"boss": boss, "ann": ann}))
    assert run.ending.status == "completed"
    assert set(run.files) == {"first.txt", "second.txt"}


def test_a_newer_report_replaces_the_one_that_stands():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"))
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        assert me.heard("ann", "report").text.startswith("second")  # pyright: ignore[reportOptionalMemberAccess]
        yield review(["ann", "bob"])
        return "done"

    def ann(me: Part) -> Playing:
        yield terminate("first")
        assert me.heard("bob")
        return "second"

    def bob(me: Part) -> Playing:
        yield change_task_status([], ["look at ann's work"])
        yield talk("ann", "line 3 is wrong")
        yield wait(["ann"], "her second version")
        yield change_task_status(["look at ann's work"], [])
        return "checked"

    run = rehearse(Script({"boss": boss, "ann": ann, "bob": bob}))
    assert run.ending.status == "completed"


def test_the_verifier_returns_the_work_with_its_gaps():
    def boss(me: Part) -> Playing:
        yield terminate("here it is")
        assert "part.txt" in me.heard("verifier", "review").text  # pyright: ignore[reportOptionalMemberAccess]
        yield write_file("part.txt", "x")
        return "now it is"

    def judge(me: Part) -> Playing:
        there = "=== part.txt ===" in me.notices[-1]
        yield verdict(there, [] if there else ["part.txt is missing"])

    run = rehearse(Script({"boss": boss}, verifier=judge))
    assert run.ending.status == "completed"
    assert [e.confirmed for e in run.facts(ev.VerdictGiven)] == [False, True]
    assert run.ending.text == "now it is"


def test_the_same_gaps_with_unchanged_files_end_the_run_as_failed():
    def boss(me: Part) -> Playing:
        while True:
            yield terminate("it is perfect")

    def judge(me: Part) -> Playing:
        yield verdict(False, ["nothing is there"])

    run = rehearse(Script({"boss": boss}, verifier=judge))
    assert (run.ending.status, run.ending.gaps) == ("failed", ("nothing is there",))
    assert "unverified" in run.ending.reason
    assert len(run.facts(ev.VerdictGiven)) == 2


def test_three_rounds_end_the_run_as_failed_with_the_deliverable_kept():
    def boss(me: Part) -> Playing:
        for number in range(9):
            yield write_file("part.txt", str(number))
            yield terminate("better")
        return ""

    def judge(me: Part) -> Playing:
        yield verdict(False, ["not yet"])

    run = rehearse(Script({"boss": boss}, verifier=judge))
    assert run.ending.status == "failed"
    assert len(run.facts(ev.VerdictGiven)) == 3
    assert run.files == {"part.txt": "2"}


def test_an_invalid_verdict_is_asked_for_twice_more_then_counts_as_a_round():
    def boss(me: Part) -> Playing:
        for number in range(9):
            yield write_file("part.txt", str(number))
            yield terminate("better")
        return ""

    def judge(me: Part) -> Playing:
        yield say(text="I think it is fine")

    run = rehearse(Script({"boss": boss}, verifier=judge))
    assert run.ending.status == "failed"
    asked = [e for e in run.facts(ev.CallIntended) if e.purpose == "verify"]
    assert len(asked) == 9


def test_caps_are_named_by_the_answer():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("bob"), recruit("cat"))
        told = [result.text for result in me.results]
        assert "joined" in told[0] and "joined" in told[1]
        assert "2 members" in told[2]
        while not me.reported("ann", "bob"):
            yield wait([], "their parts")
        yield review(["ann", "bob"])
        return "done"

    def ann(me: Part) -> Playing:
        yield recruit("deeper")
        assert "levels deep" in me.last.text
        return "alone then"

    settings = changed(Settings(), {"limits.group": 2, "limits.depth": 2}, "test")
    run = rehearse(Script({"boss": boss, "ann": ann}, default=worker), settings=settings)
    assert run.ending.status == "completed"


def test_the_cap_on_agents_holds_within_one_answer():
    def boss(me: Part) -> Playing:
        yield say(*(recruit(f"agent{number}") for number in range(6)))
        assert sum("3 agents" in result.text for result in me.results) == 4
        while not me.reported("agent0", "agent1"):
            yield wait([], "their parts")
        yield review(["agent0", "agent1"])
        return "done"

    settings = changed(Settings(), {"limits.agents": 3}, "test")
    run = rehearse(Script({"boss": boss}, default=worker), settings=settings)
    assert run.ending.status == "completed"
    assert run.state.run.agents == 3


def test_a_taken_name_is_changed_visibly():
    def boss(me: Part) -> Playing:
        yield say(recruit("ann"), recruit("ann"))
        assert "called ann2" in me.results[1].text
        while not me.reported("ann", "ann2"):
            yield wait([], "their parts")
        yield review(["ann", "ann2"])
        return "done"

    run = rehearse(Script({"boss": boss}, default=worker))
    assert run.ending.status == "completed"
    assert run.facts(ev.AgentRecruited)[2].asked == "ann"


def test_a_prompt_that_does_not_stand_alone_is_refused_with_what_is_missing():
    def boss(me: Part) -> Playing:
        yield add_agent("ann", "helps", "Please help me.")
        assert "its own name (ann)" in me.last.text
        assert "exact files" in me.last.text
        assert "it works alone" in me.last.text
        assert "when it is done" in me.last.text
        return "alone then"

    run = rehearse(Script({"boss": boss}))
    assert run.ending.status == "completed"
    assert run.state.run.agents == 1
