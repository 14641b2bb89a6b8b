"""The accuracy matrix, mean over seeds, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.end_labels import room
from metacl_run.layout.heat_map import cell_numbers, heat_map
from metacl_run.layout.style import GREY, SHADE, VERMILLION, label_width
from metacl_run.reporting.axes import round_step
from metacl_run.reporting.figures.run_figure import FEWEST_EVALUATIONS, FigureText, RunFigure, mark_sentence
from metacl_run.reporting.phrases import MOST_CELLS, WIDEST_NAME, column_label, columns_name, mean_words, row_label
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun

MOST_NAMED_ROWS = 12
MOST_SHARP = 100
"""Most rows with sharp edges; of more, neighbours are averaged."""


def data(run: StoredRun) -> list[int] | None:
    """The rows without gaps."""
    evaluated = run.learns_task_by_task or run.meta_test is not None
    return run.whole_rows if evaluated and run.num_tasks > 1 and len(run.whole_rows) >= FEWEST_EVALUATIONS else None


def text(run: StoredRun, rows: list[int]) -> FigureText:
    score, test = run.score.score_words.capitalize(), run.meta_test
    if test is not None:
        return FigureText(
            f"{score} on every segment of the sequence after each segment",
            f"{mark_sentence(test)}Framed: right after the segment itself was learned. Mean over orders. {mean_words(run)}"
            f"{_rate_of_rows(test)}",
            f"{mark_sentence(test)}Read down a column to see one segment of {run.score.concepts} over time: below its frame, "
            "what learning later segments did to it; above its frame it had not been learned yet.",
        )
    few = run.num_tasks <= MOST_CELLS
    frame, above = ("Framed: right after the task itself was learned.", "frame") if few else ("Line: learned so far.", "line")
    left_out = len(rows) < run.rows_reached
    which = f" Rows: after {len(rows) - 1} of {run.rows_reached - 1} tasks." if left_out else ""
    beforehand = f"above its {above}, what earlier tasks gave it beforehand; " if run.future_is_evaluated else ""
    return FigureText(
        f"{score} on every task after each stage of learning",
        f"{frame}{which} {mean_words(run)}",
        f"Read down a column to see one task over time: {beforehand}below its {above}, what other tasks did to it.",
    )


def _rate_of_rows(test: MetaTestScores) -> str:
    """The learning rate of the rows, where it was chosen."""
    if test.chosen is None or len(test.rates) < 2:
        return ""
    if test.rate_of_matrix is None:
        return " Every row is at the rate chosen for it."
    return f" All rows use the rate chosen for all {test.longest}."


def canvas(run: StoredRun, rows: list[int]) -> Canvas:
    numbers, named = _rows_and_names(run, rows)
    left = label_width([row_label(run, numbers[place]) for place in named])
    cell = float(np.clip(5.2 / run.num_tasks, 0.31, 0.8))
    size = (cell * run.num_tasks, min(cell, 0.42) * len(numbers))
    if run.num_tasks > MOST_CELLS:
        size = (5.6, float(np.clip(0.3 * len(numbers), 1.2, 5.0)))
    below = 0.16 * column_label(run, 0).count("\n")
    height = float(np.clip(0.16 * len(numbers) + 0.5, 1.3, 2.6)) + below
    return Canvas(size, left=left, right=max(1.0, 6.6 - left - size[0]), below=below, height=height)


def _rows_and_names(run: StoredRun, rows: list[int]) -> tuple[list[int], range]:
    """Returns the rows that are drawn, those not reached included, and the places of those that have their name."""
    unreached = range(run.rows_reached, run.num_tasks + 1) if len(rows) == run.rows_reached else range(0)
    numbers = [*rows, *unreached]
    if run.num_tasks <= MOST_CELLS or len(numbers) <= MOST_NAMED_ROWS:
        return numbers, range(len(numbers))
    every_row = len(numbers) == run.num_tasks + 1
    step = round_step(run.num_tasks, MOST_NAMED_ROWS) if every_row else -(-len(numbers) // MOST_NAMED_ROWS)
    return numbers, range(0, len(numbers), step)


def draw(run: StoredRun, rows: list[int], panels: Sequence[Axes]) -> None:
    """With numbers where there is room; rows not reached stay empty."""
    (axes,) = panels
    numbers, named = _rows_and_names(run, rows)
    mean = run.matrix[:, numbers].mean(axis=0)
    num_rows, num_tasks = mean.shape
    few = num_tasks <= MOST_CELLS
    colours = "viridis" if run.score.higher_is_better else "viridis_r"
    image = heat_map(axes, mean, _limits(run, mean), colours, "auto" if num_rows > MOST_SHARP else "nearest")
    axes.set_facecolor(SHADE)
    ticks = list(range(num_tasks))
    if not few:
        step = round_step(num_tasks, MOST_NAMED_ROWS)
        ticks = [0, *range(step - 1, num_tasks, step)]
    axes.set_xticks(ticks, [column_label(run, task) for task in ticks])
    axes.set_yticks(list(named), [row_label(run, numbers[place], min(WIDEST_NAME, room(axes) - 6)) for place in named])
    axes.set_xlabel(f"{run.score.score_words} on {columns_name(run)}")
    if few:
        cell_numbers(axes, image, mean, lambda value: f"{value:.2f}".removeprefix("0"))
        for place, row in enumerate(rows):
            if row:
                frame = Rectangle((row - 1.5, place - 0.5), 1, 1, fill=False, ec=VERMILLION, lw=1.6, zorder=3, clip_on=False)
                axes.add_patch(frame)
    else:
        edges = np.repeat([row - 0.5 for row in rows], 2)
        axes.plot(edges, np.repeat(np.arange(len(rows) + 1) - 0.5, 2)[1:-1], color=VERMILLION, lw=1.2, zorder=3)
        axes.set_xlim(-0.5, num_tasks - 0.5)
    if len(numbers) > len(rows):
        axes.text((num_tasks - 1) / 2, (len(rows) + num_rows - 1) / 2, "not reached", ha="center", va="center", color=GREY)


def _limits(run: StoredRun, mean: np.ndarray) -> tuple[float, float]:
    """From the worst score to the best, in tenths of an accuracy, so that unequal scores look unequal."""
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    if not run.score.higher_is_better:
        return 0.0, high or 1.0
    low, high = float(np.floor(low * 10)) / 10, float(np.ceil(high * 10)) / 10
    return low, high if high > low else low + 0.1


FIGURE = RunFigure(name="accuracy_matrix", data=data, text=text, canvas=canvas, draw=draw)
