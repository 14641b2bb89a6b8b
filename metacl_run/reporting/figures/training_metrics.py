"""What a method of one's own records in training, beside its loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas, panel_rows
from metacl_run.layout.end_labels import room
from metacl_run.layout.seed_lines import running_means, seeds_line, thinned
from metacl_run.layout.style import BLUE, PALE, label_points
from metacl_run.reporting.axes import MOST_PATCHES, steps_of, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import shortened, spread_words
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.stored_run import StoredRun

MOST_METRICS = 12
COLUMNS = 3


class Metrics(NamedTuple):
    units: np.ndarray
    """[N]"""
    values: dict[str, np.ndarray]
    """[R, N] by name."""
    left_out: int
    """Metrics that are not drawn."""


def data(run: StoredRun) -> Metrics | None:
    curves, shipped = run.training.curves, ("loss", *SCORES)
    names = [name for name, values in curves.items() if name not in shipped and np.isfinite(values).any()]
    if not names:
        return None
    thin = {name: thinned(run.training.units, curves[name]) for name in names[:MOST_METRICS]}
    return Metrics(thin[names[0]][0], {name: values for name, (_, values) in thin.items()}, len(names[MOST_METRICS:]))


def text(run: StoredRun, metrics: Metrics) -> FigureText:
    left_out = f" {metrics.left_out} more are in metrics.jsonl." if metrics.left_out else ""
    return FigureText(
        "What the method records in training",
        f"Running means. {spread_words(run)}",
        f"The metrics beside the loss that the method returns for every {run.unit_name}.{left_out}"
        + (" Shaded: every second task." if 1 < run.num_training_parts <= MOST_PATCHES else ""),
    )


def canvas(run: StoredRun, metrics: Metrics) -> Canvas:
    mosaic = panel_rows(len(metrics.values), min(len(metrics.values), COLUMNS))
    size, height = (6.9, 1.75 * len(mosaic) - 0.35), 0.3 + 1.15 * len(mosaic)
    return Canvas(size, right=0.35, mosaic=mosaic, gap=(0.6, 0.55), columns=2, height=height)


def draw(run: StoredRun, metrics: Metrics, panels: Sequence[Axes]) -> None:
    """A small plot for each metric, on a scale of its own."""
    columns, units = min(len(panels), COLUMNS), steps_of(run, metrics.units)
    for place, (axes, (name, values)) in enumerate(zip(panels, metrics.values.items(), strict=True)):
        work_axis(axes, run, strip=False, bins=4)
        seeds_line(axes, units, running_means(values), BLUE)
        axes.set_title(shortened(name, room(axes, 0.8)), fontsize=label_points(), loc="left", pad=4)
        axes.grid(axis="y", color=PALE, lw=0.6)
        axes.set_xlabel(f"{run.unit_name}s" if place + columns >= len(panels) else "")


FIGURE = RunFigure(name="training_metrics", data=data, text=text, canvas=canvas, draw=draw)
