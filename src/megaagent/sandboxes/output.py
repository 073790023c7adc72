"""Output that is kept within bounds: its head and its tail."""

from __future__ import annotations


class BoundedText:
    """Bytes as they come, of which the first and the last are kept.

    Args:
        limit: bytes kept at most.
    """

    def __init__(self, limit: int):
        self._half = max(1, limit // 2)
        self._head = bytearray()
        self._tail = bytearray()
        self.received = 0

    def add(self, data: bytes) -> None:
        self.received += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:][-self._half :]
        # Trimmed now and then rather than each time: removing at the front copies what is left.
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def left_out(self) -> int:
        """Bytes that came and are not kept."""
        return max(0, self.received - 2 * self._half)

    def text(self) -> str:
        """What is kept, with a note where something is missing; what is not UTF-8 is replaced."""
        tail = bytes(self._tail[-self._half :])
        if not self.left_out:
            return (bytes(self._head) + tail).decode(errors="replace")
        head = bytes(self._head)
        head = head[: len(head) - unfinished(head)]
        tail = tail.lstrip(bytes(range(0x80, 0xC0))) if tail[:1] > b"\x7f" else tail
        note = f"\n[... {self.left_out} bytes left out ...]\n"
        return head.decode(errors="replace") + note + tail.decode(errors="replace")

    def take(self, last: bool) -> str:
        """What came since the last `take`; half a character at the end waits for its rest unless it is the last."""
        end = self._tail or self._head
        kept = bytes(end[len(end) - unfinished(end) :]) if not last else b""
        if kept:
            del end[-len(kept) :]
            self.received -= len(kept)
        taken = self.text()
        self._head, self._tail, self.received = bytearray(), bytearray(), 0
        self.add(kept)
        return taken


def unfinished(data: bytes | bytearray) -> int:
    """How many bytes at the end begin a UTF-8 character that is not complete."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < needed else 0
    return 0
