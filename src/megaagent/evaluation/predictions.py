"""Reads predictions that were made elsewhere. Nothing in them is trusted; what cannot be used is named and left out."""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Benchmark, Item, Prediction
from megaagent.evaluation.data import read_text
from megaagent.events import Struct

IDS = ("task_id", "id", "unique_id", "idx", "index", "problem_id", "question_id")
QUESTIONS = ("question", "problem", "prompt", "query")
LARGEST = 2_000_000  # characters of one answer
MOST = 200_000  # predictions
MOST_FILES = 2_000  # of one deliverable


class Found(Struct, frozen=True):
    """What was read.

    Attributes:
        rejected: what could not be used, each with place and reason.
        missing: ids of items without any prediction.
        doubled: ids with more predictions than count.
        beyond: how many are for items that are not wanted this time.
        sources: the fields, or kinds of files, that answers were read from.
    """

    predictions: tuple[Prediction, ...]
    rejected: tuple[str, ...]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    sources: tuple[str, ...] = ()
    beyond: int = 0


def read_predictions(benchmark: Benchmark, items: Sequence[Item], path: Path, *, beyond: Sequence[Item] = ()) -> Found:
    """All predictions for these items in a file (JSON lines or JSON, also gzipped) or a folder with one file for each.

    For a benchmark that is a scenario, a folder is the one deliverable.

    Args:
        beyond: items that there are and that are not wanted; predictions for them are only counted.

    Raises:
        ConfigurationError: it cannot be read, or nothing in it is a prediction for any of the items.
    """
    reading = _Reading(benchmark, items, beyond)
    if path.is_dir() and benchmark.scenario is not None:
        reading.deliverable(path)
    elif path.is_dir():
        reading.folder(path)
    else:
        reading.file(path)
    return reading.found(path)


