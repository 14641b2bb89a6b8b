"""Lines with their spread over seeds: a band from three seeds on; with two seeds, a thin line for each.

Shapes: R seeds, P points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.end_labels import EndLabel, end_labels
from metacl_run.layout.numbers import label_value
from metacl_run.scoring.intervals import ANY, FEWEST, Bounds, interval95
from metacl_run.scoring.scores import Score

MOST_POINTS = 1000


class SeedLine(NamedTuple):
    """A line of a figure."""

    name: str
    """Empty: no label."""
    x: np.ndarray
    """[P], increasing."""
    values: np.ndarray
    """[R, P], NaN where not known."""
    colour: str
    style: str = "-"
    is_partial: bool = False
    """Whether the mean is drawn where any seed has a value, over those that have one; else only where all have one."""


def labelled_lines(
    axes: Axes,
    lines: Sequence[SeedLine],
    possible: Bounds,
    score: Score | None = None,
    point_size: float = 0,
    more_labels: Sequence[EndLabel] = (),
) -> None:
    """Draws lines, and their names at their ends. Call it once the limits of the axes are set.

    Args:
        axes: to draw in.
        lines: whose values have the same unit.
        possible: the least and the largest value of a band.
        score: if given, the last mean follows the name, written as this score.
        point_size: of a dot at every point of a mean.
        more_labels: those of other lines.
    """
    labels, last_x = list(more_labels), []
    for line in lines:
        seeds_line(axes, line.x, line.values, line.colour, possible, line.style, is_partial=line.is_partial)
        means = mean_line(line.values, line.is_partial)
        known = np.flatnonzero(np.isfinite(means))
        if point_size:
            mean = means[known]
            axes.plot(line.x[known], mean, "o", color=line.colour, ms=point_size, mec="white", mew=0.5, zorder=4, clip_on=False)
        if len(known) and line.name:
            end = float(means[known[-1]])
            value = "" if score is None else label_value(end, score)
            labels.append(EndLabel(end, f"{line.name}{value}", line.colour, line.style))
            last_x.append(line.x[known[-1]])
    if last_x:
        end_labels(axes, max(last_x), labels)


def mean_line(values: np.ndarray, is_partial: bool) -> np.ndarray:
    """Returns [P] the means of [R, P] over seeds, see `SeedLine.is_partial`; NaN where there is none."""
    finite = np.isfinite(values)
    known = finite.any(axis=0) if is_partial else finite.all(axis=0)
    means = np.where(finite, values, 0.0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    return np.where(known, means, np.nan)


def seeds_line(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    colour: str,
    possible: Bounds = ANY,
    style: str = "-",
    *,
    is_partial: bool = False,
    unscale: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> None:
    """Draws the mean of [R, P] over seeds, and its spread where every seed has a value; a dash if there is one point only.

    Args:
        axes: to draw in.
        x: [P], increasing.
        values: [R, P].
        colour: of everything.
        possible: the least and the largest value of a band.
        style: of the line.
        is_partial: as in `SeedLine`.
        unscale: applied to means and intervals before they are drawn, if `values` are logarithms, say.
    """
    means = mean_line(values, is_partial)
    known = np.flatnonzero(np.isfinite(means))
    axes.plot(x[known], unscale(means[known]), style, color=colour, marker="_" if len(known) == 1 else "", ms=7, zorder=3)
    there = np.isfinite(values).all(axis=0)
    if there.any() or not is_partial:
        spread(axes, x[there], values[:, there], colour, possible, unscale)


def spread(
    axes: Axes,
    x: np.ndarray,
    values: np.ndarray,
    colour: str,
    possible: Bounds = ANY,
    unscale: Callable[[np.ndarray], np.ndarray] = lambda values: values,
) -> None:
    """Draws the spread behind a mean of [R, P]; nothing for one seed."""
    if len(values) >= FEWEST:
        low, high = unscale(interval95(values, possible).T)
        if len(x) > 1:
            axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0, zorder=2)
        else:
            axes.vlines(x, low, high, color=colour, lw=1.2, zorder=2)
    elif len(values) > 1:
        for seed in values:
            axes.plot(x, unscale(seed), color=colour, lw=0.6, alpha=0.6, marker="_" if len(x) == 1 else "", ms=5, zorder=2.5)


def extent(values: np.ndarray, possible: Bounds = ANY) -> np.ndarray:
    """Returns all values that `seeds_line` draws of [R, ...], so that the axis contains every band."""
    if len(values) >= FEWEST:
        return np.concatenate([values.mean(axis=0).ravel(), interval95(values, possible).ravel()])
    return np.ravel(values)


def running_mean(values: np.ndarray) -> np.ndarray:
    """Returns [N] the mean over a centred window of a twentieth of the points, finite values only; NaN stays NaN."""
    window = smoothing(len(values))
    finite = np.isfinite(values)
    kernel = np.ones(window)
    counts = np.convolve(finite, kernel, mode="same")
    sums = np.convolve(np.where(finite, values, 0.0), kernel, mode="same")
    return np.where(finite, sums / np.maximum(counts, 1), np.nan)


def smoothing(points: int) -> int:
    """The number of points that `running_mean` averages; 1: it changes nothing."""
    return max(1, points // 20)


def running_means(values: np.ndarray) -> np.ndarray:
    """Returns `running_mean` of every row of [R, N]."""
    return np.stack([running_mean(row) for row in values])


def thinned(units: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns [N] and [R, N] as at most MOST_POINTS means of neighbours, so that files stay small."""
    if len(units) <= MOST_POINTS:
        return units.astype(float), values
    edges = np.linspace(0, len(units), MOST_POINTS + 1).astype(int)[:-1]
    counts = np.diff(edges, append=len(units))
    return np.add.reduceat(units, edges) / counts, np.add.reduceat(values, edges, axis=1) / counts
