"""The recorded training loss and its running mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.log_axis import log_axis
from metacl_run.layout.seed_lines import running_means, seeds_line, smoothing, thinned
from metacl_run.layout.style import BLUE, PALE
from metacl_run.reporting.axes import MOST_PATCHES, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import spread_words
from metacl_run.storage.stored_run import StoredRun


class Losses(NamedTuple):
    units: np.ndarray
    """[N]"""
    values: np.ndarray
    """[R, N], means of neighbours if there are too many records."""
    parts: list[np.ndarray]
    """[N] masks of the points that are smoothed together."""


def data(run: StoredRun) -> Losses | None:
    recorded = run.training.curves.get("loss")
    if recorded is None or not np.isfinite(recorded).any():
        return None
    units, values = thinned(run.training.units, recorded)
    return Losses(units, values, _parts(run, units))


def text(run: StoredRun, losses: Losses) -> FigureText:
    every = -(-len(run.training.units) // len(losses.units))
    smoothed = any(smoothing(int(part.sum())) > 1 for part in losses.parts)
    points = "every record" if every == 1 else f"means of {every} records"
    caption = f"Running mean; pale: {points}." if smoothed else f"{points.capitalize()}."
    title = "Training loss"
    explanation = (
        "The loss of the outer objective on the task being trained, at each record. It may jump where a new task begins."
    )
    if run.sequences is not None:
        title = "Loss of meta-training"
        explanation = (
            "The loss of the outer objective after learning in sequence: on the examples just learned and on other examples."
        )
    if run.kind == "osaka":
        title = "Loss of predictions"
        explanation = "The loss of every batch before it is learned; in pre-training, that of the outer objective."
    return FigureText(title, f"{caption} {spread_words(run)}", explanation)


def _parts(run: StoredRun, units: np.ndarray) -> list[np.ndarray]:
    """Returns [N] masks of the points that are smoothed together: those of one task, so that the running mean does not smear
    the jump between two, unless there are too many tasks to distinguish."""
    if run.num_training_parts > MOST_PATCHES:
        return [np.ones(len(units), dtype=bool)]
    task_of = run.units.tasks_at(units - 1)
    return [task_of == task for task in np.unique(task_of)]


def canvas(run: StoredRun, losses: Losses) -> Canvas:
    return Canvas(right=0.4)


def draw(run: StoredRun, losses: Losses, panels: Sequence[Axes]) -> None:
    """Logarithmic where the loss spans more than a factor of fifty."""
    (axes,) = panels
    work_axis(axes, run, strip=run.num_training_parts > 1)
    units, values, parts = losses
    mean = values.mean(axis=0)
    for part in parts:
        if smoothing(len(units[part])) > 1:
            axes.plot(units[part], mean[part], color=BLUE, lw=0.6, alpha=0.35)
        seeds_line(axes, units[part], running_means(values[:, part]), BLUE, (0.0, math.inf))
    finite = mean[np.isfinite(mean)]
    if len(finite) and np.min(finite) > 0 and np.max(finite) > 50 * np.min(finite):
        log_axis(axes, "y")
    elif len(finite) and np.min(finite) >= 0:
        axes.set_ylim(0, np.max(finite) * 1.05 or 1.0)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_ylabel("loss")


FIGURE = RunFigure(name="training_loss", data=data, text=text, canvas=canvas, draw=draw)
