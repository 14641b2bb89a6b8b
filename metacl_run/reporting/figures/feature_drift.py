"""How far the features of learned tasks have drifted, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, extent, labelled_lines
from metacl_run.layout.style import accuracy_axis, layer_colours
from metacl_run.reporting.axes import work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import phrases, spread_words
from metacl_run.storage.insight_records import Insight
from metacl_run.storage.stored_run import StoredRun

MOST_LABELS = 12
CKA = (0.0, 1.0)
"""The least and the largest value."""


def data(run: StoredRun) -> Insight | None:
    return run.insight if run.learns_task_by_task and run.insight.drift else None


def text(run: StoredRun, insight: Insight) -> FigureText:
    return FigureText(
        "How far the features of learned tasks drifted, layer by layer",
        f"Linear CKA on {insight.drift_on}, mean over earlier tasks. 1: as when learned; unrelated features score above 0. "
        f"{spread_words(run)}",
        "The outputs of every layer, now and right after the task was learned (Kornblith et al. 2019), from the first layer "
        f"(dark green) to the last (light green). If {phrases(run.score).is_lost} but early layers do not drift, the last "
        "layers lose it. The wider a layer, the higher unrelated features score: compare a layer with itself over time. "
        "Convolutions: mean over positions; at most 128 units of a layer.",
    )


def draw(run: StoredRun, insight: Insight, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    work_axis(axes, run, strip=True)
    accuracy_axis(axes, np.concatenate([extent(values, CKA) for values in insight.drift.values()]), None)
    axes.set_ylabel("CKA with features when learned")
    colours = layer_colours(len(insight.drift))
    every = math.ceil(len(insight.drift) / MOST_LABELS)
    lines = [
        SeedLine(layer if place % every == 0 else "", insight.drift_units, values, colours[place])
        for place, (layer, values) in enumerate(insight.drift.items())
    ]
    labelled_lines(axes, lines, CKA, point_size=4)


FIGURE = RunFigure(name="feature_drift", data=data, text=text, draw=draw)
