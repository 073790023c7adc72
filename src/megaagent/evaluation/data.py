"""Reads public data sets and predictions: JSON lines (also gzipped), JSON, and folders of JSON."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from megaagent.errors import ConfigurationError
from megaagent.evaluation.contract import Benchmark, Item, Source

LARGEST = 1 << 30  # bytes of one file of data, unpacked
Row = Mapping[str, Any]
LoadDataset = Callable[..., Any]


def load(benchmark: Benchmark, data: Path | None, load_dataset: LoadDataset | None = None) -> list[Item]:
    """The items of a benchmark.

    Args:
        data: a file or folder in a public format; without it the package `datasets` is asked.
        load_dataset: stands in for that of the package.

    Raises:
        ConfigurationError: there is no data, or it is not what it should be; says what to do.
    """
    if benchmark.source is None:
        if data is not None:
            raise ConfigurationError(f"{benchmark.title} needs no data: leave out --data {data}")
        return benchmark.items((), None)
    rows = benchmark.read(data) if data is not None else list(_from_hub(benchmark, benchmark.source, load_dataset))
    items = benchmark.items(rows, data)
    where = str(data) if data is not None else benchmark.source.path
    if not items:
        raise ConfigurationError(f"{where}: there is no item of {benchmark.title} in it")
    ids = [item.id for item in items]
    if len(set(ids)) < len(ids):
        doubled = Counter(ids).most_common(1)[0][0]
        raise ConfigurationError(f"{where}: the item {doubled} is in it twice")
    return items


def need(row: Row, number: int, *fields: str) -> None:
    """
    Raises:
        ConfigurationError: the row lacks one of the fields.
    """
    for field in fields:
        if not isinstance(row.get(field), str):
            there = ", ".join(map(str, list(row)[:8]))
            raise ConfigurationError(
                f"item {number + 1} of the data has no text {field!r}; it has: {there or 'nothing'}"
            )


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, or of all JSON files below a folder, each with its `path` when it was one file.

    Raises:
        ConfigurationError: it cannot be read, or a line is no JSON object; names the line.
    """
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.name.endswith((".json", ".jsonl", ".jsonl.gz")))
        if not files:
            raise ConfigurationError(f"{path}: there is no .json, .jsonl or .jsonl.gz file in this folder")
        return [row for file in files for row in _rows_of(file, file.relative_to(path).as_posix())]
    return list(_rows_of(path, None))


def _rows_of(path: Path, place: str | None) -> Iterator[Row]:
    text = read_text(path)
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list):
        yield from (_object(row, path, f"entry {number + 1}") for number, row in enumerate(cast(list[Any], whole)))
    elif isinstance(whole, dict):
        row = _object(cast(dict[str, Any], whole), path, "its object")
        yield {"path": place, **row} if place else row
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _object(_parsed(line, path, number), path, f"line {number}")


def _parsed(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}, line {number}: not JSON: {str(error)[:200]}") from error


def _object(row: Any, path: Path, where: str) -> Row:
    if not isinstance(row, dict):
        raise ConfigurationError(f"{path}, {where}: a JSON object is expected, with the fields of one item")
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # "\\ud800" is JSON, and nothing that a run could record
        raise ConfigurationError(f"{path}, {where}: half a character, {error.object[error.start]!a}") from error
    return cast(Row, row)


def read_text(path: Path) -> str:
    """The text of a file, unpacked when it is gzipped.

    Raises:
        ConfigurationError: it cannot be read, is no text, or is too large.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > LARGEST:
        raise ConfigurationError(f"{path}: more than {LARGEST:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text at byte {error.start}") from error


def _from_hub(benchmark: Benchmark, source: Source, load_dataset: LoadDataset | None) -> Iterator[Row]:
    if load_dataset is None:
        try:
            load_dataset = cast(LoadDataset, import_module("datasets").load_dataset)
        except ImportError as error:
            raise ConfigurationError(_how_to_get(benchmark, source)) from error
    for part in source.parts:
        try:
            rows: Sequence[Row] = load_dataset(source.path, part, split=source.split)
        except Exception as error:  # it raises errors of many packages, and all mean that there is no data
            problem = f"datasets cannot load {source.path} ({part}): {str(error)[:300]}"
            raise ConfigurationError(f"{problem}. {_how_to_get(benchmark, source)}") from error
        yield from (dict(row) for row in rows)


def _how_to_get(benchmark: Benchmark, source: Source) -> str:
    return (
        f"{benchmark.title} needs its data: give --data PATH to the public file, or install the package `datasets` "
        f"(pip install datasets), which loads {source.path} ({source.licence})"
    )
