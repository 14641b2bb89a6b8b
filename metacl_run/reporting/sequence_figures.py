"""Figures of a run under `meta_continual`: accuracy against classes learned, forgetting, the choice of the rate, probes, and
what is inside the learner. Shapes as in sequence_records.py.
"""

from __future__ import annotations

import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.seed_lines import extent, running_mean, seeds_line, smoothing
from metacl_run.layout.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    VERMILLION,
    accuracy_axis,
    end_labels,
    error_axis,
    integer_ticks,
    page,
    shades,
)
from metacl_run.reporting.curves import SIZE
from metacl_run.reporting.panel import Panel, subtitle
from metacl_run.reporting.work_axis import work_axis
from metacl_run.storage.read_run import Run
from metacl_run.storage.sequence_records import MetaTest, intervals

MAX_LABELS = 12
MAX_TICKS = 8
MOST_EXAMPLES = 6
WIDEST = 2.5
"""Most times wider than high that a rectangle of units may be."""
FILL = matplotlib.colors.LinearSegmentedColormap.from_list("fill", ["#f1f4f8", "#8fc1e3", BLUE, "#00243b"])
"""Activity: from pale, not active, to dark."""


def sequence_accuracy(run: Run, panel: Panel) -> Figure:
    """Held out, memory and the upper bound, against the number of classes learned."""
    test = _meta_test(run)
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    lines = [("held out", test.held_out, BLUE, "-"), ("memory", test.memory, ORANGE, "-")]
    if test.joint is not None:
        lines.append(("joint training", test.joint, INK, "--"))
    everywhere = np.arange(test.lengths[0], test.longest + 1)
    bands = [intervals(values, run.possible) for _, values, _, _ in lines]
    edges = np.concatenate([*(band.ravel() for band in bands), *(values.mean(axis=2).ravel() for _, values, _, _ in lines)])
    ends: list[float] = []
    texts: list[str] = []
    inks: list[str] = []
    if run.objective.higher_is_better:
        accuracy_axis(axes, np.concatenate([edges, 1 / test.lengths]), None)
        axes.plot(everywhere, 1 / everywhere, color=GREY, lw=0.8, marker="" if len(everywhere) > 1 else "_", zorder=1.5)
        ends, texts, inks = [1 / test.longest], [f"chance {1 / test.longest:.2g}"], [GREY]
    else:
        error_axis(axes, edges, edges)
    for (name, values, colour, style), band in zip(lines, bands, strict=True):
        mean = values.mean(axis=(0, 2))
        axes.plot(test.lengths, mean, style, color=colour, lw=1.7, zorder=3)
        axes.plot(test.lengths, mean, "o", color=colour, ms=4.5, mec="white", mew=0.7, zorder=4, clip_on=False)
        _band(axes, test.lengths, mean, band, colour)
        if run.num_replicates > 1:
            axes.plot(test.lengths, values.mean(axis=2).T, style, color=colour, lw=0.6, alpha=0.5, zorder=2.5)
        if np.isfinite(mean[-1]):
            ends, texts, inks = [*ends, float(mean[-1])], [*texts, f"{name} {mean[-1]:.2f}"], [*inks, colour]
    axes.set_xlim(0, test.longest)
    axes.set_xlabel(f"{run.objective.concepts} learned")
    axes.set_ylabel(f"{run.objective.score_words} on the {run.objective.concepts} learned")
    axes.set_xticks(apart(test.lengths, 0.055 * test.longest))
    end_labels(axes, test.longest, ends, texts, inks, 8.5)
    return figure


def forgetting_curve(run: Run, panel: Panel) -> Figure:
    """Accuracy of a class by its age; of the longest sequence."""
    test = _meta_test(run)
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    ages = np.arange(test.longest)
    raw = [values[:, ::-1] for values in (test.place_held_out, test.place_memory)]  # [R, N], youngest first
    smooth = [np.stack([running_mean(replicate) for replicate in values]) for values in raw]
    _score_axis(
        axes, run, np.concatenate([*(values.mean(axis=0) for values in raw), *(extent(each, run.possible) for each in smooth)])
    )
    means = [values.mean(axis=0) for values in smooth]
    names = ("held out", "memory")
    for values, line, colour in zip(raw, smooth, (BLUE, ORANGE), strict=True):
        if smoothing(test.longest) > 1:
            axes.plot(ages, values.mean(axis=0), color=colour, lw=0.6, alpha=0.35)
        seeds_line(axes, ages, line, colour, run.possible)
    axes.set_xlim(0, max(1, test.longest - 1))
    axes.set_xlabel(f"{run.objective.concepts} learned after it")
    axes.set_ylabel(run.objective.score_words)
    integer_ticks(axes.xaxis)
    if np.isfinite([mean[-1] for mean in means]).all():
        texts = [f"{name} {mean[-1]:.2f}" for name, mean in zip(names, means, strict=True)]
        end_labels(axes, ages[-1], [float(mean[-1]) for mean in means], texts, (BLUE, ORANGE), 8.5)
    return figure


