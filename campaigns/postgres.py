"""The journal in PostgreSQL, with a server that comes and goes, lines that are cut, and engines that die or come late.

The scripted run of the crash campaign is played with its journal in a real server on the loopback, and judged by that
campaign's checker on a copy of the journal in a file. Kinds of cases:

- `restart`: the server is restarted under the run again and again: in good order, at once, or killed. The run must wait
  and complete, in one epoch.
- `cut`: a share of all commits loses its connection, before the server has seen it or after, unanswered.
- `kill`: the engine is killed at a commit whose connection is cut at the same moment; the run is resumed to its end.
- `takeover`: the engine stands still until its lease is over, and another one, which does not see its lock file, ends
  the run. Before that the other is refused; afterwards the first one goes on, and must find that it may write nothing.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from campaigns.checker import check
from campaigns.crash import Outcome
from campaigns.crash_child import COMPLETED, REFUSED, Places
from campaigns.evidence import read_journal
from campaigns.postgres_proxy import Cut, Proxy
from campaigns.postgres_server import PostgresServer, binaries
from megaagent.errors import MegaAgentError
from megaagent.folder import RunFolder
from megaagent.journal.prefix import take_all
from megaagent.proof import replay

KINDS = ("restart", "cut", "kill", "takeover")
SHORT, FULL = 1, 25  # cases of each kind
WIDTHS = {"restart": (4, 8)}  # groups and workers in each, where a longer run is wanted
PATIENCE = 240.0  # seconds for one engine
RESTARTS = 5  # of the server under one run; it waits for up to ten seconds after each
HOWS = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)


@dataclass(frozen=True)
class Case:
    """One run with its troubles, drawn from a seed."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind} (seed {self.seed})"


def run(full: bool, seed: int) -> dict[str, object]:
    """The campaign; see `campaigns`."""
    began = time.monotonic()
    if binaries() is None:
        sys.stdout.write("skipped: PostgreSQL is not installed (apt-get install postgresql)\n")
        return {"cases": 0, "violations": 0, "skipped": "PostgreSQL is not installed"}
    outcomes: list[Outcome] = []
    cases = [Case(kind, seed + number) for number in range(FULL if full else SHORT) for kind in KINDS]
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = PostgresServer(fsync=True)
        os.environ.update(server.environment)
        try:
            for number, case in enumerate(cases):
                outcomes.append(play(case, Path(folder, str(number)), server))
                for violation in outcomes[-1].violations:
                    sys.stdout.write(f"{case}: {violation}\n")
        finally:
            server.close()
    return {
        "cases": len(outcomes),
        "violations": sum(len(outcome.violations) for outcome in outcomes),
        "troubles": sum(outcome.reached for outcome in outcomes),
        "kinds": dict(Counter(case.kind for case in cases)),
        "seconds": round(time.monotonic() - began, 1),
    }


def play(case: Case, folder: Path, server: PostgresServer) -> Outcome:
    """Let the run meet its troubles, bring it to its end, and judge what it leaves."""
    folder.mkdir()
    outcome, proxy = Outcome(str(case)), Proxy(server.port)
    places = Places(folder, server.address.replace(str(server.port), str(proxy.port)))
    how: Callable[[Outcome, Places, Proxy, PostgresServer, random.Random], None]
    how = {"restart": _restarted, "cut": _cut, "kill": _killed, "takeover": _taken_over}[case.kind]
    try:
        how(outcome, places, proxy, server, random.Random(f"{case}"))
        _judge(outcome, places)
    except subprocess.TimeoutExpired:
        outcome.violations.append(f"it hangs: {_log(places)}")
    except MegaAgentError as error:
        outcome.violations.append(f"it cannot be judged: {error}")
    finally:
        proxy.close()
    return outcome


# -- the troubles -----------------------------------------------------------------------------------------------------


def _restarted(outcome: Outcome, places: Places, proxy: Proxy, server: PostgresServer, chance: random.Random) -> None:
    with _engine(places, WIDTHS["restart"]) as engine:
        _wait_for_journal(engine, places)
        while engine.poll() is None and outcome.reached < RESTARTS:
            with contextlib.suppress(subprocess.TimeoutExpired):
                engine.wait(chance.uniform(0.05, 0.3 if outcome.reached < 2 else 1.5))
                break
            server.restart(chance.choice(HOWS))
            outcome.reached += 1
        _expect(outcome, places, engine.wait(PATIENCE), COMPLETED)
    if outcome.reached < 2:
        outcome.violations.append("the server was hardly restarted")
    _expect_epochs(outcome, places, 1)


def _cut(outcome: Outcome, places: Places, proxy: Proxy, server: PostgresServer, chance: random.Random) -> None:
    with _engine(places) as engine:
        _wait_for_journal(engine, places)
        proxy.cut_often(chance.randrange(1 << 30), chance.choice((0.05, 0.1, 0.2)))
        _expect(outcome, places, engine.wait(PATIENCE), COMPLETED)
    proxy.spare()
    outcome.reached = proxy.cuts
    if not proxy.cuts:
        outcome.violations.append("no commit was cut")
    _expect_epochs(outcome, places, 1)


