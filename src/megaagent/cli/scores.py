"""What `megaagent eval score` does: reads predictions, scores them, and prints what they come to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from megaagent.cli.words import clean, clean_json, plural
from megaagent.errors import ConfigurationError, SandboxError

if TYPE_CHECKING:
    from megaagent.evaluation.contract import Benchmark
    from megaagent.evaluation.predictions import Found
    from megaagent.evaluation.scoring import Marked, Summary

NAMED = 10  # of a kind of trouble


def score(
    name: str,
    predictions: Path,
    data: Path | None,
    *,
    limit: int | None,
    places: int | None,
    out: Path | None,
    json: bool,
) -> int:
    """Score predictions and print the figures; returns the exit code."""
    from megaagent.evaluation import benchmark
    from megaagent.evaluation.data import load
    from megaagent.evaluation.predictions import read_predictions
    from megaagent.evaluation.scoring import score_all, summed

    chosen = benchmark(name)
    there = load(chosen, data)
    items = there[:limit]
    found = read_predictions(chosen, items, predictions, beyond=there[len(items) :])
    if out is not None:
        _begin(out)
    progress = _Progress(len(found.predictions))
    try:
        marked = asyncio.run(
            score_all(chosen, items, found.predictions, places=places or os.cpu_count() or 1, tell=progress.tell)
        )
    except* (ConfigurationError, SandboxError) as group:
        raise group.exceptions[0] from None
    finally:
        progress.close()
    summary = summed(items, marked)
    if out is not None:
        _write(out, found, marked)
    if json:
        told = {"evaluation": name, "summary": summary, "rejected": found.rejected, "missing": found.missing}
        told |= {"doubled": found.doubled, "marks": marked}
        print(clean_json(msgspec.json.encode(told).decode()))
    else:
        print("\n".join(lines_of(chosen, found, summary, marked)))
    return 0


def lines_of(benchmark: Benchmark, found: Found, summary: Summary, marked: Sequence[Marked]) -> Iterable[str]:
    """The figures, then what was wrong with predictions."""
    yield f"{benchmark.title}: {summary.score:.1%} of {plural(summary.items, 'item')}"
    yield f"  95 % interval   {summary.low:.1%} to {summary.high:.1%}"
    sources = ", ".join(found.sources)
    yield f"  predictions     {len(marked):,} scored, {summary.passed:,} passed; read from: {sources}"
    for k, share in summary.pass_at.items():
        yield f"  pass@{k:<10} {share:.1%}"
    for part, (passed, total) in summary.parts.items():
        yield f"  {part}: {passed:,} of {total:,} ({passed / total if total else 0:.1%})"
    if found.beyond:
        yield f"  beyond --limit  {plural(found.beyond, 'prediction')}, not scored"
    yield from _named("no prediction, counted as wrong", found.missing)
    counted = "more samples than others" if benchmark.samples else "several predictions, the first counts"
    yield from _named(counted, found.doubled)
    yield from _named("left out", found.rejected)
    yield from _named("not passed", [f"{m.id}: {m.mark.why}" for m in marked if not m.mark.passed])


def _named(what: str, which: Sequence[str]) -> Iterable[str]:
    if which:
        yield f"{what}: {len(which):,}"
        yield from (f"  {clean(each)[:200]}" for each in which[:NAMED])
        if len(which) > NAMED:
            yield f"  and {len(which) - NAMED:,} more"


def _begin(out: Path) -> None:
    """
    Raises:
        ConfigurationError: it cannot be written; told before the scoring, which may take long.
    """
    try:
        out.open("ab").close()
    except OSError as error:
        raise ConfigurationError(f"--out {out}: {error.strerror}") from error


def _write(out: Path, found: Found, marked: Sequence[Marked]) -> None:
    rows = [{"task_id": m.id, "sample": m.sample, "passed": m.mark.passed, "result": m.mark.why} for m in marked]
    rows += [{"task_id": id, "sample": None, "passed": False, "result": "no prediction"} for id in found.missing]
    try:
        out.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    except OSError as error:
        raise ConfigurationError(f"--out {out}: {error.strerror}") from error


class _Progress:
    """How far it is, on a terminal's standard error."""

    def __init__(self, total: int, stream: IO[str] | None = None):
        self._total, self._done, self._passed = total, 0, 0
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()

    def tell(self, marked: Marked) -> None:
        self._done += 1
        self._passed += marked.mark.passed
        if self._shown:
            self._stream.write(f"\r{self._done:,} of {self._total:,} scored, {self._passed:,} passed ")
            self._stream.flush()

    def close(self) -> None:
        if self._shown and self._done:
            self._stream.write("\r\x1b[K")
