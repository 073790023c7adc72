"""A loopback line to a database that can be cut where it hurts most: between a COMMIT and its answer."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Generator
from typing import Literal

from campaigns.postgres_server import free_port

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"

Cut = Literal["before", "after"]


class Proxy:
    """Forwards every connection to a server, and cuts those that are to be cut.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int):
        self.port = free_port()
        self.cuts = 0  # that were made
        self._target = port
        self._replacing: tuple[bytes, bytes] | None = None
        self._due: list[Cut | None] = []
        self.when_cut: Callable[[], None] = lambda: None  # called before a line is cut
        self._every: tuple[random.Random, float] | None = None
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._dumb = False
        self.swallowed = threading.Event()
        self._listener: socket.socket | None = None
        self.listen()

    def cut_next(self, *where: Cut) -> None:
        """Cut the connections of the next commits: before the server sees it, or after it is done, unanswered."""
        with self._lock:
            self._due += where

    def cut_after(self, commits: int, where: Cut) -> None:
        """Let so many commits pass, and cut the next one."""
        with self._lock:
            passing: list[Cut | None] = [None] * commits
            self._due = [*passing, where]

    def spare(self) -> None:
        """Cut no more."""
        with self._lock:
            self._due, self._every = [], None

    def cut_often(self, seed: int, share: float) -> None:
        """Cut so large a share of all commits, each before or after, as chance has it."""
        self._every = random.Random(seed), share

    def replace(self, old: bytes, new: bytes) -> None:
        """Change what the server says; both are of the same length."""
        assert len(old) == len(new)
        self._replacing = old, new

    def listen(self) -> None:
        """Take connections; as from the beginning."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def deafen(self) -> None:
        """Take no new connections, and cut those that are there."""
        self.refuse()
        self.cut_all()

    def refuse(self) -> None:
        """Take no new connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    @contextlib.contextmanager
    def dumb(self) -> Generator[None]:
        """Meanwhile what clients say is taken and goes nowhere."""
        self.swallowed.clear()
        self._dumb = True
        try:
            yield
        finally:
            self._dumb = False

    def cut_all(self) -> None:
        """Cut every connection that is there."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            _shut(line)

    def close(self) -> None:
        self.deafen()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self._lines.update(pair)
            cut = threading.Event()
            threading.Thread(target=self._to_server, args=(*pair, cut), daemon=True).start()
            threading.Thread(target=self._to_client, args=(*pair, cut), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while data := client.recv(1 << 16):
                if self._dumb:
                    self.swallowed.set()
                    continue
                where = self._next_cut() if data.endswith(COMMIT) else None
                if where is not None:
                    self.when_cut()
                if where == "before":
                    break
                if where == "after":
                    cut.set()  # the other direction swallows the answer, then shuts both
                server.sendall(data)
        except OSError:
            pass
        finally:
            if not cut.is_set():
                _shut(client)
                _shut(server)

    def _to_client(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        try:
            while data := server.recv(1 << 16):
                if cut.is_set():
                    break
                if self._replacing is not None:
                    data = data.replace(*self._replacing)
                client.sendall(data)
        except OSError:
            pass
        finally:
            for line in (client, server):
                _shut(line)
                with self._lock:
                    self._lines.discard(line)
                line.close()

    def _next_cut(self) -> Cut | None:
        with self._lock:
            where: Cut | None = self._due.pop(0) if self._due else None
            if where is None and self._every is not None:
                chance, share = self._every
                where = chance.choice(("before", "after")) if chance.random() < share else None
            self.cuts += where is not None
            return where


def _shut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
