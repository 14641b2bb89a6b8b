"""The cosines between the gradients of all compared tasks, after the first and after the last task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.reporting.figures.insight_maps import WIDEST_NAME, TaskMap, compared_words, draw_maps, limit, maps_canvas
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import mean_words, task_label
from metacl_run.storage.insight_records import Insight
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> Insight | None:
    return run.insight if run.sequences is None and run.insight.cosines else None


def text(run: StoredRun, insight: Insight) -> FigureText:
    stages = "after the first and the last task" if len(insight.cosines) > 1 else "after the first task"
    return FigureText(
        f"How the tasks' gradients align, {stages}",
        f"Cosine of the gradients of {insight.cosines_on}.{compared_words(run)} {mean_words(run)}",
        "All tasks, learned or not, at the same parameters. Blue: a step for one task helps the other; vermillion: it harms "
        "it. Sampling noise draws the numbers towards 0. Methods that reward alignment, such as MER and La-MAML, should leave "
        "a bluer matrix than plain SGD does on the same stream.",
    )


def canvas(run: StoredRun, insight: Insight) -> Canvas:
    return maps_canvas(min(2, len(insight.cosines)), _row_names(run))


def _row_names(run: StoredRun) -> list[str]:
    return [task_label(run, task, WIDEST_NAME) for task in run.insight.tasks]


def draw(run: StoredRun, insight: Insight, panels: Sequence[Axes]) -> None:
    """Both on one scale, without the diagonal."""
    cosines, tasks = insight.cosines, insight.tasks
    used = ~np.eye(len(tasks), dtype=bool)
    stages = sorted({min(cosines), max(cosines)})
    matrices = [np.where(used, cosines[stage].mean(axis=0), np.nan) for stage in stages]
    means = [f": mean {np.nanmean(matrix):+.2f}" if np.isfinite(matrix).any() else "" for matrix in matrices]
    maps = [
        TaskMap(f"after task {stage}{mean}", matrix, limit(*matrices))
        for stage, mean, matrix in zip(stages, means, matrices, strict=True)
    ]
    draw_maps(panels, maps, used, _row_names(run), [str(task + 1) for task in tasks], "task")


FIGURE = RunFigure(name="gradient_alignment", data=data, text=text, canvas=canvas, draw=draw)
