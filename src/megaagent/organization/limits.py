"""The organization's own settings: everything that is bounded in the engine (promise P9)."""

from __future__ import annotations

from megaagent.events import Struct


class Limits(Struct, frozen=True):
    """Bounds on an organization.

    Attributes:
        agents: recruited in one run, the boss included.
        depth: levels of the tree, the boss's included.
        group: live subordinates of one agent.
        steps: of one agent.
        messages: characters of one message or report.
        file_bytes: of one file that an agent writes.
        shown: characters of one tool result that a model is shown.
        calls: of tools in one answer; further ones are not run.
        returns: times that one assignment may be given back.
        rounds: of verification.
        nudges: before a silent debtor's debt fails.
        failures: model calls in a row that come to nothing before the mail is set aside.
        corrections: of bare text before it is taken as a report.
        refusals: of an end of turn without change before the superior is told.
        wait_minutes: after which a wait that names no time is woken.
        question_minutes: after which a question to the person is answered with "decide yourself".
        step_minutes: after which a model call with its retries is given up.
        output: completion tokens of one answer.
        context: tokens of a conversation beyond which it is compacted.
        talks: messages of one agent within eight steps.
        deliveries: receivers of all messages of one agent within eight steps.
        recruits: agents that one agent recruits in one step.
        idle_steps: of one agent without a file, a checklist or a debt changed; a group has as many per member.
        subtree_spend: share of its superior's purse that an agent with all below it may use, when it has siblings and
            was given no purse of its own.
        subtree_failures: share of a subtree's model calls that may fail before it is paused.
        active: agents whose steps are under way at once; more wait their turn.
        starving_minutes: by which another's call may be asked for later and begin before.
        grace: seconds that calls in flight are given when the run is stopped.
        monitors: the supervisor watches agents (repetition, circles, shares of money and failures); off in ablations.
        verifier: what the boss hands in is checked and judged; without it, it is taken as it is.
    """

    agents: int = 1_000
    depth: int = 8
    group: int = 60
    steps: int = 400
    messages: int = 20_000
    file_bytes: int = 2_000_000
    shown: int = 30_000
    calls: int = 256
    returns: int = 3
    rounds: int = 3
    nudges: int = 2
    failures: int = 3
    corrections: int = 2
    refusals: int = 3
    wait_minutes: float = 30.0
    question_minutes: float = 30.0
    step_minutes: float = 20.0
    output: int = 16_384
    context: int = 100_000
    talks: int = 100
    deliveries: int = 600
    recruits: int = 60
    idle_steps: int = 40
    subtree_spend: float = 0.8
    subtree_failures: float = 0.5
    active: int = 4_000
    starving_minutes: float = 5.0
    grace: float = 3.0
    monitors: bool = True
    verifier: bool = True


class Budget(Struct, frozen=True):
    """What a run may use; None is no cap.

    Attributes:
        cost: US dollars.
        tokens: prompt and completion tokens together.
        seconds: wall time of the run's clock while an engine is at work.
        reserve: share of each purse held back for the reviews of who has it; of the run's, half is the verifier's.
        steps: model calls that are answered.
        disk: bytes of the run's folder, estimated from above: what is recorded and committed, before compression.
    """

    cost: float | None = 10.0
    tokens: int | None = None
    seconds: float | None = None
    reserve: float = 0.05
    steps: int | None = None
    disk: int | None = 10_000_000_000
