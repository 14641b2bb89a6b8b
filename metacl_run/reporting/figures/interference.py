"""Which tasks interfere: the gradients of two tasks when learning one began, and what learning it did to the other.

Where every seed takes the same tasks in an order of its own, means are over the tasks' names, each over the seeds that learned
the one task after the other. Shapes: R replicates, K compared tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.numbers import score_text
from metacl_run.reporting.figures.insight_maps import (
    BY_NAME,
    STRONGEST,
    TaskMap,
    compared_words,
    draw_maps,
    limit,
    maps_canvas,
    ordered_tasks,
    scale_words,
)
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import mean_words
from metacl_run.storage.stored_run import StoredRun


class Interference(NamedTuple):
    """Pairs of a task, its row, and one learned before it, its column. By their place in the stream rows are the compared tasks
    from the second on, columns all but the last; by name both are all of them."""

    cosines: np.ndarray
    """Of the gradients of a pair when learning the row's task began, means over seeds; NaN where not known."""
    changes: np.ndarray
    """By how much learning the row's task improved the score on the column's task."""
    used: np.ndarray
    """Whether any seed learned the row's task after the column's."""
    row_names: list[str]
    column_names: list[str]
    row_marks: list[str]
    column_marks: list[str]
    is_by_name: bool


def alignment_and_change(run: StoredRun) -> Interference | None:
    if not run.learns_task_by_task or not run.insight.cosines or len(run.whole_rows) < 3:
        return None
    tasks = ordered_tasks(run)
    means, used = _means(np.stack([_cosines(run), _changes(run)]), tasks.places)
    rows, columns = (slice(None), slice(None)) if tasks.is_by_name else (slice(1, None), slice(-1))
    cosines, changes = means[:, rows, columns]
    return Interference(
        cosines,
        changes,
        used[rows, columns],
        tasks.names[rows],
        tasks.names[columns],
        tasks.marks[rows],
        tasks.marks[columns],
        tasks.is_by_name,
    )


def _cosines(run: StoredRun) -> np.ndarray:
    """[R, K, K] by places, row: the task whose learning began; NaN where they were not recorded."""
    tasks = run.insight.tasks
    cosines = np.full((len(run.seeds), len(tasks), len(tasks)), np.nan)
    for row, task in enumerate(tasks):
        if task in run.insight.cosines:  # recorded when `task` tasks had been learned
            cosines[:, row] = run.insight.cosines[task][:, row]
    return cosines


def _changes(run: StoredRun) -> np.ndarray:
    """[R, K, K] by places, row: the task that was learned; column: the one whose score changed."""
    tasks = np.array(run.insight.tasks)
    changes = run.matrix[:, tasks + 1] - run.matrix[:, tasks]
    return np.asarray(run.score.sign * changes[:, :, tasks])


def _means(in_stream: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over replicates of [2, R, K, K] by places, and whether there are any.

    Args:
        in_stream: the values.
        places: [R, K] the places of the tasks in the order of the result.

    Returns:
        [2, K, K], each over the replicates whose row's task came after the column's, NaN if there are none or one is not known;
        and [K, K] whether there are some.
    """
    after = places[:, :, None] > places[:, None, :]
    replicates = np.arange(len(places))[:, None, None]
    ordered = in_stream[:, replicates, places[:, :, None], places[:, None, :]]
    count = after.sum(axis=0)
    sums = np.where(after, ordered, 0.0).sum(axis=1)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan), count > 0


def text(run: StoredRun, pairs: Interference) -> FigureText:
    score, least = run.score.score_words, ""
    if np.isfinite(pairs.cosines).any():
        row, column = map(int, np.unravel_index(np.nanargmin(pairs.cosines), pairs.cosines.shape))
        learned, earlier = pairs.row_names[row], pairs.column_names[column]
        if pairs.is_by_name:  # a letter has a meaning in the figure alone
            learned, earlier = (name.partition(": ")[2] for name in (learned, earlier))
        else:
            learned, earlier = f"task {pairs.row_marks[row]}", f"task {pairs.column_marks[column]}"
        gain = pairs.changes[row, column]
        change = score_text(run.score.sign * gain, run.score, signed=True)
        after = f"; {score} on {earlier} then changed by {change}" if np.isfinite(gain) else ""
        least = f"Least aligned: {learned} with {earlier}, cosine {pairs.cosines[row, column]:+.2f}{after}."
    order = f" {BY_NAME}; a pair's mean is over those that learned it in this order." if pairs.is_by_name else ""
    changed = "changed" if run.score.higher_is_better else "fell"
    return FigureText(
        "Which tasks interfere, and how the score changed",
        f"{least}{compared_words(run)}{order} {scale_words(pairs.cosines)} {_empty_words(pairs)} {mean_words(run)}".strip(),
        f"Left: cosine of the gradients of {run.insight.cosines_on} right before the first step on the new task. Below 0 "
        f"(vermillion), that step raises the loss on the earlier task. Right: by how much {score} on the earlier task "
        f"{changed} until the new one was learned. Vermillion left but not right: the method kept the conflict from doing "
        "harm. Vermillion right but not left: the conflict arose later.",
    )


def _empty_words(pairs: Interference) -> str:
    unknown = (pairs.used & ~(np.isfinite(pairs.cosines) & np.isfinite(pairs.changes))).any()
    return "Hatched: no such pair; grey: not measured." if unknown else "Hatched: no such pair."


def canvas(run: StoredRun, pairs: Interference) -> Canvas:
    return maps_canvas(2, _row_names(pairs))


def _row_names(pairs: Interference) -> list[str]:
    return [f"learning {name}" for name in pairs.row_names]


def draw(run: StoredRun, pairs: Interference, panels: Sequence[Axes]) -> None:
    change = f"{run.score.score_words} change" if run.score.higher_is_better else "fall of error"
    maps = [
        TaskMap("cosine of gradients when it began", pairs.cosines, STRONGEST),
        TaskMap(f"{change} while it was learned", pairs.changes, limit(pairs.changes, run.score)),
    ]
    draw_maps(panels, maps, pairs.used, _row_names(pairs), pairs.column_marks, "earlier task")


FIGURE = RunFigure(name="interference", data=alignment_and_change, text=text, canvas=canvas, draw=draw)