class _Reading:
    def __init__(self, benchmark: Benchmark, items: Sequence[Item], beyond: Sequence[Item]):
        self._benchmark = benchmark
        self._items = items
        self._unwanted = {item.id for item in beyond}
        self._beyond = 0
        everything = [*items, *beyond]
        self._ids = _aliases(benchmark.name, everything)
        questions = Counter(_squeezed(item.question) for item in everything)
        self._questions = {_squeezed(i.question): i.id for i in everything if questions[_squeezed(i.question)] == 1}
        self._predictions: list[Prediction] = []
        self._nameless: list[tuple[str, Prediction]] = []
        self._rejected: list[str] = []
        self._sources: dict[str, None] = {}

    # -- where they are -----------------------------------------------------------------------------------------------

    def folder(self, path: Path) -> None:
        for file in sorted(path.rglob("*")):
            place = file.relative_to(path).as_posix()
            if any(part.startswith(".") for part in file.relative_to(path).parts) or file.is_dir():
                continue
            if not stat.S_ISREG(file.lstat().st_mode):
                self._rejected.append(f"{place}: not a regular file")
            elif file.name.endswith((".jsonl", ".jsonl.gz")):
                self.file(file)
            else:
                self._single(file, place)

    def deliverable(self, path: Path) -> None:
        """The files that were made for the one item."""
        files: dict[str, str] = {}
        for file in sorted(path.rglob("*")):
            place = file.relative_to(path).as_posix()
            if any(part.startswith(".") for part in file.relative_to(path).parts) or file.is_dir():
                continue
            if not stat.S_ISREG(file.lstat().st_mode):
                self._rejected.append(f"{place}: not a regular file")
            elif len(files) >= MOST_FILES or file.stat().st_size > LARGEST:
                self._rejected.append(f"{place}: too large, or one of more than {MOST_FILES:,} files")
            else:
                try:
                    files[place] = read_text(file)
                except ConfigurationError as error:
                    self._rejected.append(str(error))
        if files:
            self._sources["whole files"] = None
            self._predictions.append(self._benchmark.answer(self._items[0], "", files))

    def _single(self, file: Path, place: str) -> None:
        """A file of the folder that is one prediction, called by the id of its item."""
        try:
            text = read_text(file)
        except ConfigurationError as error:
            self._rejected.append(str(error))
            return
        if file.suffix == ".json":
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                row = text
            if isinstance(row, dict):
                self._row({"task_id": _stem(place), **cast(dict[str, Any], row)}, place)
                return
        self._sources["whole files"] = None
        self._add(_stem(place), Prediction("", text, whole=True), place)

    def file(self, path: Path) -> None:
        text = read_text(path)
        try:
            tree: Any = json.loads(text)
        except (ValueError, RecursionError):
            tree = None
        if isinstance(tree, list):
            self._rows((f"entry {n}", row) for n, row in enumerate(cast(list[Any], tree), 1))
        elif isinstance(tree, dict) and not (set(IDS) | set(self._benchmark.fields)) & set(cast(dict[str, Any], tree)):
            self._table(cast(dict[str, Any], tree))
        else:
            self._rows(self._lines(text))

    def _lines(self, text: str) -> Iterator[tuple[str, Any]]:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    yield f"line {number}", json.loads(line)
                except (ValueError, RecursionError) as error:
                    self._rejected.append(f"line {number}: not JSON: {str(error)[:100]}")

    def _rows(self, rows: Iterable[tuple[str, Any]]) -> None:
        for place, row in rows:
            if isinstance(row, dict):
                self._row(cast(dict[str, Any], row), place)
            else:
                self._rejected.append(f"{place}: a JSON object is expected")

    def _table(self, tree: Mapping[str, Any]) -> None:
        """Answers by id, one or a list of samples each."""
        for id, value in tree.items():
            for text in cast(list[Any], value) if isinstance(value, list) else [value]:
                self._row({"task_id": id, self._benchmark.fields[0]: text}, f"the answer to {id[:60]!r}")

    # -- one of them --------------------------------------------------------------------------------------------------

    def _row(self, row: Mapping[str, Any], place: str) -> None:
        field = next((name for name in self._benchmark.fields if name in row), None)
        if field is None:
            self._rejected.append(f"{place}: it has none of the fields {', '.join(self._benchmark.fields)}")
            return
        value = row[field]
        text = value if isinstance(value, str) else json.dumps(value)
        if not isinstance(value, str) and not (field == "plan" or isinstance(value, int | float)):
            self._rejected.append(f"{place}: {field} is no text")
            return
        self._sources[field] = None
        prediction = Prediction("", text, whole=field in self._benchmark.whole)
        id = next((row[name] for name in IDS if name in row), None)
        if id is None:
            question = next((row[name] for name in QUESTIONS if isinstance(row.get(name), str)), None)
            known = self._questions.get(_squeezed(question)) if isinstance(question, str) else None
            if known is None:
                self._nameless.append((place, prediction))
                return
            id = known
        self._add(id, prediction, place)

    def _add(self, id: Any, prediction: Prediction, place: str) -> None:
        known = self._ids.get(_simple(str(id)))
        if known is None:
            self._rejected.append(f"{place}: there is no item {str(id)[:60]!r}")
        elif known in self._unwanted:
            self._beyond += 1
        elif len(prediction.text) > LARGEST:
            self._rejected.append(f"{place}: {len(prediction.text):,} characters are more than {LARGEST:,}")
        elif len(self._predictions) >= MOST:
            self._rejected.append(f"{place}: more than {MOST:,} predictions")
        else:
            self._predictions.append(Prediction(known, prediction.text, prediction.whole))

    # -- all of them --------------------------------------------------------------------------------------------------

    def found(self, path: Path) -> Found:
        if self._nameless and not self._predictions and len(self._nameless) == len(self._items):
            pairs = zip(self._items, self._nameless, strict=True)  # as many as there are items: in their order
            self._predictions = [Prediction(item.id, given.text, given.whole) for item, (_, given) in pairs]
        else:
            self._rejected += [f"{place}: it does not say which item it answers" for place, _ in self._nameless]
        if not self._predictions:
            first = f"; {self._rejected[0]}" if self._rejected else ""
            which = f"the first {len(self._items):,} items of " if self._beyond else ""
            raise ConfigurationError(f"{path}: nothing in it is a prediction for {which}{self._benchmark.title}{first}")
        counts = Counter(prediction.id for prediction in self._predictions)
        usual = counts.most_common()[-1][1] if self._benchmark.samples else 1
        kept = self._predictions if self._benchmark.samples else _first_of_each(self._predictions)
        return Found(
            tuple(kept),
            tuple(self._rejected),
            tuple(item.id for item in self._items if item.id not in counts),
            tuple(id for id, count in counts.items() if count > usual),
            tuple(self._sources),
            self._beyond,
        )


def _first_of_each(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The first prediction for each item: what comes later may have been made with knowledge of the score."""
    first: dict[str, Prediction] = {}
    for prediction in predictions:
        first.setdefault(prediction.id, prediction)
    return list(first.values())


def _aliases(name: str, items: Sequence[Item]) -> dict[str, str]:
    """What an item may be called: its id, the end of it, and the end after the benchmark's name."""
    found: dict[str, str] = {}
    ends = Counter(_end(item.id) for item in items)
    for item in items:
        found[_simple(item.id)] = item.id
        if ends[_end(item.id)] == 1:
            for alias in (_end(item.id), f"{name}_{_end(item.id)}", f"task_{_end(item.id)}"):
                found.setdefault(_simple(alias), item.id)
    return found


def _end(id: str) -> str:
    return id.rpartition("/")[2]


def _stem(place: str) -> str:
    return place[: place.rindex(".")] if "." in place.rpartition("/")[2][1:] else place


def _simple(id: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", id.casefold().removeprefix("test/").removesuffix(".json")).strip("_")


def _squeezed(text: str) -> str:
    return " ".join(text.split())
