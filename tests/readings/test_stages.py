"""What of a run counts as planning, solving and merging."""

from __future__ import annotations

import pytest
from tests.organization.test_debts import recruit, worker

from megaagent.models.script import Part, Playing, Script, list_files, review, say, wait, write_file
from megaagent.models.simulated import Latency
from megaagent.readings.stages import Stages
from megaagent.testing import rehearse


def staged(script: Script) -> dict[str, dict]:
    stages = Stages()
    for record in rehearse(script, latency=Latency(2.0, 0.0, 0.0, sigma=0.0)).records:
        stages.take_in(record)
    return {row["name"]: row for row in stages.told()}


def test_what_leads_to_recruiting_is_planning_and_what_follows_reports_is_merging():
    def boss(me: Part) -> Playing:
        yield say(list_files())  # planning, as is known when it recruits
        yield say(recruit("ann"), recruit("bob"))  # planning
        while not me.reported("ann", "bob"):
            yield wait([], "both parts")  # solving: nobody has handed in
        yield review(["ann", "bob"], "accept")  # merging, as is its last step
        return "done"

    told = staged(Script({"boss": boss}, default=worker))
    assert told["planning"]["calls"] == 2
    assert told["solving"]["calls"] == 1 + 4
    assert told["merging"]["calls"] == 2 + 1  # and the verifier
    assert told["planning"]["wall"] == pytest.approx(4.0)
    assert told["solving"]["seconds"] == pytest.approx(10.0)
    assert told["solving"]["wall"] == pytest.approx(4.0)  # ann, bob and the boss at the same time
    assert sum(row["prompt"] for row in told.values()) > 0


def test_who_works_alone_only_solves():
    def boss(me: Part) -> Playing:
        yield write_file("a.md", "x")
        return "done"

    told = staged(Script({"boss": boss}))
    calls = [told[stage]["calls"] for stage in ("planning", "solving", "merging")]
    assert calls == [0, 2, 1]  # the verifier merges
