"""The collector of circular garbage looks when memory has grown, and is left as it was found."""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest

from megaagent import collector
from megaagent.collector import rarely_collecting


@pytest.fixture(autouse=True)
def as_it_was() -> Generator[None]:
    was = gc.isenabled()
    gc.enable()
    yield
    if not was:
        gc.disable()


def circles(count: int) -> None:
    for _ in range(count):
        circle: list[object] = []
        circle.append(circle)


def test_it_rests_while_a_run_goes_on_and_looks_again_after_it():
    before = gc.get_stats()
    with rarely_collecting() as look:
        circles(100_000)
        look(None)  # they take a few megabytes
        assert not gc.isenabled()
        assert [each["collections"] for each in gc.get_stats()] == [each["collections"] for each in before]
    assert gc.isenabled()


def test_what_has_become_much_is_collected():
    kept = bytearray(1 << 20)  # what is in use stays
    with rarely_collecting(grown=1) as look:  # so it looks when memory has doubled
        start = collector.resident()
        for _ in range(2 * start // (4 << 20) + 2):
            circle: list[object] = [bytearray(b"x") * (4 << 20)]
            circle.append(circle)
            del circle
        circles(2 * collector.LOOKED)
        before = gc.get_stats()[2]["collections"]
        look(None)
        assert gc.get_stats()[2]["collections"] == before + 1
        look(None)  # at once again: nothing has grown since
        assert gc.get_stats()[2]["collections"] == before + 1
        assert collector.resident() < 2 * start
    assert len(kept) == 1 << 20


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with rarely_collecting() as look:
        look(None)
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_two_runs_in_one_process_leave_it_on():
    first, second = rarely_collecting(), rarely_collecting()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.isenabled()
