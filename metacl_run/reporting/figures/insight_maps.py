"""Heat maps of compared tasks, from vermillion (below 0) to blue (above), for the two figures of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from metacl_run.layout.heat_map import cell_numbers, heat_map
from metacl_run.layout.style import CONFLICT, SHADE, label_width, parts
from metacl_run.reporting.figures.run_figure import FigureText, sheet
from metacl_run.storage.stored_run import StoredRun

WIDEST_NAME = 34
"""Characters of a task's name beside a row."""
SMALLEST_CELL = 0.42
"""Inches of a cell that holds a legible number."""


class TaskMap(NamedTuple):
    title: str
    values: np.ndarray
    """[K, K], NaN where not known."""
    limit: float
    """The absolute value of the strongest colours."""


def compared_words(run: StoredRun) -> str:
    """How many tasks were compared, if not all."""
    count = len(run.insight.tasks)
    return f" {count} of {run.num_tasks} tasks, spread evenly." if count < run.num_tasks else ""


def limit(*matrices: np.ndarray) -> float:
    """Returns the largest absolute value, rounded up to a twentieth."""
    finite = np.abs(np.concatenate([matrix[np.isfinite(matrix)] for matrix in matrices]))
    return max(0.05, math.ceil(float(finite.max(initial=0.0)) * 20) / 20)


def draw_maps(
    run: StoredRun,
    text: FigureText,
    maps: Sequence[TaskMap],
    used: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    x_label: str,
) -> Figure:
    """One or two maps side by side; cells that are not `used` stay white, those without a value are grey."""
    count = len(row_names)
    cell = float(np.clip(3.0 / count, 0.15, 0.55)) if count > 9 else max(3.0 / count, SMALLEST_CELL) if count > 5 else 0.55
    side, gap = cell * count, 0.75
    width = max(len(maps) * side + (len(maps) - 1) * gap, 4.2)
    figure, whole = sheet(run, text, (width, max(side, 1.0)), right=0.85, left=label_width(row_names))
    places = parts(figure, whole, 1, len(maps), gap, 0.0) if len(maps) > 1 else [whole]
    every = math.ceil(0.17 / cell)
    for place, (axes, task_map) in enumerate(zip(places, maps, strict=True)):
        image = heat_map(figure, axes, task_map.values, (-task_map.limit, task_map.limit), CONFLICT)
        for row, column in np.argwhere(used & ~np.isfinite(task_map.values)):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=SHADE, lw=0))
        if cell >= SMALLEST_CELL:
            cell_numbers(axes, image, task_map.values, _cosine_text, 8.0)
        axes.set_title(task_map.title, fontsize=8.5, loc="left", pad=5)
        axes.set_xticks(range(0, count, every), column_names[::every])
        axes.set_yticks(range(0, count, every), row_names[::every] if place == 0 else [""] * len(row_names[::every]))
        axes.tick_params(labelsize=8)
        axes.set_xlabel(x_label)
    return figure


def _cosine_text(value: float) -> str:
    return f"{value:+.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