def choice_of_rate(run: Run, panel: Panel) -> Figure:
    """A line a length, from the shortest (dark) to the longest (light); a ring at what each seed chose."""
    test = _meta_test(run)
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    assert test.selection is not None
    order = np.argsort(test.rates)
    places, mean = np.log10(test.rates[order]), test.selection.mean(axis=0)[:, order]  # [L], [S, L]
    _score_axis(axes, run, mean)
    inks = shades(len(test.lengths))
    for row, (values, colour) in enumerate(zip(mean, inks, strict=True)):
        axes.plot(places, values, color=colour, lw=1.4, marker=".", ms=5)
        for rate, share in chosen(test, row):
            place = int(np.argmin(np.abs(places - math.log10(rate))))
            axes.plot(places[place], values[place], "o", ms=5 + 5 * share, mfc="none", mec=VERMILLION, mew=1.4, zorder=4)
    # A linear axis of logarithms, so that labels beside the lines can be placed in data units.
    margin = 0.04 * (places[-1] - places[0])
    axes.set_xlim(places[0] - margin, places[-1] + margin)
    every = math.ceil(len(places) / MAX_TICKS)
    axes.set_xticks(places[::every], [f"{rate:.2g}" for rate in test.rates[order][::every]])
    axes.set_xlabel("learning rate of meta-test (logarithmic)")
    axes.set_ylabel(run.objective.score_words)
    step = math.ceil(len(test.lengths) / MAX_LABELS)
    shown = [row for row in range(0, len(test.lengths), step) if np.isfinite(mean[row, -1])]
    texts = [f"{test.lengths[row]} {run.objective.concepts}" for row in shown]
    end_labels(axes, places[-1], [float(mean[row, -1]) for row in shown], texts, [inks[row] for row in shown], 8.5)
    return figure


def probes(run: Run, panel: Panel) -> Figure:
    """Held out and memory of the probes, against meta-updates."""
    assert run.sequences is not None
    found = run.sequences
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    work_axis(axes, run, strip=False)
    both = [("held out", found.probe_held_out, BLUE), ("memory", found.probe_memory, ORANGE)]
    means = [values.mean(axis=0) for _, values, _ in both]
    edges = np.concatenate([extent(values, run.possible) for _, values, _ in both])
    if run.objective.higher_is_better:
        accuracy_axis(axes, edges, 1 / found.probe_length)
    else:
        error_axis(axes, np.stack(means), edges)
    axes.set_ylabel(f"{run.objective.score_words} on {found.probe_length} {run.objective.concepts}")
    for (_, values, colour), mean in zip(both, means, strict=True):
        seeds_line(axes, found.probe_units, values, colour, run.possible)
        axes.plot(found.probe_units, mean, "o", color=colour, ms=3.5, zorder=3)
    last = [float(mean[-1]) for mean in means]
    if np.isfinite(last).all():
        texts = [f"{name} {end:.2f}" for (name, _, _), end in zip(both, last, strict=True)]
        end_labels(axes, found.probe_units[-1], last, texts, [colour for _, _, colour in both], 8.5)
    return figure


def _score_axis(axes: Axes, run: Run, values: np.ndarray) -> None:
    """A y axis that holds all of `values`, as suits the score."""
    if run.objective.higher_is_better:
        accuracy_axis(axes, values, None)
    else:
        error_axis(axes, values, values)


def representation(run: Run, panel: Panel) -> Figure:
    """Units as the cells of a rectangle: their average activation, and a few images; of the first seed."""
    inside = _meta_test(run).representation
    assert inside is not None
    mean, examples = inside.mean[0], inside.examples[0][:MOST_EXAMPLES]
    columns = math.ceil(len(examples) / 2)
    side, gap = 1.35, 0.2
    big = 2 * side + gap
    width = big + 0.75 + columns * (side + gap)
    figure, whole = page(panel.title, subtitle(run), panel.caption, (width, big), right=0.35, left=0.3)
    box = whole.get_position()
    whole.remove()
    inch_x, inch_y = 1 / figure.get_size_inches()
    left = figure.add_axes((box.x0, box.y0, big * inch_x, box.height))
    image = _units(left, mean, float(np.nanmax(mean)), mark_zeros=True)
    left.set_title(f"average over {run.objective.examples} (vermillion: never active)", fontsize=8.5, loc="left", pad=4)
    _bar(figure, left, image)
    top = float(np.nanmax(examples))
    for place, values in enumerate(examples):
        row, column = divmod(place, columns)
        x = box.x0 + (big + 0.75 + column * (side + gap)) * inch_x
        y = box.y1 - (side + row * (side + gap)) * inch_y
        axes = figure.add_axes((x, y, side * inch_x, side * inch_y))
        image = _units(axes, values, top, mark_zeros=False)
        if place == 0:
            axes.set_title(f"single {run.objective.examples}, on one scale", fontsize=8.5, loc="left", pad=4)
    return figure


