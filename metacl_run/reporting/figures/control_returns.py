"""Control with the learner as a model: the return in every task, adapted, before adaptation, and of random actions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.end_labels import room
from metacl_run.layout.style import BLUE, GREY, INK, PALE, VERMILLION, label_width
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import MOST_CELLS, WIDEST_NAME, spread_words, task_label
from metacl_run.scoring.intervals import half_width95
from metacl_run.storage.stored_run import StoredRun

CONTROLLERS = {"random": (GREY, "x", 0.2), "before": (VERMILLION, "D", 0.0), "after": (BLUE, "o", -0.2)}
"""Colour, mark and place beside the task's own."""


def data(run: StoredRun) -> dict[str, np.ndarray] | None:
    """[R, T] the returns of every controller."""
    measured = run.summary.get("control")
    if measured is None or run.num_tasks > MOST_CELLS:
        return None
    return {controller: np.array(measured[controller], float) for controller in CONTROLLERS}


def text(run: StoredRun, returns: dict[str, np.ndarray]) -> FigureText:
    spread = spread_words(run).replace("thin lines", "small dots")
    return FigureText(
        "Return of control with the learner as a model",
        f"Blue: adapted at every step. Vermillion: without adapting. Grey: random actions. {spread}",
        "At every step the controller draws plans at random, and takes the first action of the plan with the highest return "
        "predicted by the model. All controllers have the same bodies, starts and plans. Measured at the end of the run, mean "
        "over episodes. Further right is better.",
    )


def canvas(run: StoredRun, returns: dict[str, np.ndarray]) -> Canvas:
    labels, count = [task_label(run, task, WIDEST_NAME) for task in range(run.num_tasks)], run.num_tasks
    return Canvas((5.0, max(0.9, 0.4 * count)), right=0.4, left=label_width(labels), height=0.75 + 0.2 * count)


def draw(run: StoredRun, returns: dict[str, np.ndarray], panels: Sequence[Axes]) -> None:
    (axes,) = panels
    places = np.arange(run.num_tasks)
    for controller, (colour, mark, aside) in CONTROLLERS.items():
        values = returns[controller]
        mean, half = values.mean(0), half_width95(values)
        if np.isfinite(half).all():
            axes.errorbar(mean, places + aside, xerr=half, fmt="none", ecolor=colour, elinewidth=1.0, capsize=2.0, zorder=3)
        elif len(values) > 1:
            for seed in values:
                axes.plot(seed, places + aside, "o", ms=2.2, color=colour, alpha=0.7, zorder=3)
        axes.plot(mean, places + aside, mark, ms=5.0, color=colour, zorder=4)
    axes.set_yticks(places, [task_label(run, int(task), min(WIDEST_NAME, room(axes))) for task in places])
    axes.set_ylim(run.num_tasks - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=PALE, lw=0.6)
    axes.axvline(0, color=INK, lw=0.8, zorder=1)
    axes.set_xlabel("return")


FIGURE = RunFigure(name="control_returns", data=data, text=text, canvas=canvas, draw=draw)
