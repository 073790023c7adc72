"""Property: whichever byte of a journal's file changes, it is noticed or it does not matter."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from megaagent.errors import RunError
from megaagent.journal import open_reader

FILE = 1 << 16  # bytes; what is drawn is folded into the file's real length


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, FILE), change=st.integers(1, 255))
@example(place=3008, change=128)  # a name in the schema that is no longer UTF-8
async def test_no_changed_byte_changes_what_is_read_unnoticed(finished: Path, place: int, change: int):
    good = finished.read_bytes()
    with closing(open_reader(finished)) as reader:
        records = list(reader.records())
    changed = bytearray(good)
    changed[place % len(good)] ^= change
    finished.write_bytes(changed)
    try:
        with suppress(RunError), closing(open_reader(finished)) as reader:
            assert reader.verify().problem or list(reader.records()) == records
    finally:
        for beside in ("-wal", "-shm"):
            finished.with_name(finished.name + beside).unlink(missing_ok=True)
        finished.write_bytes(good)
