"""A small organization over HTTP before a provider that plays every fault of `fault_list`, singly and in combination.

Each case is a whole run on the real engine, journal, adapter and sockets. Afterwards the run must have ended
`completed`; or `paused` with the reason, where a person must act, and then `completed` when it was resumed. The
provider has judged each request; the journal must tell each retry and repair, each effect must be there once, and
nothing of an answer that was cut.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any, Final

from msgspec.structs import replace

from campaigns.fault_list import FAULTS, MARK, Fault
from campaigns.faulty import ALWAYS, KEY, FaultyServer, Planned
from campaigns.promises import broken_promises
from megaagent import events as ev
from megaagent.events import Record, Struct
from megaagent.journal import open_reader
from megaagent.launch import resume, start
from megaagent.models.script import Part, Playing, Script, add_agent, review, say, talk, text, wait, write_file
from megaagent.running import Run
from megaagent.settings import Settings, changed

WORKERS: Final = ("ann", "bob", "cid")
SIDE_BY_SIDE: Final = 32
ATTEMPT: Final = 3.0  # seconds
PATIENCE: Final = 60.0  # seconds after which a case counts as hanging
MOST_REQUESTS: Final = 120
COMBINATIONS: Final = 1000
PROTOCOLS: Final = ("openai", "anthropic")
KEYS: Final = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}

# Faults before any request can be made: how the address is wrong at first, and whether that mends itself.
ADDRESSES: Final = {
    "refused connection": False,
    "connect timeout": False,
    "DNS failure": True,
    "TLS timeout": True,
    "TLS to a server without it": True,
}
# What a fallback or the breaker does about faults.
DETOURS: Final = ("404 model, with a fallback", "refusals, with a fallback", "breaker", "breaker, with a fallback")


class Case(Struct, frozen=True):
    """One run: what is wrong with the address, what the provider does, how it is asked and over which protocol."""

    name: str
    stream: bool
    seed: int
    plan: tuple[Planned, ...] = ()
    address: str | None = None
    fallback: bool = False
    protocol: str = "openai"


class Outcome(Struct, frozen=True):
    """What was found wrong, and what the case cost; `played` counts faults each time."""

    violations: tuple[str, ...]
    requests: int
    played: int
    seconds: float


# -- the organization -------------------------------------------------------------------------------------------------


def content(name: str) -> str:
    return f"This was written by {name}.\n"


def _worker(me: Part) -> Playing:
    """Write a file, tell a colleague, hand in; whatever of it is not done is tried again."""
    friend = WORKERS[(WORKERS.index(me.name) + 1) % len(WORKERS)]
    for _ in range(12):
        done = {result.tool for result in me.results if result.ok}
        acts = [
            act
            for act in (write_file(f"{me.name}.txt", content(me.name)), talk(friend, f"{me.name} is at work."))
            if act.tool not in done and act.tool not in me.summary
        ]
        if not acts:
            break
        # Without tools a summary is asked for, from which the part must be able to go on.
        yield say(*acts) if me.tools else text(f"Done so far: {', '.join(sorted(done))}")
    return f"{me.name}.txt is written; done were write_file and talk."


def _boss(me: Part) -> Playing:
    for _ in range(12):
        here = [
            name for name in WORKERS if any(r.tool == "add_agent" and r.ok and name in r.arguments for r in me.results)
        ]
        if len(here) == len(WORKERS):
            break
        yield say(*(_recruit(name) for name in WORKERS if name not in here))
    for _ in range(40):
        accepted = {name for r in me.results if r.tool == "review" and r.ok for name in WORKERS if name in r.arguments}
        reported = {letter.sender for letter in me.mail if letter.kind == "report"} - accepted
        if len(accepted) == len(WORKERS):
            break
        yield review(sorted(reported)) if reported else wait([n for n in WORKERS if n not in accepted], "they work")
    return "All files are written."


def _recruit(name: str) -> Any:
    prompt = f"You are {name}. You write {name}.txt and nothing else. You work alone. Hand in when it is done."
    return add_agent(name, f"writes {name}.txt", prompt)


def script() -> Script:
    return Script({"boss": _boss, **dict.fromkeys(WORKERS, _worker)})


# -- cases ------------------------------------------------------------------------------------------------------------


def singles(seed: int, *, full: bool = False) -> Iterator[Case]:
    """Each fault alone, streaming and not, each over one of the protocols; in the large form over both."""
    for number, case in enumerate(_alone(seed)):
        fault = FAULTS.get(case.name)
        for stream in (True, False):
            there = [each for each in PROTOCOLS if fault is None or playable(fault, each, stream)]
            # What can be played in one way only over the one protocol takes its turn over the other in the other way.
            alternating = [PROTOCOLS[stream if fault is not None and fault.text else (number + stream) % 2]]
            for protocol in there if full else alternating:
                yield replace(case, stream=stream, protocol=protocol)


def playable(fault: Fault, protocol: str, stream: bool) -> bool:
    """Whether there is anything to spoil: in whole answers of the Messages API arguments are no text."""
    return stream or protocol == "openai" or not fault.text


def _alone(seed: int) -> Iterator[Case]:
    random = Random(f"singles {seed}")
    for name, fault in FAULTS.items():
        at = random.randrange(1, 8) if fault.times == 1 else 1
        yield Case(name, True, seed, (Planned(name, at, fault.times),))
    for name in ADDRESSES:
        yield Case(name, True, seed, address=name)
    first = random.randrange(2, 5)
    yield Case(DETOURS[0], True, seed, (Planned("404 model", first, model="first"),), fallback=True)
    yield Case(DETOURS[1], True, seed, (Planned("refusal", first, ALWAYS, "first"),), fallback=True)
    yield Case(DETOURS[2], True, seed, (Planned("503", first, 7),))
    yield Case(DETOURS[3], True, seed, (Planned("503", first, 7),), fallback=True)


def combinations(seed: int, count: int) -> Iterator[Case]:
    """Several faults in one run, at places drawn from the seed."""
    several = [name for name, fault in FAULTS.items() if not fault.lasts]
    lasting = [name for name, fault in FAULTS.items() if fault.lasts]
    for number in range(count):
        random = Random(f"combination {seed} {number}")
        names = random.sample(several, random.randrange(2, 6))
        # Calls that fail thrice in a row have their mail set aside, which is right and no part of this proof.
        failing = [name for name in names if FAULTS[name].shows == "call"]
        names = [name for name in names if name not in failing[1:]]
        plan = [Planned(name, random.randrange(1, 9), random.choice((1, 1, 2))) for name in names]
        plan = [Planned(p.fault, p.at, 1) if FAULTS[p.fault].shows in ("call", "told") else p for p in plan]
        # So has the third text without a call in a row, which is delivered to the superior as it is.
        silent = [p for p in plan if p.fault in ("bare text", "length with text", "repetition up to the limit")]
        plan = [p for p in plan if p not in silent] + [Planned(p.fault, p.at) for p in silent[:2]]
        if random.random() < 0.15:
            plan.append(Planned(random.choice(lasting), random.randrange(1, 9)))
        address = random.choice(list(ADDRESSES)) if random.random() < 0.1 else None
        stream, protocol = random.random() < 0.5, random.choice(PROTOCOLS)
        stream = stream or not all(playable(FAULTS[p.fault], protocol, stream) for p in plan)
        yield Case(f"combination {number}", stream, seed, tuple(plan), address, protocol=protocol)


# -- one case ---------------------------------------------------------------------------------------------------------


def _settings(case: Case) -> Settings:
    changes: dict[str, Any] = {
        "model.stream": case.stream,
        "model.price": "2:8",
        "model.fallbacks": [f"{case.protocol}:second"] if case.fallback else [],
        "model.network.connect": 1.0,
        "model.network.stall": 1.0,
        "budget.cost": 1000.0,
        "limits.output": 4000,
        "sandbox.level": "none",
        "durability": "off",
        "retry.base": 0.05,
        "retry.longest": 0.2,
        "retry.seconds": 20.0,
        "retry.attempt_seconds": ATTEMPT,
        "breaker.seconds": 0.2,
        "breaker.longest": 0.5,
        "gate.cool": 0.05,
        "simulation.seed": case.seed,
    }
    return changed(Settings(), changes, "the campaign")


@asynccontextmanager
async def _addressed(case: Case, server: FaultyServer) -> AsyncGenerator[str]:
    """The address that the run is given; what mends itself does so after a moment."""
    loop = asyncio.get_running_loop()
    mending: asyncio.Task[None] | None = None
    other: asyncio.Server | None = None
    url = server.url(case.protocol)

    async def mend(seconds: float) -> None:
        await asyncio.sleep(seconds)
        await server.open()

    match case.address:
        case "refused connection":
            mending = loop.create_task(mend(0.3))
        case "connect timeout":
            server.stuff()
            mending = loop.create_task(mend(1.5))
        case "DNS failure":
            await server.open()
            url = "http://no-such-host.invalid:80"
        case "TLS timeout":
            await server.open()
            other = await asyncio.start_server(_says_nothing, "127.0.0.1", 0)
            url = f"https://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1"
        case "TLS to a server without it":
            await server.open()
            url = server.url(case.protocol).replace("http:", "https:")
        case _:
            await server.open()
    try:
        yield url
    finally:
        if mending is not None:
            await mending
        if other is not None:
            other.close()


async def _says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1024):
        pass
    writer.close()


async def meet(case: Case, runs: Path) -> Outcome:
    """Play one case and judge it."""
    began = time.monotonic()
    server = FaultyServer(script(), list(case.plan), seed=case.seed, attempt_seconds=ATTEMPT)
    found: list[str] = []
    async with server:
        try:
            async with asyncio.timeout(PATIENCE), _addressed(case, server) as url:
                found += await _live(case, server, url, runs)
        except TimeoutError:
            found.append(f"P8: no end within {PATIENCE:g} s")
        except Exception as error:  # the case is named, and the others go on
            found.append(f"a bug: {type(error).__name__}: {error}"[:600])
        found += [f"invalid request: {each}" for each in server.invalid]
        if server.early:
            found.append(f"{server.early} calls came before the end of a wait that was asked for")
        if server.requests > MOST_REQUESTS:
            found.append(f"{server.requests} requests were made")
        return Outcome(tuple(found), server.requests, server.played.total(), time.monotonic() - began)


async def _live(case: Case, server: FaultyServer, url: str, runs: Path) -> list[str]:
    """Run it, resume it when it has paused, and judge what the journal tells."""
    folder = Path(tempfile.mkdtemp(dir=runs))
    model, environ = f"{case.protocol}:first", KEYS
    goal = "Let three files be written."
    settings = _settings(case)
    async with start(goal, model=model, base_url=url, settings=settings, runs=folder, environ=environ) as run:
        result = await run.result()
        kept = run
    lasting = [each.fault for each in case.plan if FAULTS[each.fault].lasts and server.played[each.fault]]
    expected = bool(lasting and not case.fallback) or ADDRESSES.get(case.address or "", False)
    found: list[str] = []
    if result.status == "paused":
        if not expected:
            found.append(f"it paused: {result.reason[:200]}")
        server.lift()
        async with resume(kept.folder, changes={"model.base_url": server.url(case.protocol)}, environ=environ) as run:
            result = await run.result()
            kept = run
    elif expected:
        found.append(f"it went on although a person had to act on {lasting or case.address}")
    if result.status != "completed":
        found.append(f"it ended {result.status}: {result.reason[:300]}")
    found += _judge(case, server, kept, result.path)
    shutil.rmtree(folder, ignore_errors=True)
    return found


# -- the judge --------------------------------------------------------------------------------------------------------


def _judge(case: Case, server: FaultyServer, run: Run, deliverable: Path) -> Iterator[str]:
    with closing(open_reader(run.folder.journal)) as reader:
        records = list(reader.records())
    resumed = bool(_of(records, ev.RunResumed))
    promises = broken_promises(records, run.state, tokens=None)
    yield from (each for each in promises if not (resumed and each.startswith("P8: the run has 2 endings")))
    yield from _effects(records, deliverable)
    yield from _told(case, server, records)
    if case.name.startswith(("404 model, with", "refusals, with")) and not _of(records, ev.CallRerouted):
        yield "no fallback is in the journal"
    if case.name == "breaker":
        positions = [each.position for each in _of(records, ev.CircuitChanged)]
        if not {"open", "half-open", "closed"} <= set(positions) or positions[-1] != "closed":
            yield f"the breaker went through {positions}"
    if server.pending and case.name in (*FAULTS, *DETOURS):  # in combinations there may be no call left that fits
        yield f"the campaign's own fault: {server.pending} were not played"


def _of(records: Sequence[Record], kind: type[Any]) -> list[Any]:
    return [record.event for record in records if isinstance(record.event, kind)]


def _effects(records: Sequence[Record], deliverable: Path) -> Iterator[str]:
    """Everything took effect once, everybody lived, and nothing that was cut was acted on."""
    files = {path.name: path.read_text() for path in deliverable.iterdir() if path.is_file()}
    if files != {f"{name}.txt": content(name) for name in WORKERS}:
        yield f"the files are { ({name: text[:60] for name, text in files.items()}) }"
    counts = Counter(type(record.event).__name__ for record in records)
    talks = [r for r in records if isinstance(r.event, ev.MessageSent) and r.event.message.kind == "talk"]
    for what, count, right in (
        ("files committed", counts["FileCommitted"], len(WORKERS)),
        ("agents recruited", counts["AgentRecruited"], 1 + len(WORKERS)),
        ("messages said", len(talks), len(WORKERS)),
        ("debts failed", counts["AssignmentFailed"], 0),
        ("mail set aside", counts["MailSetAside"], 0),
    ):
        if count != right:
            yield f"{what}: {count}, not {right}"
    for record in records:
        match record.event:
            case ev.MessageSent(message=message) if MARK in message.text:
                yield f"a message at {record.position} holds what was cut"
            case ev.ToolReturned(ok=True, text=text) if MARK in text:
                yield f"a tool acted at {record.position} on what was cut"
            case _:
                pass


def _told(case: Case, server: FaultyServer, records: Sequence[Record]) -> Iterator[str]:
    """Each fault that was played is a fact: the retry, the repair, what the agent was told, the pause."""
    retried, failed = _of(records, ev.CallRetried), [e for e in _of(records, ev.CallFailed) if e.fault != "cancelled"]
    needed: Counter[str] = Counter()
    paid = 0
    for name, times in server.played.items():
        shows = FAULTS[name].shows
        needed["attempt" if shows == "pause" and case.fallback else shows] += times
        paid += times if FAULTS[name].paid else 0
    # What was sent but did not arrive in time shows as one more attempt.
    late = max(0, len(retried) + len(failed) - needed["attempt"] - needed["call"])
    refused = len([e for e in _of(records, ev.ToolReturned) if not e.ok]) + len(_of(records, ev.AgentCorrected))
    repaired = len([e for e in _of(records, ev.ModelAnswered) if e.repairs])
    seen = {
        "attempt": len(retried) + len(failed),
        "call": len(failed),
        "repair": repaired + late,
        "told": refused + late,
        "pause": len(_of(records, ev.RunPaused)) * max(1, needed["pause"]),
    }
    for what, count in seen.items():
        if count < needed[what]:
            yield f"the journal shows {count} of {needed[what]} faults that must be seen as: {what}"
    kept = len([each for each in (*retried, *failed) if each.tokens])
    if kept < paid:
        yield f"{paid} attempts may have been paid for, the journal says so of {kept}"


# -- the campaign -----------------------------------------------------------------------------------------------------


def run(full: bool, seed: int) -> dict[str, object]:
    """Each fault alone; in the large form also a thousand combinations."""
    cases = [*singles(seed, full=full), *(combinations(seed, COMBINATIONS) if full else ())]
    runs = Path(tempfile.mkdtemp(prefix="megaagent-faults-"))
    began = time.monotonic()
    try:
        outcomes = asyncio.run(_meet_all(cases, runs))
    finally:
        shutil.rmtree(runs, ignore_errors=True)
    violations = 0
    for case, outcome in zip(cases, outcomes, strict=True):
        for violation in outcome.violations:
            violations += 1
            mode = "stream" if case.stream else "whole"
            sys.stdout.write(f"{case.name} ({case.protocol}, {mode}, seed {case.seed}): {violation}\n")
            sys.stdout.write(f"    {', '.join(f'{p.fault} at {p.at} x{p.times}' for p in case.plan)} {case.address}\n")
    return {
        "cases": len(cases),
        "over_the_messages_api": sum(case.protocol == "anthropic" for case in cases),
        "violations": violations,
        "faults": len(FAULTS) + len(ADDRESSES),
        "played": sum(outcome.played for outcome in outcomes),
        "requests": sum(outcome.requests for outcome in outcomes),
        "slowest_seconds": round(max(outcome.seconds for outcome in outcomes), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


async def _meet_all(cases: Sequence[Case], runs: Path) -> list[Outcome]:
    places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(case: Case) -> Outcome:
        async with places:
            return await meet(case, runs)

    return await asyncio.gather(*map(one, cases))
