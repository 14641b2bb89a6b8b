"""Figures of what was seen inside a learner: learned rates, gradients of tasks against each other, drift of features.

Shapes: R replicates, T tasks, K compared tasks, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from metacl_run.layout.seed_lines import extent, seeds_line
from metacl_run.layout.style import (
    BLUE,
    CONFLICT,
    GREY,
    PALE,
    SHADE,
    accuracy_axis,
    end_labels,
    ink_on,
    label_width,
    page,
    parts,
)
from metacl_run.reporting.captions import pairs
from metacl_run.reporting.curves import SIZE
from metacl_run.reporting.panel import Panel, subtitle
from metacl_run.reporting.work_axis import work_axis
from metacl_run.storage.read_run import Run

MOST_LAYERS = 12
MAX_LABELS = 12
NAME = 34
"""Characters of a task's name beside a row."""
CKA = (0.0, 1.0)
SMALLEST_CELL = 0.42
"""Inches of a cell that holds a number which can be read."""
COLUMNS = 3


def learned_rates(run: Run, panel: Panel) -> Figure:
    """A small plot a layer, all on one scale; of more than twelve layers, twelve spread evenly."""
    names = list(run.insight.rates)
    names = [names[i] for i in np.linspace(0, len(names) - 1, min(len(names), MOST_LAYERS)).round().astype(int)]
    rows, columns = math.ceil(len(names) / COLUMNS), min(len(names), COLUMNS)
    figure, whole = page(panel.title, subtitle(run), panel.caption, (6.9, 1.75 * rows - 0.35), right=0.35)
    values = {name: run.insight.rates[name].mean(axis=0) for name in names}  # [3, N]
    finite = np.concatenate([each[np.isfinite(each)] for each in values.values()])
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    margin = 0.06 * (high - low or 1.0)
    for place, (axes, name) in enumerate(zip(parts(figure, whole, rows, columns, 0.3, 0.55), names, strict=False)):
        work_axis(axes, run, strip=False, bins=4)
        bottom, median, top = values[name]
        axes.fill_between(run.insight.rate_units, bottom, top, color=BLUE, alpha=0.18, lw=0)
        seeds_line(axes, run.insight.rate_units, median[None], BLUE)
        axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
        axes.set_ylim(min(0.0, low) - margin, max(0.0, high) + margin)
        axes.set_title(name, fontsize=9, loc="left", pad=4)
        axes.grid(axis="y", color=PALE, lw=0.6)
        axes.set_ylabel("learned rate" if place % columns == 0 else "")
        axes.tick_params(labelleft=place % columns == 0)
        axes.set_xlabel(f"{run.unit_name}s" if place + columns >= len(names) else "")
    return figure


def gradient_alignment(run: Run, panel: Panel) -> Figure:
    """The matrix of cosines after the first task learned and after the last, on one scale; the diagonal is left out."""
    seen = run.insight
    stages = sorted({min(seen.cosines), max(seen.cosines)})
    matrices = [seen.cosines[stage].mean(axis=0) for stage in stages]
    for matrix in matrices:
        np.fill_diagonal(matrix, np.nan)
    means = [f": mean {np.nanmean(matrix):+.2f}" if np.isfinite(matrix).any() else "" for matrix in matrices]
    titles = [f"after task {stage}{mean}" for stage, mean in zip(stages, means, strict=True)]
    everywhere = np.ones((len(seen.tasks), len(seen.tasks)), dtype=bool)
    np.fill_diagonal(everywhere, False)
    labels = [run.task_label(task, NAME) for task in seen.tasks]
    drawn = [(title, matrix, _limit(*matrices)) for title, matrix in zip(titles, matrices, strict=True)]
    return _heat_maps(run, panel, drawn, everywhere, labels, [str(task + 1) for task in seen.tasks], "task")


