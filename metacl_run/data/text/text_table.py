"""Reads labelled texts from a file of the user's: CSV, TSV or JSON lines, plain or packed with gzip.

What the ending says: .csv and .tsv have a header row, and texts with separators, quotes or line breaks in them stand in double
quotes; .jsonl and .ndjson have an object a line. UTF-8, with or without a byte order mark. The file is read row by row, so that
no more of it than its texts is in memory.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from metacl_run.core.errors import DataError, nearest, shown
from metacl_run.core.files import regular_file
from metacl_run.data.files.reading import printed
from metacl_run.data.text.words import without_surrogates

SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_ENDINGS = (".jsonl", ".ndjson")
ENDINGS = (*SEPARATORS, *JSON_ENDINGS)
LONGEST_LINE = 2**20
"""Bytes of a line; what has more is no text to classify, and may be a file of another kind."""
SHOWN_COLUMNS = 20


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of columns; None: there is no such column."""

    text: str
    label: str
    task: str | None
    split: str | None

    def named(self) -> dict[str, str]:
        """Those that there are, by the name of the setting."""
        settings = {"text": self.text, "label": self.label, "task": self.task, "split": self.split}
        return {setting: column for setting, column in settings.items() if column is not None}


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """What a file holds. Shapes: C labels, N texts."""

    labels: list[str]
    """[C] in the order of their first text."""
    tasks: list[str] | None
    """[C] the task of each label, where there is such a column."""
    texts: list[str]
    """[N]."""
    y: np.ndarray
    """[N] int64 places in `labels`."""
    splits: np.ndarray | None
    """[N] bool, whether a text is for test, where there is such a column."""
    left_out: Mapping[str, int]
    """Rows whose split is neither train nor test, by its name."""


@dataclass
class _Reading:
    """What has been read so far."""

    name: str
    labels: dict[str, int] = field(default_factory=dict)
    tasks: list[tuple[str, int]] = field(default_factory=list)
    """The task of each label, and the line that said so."""
    texts: list[str] = field(default_factory=list)
    y: list[int] = field(default_factory=list)
    splits: list[bool] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, row: Mapping[str, str]) -> None:
        """Takes a row, by the names of the settings of its columns."""
        for setting, value in row.items():
            if not value.strip():
                raise DataError(f"{self.name}, line {line}: the {setting} is empty.")
        if "split" in row:
            split = row["split"].strip().casefold()
            if split not in ("train", "test"):
                self.left_out[split] = self.left_out.get(split, 0) + 1
                return
            self.splits.append(split == "test")
        label = self.labels.setdefault(row["label"].strip(), len(self.labels))
        if "task" in row:
            self._set_task(line, row["label"].strip(), label, row["task"].strip())
        self.texts.append(row["text"])
        self.y.append(label)

    def _set_task(self, line: int, name: str, label: int, task: str) -> None:
        if label == len(self.tasks):
            self.tasks.append((task, line))
        first, where = self.tasks[label]
        if task != first:
            raise DataError(
                f"{self.name}, line {line}: label {shown(name)} is of task {shown(task)}, but in line {where} of task "
                f"{shown(first)}. A class belongs to one task: give the labels of different tasks different names."
            )


def read_table(path: Path, columns: Columns) -> TextTable:
    """All rows of a file.

    Raises:
        DataError: the file cannot be read, or a row is not what it should be; the message has the line.
    """
    read = _Reading(printed(path))
    for line, row in _rows(path, columns):
        read.add(line, row)
    if not read.texts:
        raise DataError(f"{read.name}: has no rows{' whose split is train or test' if read.left_out else ''}.")
    return TextTable(
        labels=list(read.labels),
        tasks=[task for task, _ in read.tasks] if columns.task is not None else None,
        texts=read.texts,
        y=np.array(read.y, np.int64),
        splits=np.array(read.splits) if columns.split is not None else None,
        left_out=read.left_out,
    )


def ending_of(path: Path) -> str:
    """The ending that says how a file is read: the last but .gz, in small letters."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def _rows(path: Path, columns: Columns) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The number of the line that a row begins in, and its values by the names of the settings of their columns."""
    ending = ending_of(path)
    with _opened(path) as file:
        lines = _lines(file, printed(path))
        if ending in JSON_ENDINGS:
            yield from _json_rows(lines, printed(path), columns.named())
        else:
            yield from _separated_rows(lines, printed(path), columns.named(), SEPARATORS[ending])


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    name = printed(path)
    try:
        regular_file(path)
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            yield file  # type: ignore[misc]
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(f"{name}: cannot be read ({reason}).") from None


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a file with their ends, decoded."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(f"{name}, line {number}: has more than {LONGEST_LINE} bytes. Is it a file of texts?")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = f"byte {error.start + 1} of the line, 0x{line[error.start]:02x}"
            raise DataError(f"{name}, line {number}: is not UTF-8 ({byte}). Save the file as UTF-8.") from None


def _separated_rows(
    lines: Iterator[str], name: str, columns: Mapping[str, str], separator: str
) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header: list[str] | None = None
    places: dict[str, int] = {}
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{name}, line {start}: cannot be divided into columns ({error}). Is a quote not closed?") from None
        if row is None:
            return
        if header is None:
            header, places = row, {setting: _place(row, setting, column, name) for setting, column in columns.items()}
        elif row:  # else an empty line
            if len(row) != len(header):
                raise DataError(f"{name}, line {start}: has {len(row)} columns, the header has {len(header)}.{QUOTES}")
            yield start, {setting: row[place] for setting, place in places.items()}


QUOTES = ' A text with separators in it stands in double quotes: "yes, please".'


def _place(header: Sequence[str], setting: str, column: str, name: str) -> int:
    if header.count(column) == 1:
        return header.index(column)
    if column in header:
        raise DataError(f"{name}: has {header.count(column)} columns that are called {column}.")
    raise _no_column(header, setting, column, name)


def _no_column(columns: Sequence[str], setting: str, column: str, where: str) -> DataError:
    more = f" and {len(columns) - SHOWN_COLUMNS} more" if len(columns) > SHOWN_COLUMNS else ""
    there = ", ".join(shown(other)[:40] for other in columns[:SHOWN_COLUMNS]) + more
    return DataError(f"{where}: data.{setting}={column}: there is no such column, but {there}.{nearest(column, columns)}")


def _json_rows(lines: Iterator[str], name: str, columns: Mapping[str, str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{name}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
                raise DataError(f"{where}: is not JSON ({reason}). An object was expected in every line.") from None
            if not isinstance(row, dict):
                raise DataError(f"{where}: is a {type(row).__name__}, where an object was expected.")
            yield number, {setting: _word(row, setting, column, where) for setting, column in columns.items()}


def _word(row: Mapping[str, Any], setting: str, column: str, where: str) -> str:
    """A string of an object; a number is as good, but not for a text. Names, which are printed, are without surrogates."""
    if column not in row:
        raise _no_column(list(row), setting, column, where)
    value = row[column]
    if isinstance(value, str):
        return value if setting == "text" else without_surrogates(value)  # texts are encoded, and changed, elsewhere
    if setting != "text" and isinstance(value, int):
        return json.dumps(value)
    raise DataError(f"{where}: {column} is {'null' if value is None else f'a {type(value).__name__}'}; a string was expected.")
