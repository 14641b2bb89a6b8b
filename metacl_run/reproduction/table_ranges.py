"""What a table's figure draws of a cell, in numbers: the bars of both sides, and the values that the axis of a panel holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metacl_run.reproduction.paper_table import PaperCell, PaperTable
from metacl_run.reproduction.results import Result
from metacl_run.scoring.intervals import FEWEST, Bounds, student_t
from metacl_run.scoring.metric_table import BEFORE, TRANSDUCTIVE, possible_values
from metacl_run.scoring.scores import ACCURACY, MSE

LEARNING = "learning_"
LEAST_SHARE = 1 / 6
"""Of a shared axis that the values of every panel take at least, so that they can be told apart."""
FAR_FROM_THE_PAPERS, FAR_FROM_OURS = 3.0, 10.0
"""Times the largest published number, or where there is none the median of ours, above which an error is outside the axis."""


class PapersBar(NamedTuple):
    """The bar of a published number."""

    half: float
    is_interval: bool
    """Whether it is a 95% interval over seeds; else what the paper prints."""


def papers_bar(table: PaperTable, cell: PaperCell) -> PapersBar | None:
    """Returns the bar of a published number, like ours a 95% interval over seeds where that follows from what is printed."""
    if cell.published is None or cell.spread is None:
        return None
    seeds = table.published_seeds if cell.published_seeds is None else cell.published_seeds
    if table.spread_is == "ci95":
        return PapersBar(cell.spread, True)
    if table.spread_is == "std" and seeds >= FEWEST:
        return PapersBar(student_t(seeds - 1) * cell.spread / math.sqrt(seeds), True)
    return PapersBar(cell.spread, False)


def possible(table: PaperTable, cell: PaperCell) -> Bounds:
    """Returns the least and the largest value that a cell can have, in the table's unit."""
    low, high = possible_values(cell.metric, MSE if table.unit == "mse" else ACCURACY)
    scale = 100.0 if table.unit == "percent" else 1.0
    return scale * low, scale * high


def quantity(cell: PaperCell) -> str:
    """Returns what a cell measures, whenever and however: panels of one quantity may share an axis."""
    return cell.metric.removeprefix(TRANSDUCTIVE).removeprefix(BEFORE).removeprefix(LEARNING)


def ranges(table: PaperTable, results: Sequence[Result]) -> dict[str, Bounds]:
    """Returns what the axis of every column holds; columns of one quantity have the same where all can be read on it.

    If they cannot, those share it that have the same words behind the last comma of their names, else before it.
    """
    cells = {result.cell.column: result.cell for result in reversed(results)}
    by_column: dict[str, Bounds] = {}
    for measured in dict.fromkeys(quantity(cell) for cell in cells.values()):
        columns = [column for column in dict.fromkeys(r.cell.column for r in results) if quantity(cells[column]) == measured]
        own = _own_ranges(table, results, columns)
        for groups in (
            [list(own)],
            _alike(own, [column.rpartition(", ")[2] for column in own]),
            _alike(own, [column.rpartition(", ")[0] for column in own]),
            [[column] for column in own],
        ):
            if all(_can_be_read([own[column] for column in group]) for group in groups):
                by_column |= {column: _whole([own[c] for c in group]) for group in groups for column in group}
                break
    return by_column


def _own_ranges(table: PaperTable, results: Sequence[Result], columns: Sequence[str]) -> dict[str, Bounds]:
    """Returns the least and the largest value drawn in each of the columns; those without any are left out."""
    of_these = [result for result in results if result.cell.column in columns]
    limit = _limit(table, of_these)
    own = {}
    for column in columns:
        values = [value for result in of_these if result.cell.column == column for value in _drawn(table, result)]
        near = [value for value in values if value <= limit] or values
        if near:
            own[column] = min(near), max(near)
    return own


def _limit(table: PaperTable, results: Sequence[Result]) -> float:
    """Returns the largest value that may be on the axis: of an error, which has no largest one, not far above the others."""
    if any(possible(table, result.cell) != (0.0, math.inf) for result in results):
        return math.inf
    papers = [result.cell.published for result in results if result.cell.published is not None]
    ours = [result.ours.mean for result in results if result.ours is not None]
    if papers:
        return FAR_FROM_THE_PAPERS * max(papers)
    return FAR_FROM_OURS * float(np.median(ours)) if ours else math.inf


def _drawn(table: PaperTable, result: Result) -> list[float]:
    """Returns all values of a cell that are drawn, those of bars included, which end where no value is possible."""
    cell, ours, bar = result.cell, result.ours, papers_bar(table, result.cell)
    values = [] if cell.published is None else [cell.published]
    values += [] if bar is None or cell.published is None else [cell.published - bar.half, cell.published + bar.half]
    if ours is not None:
        values += [ours.mean, *(end for end in (ours.low, ours.high) if end is not None)]
        values += ours.values if len(ours.values) == 2 else ()
    return np.clip(values, *possible(table, cell)).tolist() if values else []


def _alike(columns: Mapping[str, Bounds], words: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for column, word in zip(columns, words, strict=True):
        groups.setdefault(word, []).append(column)
    return list(groups.values())


def _whole(own: Sequence[Bounds]) -> Bounds:
    return min(low for low, _ in own), max(high for _, high in own)


def _can_be_read(own: Sequence[Bounds]) -> bool:
    low, high = _whole(own)
    return len(own) == 1 or all(stop - start >= LEAST_SHARE * (high - low) for start, stop in own)
