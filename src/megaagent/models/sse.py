"""Server-sent events, as far as model providers use them.

Source: WHATWG HTML, section "Server-sent events" (interpreting an event stream).
"""

from __future__ import annotations

from collections.abc import Iterator


class EventStream:
    """Turns the bytes of a stream, however they are cut, into the data of its events."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # a line that is still to be ended, in the chunks that it came in
        self._data: list[bytes] = []
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that `chunk` completes."""
        self._rest.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            return
        lines = b"".join(self._rest).splitlines(keepends=True)
        # A line without its end waits for the rest; so does one that ends in CR, for an LF may follow.
        self._rest = [lines.pop()] if lines and not lines[-1].endswith(b"\n") else []
        for line in lines:
            yield from self._line(line.rstrip(b"\r\n"))

    def finish(self) -> Iterator[bytes]:
        """The data of a last event whose end was never sent: some servers close right after it."""
        yield from self._line(b"".join(self._rest).rstrip(b"\r\n"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not self._started:
            self._started = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                yield b"\n".join(self._data)
                self._data = []
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
