"""The recorded training loss and its running mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.log_axis import log_axis
from metacl_run.layout.seed_lines import extent, running_means, seeds_line, smoothing, thinned
from metacl_run.layout.style import BLUE, PALE, error_axis
from metacl_run.reporting.axes import MOST_PATCHES, steps_of, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import spread_words
from metacl_run.scoring.intervals import FEWEST
from metacl_run.storage.stored_run import StoredRun

LOGARITHMIC = 50
"""The axis is logarithmic where the loss spans more than this factor."""
FURTHEST = 10
"""The factor by which a logarithmic axis goes beyond the line, where the band does."""


class Losses(NamedTuple):
    units: np.ndarray
    """[N]"""
    values: np.ndarray
    """[R, N], means of neighbours if there are too many records."""
    parts: list[np.ndarray]
    """[N] masks of the points that are smoothed together."""
    is_logarithmic: bool
    every: int
    """Units of which a point is the mean, the most of them."""
    is_even: bool
    """Whether every point is a mean of as many units."""


def data(run: StoredRun) -> Losses | None:
    recorded = run.training.curves.get("loss")
    if recorded is None or not np.isfinite(recorded).any():
        return None
    units, values = thinned(run.training.units, recorded)
    gaps = np.diff(run.training.units, prepend=0)
    every = int(gaps.max()) * -(-len(recorded[0]) // len(units))
    return Losses(units, values, _parts(run, units), _spans_much(values), every, bool((gaps == gaps[0]).all()))


def _spans_much(values: np.ndarray) -> bool:
    """Whether the mean of [R, N], which is never negative, spans a large factor."""
    mean = values.mean(axis=0)
    mean = mean[np.isfinite(mean)]
    return bool(len(mean) and np.nanmin(values) >= 0 and mean.min() > 0 and mean.max() > LOGARITHMIC * mean.min())


def text(run: StoredRun, losses: Losses) -> FigureText:
    smoothed = any(smoothing(int(part.sum())) > 1 for part in losses.parts)
    name = run.unit_name
    points = (
        f"one point for every {name}"
        if losses.every == 1
        else f"one point for {'' if losses.is_even else 'up to '}{losses.every} {name}s, their mean"
    )
    caption = f"Running mean; pale: {points}." if smoothed else f"{points[0].upper()}{points[1:]}."
    title, explanation = "Training loss", f"{_what(run)} It may jump where a new task begins."
    if run.sequences is not None:
        title = "Loss of meta-training"
        explanation = (
            "The loss of the outer objective after learning in sequence: on the examples just learned and on other examples."
        )
    if run.kind == "osaka":
        title, explanation = "Loss of predictions", "The loss of every batch before it is learned."
        if run.summary.get("pretraining", 0):
            explanation += (
                " Left of the dotted line, in pre-training, it is that of the outer objective. A point that would mix the two "
                "is left out."
            )
    return FigureText(title, f"{caption} {_spread_words(run, losses)}", explanation)


def _what(run: StoredRun) -> str:
    """What was recorded as the loss of a run that learns task by task."""
    algo = run.config.get("algo")
    if run.kind == "continual_meta":
        return "The loss of the outer objective on the episodes of every meta-update, before it."
    if isinstance(algo, dict) and "inner_lr" in algo:
        return "The loss of the outer objective: of the batch and the replayed samples, after the inner steps on the batch."
    return "The loss of the batch before the step that learns it; samples that a method replays with it are part of it."


def _spread_words(run: StoredRun, losses: Losses) -> str:
    seeds = len(run.seeds)
    if not losses.is_logarithmic or seeds == 1:
        return spread_words(run)
    if seeds < FEWEST:
        return f"Geometric mean of {seeds} seeds; thin lines: single seeds."
    return f"Geometric mean of {seeds} seeds with its 95% interval (Student t, of the logarithms)."


def _parts(run: StoredRun, units: np.ndarray) -> list[np.ndarray]:
    """Returns [N] masks of the points that are smoothed together: those of one task, so that the running mean does not smear
    the jump between two, unless there are too many tasks to distinguish. Pre-training is a part of its own."""
    if pretraining := run.pretraining:
        before, after = units <= pretraining, units > pretraining
        if not before.any() or units[before][-1] != pretraining:
            after[np.argmax(after)] = False  # a mean over units of both
        return [part for part in (before, after) if part.any()] or [np.ones(len(units), dtype=bool)]
    if run.num_training_parts > MOST_PATCHES:
        return [np.ones(len(units), dtype=bool)]
    task_of = run.units.tasks_at(units - 1)
    return [task_of == task for task in np.unique(task_of)]


def canvas(run: StoredRun, losses: Losses) -> Canvas:
    return Canvas(right=0.4)


def draw(run: StoredRun, losses: Losses, panels: Sequence[Axes]) -> None:
    """Logarithmic where the loss spans more than a factor of fifty; then means and bands are those of the logarithms."""
    (axes,) = panels
    work_axis(axes, run, strip=run.num_training_parts > 1, pretraining=True)
    units, means, bands = steps_of(run, losses.units), [], []
    for part in losses.parts:
        values = _scaled(losses.values[:, part], losses)
        smooth = _scaled(running_means(losses.values[:, part]), losses)
        raw = _unscaled(values.mean(axis=0), losses)
        if smoothing(len(units[part])) > 1:
            axes.plot(units[part], raw, color=BLUE, lw=0.6, alpha=0.35)
        bounds = (-math.inf if losses.is_logarithmic else 0.0, math.inf)
        seeds_line(axes, units[part], smooth, BLUE, bounds, unscale=lambda drawn: _unscaled(drawn, losses))
        means += [raw, _unscaled(smooth.mean(axis=0), losses)]
        bands.append(_unscaled(extent(smooth, bounds), losses))
    mean, band = (np.concatenate(arrays) for arrays in (means, bands))
    finite = mean[np.isfinite(mean)]
    if losses.is_logarithmic:
        _logarithmic_axis(axes, finite, band[np.isfinite(band)])
    elif len(finite) and finite.min() >= 0:
        error_axis(axes, mean, band)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_ylabel("loss")


def _scaled(values: np.ndarray, losses: Losses) -> np.ndarray:
    """The logarithms where the axis is logarithmic; NaN, which is not drawn, of a loss of 0."""
    return np.log(np.where(values > 0, values, np.nan)) if losses.is_logarithmic else values


def _unscaled(values: np.ndarray, losses: Losses) -> np.ndarray:
    return np.exp(values) if losses.is_logarithmic else values


def _logarithmic_axis(axes: Axes, means: np.ndarray, band: np.ndarray) -> None:
    """Holds all means, and the band as far as it is not far from them."""
    low, high = means.min(), means.max()
    log_axis(axes, "y")
    axes.set_ylim(max(band.min(), low / FURTHEST) / 1.1, min(band.max(), high * FURTHEST) * 1.1)


FIGURE = RunFigure(name="training_loss", data=data, text=text, canvas=canvas, draw=draw)
