"""Fills the cells of a table from stored runs, and compares them with the published numbers where there are some."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from metacl_run.core.errors import StorageError
from metacl_run.reproduction.paper_table import PaperCell, PaperRun, PaperTable, Size
from metacl_run.reproduction.rows_in_parts import RowParts, joined
from metacl_run.scoring.intervals import FEWEST, Estimate, difference_interval, half_width95, interval95, student_t
from metacl_run.scoring.metric_table import TRANSDUCTIVE
from metacl_run.storage.run_cost import RunCost, of_summary
from metacl_run.storage.run_place import run_name
from metacl_run.storage.run_state import state
from metacl_run.storage.stored_run import ENDED, StoredRun

Verdict = Literal[
    "agrees", "differs", "inconclusive", "too few seeds", "reduced", "smoke", "no published number", "computed",
    "not run", "running", "interrupted", "failed", "diverged", "data missing", "not offered", "unreadable",
]  # fmt: skip
"""The verdict on a cell. Only runs of full size get one of the first three: a reduced number proves nothing. In a
table of ours a number of full size is "computed"."""


class RunOfTable(NamedTuple):
    """A run of the table and its directory."""

    run: PaperRun
    directory: Path | None
    """None: it cannot be run."""
    missing_data: str | None = None
    """Why its data are missing."""
    parts: RowParts = RowParts()
    """Other runs that have its seeds, where it is not complete itself."""


class Ours(NamedTuple):
    """Our number for a cell, in the table's unit."""

    mean: float
    low: float | None
    high: float | None
    """95% interval: over seeds; for one seed, over its evaluation; None for two seeds."""
    values: tuple[float, ...]
    """One value per seed."""


class Result(NamedTuple):
    """A cell of the table, filled as far as possible."""

    row: str
    cell: PaperCell
    verdict: Verdict
    ours: Ours | None
    problem: str | None
    """What went wrong with the run, where something did."""
    runs: tuple[str, ...]
    """data/algo/run id; several of a row in parts, none of a row that cannot be run."""
    cost: RunCost | None = None
    """Of the run's training; None where it was not completed."""
    in_parts: str | None = None
    """Of which runs and seeds the row is put together, where it is."""

    @property
    def run(self) -> str | None:
        """data/algo/run id; of a row in parts, of the first of them."""
        return next(iter(self.runs), None)


def results_of_table(table: PaperTable, runs: list[RunOfTable], size: Size) -> list[Result]:
    """Fills all cells from the runs' directories alone, in the order of the table's file."""
    return [result for run in runs for result in _results_of_run(table, run, size)]


def _results_of_run(table: PaperTable, run: RunOfTable, size: Size) -> list[Result]:
    paper_run, directory, missing_data, parts = run

    def unfilled(verdict: Verdict, problem: str | None = None) -> list[Result]:
        return [Result(paper_run.row, cell, verdict, None, problem, names) for cell in paper_run.cells]

    names = () if directory is None else (run_name(directory),)
    if directory is None:
        return unfilled("not offered") if missing_data is None else unfilled("data missing", missing_data)
    run_state = state(directory)
    if missing_data is not None and run_state != "completed":
        return unfilled("data missing", missing_data)
    if parts.where and run_state not in ENDED:
        return _results_in_parts(table, paper_run, parts, size)
    if run_state == "missing":
        return unfilled("not run")
    if run_state in ("running", "interrupted"):
        return unfilled(run_state)
    try:
        summary = StoredRun(directory).summary
        if summary.get("data_missing") and run_state == "failed":  # a run of version 0.1
            return unfilled("data missing", summary.get("error"))
        if run_state != "completed":
            return unfilled(run_state, summary.get("error"))
        return [of_cell(table, paper_run, cell, summary, size, names) for cell in paper_run.cells]
    except StorageError as error:
        return unfilled("unreadable", str(error))


def _results_in_parts(table: PaperTable, run: PaperRun, parts: RowParts, size: Size) -> list[Result]:
    names = tuple(parts.names)
    if parts.diverged:
        problem = f"diverged in runs with seeds {', '.join(map(str, parts.diverged))}: {', '.join(names)}"
        return [Result(run.row, cell, "diverged", None, problem, names) for cell in run.cells]
    missing = f"; missing: {', '.join(map(str, parts.missing))}" if parts.missing else ""
    seeds = f"seed{'s' if len(parts.where) > 1 else ''} {', '.join(map(str, parts.where))}"
    note = f"put together from runs with {seeds}{missing}: {', '.join(names)}"
    summary = joined(parts)
    results = [of_cell(table, run, cell, summary, size, names) for cell in run.cells]
    return [result._replace(in_parts=note) for result in results]


