"""How far the features of learned tasks have drifted, layer by layer."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metacl_run.layout.seed_lines import extent, seeds_line
from metacl_run.layout.style import accuracy_axis, end_labels
from metacl_run.reporting.axes import work_axis
from metacl_run.reporting.figures.base import FigureText, RunFigure, sheet
from metacl_run.reporting.phrases import phrases, spread_words
from metacl_run.storage.stored_run import StoredRun

MOST_LABELS = 12
CKA = (0.0, 1.0)
"""The least and the largest value."""


def applies(run: StoredRun) -> bool:
    return run.sequences is None and bool(run.insight.drift)


def text(run: StoredRun) -> FigureText:
    return FigureText(
        "How far the features of learned tasks drifted, layer by layer",
        f"Linear CKA on {run.insight.drift_on}, mean over earlier tasks. 1: as when learned; unrelated features score above 0. "
        f"{spread_words(run)}",
        "The outputs of every layer, now and right after the task was learned (Kornblith et al. 2019), from the first layer "
        f"(dark) to the last (light). Where {phrases(run.score).is_lost} although early layers hold, the last layers lose it. "
        "The wider a layer, the higher unrelated features score: compare a layer with itself over time. Convolutions: mean "
        "over positions; at most 128 units of a layer.",
    )


def draw(run: StoredRun, text: FigureText) -> Figure:
    units, drift = run.insight.drift_units, run.insight.drift
    figure, axes = sheet(run, text)
    work_axis(axes, run, strip=True)
    accuracy_axis(axes, np.concatenate([extent(values, CKA) for values in drift.values()]), None)
    axes.set_ylabel("CKA with features when learned")
    colours = matplotlib.colormaps["plasma"](np.linspace(0.0, 0.85, len(drift)))
    labels = []
    for place, ((layer, values), colour) in enumerate(zip(drift.items(), colours, strict=True)):
        ink, mean = matplotlib.colors.to_hex(colour), values.mean(axis=0)
        seeds_line(axes, units, values, ink, CKA)
        axes.plot(units, mean, "o", color=ink, ms=3.5, zorder=3)
        if place % math.ceil(len(drift) / MOST_LABELS) == 0 and np.isfinite(mean[-1]):
            labels.append((float(mean[-1]), layer, ink))
    if labels:
        end_labels(axes, units[-1], *zip(*labels, strict=True))
    return figure


FIGURE = RunFigure(name="feature_drift", applies=applies, text=text, draw=draw)
