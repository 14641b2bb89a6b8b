"""Heat maps of compared tasks, from vermillion (below 0) to blue (above), for the two figures of gradients."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle

from metacl_run.layout.canvas import Canvas, panel_rows
from metacl_run.layout.end_labels import room, size_in_points
from metacl_run.layout.heat_map import cell_numbers, heat_map
from metacl_run.layout.style import CONFLICT, PALE, label_points, label_width
from metacl_run.reporting.phrases import named_places, shortened, task_label
from metacl_run.scoring.scores import Score
from metacl_run.storage.stored_run import StoredRun

WIDEST_NAME = 34
"""Characters of a task's name beside a row."""
SMALLEST_CELL = 0.42
"""Inches of a cell on a screen that holds a legible number."""

BY_NAME = "Tasks by name, with letters, since every seed takes them in a different order"

STRONGEST = 0.5
"""The cosine, and its negative, from which on colours are the strongest: one scale for all runs, so that they compare."""
LEAST_CHANGE = 0.2
"""The change of an accuracy for which the scale has room at least, so that small changes look small."""


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


class OrderedTasks(NamedTuple):
    """The K compared tasks in the order in which a figure has them: by their place in the stream, or by name where every seed
    takes the same tasks in an order of its own."""

    places: np.ndarray
    """[R, K] the place of each in the stream of a seed, among the compared tasks."""
    names: list[str]
    """As rows have them: with numbers, or by name with letters, which are no places in the stream."""
    marks: list[str]
    """The numbers or letters alone."""
    is_by_name: bool


def ordered_tasks(run: StoredRun) -> OrderedTasks:
    tasks = run.insight.tasks
    names, places = named_places(run, tasks)
    if places is not None:
        marks = [_letter(place) for place in range(len(names))]
        labels = [shortened(f"{mark}: {' '.join(name.split())}", WIDEST_NAME) for mark, name in zip(marks, names, strict=True)]
        return OrderedTasks(places, labels, marks, is_by_name=True)
    labels = [task_label(run, task, WIDEST_NAME) for task in tasks]
    places = np.tile(np.arange(len(tasks)), (len(run.seeds), 1))
    return OrderedTasks(places, labels, [str(task + 1) for task in tasks], is_by_name=False)


def _letter(place: int) -> str:
    """A to Z, then AA, AB ..."""
    letter = string.ascii_uppercase[place % 26]
    return letter if place < 26 else _letter(place // 26 - 1) + letter


def limit(changes: np.ndarray, score: Score) -> float:
    """Returns the largest absolute change, rounded up to a twentieth; of an accuracy at least `LEAST_CHANGE`."""
    largest = float(np.abs(changes[np.isfinite(changes)]).max(initial=0.0))
    return max(LEAST_CHANGE if score.higher_is_better else 0.05, math.ceil(largest * 20) / 20)


def scale_words(*cosines: np.ndarray) -> str:
    """Says how far the colours of cosines go, and whether any cosine lies beyond."""
    beyond = any((np.abs(matrix[np.isfinite(matrix)]) > STRONGEST).any() for matrix in cosines)
    cut = "; cosines beyond have the strongest colour" if beyond else ""
    return f"Colours of cosines go from \N{MINUS SIGN}{STRONGEST} to {STRONGEST} in every run{cut}."


def maps_canvas(num_maps: int, row_names: Sequence[str]) -> Canvas:
    """The canvas of one or two maps side by side."""
    count, gap = len(row_names), 0.75
    cell = float(np.clip(3.0 / count, 0.15, 0.55)) if count > 9 else max(3.0 / count, SMALLEST_CELL) if count > 5 else 0.55
    side = cell * count
    return Canvas(
        size=(max(num_maps * side + (num_maps - 1) * gap, 4.2), max(side, 1.0)),
        left=label_width(row_names),
        right=0.85,
        mosaic=panel_rows(num_maps, num_maps),
        gap=(gap, 0.0),
        columns=2 if num_maps > 1 else 1,
        height=float(np.clip(0.16 * count + 0.7, 1.3, 2.8)),
    )


def draw_maps(
    panels: Sequence[Axes],
    maps: Sequence[TaskMap],
    used: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    x_label: str,
) -> None:
    """Draws one map in each panel; cells that are not `used` are hatched, those without a value are grey."""
    count = len(row_names)
    images = [heat_map(axes, item.values, (-item.limit, item.limit), CONFLICT) for axes, item in zip(panels, maps, strict=True)]
    for place, (axes, task_map) in enumerate(zip(panels, maps, strict=True)):
        for row, column in np.argwhere(used & ~np.isfinite(task_map.values)):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=PALE, lw=0))
        _hatch(axes, ~used)
        axes.set_title(task_map.title, fontsize=label_points(), loc="left", pad=5)
        width, height = (size / count for size in size_in_points(axes))
        every_row, every_column = (max(1, math.ceil(1.25 * label_points() / length)) for length in (height, width))
        names = [shortened(name, room(axes, 0.3 * len(maps))) for name in row_names[::every_row]]
        axes.set_xticks(range(0, count, every_column), column_names[::every_column])
        axes.set_yticks(range(0, count, every_row), names if place == 0 else [""] * len(names))
        axes.set_xlabel(x_label)
    for axes, task_map, image in zip(panels, maps, images, strict=True):
        cell_numbers(axes, image, task_map.values, _cosine_text)


def _hatch(axes: Axes, cells: np.ndarray) -> None:
    """Hatches cells of a map: neighbours in a row as one rectangle."""
    edges = np.diff(np.pad(cells.astype(int), ((0, 0), (1, 1))))
    stretches = zip(np.argwhere(edges > 0), np.argwhere(edges < 0)[:, 1], strict=True)  # both row by row
    corners = [
        [(begin - 0.5, row - 0.5), (end - 0.5, row - 0.5), (end - 0.5, row + 0.5), (begin - 0.5, row + 0.5)]
        for (row, begin), end in stretches
    ]
    axes.add_collection(PolyCollection(corners, facecolor="white", edgecolor=PALE, hatch="////", lw=0, zorder=0.5))


def _cosine_text(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
