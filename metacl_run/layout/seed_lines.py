"""A line in a figure with what its seeds spread over: a band of three and more, the seeds themselves of two.

Shapes: R seeds, P points.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from metacl_run.scoring.intervals import ANY, FEWEST, Bounds, interval95


def seeds_line(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, possible: Bounds = ANY, style: str = "-") -> None:
    """The mean of [R, P] over seeds, where every seed has a value; a dash where there is one point only.

    Args:
        axes: to draw in.
        x: [P], increasing.
        values: [R, P].
        colour: of everything.
        possible: what a band is cut to.
        style: of the line.
    """
    there = np.isfinite(values).all(axis=0)
    x, values = x[there], values[:, there]
    axes.plot(x, values.mean(axis=0), style, color=colour, lw=1.7, marker="_" if len(x) == 1 else "", ms=7, zorder=3)
    spread(axes, x, values, colour, possible)


def spread(axes: Axes, x: np.ndarray, values: np.ndarray, colour: str, possible: Bounds = ANY) -> None:
    """What is drawn behind a mean of [R, P]: nothing of one seed."""
    if len(values) >= FEWEST:
        low, high = interval95(values, possible).T
        if len(x) > 1:
            axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0, zorder=2)
        else:
            axes.vlines(x, low, high, color=colour, lw=1.2, zorder=2)
    elif len(values) > 1:
        for seed in values:
            axes.plot(x, seed, color=colour, lw=0.6, alpha=0.6, marker="_" if len(x) == 1 else "", ms=5, zorder=2.5)


def extent(values: np.ndarray, possible: Bounds = ANY) -> np.ndarray:
    """Everything that `seeds_line` shows of [R, ...], for the limits of an axis: no band reaches out of it."""
    if len(values) >= FEWEST:
        return np.concatenate([values.mean(axis=0).ravel(), interval95(values, possible).ravel()])
    return np.ravel(values)


def running_mean(values: np.ndarray) -> np.ndarray:
    """[N] mean over a centred window of a twentieth of the points, finite values only; NaN stays NaN."""
    window = smoothing(len(values))
    finite = np.isfinite(values)
    kernel = np.ones(window)
    counts = np.convolve(finite, kernel, mode="same")
    sums = np.convolve(np.where(finite, values, 0.0), kernel, mode="same")
    return np.where(finite, sums / np.maximum(counts, 1), np.nan)


def smoothing(points: int) -> int:
    """Points that `running_mean` spans; 1: it changes nothing."""
    return max(1, points // 20)
