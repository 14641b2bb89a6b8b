"""What the neuromodulatory gate lets through, class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.heat_map import heat_map
from metacl_run.layout.style import ACTIVITY, integer_ticks
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> np.ndarray | None:
    """[R, K, U]"""
    test = run.meta_test
    return test.gate if test is not None else None


def text(run: StoredRun, gate: np.ndarray) -> FigureText:
    seed = f" Picture: seed {run.seeds[0]}." if len(run.seeds) > 1 else ""
    return FigureText(
        "What the neuromodulatory gate lets through, class by class",
        f"Mean activity {gate.mean():.2f}; the activity of one unit differs between classes by {gate.std(axis=1).mean():.2f} "
        f"(standard deviation).{seed}",
        "Rows are classes, columns are units of the gate. A column of one colour treats every class alike; one that changes "
        "from row to row opens for some classes only, so that learning them disturbs the others less.",
    )


def canvas(run: StoredRun, gate: np.ndarray) -> Canvas:
    classes = gate.shape[1]
    size = (6.0, float(np.clip(0.16 * classes, 1.2, 4.0)))
    return Canvas(size, right=0.9, height=float(np.clip(0.08 * classes + 0.4, 1.2, 2.6)))


def draw(run: StoredRun, gate: np.ndarray, panels: Sequence[Axes]) -> None:
    """Of the first seed; the most active unit comes first."""
    values = gate[0][:, np.argsort(-gate[0].mean(axis=0), kind="stable")]
    (axes,) = panels
    axes.set_xlabel("unit of the gate, most active first")
    axes.set_ylabel("class")
    axes.set_yticks([])
    integer_ticks(axes.xaxis)
    heat_map(axes, values, (0.0, max(1.0, float(np.nanmax(values)))), ACTIVITY, "auto")


FIGURE = RunFigure(name="gate_activity", data=data, text=text, canvas=canvas, draw=draw)
