"""How far a model of dynamics sees ahead: the error of the state after many steps of its own predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.end_labels import EndLabel, end_labels
from metacl_run.layout.seed_lines import seeds_line
from metacl_run.layout.style import BLUE, VERMILLION, integer_ticks
from metacl_run.reporting.axes import score_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import spread_words
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> np.ndarray | None:
    """[2, R, Q] the error after 1 to Q steps, before adaptation and after it."""
    measured = run.summary.get("open_loop")
    return None if measured is None else np.array([measured["before"], measured["after"]], float)


def text(run: StoredRun, errors: np.ndarray) -> FigureText:
    return FigureText(
        "Open-loop error: predictions from predictions",
        f"{run.score.score_words.capitalize()} of the state after 1 to {errors.shape[2]} steps. Dashed: without adapting. "
        f"{spread_words(run)}",
        "The model sees the first state and all actions, and continues from its own predictions. The unit is the standard "
        "deviation of each number of a state: 1 is the error of always predicting the mean. Measured at the end of the run, "
        "mean over tasks.",
    )


def draw(run: StoredRun, errors: np.ndarray, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    (before, after), steps = errors, np.arange(1, errors.shape[2] + 1)
    score_axis(axes, run, np.concatenate([before, after], 1), None)
    seeds_line(axes, steps, before, VERMILLION, style="--")
    seeds_line(axes, steps, after, BLUE)
    axes.set_xlim(min(1, steps[-1] - 1), steps[-1])
    integer_ticks(axes.xaxis, 8)
    axes.set_xlabel("steps ahead")
    ends = [
        EndLabel(float(after[:, -1].mean()), "adapting", BLUE),
        EndLabel(float(before[:, -1].mean()), "not adapting", VERMILLION),
    ]
    end_labels(axes, steps[-1], ends)


FIGURE = RunFigure(name="open_loop_error", data=data, text=text, draw=draw)
