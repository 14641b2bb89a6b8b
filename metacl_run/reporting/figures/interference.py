"""Which tasks interfere: the gradients of two tasks when learning one began, and what learning it did to the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.numbers import score_text
from metacl_run.reporting.figures.insight_maps import WIDEST_NAME, TaskMap, compared_words, draw_maps, limit, maps_canvas
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import mean_words, task_label
from metacl_run.storage.stored_run import StoredRun


def alignment_and_change(run: StoredRun) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns two matrices [K - 1, K - 1], means over seeds. Row: a compared task from the second on; column: an earlier one;
    NaN elsewhere. The first has the cosine of their gradients when learning the row's task began, the second by how much
    learning it improved the score on the column's task."""
    if not run.learns_task_by_task or not run.insight.cosines or len(run.whole_rows) < 3:
        return None
    tasks = run.insight.tasks
    cosines, changes = np.full((2, len(tasks) - 1, len(tasks) - 1), np.nan)
    for row, task in enumerate(tasks[1:]):
        change = (run.matrix[:, task + 1] - run.matrix[:, task]).mean(axis=0)
        changes[row, : row + 1] = run.score.sign * change[tasks[: row + 1]]
        if task in run.insight.cosines:  # recorded when `task` tasks had been learned
            cosines[row, : row + 1] = run.insight.cosines[task].mean(axis=0)[row + 1, : row + 1]
    return cosines, changes


def text(run: StoredRun, pairs: tuple[np.ndarray, np.ndarray]) -> FigureText:
    cosines, changes = pairs
    score, least = run.score.score_words, ""
    if np.isfinite(cosines).any():
        row, column = map(int, np.unravel_index(np.nanargmin(cosines), cosines.shape))
        learned, earlier = run.insight.tasks[row + 1] + 1, run.insight.tasks[column] + 1
        change = score_text(run.score.sign * changes[row, column], run.score, signed=True)
        after = f"; {score} on task {earlier} then changed by {change}" if np.isfinite(changes[row, column]) else ""
        least = f"Least aligned: task {learned} with task {earlier}, cosine {cosines[row, column]:+.2f}{after}."
    changed = "changed" if run.score.higher_is_better else "fell"
    return FigureText(
        "Which tasks interfere, and how the score changed",
        f"{least}{compared_words(run)} {mean_words(run)}".strip(),
        f"Left: cosine of the gradients of {run.insight.cosines_on} right before the first step on the new task. Below 0 "
        f"(vermillion), that step raises the loss on the earlier task. Right: by how much {score} on the earlier task "
        f"{changed} until the new one was learned. Vermillion left but not right: the method kept the conflict from doing "
        "harm. Vermillion right but not left: the conflict arose later.",
    )


def canvas(run: StoredRun, pairs: tuple[np.ndarray, np.ndarray]) -> Canvas:
    return maps_canvas(2, _row_names(run))


def _row_names(run: StoredRun) -> list[str]:
    return [f"learning {task_label(run, task, WIDEST_NAME)}" for task in run.insight.tasks[1:]]


def draw(run: StoredRun, pairs: tuple[np.ndarray, np.ndarray], panels: Sequence[Axes]) -> None:
    cosines, changes = pairs
    tasks = run.insight.tasks
    change = f"{run.score.score_words} change" if run.score.higher_is_better else "fall of error"
    maps = [
        TaskMap("cosine of gradients when it began", cosines, limit(cosines)),
        TaskMap(f"{change} while it was learned", changes, limit(changes)),
    ]
    lower = np.tril(np.ones_like(cosines, dtype=bool))
    draw_maps(panels, maps, lower, _row_names(run), [str(task + 1) for task in tasks[:-1]], "earlier task")


FIGURE = RunFigure(name="interference", data=alignment_and_change, text=text, canvas=canvas, draw=draw)
