"""The figures of a run, one file for each, in the order of the report. `draw_into` draws one in axes of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure

from metacl_run.core.errors import UserError, nearest, shown
from metacl_run.core.files import storage_errors
from metacl_run.layout.canvas import mosaic_panels
from metacl_run.layout.drawable import draw_figure
from metacl_run.layout.image_files import ON_SCREEN, save
from metacl_run.layout.style import StyleName
from metacl_run.reporting.figures import (
    accuracy_by_task,
    accuracy_matrix,
    choice_of_rate,
    control_returns,
    feature_drift,
    forgetting,
    forgetting_curve,
    gate_activity,
    gradient_alignment,
    interference,
    learned_rates,
    learning_curve,
    mean_accuracy,
    open_loop_error,
    probes,
    recovery,
    representation,
    rollouts,
    score_so_far,
    sequence_accuracy,
    stability_gap,
    switches,
    task_vectors,
    training_loss,
    training_metrics,
)
from metacl_run.reporting.figures.run_figure import PreparedFigure, RunFigure
from metacl_run.storage.run_files import FIGURES as FOLDER
from metacl_run.storage.stored_run import StoredRun

FIGURES: tuple[RunFigure[Any], ...] = (
    sequence_accuracy.FIGURE,
    score_so_far.FIGURE,
    switches.FIGURE,
    forgetting_curve.FIGURE,
    learning_curve.FIGURE,
    accuracy_by_task.FIGURE,
    rollouts.FIGURE,
    mean_accuracy.FIGURE,
    stability_gap.FIGURE,
    forgetting.FIGURE,
    accuracy_matrix.FIGURE,
    recovery.FIGURE,
    open_loop_error.FIGURE,
    control_returns.FIGURE,
    task_vectors.FIGURE,
    choice_of_rate.FIGURE,
    probes.FIGURE,
    training_loss.FIGURE,
    training_metrics.FIGURE,
    representation.FIGURE,
    gate_activity.FIGURE,
    interference.FIGURE,
    gradient_alignment.FIGURE,
    feature_drift.FIGURE,
    learned_rates.FIGURE,
)


def figures_of(run: StoredRun) -> list[PreparedFigure]:
    """Returns the figures that the run's files support; none of a run that failed before its tasks were known, or of the
    evaluation of a learner that had finished."""
    figures = (figure.of_run(run) for figure in FIGURES if run.num_tasks and not run.is_last_row_alone)
    return [figure for figure in figures if figure is not None]


def names(run: StoredRun) -> list[str]:
    """Returns the names of the figures that the run's files support."""
    return [figure.name for figure in figures_of(run)]


def draw_into(
    run: StoredRun,
    name: str,
    axes: Axes | Sequence[Axes] | Figure | SubFigure | None = None,
    style: StyleName | None = None,
) -> Figure:
    """Draws a figure of a run, without its title and caption where `style` is "paper" or `axes` are given.

    Args:
        run: whose files hold what is drawn.
        name: one of `names(run)`.
        axes: where it is drawn: axes, as many as the figure has panels; or an empty (sub)figure, which gets them. None: a
            figure of its own, which belongs to no window.
        style: "paper": letters and lines for a column of 3.25 inches, or for both of 6.75; "screen": larger. None: "paper" for
            a figure of its own, and in axes of the caller's the rcParams in effect.

    Returns:
        the figure, to be saved with `savefig`.

    Raises:
        UserError: the run has no such figure, the style is none, or there are too few or too many axes.
    """
    figure = _figure(run, name)
    return draw_figure(figure, None if axes is None else lambda: _panels(figure, axes), style)


def _figure(run: StoredRun, name: str) -> PreparedFigure:
    figures = {figure.name: figure for figure in figures_of(run)}
    if name in figures:
        return figures[name]
    known = any(figure.name == name for figure in FIGURES)
    what = "the files of this run do not support this figure." if known else f"there is no such figure.{nearest(name, figures)}"
    raise UserError(f"figure {shown(name)}: {what} The run has: {', '.join(figures) or 'none'}")


def _panels(figure: PreparedFigure, axes: Axes | Sequence[Axes] | Figure | SubFigure) -> list[Axes]:
    """Returns the caller's axes as the panels of a figure. Raises UserError."""
    if isinstance(axes, FigureBase):
        if axes.get_axes():
            raise UserError(f"figure {figure.name}: its panels go into an empty figure; this one has axes already")
        return mosaic_panels(axes, figure.canvas)
    panels: list[Any] = [axes] if isinstance(axes, matplotlib.axes.Axes) else np.asarray(axes, dtype=object).ravel().tolist()
    if not all(isinstance(panel, matplotlib.axes.Axes) for panel in panels):
        raise UserError(f"figure {figure.name}: axes must be matplotlib Axes or a figure; got {shown(axes)}")
    if len(panels) != figure.canvas.num_panels:
        raise UserError(
            f"figure {figure.name}: has {figure.canvas.num_panels} panels, one for each of the axes; got {len(panels)}"
        )
    return panels


def draw(run: StoredRun) -> list[Path]:
    """Writes figures/<name>.png and .svg for every figure that the run supports, and removes those it does not."""
    folder = run.directory / FOLDER
    figures = figures_of(run)
    with storage_errors(run.directory):
        folder.mkdir(exist_ok=True)
        for name in {figure.name for figure in FIGURES} - {figure.name for figure in figures}:
            for suffix in ON_SCREEN:
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    return [path for figure in figures for path in save(figure.draw(), folder / figure.name)]
