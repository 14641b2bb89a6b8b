"""Labelled texts from the user's own file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Gt, Lt

from metacl_run.core.errors import DataError, nearest, require_all, shown
from metacl_run.data.files.reading import data_root, printed, stamp
from metacl_run.data.message_words import counted, named
from metacl_run.data.sources.source import Catalogue
from metacl_run.data.text.text_notes import on_repeated_texts
from metacl_run.data.text.text_source import INSTEAD, SplitTexts, SplitTextSource
from metacl_run.data.text.text_table import ENDINGS, Columns, TextTable, ending_of, read_table


@dataclass(frozen=True, kw_only=True)
class TextFile(SplitTextSource):
    """The rows of a file, one text each; `text_table` says how a file is read."""

    file: str
    """The file, relative to the folder in which the command is given."""
    text: str
    """The column of the texts."""
    label: str
    """The column of their classes."""
    task: str | None
    """The column that says which task a class belongs to; null: there is none, and classes are divided among tasks."""
    split: str | None
    """The column that says train or test; rows that say something else are left out. null: `test_part` decides."""
    test_part: Annotated[float, Gt(0), Lt(1)]
    """The share of each class that is kept for test if there is no `split`, at least one text; the same for every seed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ending = ending_of(Path(self.file))
        words = [column for column in (self.text, self.label, self.task, self.split) if column is not None]
        allowed = f"must end in one of {', '.join(ENDINGS)}, or in one of them and .gz.{nearest(ending, ENDINGS)}"
        require_all(
            (ending in ENDINGS, "file", self.file, allowed),
            (len(set(words)) == len(words), "label", self.label, "columns for text, label, task and split must all differ"),
        )

    @property
    def origins(self) -> frozenset[str]:
        return frozenset({str(data_root(self.file).resolve())})

    def parts(self) -> tuple[Catalogue, Catalogue]:
        read = self._read()
        return read.parts

    def read_split_texts(self) -> SplitTexts:
        return self._read().texts

    def _read(self) -> _Split:
        path = data_root(self.file)
        if not path.is_file():
            raise DataError(
                f"data.file={printed(path)}: there is no such file. It has a row for each text, with columns "
                f"{self.text} and {self.label}. What runs now without it: {INSTEAD}"
            )
        columns = Columns(text=self.text, label=self.label, task=self.task, split=self.split)
        return _read_split(path, stamp(path), columns, self.test_part)


@dataclass(frozen=True, kw_only=True)
class _Split:
    """A file that was read and divided."""

    parts: tuple[Catalogue, Catalogue]
    texts: SplitTexts


@lru_cache(maxsize=2)
def _read_split(path: Path, _: tuple[str, int, int], columns: Columns, test_part: float) -> _Split:
    """Reads a file once; its stamp says whether it is still the same."""
    table = read_table(path, columns)
    is_test = _draw_test(table, test_part) if table.splits is None else table.splits
    counts = [np.bincount(table.y[part], minlength=len(table.labels)) for part in (~is_test, is_test)]
    _check_counts(printed(path), table, counts)
    groups = table.labels if table.tasks is None else table.tasks
    word = "groups" if table.tasks is None else "tasks"
    train, test = (Catalogue(names=table.labels, counts=part, groups=groups, group_word=word) for part in counts)
    order = np.argsort(is_test, kind="stable")
    texts, num_train = [table.texts[row] for row in order], int((~is_test).sum())
    notes = on_repeated_texts(printed(path), texts[:num_train], texts[num_train:])
    if table.left_out:
        rows = ", ".join(f"{rows} {shown(split)}" for split, rows in sorted(table.left_out.items())[:5])
        total = counted(sum(table.left_out.values()), "text")
        notes.append(f"{printed(path)}: {total} left out by the column {columns.split} ({rows}); train and test are read")
    return _Split(parts=(train, test), texts=SplitTexts(texts=texts, y=table.y[order], num_train=num_train, notes=notes))


def _draw_test(table: TextTable, test_part: float) -> np.ndarray:
    """[N] bool: of each class its part, at least one text."""
    is_test, rng = np.zeros(len(table.y), bool), np.random.default_rng(0)
    by_class = np.argsort(table.y, kind="stable")
    for rows in np.split(by_class, np.cumsum(np.bincount(table.y))[:-1]):
        is_test[rng.permutation(rows)[: max(1, round(test_part * len(rows)))]] = True
    return is_test


def _check_counts(name: str, table: TextTable, counts: list[np.ndarray]) -> None:
    """Refuses a class that has nothing to learn from or nothing to be tested on."""
    for part, of_part in zip(("to learn from", "for test"), counts, strict=True):
        if (of_part == 0).any():
            lacking = [shown(table.labels[index]) for index in np.flatnonzero(of_part == 0)]
            words = "classes has" if len(lacking) == 1 else "classes have"
            raise DataError(
                f"{name}: {len(lacking)} of {len(table.labels)} {words} no text {part}: {named(lacking)}. Every class needs at "
                "least one text to learn from and one for test."
            )
