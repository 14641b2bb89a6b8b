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
    STRONGEST,
    TaskMap,
    compared_words,
    draw_maps,
    maps_canvas,
    ordered_tasks,
    scale_words,
)
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import mean_words
from metacl_run.storage.stored_run import StoredRun


class Alignment(NamedTuple):
    """The cosines that are drawn."""

    cosines: dict[int, np.ndarray]
    """[K, K] mean over replicates, NaN where a gradient was 0, by the number of tasks learned."""
    row_names: list[str]
    """[K]."""
    marks: list[str]
    """[K]."""
    is_by_name: bool
    """Whether rows stand in the order of names, since seeds order the tasks differently."""


def data(run: StoredRun) -> Alignment | None:
    cosines = run.insight.cosines
    if not run.learns_task_by_task or not cosines:
        return None
    ordered = ordered_tasks(run)
    stages = {max(cosines)} if ordered.is_by_name else {min(cosines), max(cosines)}
    means = {
        stage: np.mean(
            [own[np.ix_(places, places)] for own, places in zip(cosines[stage], ordered.places, strict=True)], axis=0
        )
        for stage in sorted(stages)
    }
    return Alignment(means, ordered.names, ordered.marks, ordered.is_by_name)


def text(run: StoredRun, alignment: Alignment) -> FigureText:
    first, last = min(alignment.cosines), max(alignment.cosines)
    stages = f"{last} tasks" if alignment.is_by_name else "the first task"
    if first < last:
        stages = "the first and the last task" if last == run.num_tasks else f"the first task and task {last}"
    order = f" {BY_NAME}." if alignment.is_by_name else ""
    return FigureText(
        f"How the tasks' gradients align, after {stages}",
        f"Cosine of the gradients of {run.insight.cosines_on}.{compared_words(run)}{order} "
        f"{scale_words(*map(_off_diagonal, alignment.cosines.values()))} {mean_words(run)}",
        "All tasks, learned or not, at the same parameters. Blue: a step for one task helps the other; vermillion: it harms "
        "it. Sampling noise draws the numbers towards 0. Methods that reward alignment, such as MER and La-MAML, should leave "
        "a bluer matrix than plain SGD does on the same stream.",
    )


def canvas(run: StoredRun, alignment: Alignment) -> Canvas:
    return maps_canvas(len(alignment.cosines), alignment.row_names)


def _off_diagonal(cosines: np.ndarray) -> np.ndarray:
    return np.where(np.eye(len(cosines), dtype=bool), np.nan, cosines)


def draw(run: StoredRun, alignment: Alignment, panels: Sequence[Axes]) -> None:
    """Both on one scale, without the diagonal."""
    used = ~np.eye(len(alignment.row_names), dtype=bool)
    maps = []
    for stage, cosines in alignment.cosines.items():
        matrix = _off_diagonal(cosines)
        mean = f": mean {np.nanmean(matrix):+.2f}" if np.isfinite(matrix).any() else ""
        after = f"after {stage} tasks" if alignment.is_by_name else f"after task {stage}"
        maps.append(TaskMap(f"{after}{mean}", matrix, STRONGEST))
    draw_maps(panels, maps, used, alignment.row_names, alignment.marks, "task")


FIGURE = RunFigure(name="gradient_alignment", data=data, text=text, canvas=canvas, draw=draw)