def gate_activity(run: Run, panel: Panel) -> Figure:
    """Classes by units, the units in the order of their mean activity; of the first seed."""
    gate = _meta_test(run).gate
    assert gate is not None
    values = gate[0][:, np.argsort(-gate[0].mean(axis=0), kind="stable")]
    height = float(np.clip(0.16 * len(values), 1.2, 4.0))
    figure, axes = page(panel.title, subtitle(run), panel.caption, (6.0, height), right=0.9)
    top = max(1.0, float(np.nanmax(values)))
    image = axes.imshow(values, cmap=FILL, vmin=0.0, vmax=top, aspect="auto", interpolation="auto")
    axes.set_xlabel("unit of the gate, most active first")
    axes.set_ylabel("class")
    axes.set_yticks([])
    integer_ticks(axes.xaxis)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _bar(figure, axes, image)
    return figure


def apart(values: np.ndarray, gap: float) -> list[int]:
    """Of increasing values the last, and then going down each that is at least `gap` below the one kept before."""
    kept = [int(values[-1])]
    for value in values[-2::-1]:
        if kept[-1] - value >= gap:
            kept.append(int(value))
    return kept[::-1]


def rectangle(count: int) -> tuple[int, int]:
    """Rows and columns that hold `count` cells: exactly, where it has factors near enough to a square, else with some over."""
    rows = max(row for row in range(1, math.isqrt(count) + 1) if count % row == 0)
    if count / rows**2 <= WIDEST:
        return rows, count // rows
    rows = math.isqrt(count)
    return rows, math.ceil(count / rows)


def chosen(test: MetaTest, row: int) -> list[tuple[float, float]]:
    """Each rate some seed chose for this length, with the share of seeds that did."""
    if test.chosen is None:
        return []
    rates, counts = np.unique(test.chosen[:, row], return_counts=True)
    return [(float(rate), float(count) / len(test.chosen)) for rate, count in zip(rates, counts, strict=True)]


# ---------------------------------------------------------------------------------------------------------------- helpers


def _meta_test(run: Run) -> MetaTest:
    assert run.sequences is not None
    assert run.sequences.meta_test is not None
    return run.sequences.meta_test


def _band(axes: Axes, places: np.ndarray, mean: np.ndarray, band: np.ndarray, colour: str) -> None:
    """[S, 2] as an area; as a bar where there is one place only."""
    if not np.isfinite(band).any():
        return
    if len(places) > 1:
        axes.fill_between(places, band[:, 0], band[:, 1], color=colour, alpha=0.16, lw=0, zorder=2)
    else:
        axes.errorbar(places, mean, np.abs(band.T - mean), fmt="none", ecolor=colour, elinewidth=1.2, capsize=3, zorder=2)


def _units(axes: Axes, values: np.ndarray, top: float, mark_zeros: bool) -> Any:
    """[D] as a rectangle of cells without axes; cells over stay white, those at exactly 0 are vermillion where asked for."""
    rows, columns = rectangle(len(values))
    cells = np.full((rows, columns), np.nan)
    cells.flat[: len(values)] = values
    low = min(0.0, float(np.nanmin(values)))
    image = axes.imshow(cells, cmap=FILL, vmin=low, vmax=max(top, 1e-12), aspect="equal", interpolation="nearest")
    axes.set_anchor("N")
    if mark_zeros and (cells == 0).any():
        zeros = np.where(cells == 0, 1.0, np.nan)
        axes.imshow(zeros, cmap=matplotlib.colors.ListedColormap([VERMILLION]), aspect="equal", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=PALE)
    return image


def _bar(figure: Figure, axes: Axes, image: Any) -> None:
    """The scale of the colours, right of the axes."""
    axes.apply_aspect()
    box = axes.get_position()
    inch = 1 / figure.get_size_inches()[0]
    bar: Any = figure.colorbar(image, cax=figure.add_axes((box.x1 + 0.08 * inch, box.y0, 0.1 * inch, box.height)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, length=2)
