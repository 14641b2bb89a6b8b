"""The cosines between the gradients of all compared tasks, after the first and after the last task.

Where every seed takes the same tasks in an order of its own, a mean over places in the stream would mix them: cosines are then
averaged by the tasks' names, after the last task alone, since the first is another one for every seed.
Shapes: R replicates, K compared tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.reporting.figures.insight_maps import (
    BY_NAME,
    WIDEST_NAME,
    TaskMap,
    common_names,
    compared_words,
    draw_maps,
    limit,
    maps_canvas,
    name_labels,
    places_by_name,
)
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import mean_words, task_label
from metacl_run.storage.stored_run import StoredRun


class Alignment(NamedTuple):
    """The cosines that are drawn."""

    cosines: dict[int, np.ndarray]
    """[K, K] mean over replicates, NaN where a gradient was 0, by the number of tasks learned."""
    row_names: list[str]
    """[K]."""
    column_names: list[str]
    """[K]."""
    is_by_name: bool
    """Whether rows stand in the order of names, since seeds order the tasks differently."""


def data(run: StoredRun) -> Alignment | None:
    cosines, tasks = run.insight.cosines, run.insight.tasks
    if not run.learns_task_by_task or not cosines:
        return None
    names = common_names(run)
    if names is None:
        means = {stage: cosines[stage].mean(axis=0) for stage in sorted({min(cosines), max(cosines)})}
        labels = [task_label(run, task, WIDEST_NAME) for task in tasks]
        return Alignment(means, labels, [str(task + 1) for task in tasks], is_by_name=False)
    last = max(cosines)
    orders = places_by_name(run)
    mean = np.mean([own[np.ix_(order, order)] for own, order in zip(cosines[last], orders, strict=True)], axis=0)
    numbers = [str(number) for number in range(1, len(names) + 1)]
    return Alignment({last: mean}, name_labels(names), numbers, is_by_name=True)


def text(run: StoredRun, alignment: Alignment) -> FigureText:
    both = len(alignment.cosines) > 1
    stages = (
        "the first and the last task"
        if both
        else f"{max(alignment.cosines)} tasks"
        if alignment.is_by_name
        else "the first task"
    )
    order = f" {BY_NAME}." if alignment.is_by_name else ""
    return FigureText(
        f"How the tasks' gradients align, after {stages}",
        f"Cosine of the gradients of {run.insight.cosines_on}.{compared_words(run)}{order} {mean_words(run)}",
        "All tasks, learned or not, at the same parameters. Blue: a step for one task helps the other; vermillion: it harms "
        "it. Sampling noise draws the numbers towards 0. Methods that reward alignment, such as MER and La-MAML, should leave "
        "a bluer matrix than plain SGD does on the same stream.",
    )


def canvas(run: StoredRun, alignment: Alignment) -> Canvas:
    return maps_canvas(len(alignment.cosines), alignment.row_names)


def draw(run: StoredRun, alignment: Alignment, panels: Sequence[Axes]) -> None:
    """Both on one scale, without the diagonal."""
    used = ~np.eye(len(alignment.row_names), dtype=bool)
    matrices = {stage: np.where(used, cosines, np.nan) for stage, cosines in alignment.cosines.items()}
    strongest = limit(*matrices.values())
    maps = []
    for stage, matrix in matrices.items():
        mean = f": mean {np.nanmean(matrix):+.2f}" if np.isfinite(matrix).any() else ""
        after = f"after {stage} tasks" if alignment.is_by_name else f"after task {stage}"
        maps.append(TaskMap(f"{after}{mean}", matrix, strongest))
    draw_maps(panels, maps, used, alignment.row_names, alignment.column_names, "task")


FIGURE = RunFigure(name="gradient_alignment", data=data, text=text, canvas=canvas, draw=draw)