def _killed(outcome: Outcome, places: Places, proxy: Proxy, server: PostgresServer, chance: random.Random) -> None:
    code = 0
    for _ in range(chance.randrange(2, 5)):
        with _engine(places) as engine:
            where: Cut = chance.choice(("before", "after"))
            proxy.when_cut = engine.kill
            proxy.cut_after(chance.randrange(8, 40), where)
            code = engine.wait(PATIENCE)
        if code != -signal.SIGKILL:
            break
        outcome.reached += 1
    proxy.when_cut = lambda: None
    proxy.spare()
    if code != COMPLETED:
        with _engine(places) as engine:
            _expect(outcome, places, engine.wait(PATIENCE), COMPLETED)
    if not outcome.reached:
        outcome.violations.append("no engine was killed")


def _taken_over(outcome: Outcome, places: Places, proxy: Proxy, server: PostgresServer, chance: random.Random) -> None:
    with _engine(places) as late:
        _wait_for_journal(late, places)
        proxy.when_cut = partial(late.send_signal, signal.SIGSTOP)  # it stands still at a commit that is cut
        proxy.cut_after(chance.randrange(5, 40), chance.choice(("before", "after")))
        _wait_until(lambda: proxy.cuts > 0 or late.poll() is not None)
        folder = places.run()
        assert folder is not None
        (folder.path / "journal.lock").unlink()  # as on another machine, which does not see it
        (folder.path / "control.sock").unlink(missing_ok=True)
        with _engine(places) as second:
            _expect(outcome, places, second.wait(PATIENCE), REFUSED)
        if "its lease ends in" not in _log(places):
            outcome.violations.append(f"the second engine was not told of the lease: {_log(places)}")
        with contextlib.closing(server.connect()) as connection:
            connection.execute("UPDATE megaagent.run SET lease = clock_timestamp() WHERE name = %s", (folder.id,))
        with _engine(places) as second:
            _expect(outcome, places, second.wait(PATIENCE), COMPLETED)
        late.send_signal(signal.SIGCONT)
        _expect(outcome, places, late.wait(PATIENCE), REFUSED)
    outcome.reached = 1
    if not any(words in _log(places) for words in ("another engine has taken over", "another one works on the run")):
        outcome.violations.append(f"the late engine was not told that it was replaced: {_log(places)}")
    _expect_epochs(outcome, places, 2)


# -- engines ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _engine(places: Places, width: tuple[int, int] = (2, 4)):
    """An engine that starts the run or goes on with it; it does not outlive the block."""
    words = [sys.executable, "-m", "campaigns.crash_child", str(places.folder), "--journal", places.journal]
    with (places.folder / "log").open("ab") as log:
        command = [*words, "--width", *map(str, width)]
        engine = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield engine
    finally:
        if engine.poll() is None:
            engine.kill()
        engine.wait()


def _wait_for_journal(engine: subprocess.Popen[bytes], places: Places) -> None:
    """Until the run has begun: before that a failure refuses it."""
    _wait_until(lambda: engine.poll() is not None or _has_begun(places))


def _has_begun(places: Places) -> bool:
    run = places.run()
    return run is not None and run.socket.exists()


def _wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > end:
            raise subprocess.TimeoutExpired("engine", PATIENCE)
        time.sleep(0.005)


def _expect(outcome: Outcome, places: Places, code: int, wanted: int) -> None:
    if code != wanted:
        outcome.violations.append(f"an engine ended with {code} and not {wanted}: {_log(places)}")


def _log(places: Places) -> str:
    return (places.folder / "log").read_text(errors="replace")[-1500:]


# -- judging ----------------------------------------------------------------------------------------------------------


def _judge(outcome: Outcome, places: Places) -> None:
    """The checker's verdict on the run with its journal in a file, and the replay's on the run as it is."""
    folder = places.run()
    if folder is None:
        outcome.violations.append(f"there is no run: {_log(places)}")
        return
    run = _in_a_file(folder, places)
    outcome.violations += check(run.path, places.bill, places.effects, ended=True)
    outcome.violations += [f"the replay finds: {problem}" for problem in replay(folder).problems]


def _in_a_file(folder: RunFolder, places: Places) -> RunFolder:
    """The run's folder once more, with its journal in a file."""
    copy = RunFolder(places.folder / "judged" / folder.id)
    if not copy.path.exists():
        copy.path.mkdir(parents=True)
        for entry in folder.path.iterdir():
            if not entry.name.startswith("journal."):
                (copy.path / entry.name).symlink_to(entry)
        take_all(folder.journal, copy.journal)
    return copy


def _expect_epochs(outcome: Outcome, places: Places, wanted: int) -> None:
    folder = places.run()
    if folder is not None:
        epochs = {row.epoch for row in read_journal(_in_a_file(folder, places).journal)}
        if epochs != set(range(1, wanted + 1)):
            outcome.violations.append(f"there are facts of the epochs {sorted(epochs)}, not of {wanted}")