def of_cell(
    table: PaperTable, run: PaperRun, cell: PaperCell, summary: dict[str, Any], size: Size, names: tuple[str, ...]
) -> Result:
    """Fills a cell from the summary of a completed run, or of several as one; `names`: data/algo/run id of each."""
    if size != "paper" and cell.at is not None and cell.at not in (summary.get("meta_test") or {}).get("lengths", [cell.at]):
        return Result(run.row, cell, size, None, None, names)  # a smaller run does not go so far
    try:
        ours = _ours(cell, summary, 100.0 if table.unit == "percent" else 1.0)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        return Result(run.row, cell, "unreadable", None, f"its summary does not give {cell.metric}: {error}", names)
    lost = sum(not math.isfinite(value) for value in ours.values)
    if lost:
        return Result(run.row, cell, "diverged", None, f"it is not finite for {lost} of {len(ours.values)} seeds", names)
    return Result(run.row, cell, verdict(table, cell, ours, size), ours, None, names, of_summary(summary))


def _ours(cell: PaperCell, summary: dict[str, Any], scale: float) -> Ours:
    """Reads our number from a summary. Raises KeyError, IndexError, ValueError or TypeError where it is not there."""
    half, interval = None, None
    if cell.at is not None:
        test = summary["meta_test"]
        name = cell.metric.removesuffix(f"_{test['score']}")
        by_order = np.array(test[name], dtype=float)[:, test["lengths"].index(cell.at)]  # [R, orders]
        values = by_order.mean(-1)
        interval = interval95(by_order[0]) if len(values) == 1 else None
    elif cell.after_steps is not None:
        by_step = summary["by_step"]
        curve = {by_step["score"]: "curve", f"{TRANSDUCTIVE}{by_step['score']}": "transductive"}[cell.metric]
        values = np.array(by_step[curve], dtype=float)[:, cell.after_steps]
    else:
        values = np.array(summary["metrics"][cell.metric]["values"], dtype=float)
        score = summary.get("score", "accuracy")  # version 0.1 knew no other, and did not write it
        key = {score: "evaluation_half_width", f"{TRANSDUCTIVE}{score}": f"{TRANSDUCTIVE}half_width"}.get(cell.metric, "")
        widths = np.array(summary.get(key) or [], dtype=float)
        if len(values) == 1 and widths.size:
            half = float(np.sqrt((widths[0] ** 2).sum()) / widths.shape[1])
    mean = float(values.mean())
    if len(values) > 1:
        half = float(half_width95(values))
    if half is not None:
        interval = np.array([mean - half, mean + half])
    low, high = (None, None) if interval is None or not np.isfinite(interval).all() else (scale * interval).tolist()
    return Ours(scale * mean, low, high, tuple((scale * values).tolist()))


def verdict(table: PaperTable, cell: PaperCell, ours: Ours, size: Size) -> Verdict:
    """Tests whether our mean and the paper's are equivalent, by the 95% interval of their difference.

    "agrees" where the interval lies within the tolerance, "differs" where it lies outside, "inconclusive" where it reaches
    across: failing to tell two numbers apart is no agreement. The interval is Welch's, of both sides' spreads and numbers of
    seeds. Where a paper prints no spread over seeds, ours is used for it.
    """
    if size != "paper":
        return size
    if table.paper is None:
        return "computed"
    if cell.published is None:
        return "no published number"
    if len(ours.values) < FEWEST:
        return "too few seeds"
    spread = float(np.std(ours.values, ddof=1))
    low, high = difference_interval(Estimate(ours.mean, spread, len(ours.values)), _published(table, cell))
    tolerance = table.tolerance if cell.tolerance is None else cell.tolerance
    if -tolerance <= low and high <= tolerance:
        return "agrees"
    return "differs" if low > tolerance or high < -tolerance else "inconclusive"


def _published(table: PaperTable, cell: PaperCell) -> Estimate:
    """Returns the paper's side of a verdict."""
    assert cell.published is not None
    num = table.published_seeds if cell.published_seeds is None else cell.published_seeds
    if cell.spread is None or num == 1 or table.spread_is == "not over seeds":
        return Estimate(cell.published, None, num)
    std = cell.spread if table.spread_is == "std" else cell.spread * math.sqrt(num) / student_t(num - 1)
    return Estimate(cell.published, std, num)
