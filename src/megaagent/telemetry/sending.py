"""Sends a run's spans and metrics: all of a run that has been, or one that goes on, as its journal grows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from megaagent.errors import RunError
from megaagent.events import Record, RunEnded, RunResumed, Struct
from megaagent.folder import RunFolder
from megaagent.journal import JournalReader, open_reader
from megaagent.telemetry import TelemetrySettings
from megaagent.telemetry.metrics import Metrics
from megaagent.telemetry.spans import Spans

if TYPE_CHECKING:
    from megaagent.telemetry.otlp import Sender

TICK: Final = 0.5  # seconds between two looks at the journal
BATCH: Final = 1_000  # facts read in one go
RHYTHM: Final = 10.0  # seconds of the run between two tellings of the metrics
MOST_TELLINGS: Final = 500  # of the metrics of a run that has been
PATIENCE: Final = 15.0  # seconds that the last of it is given when the run is over
IMPATIENCE: Final = 2.0  # the same, when nothing was taken before


class Sent(Struct, frozen=True):
    """What came of it.

    Attributes:
        spans: that the receiver took.
        tellings: of the metrics, that it took.
        lost: spans and requests with metrics that it did not take, because of `problem`.
    """

    spans: int
    tellings: int
    lost: int = 0
    problem: str = ""


def check_telemetry(settings: TelemetrySettings) -> None:
    """Look whether what is wanted can be sent at all, before anything is made or spent.

    Raises:
        ConfigurationError: the extra is not installed, or the environment asks for what we cannot do.
    """
    if settings.otel:
        from megaagent.telemetry.otlp import Sender

        Sender("").close()


class Teller:
    """Folds facts and hands on what is to be sent.

    Args:
        since: facts up to this position were sent by an earlier engine.
        rhythm: seconds of the run between two tellings of the metrics.
    """

    def __init__(self, sender: Sender, *, content: bool = False, since: int = 0, rhythm: float = RHYTHM):
        self._sender = sender
        self._spans = Spans(content=content)
        self._metrics = Metrics()
        self._since = since
        self._rhythm = rhythm
        self._due: float | None = None

    def take_in(self, record: Record) -> None:
        """Fold one fact."""
        spans = self._spans.take_in(record)
        if self._due is not None and record.time >= self._due:
            self.tell()
        self._metrics.take_in(record)
        if record.position <= self._since:
            return
        if self._due is None:
            self._due = record.time + self._rhythm
        self._sender.add(spans)

    def tell(self) -> None:
        """Send the metrics as they stand."""
        metrics = self._metrics
        if metrics.first is not None:
            self._sender.tell(metrics.now(), metrics.first, metrics.last)
            self._due = metrics.last + self._rhythm


def send(folder: RunFolder, sender: Sender, *, content: bool = False) -> Sent:
    """Send all that a run's journal tells, with the times at which it was.

    Raises:
        RunError: the journal cannot be read to its end; what comes before has been sent.
    """
    reader = open_reader(folder.journal)
    try:
        first, last = reader.record(1), reader.record(reader.last())
        seconds = last.time - first.time if first is not None and last is not None else 0.0
        teller = Teller(sender, content=content, rhythm=max(RHYTHM, seconds / MOST_TELLINGS))
        try:
            for record in reader.records(bodies=content):
                teller.take_in(record)
        finally:
            sender.flush()
            teller.tell()
        return _sent(sender)
    finally:
        reader.close()
        sender.close()


class Follower:
    """Sends what a run does while it goes on, in a thread of its own that reads the journal: the engine does not wait.

    Args:
        since: facts up to this position were sent by an earlier engine.
    """

    def __init__(self, folder: RunFolder, sender: Sender, *, content: bool = False, since: int = 0):
        self.sent: Sent | None = None
        self._ended = threading.Event()
        self._sender = sender
        self._content = content
        self._over = threading.Event()
        self._teller = Teller(sender, content=content, since=since)
        self._reader: JournalReader = open_reader(folder.journal)
        self._thread = threading.Thread(target=self._follow, name=f"telemetry {folder.id}", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the end of the run is on its way, or the journal cannot be read on."""
        while not self._ended.wait(TICK):  # in turns, so that a person can interrupt it
            pass

    def close(self) -> Sent:
        """Send the last of it, for `PATIENCE` seconds at most."""
        self._over.set()
        self._thread.join(PATIENCE if not self._sender.lost else IMPATIENCE)
        if self._thread.is_alive():
            self._sender.give_up()
            self._thread.join(IMPATIENCE)
        self.sent = _sent(self._sender)
        return self.sent

    def _follow(self) -> None:
        position = 0
        try:
            while True:
                last_round = self._over.is_set()  # asked before reading, so that nothing recorded before is missed
                while (reached := self._read(position)) != position:
                    position = reached
                self._sender.flush()
                if last_round:
                    self._teller.tell()
                    return
                self._over.wait(TICK)
        except RunError as error:
            self._sender.problem = str(error)
        finally:
            self._ended.set()
            self._reader.close()
            self._sender.close()

    def _read(self, position: int) -> int:
        for record in self._reader.records(position, limit=BATCH, bodies=self._content):
            self._teller.take_in(record)
            position = record.position
            if isinstance(record.event, RunEnded):
                self._ended.set()
            elif isinstance(record.event, RunResumed):
                self._ended.clear()
        return position


def _sent(sender: Sender) -> Sent:
    return Sent(sender.spans, sender.points, sender.lost, sender.problem)