def interference(run: Run, panel: Panel) -> Figure:
    """Row: a task learned; column: an earlier one. Gradients when learning it began, and what learning it did."""
    met, became = pairs(run)
    tasks = run.insight.tasks
    lower = np.tril(np.ones_like(met, dtype=bool))
    labels = [f"learning {run.task_label(task, NAME)}" for task in tasks[1:]]
    change = "accuracy change" if run.objective.higher_is_better else "fall of error"
    drawn = [
        ("cosine of gradients when it began", met, _limit(met)),
        (f"{change} while it was learned", became, _limit(became)),
    ]
    return _heat_maps(run, panel, drawn, lower, labels, [str(task + 1) for task in tasks[:-1]], "earlier task")


def feature_drift(run: Run, panel: Panel) -> Figure:
    """A line a layer, from the first (dark) to the last (light)."""
    seen = run.insight
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    work_axis(axes, run, strip=True)
    means = {layer: values.mean(axis=0) for layer, values in seen.drift.items()}
    accuracy_axis(axes, np.concatenate([extent(values, CKA) for values in seen.drift.values()]), None)
    axes.set_ylabel("CKA with features when learned")
    colours = matplotlib.colormaps["plasma"](np.linspace(0.0, 0.85, len(means)))
    inks = dict(zip(means, map(matplotlib.colors.to_hex, colours), strict=True))
    for layer, values in seen.drift.items():
        seeds_line(axes, seen.drift_units, values, inks[layer], CKA)
        axes.plot(seen.drift_units, means[layer], "o", color=inks[layer], ms=3.5, zorder=3)
    shown = [layer for layer in list(means)[:: math.ceil(len(means) / MAX_LABELS)] if np.isfinite(means[layer][-1])]
    ends = [float(means[layer][-1]) for layer in shown]
    end_labels(axes, seen.drift_units[-1], ends, shown, [inks[layer] for layer in shown], 8.5)
    return figure


# -------------------------------------------------------------------------------------------------------------- heat maps


def _limit(*matrices: np.ndarray) -> float:
    """The largest absolute value, rounded up to a twentieth."""
    finite = np.abs(np.concatenate([matrix[np.isfinite(matrix)] for matrix in matrices]))
    return max(0.05, math.ceil(float(finite.max(initial=0.0)) * 20) / 20)


def _heat_maps(
    run: Run,
    panel: Panel,
    drawn: Sequence[tuple[str, np.ndarray, float]],
    there: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    across: str,
) -> Figure:
    """One or two matrices side by side, each (title, values, limit of its colours); cells that are not `there` stay white."""
    count = len(rows)
    cell = float(np.clip(3.0 / count, 0.15, 0.55)) if count > 9 else max(3.0 / count, SMALLEST_CELL) if count > 5 else 0.55
    side, gap, left = cell * count, 0.75, label_width(rows)
    width = max(len(drawn) * side + (len(drawn) - 1) * gap, 4.2)
    figure, whole = page(panel.title, subtitle(run), panel.caption, (width, max(side, 1.0)), right=0.85, left=left)
    places = parts(figure, whole, 1, len(drawn), gap, 0.0) if len(drawn) > 1 else [whole]
    for place, (axes, (title, values, limit)) in enumerate(zip(places, drawn, strict=True)):
        image = axes.imshow(values, cmap=CONFLICT, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        for row, column in np.argwhere(there & ~np.isfinite(values)):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=SHADE, lw=0))
        if cell >= SMALLEST_CELL:
            _numbers(axes, image, values)
        axes.set_title(title, fontsize=8.5, loc="left", pad=5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        every = math.ceil(0.17 / cell)
        axes.set_xticks(range(0, count, every), columns[::every])
        axes.set_yticks(range(0, count, every), rows[::every] if place == 0 else [""] * len(rows[::every]))
        axes.tick_params(length=0, labelsize=8)
        axes.set_xlabel(across)
        box = axes.get_position()
        inch = 1 / figure.get_size_inches()[0]
        beside = figure.add_axes((box.x1 + 0.08 * inch, box.y0, 0.1 * inch, box.height))
        bar: Any = figure.colorbar(image, cax=beside)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=2)
    return figure


def _numbers(axes: Axes, image: Any, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:+.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
            ink = ink_on(image.to_rgba(value))
            axes.text(column, row, text, ha="center", va="center", fontsize=8.0, color=ink)
