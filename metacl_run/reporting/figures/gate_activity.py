"""What the neuromodulatory gate lets through, class by class."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from metacl_run.layout.heat_map import heat_map
from metacl_run.layout.style import ACTIVITY, integer_ticks
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, meta_test_of, sheet
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> np.ndarray | None:
    """[R, K, U]"""
    test = meta_test_of(run)
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


def draw(run: StoredRun, gate: np.ndarray, text: FigureText) -> Figure:
    """Of the first seed; the most active unit comes first."""
    values = gate[0][:, np.argsort(-gate[0].mean(axis=0), kind="stable")]
    figure, axes = sheet(run, text, (6.0, float(np.clip(0.16 * len(values), 1.2, 4.0))), right=0.9)
    axes.set_xlabel("unit of the gate, most active first")
    axes.set_ylabel("class")
    axes.set_yticks([])
    integer_ticks(axes.xaxis)
    heat_map(figure, axes, values, (0.0, max(1.0, float(np.nanmax(values)))), ACTIVITY, "auto")
    return figure


FIGURE = RunFigure(name="gate_activity", data=data, text=text, draw=draw)
