"""Figures of the matrix of scores: forgetting per task and the matrix itself. Shapes as in collect.py."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from metacl_run.intervals import half_width95
from metacl_run.metrics import forgetting_per_task
from metacl_run.reporting.captions import Panel, subtitle
from metacl_run.reporting.collect import Run
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.style import BLUE, GREY, INK, PALE, SHADE, VERMILLION, ink_on, page


def forgetting(run: Run, panel: Panel) -> Figure:
    """A bar a task, from the rows reached: of k learned tasks, the first k - 1."""
    learned = run.rows_reached - 1
    rows = run.matrix[:, : learned + 1, :learned]  # [R, k + 1, k]
    rows = run.objective.sign * rows  # higher is better
    drops = np.stack([forgetting_per_task(replicate) for replicate in rows])  # [R, k - 1]
    best, final = rows[:, 1:-1, :-1].max(axis=1).mean(axis=0), rows[:, -1, :-1].mean(axis=0)
    since = np.diagonal(rows[:, 1:], axis1=1, axis2=2).mean(axis=0)[:-1] - final
    mean, half = drops.mean(axis=0), half_width95(drops)
    pitch = 0.34 if learned <= 12 else 0.26
    height = max(0.9, pitch * (learned - 1) + 0.1)
    figure, axes = page(panel.title, subtitle(run), panel.caption, (4.6, height), right=1.45, left=1.9)
    places = np.arange(learned - 1)
    colours = [VERMILLION if drop > 0 else BLUE for drop in mean]
    axes.barh(places, mean, height=0.62, color=colours, alpha=0.85, zorder=2)
    if np.isfinite(half).all():
        axes.errorbar(mean, places, xerr=half, fmt="none", ecolor=INK, elinewidth=1.0, capsize=2.5, zorder=3)
    axes.plot(since, places, "D", ms=4.2, mfc="white", mec=INK, mew=0.9, zorder=4)
    axes.axvline(0, color=INK, lw=1.0, zorder=3)
    reach = max(0.05, float(np.nanmax(np.abs(np.stack([mean + np.nan_to_num(half), mean - np.nan_to_num(half), since])))))
    low = min(0.0, float(np.min(mean - np.nan_to_num(half))), float(since.min()))
    axes.set_xlim(low - 0.08 * reach if low < 0 else -0.04 * reach, reach * 1.08)
    axes.set_ylim((learned - 2 + height / pitch) / 2, (learned - 2 - height / pitch) / 2)
    axes.set_yticks(places, [run.task_label(task) for task in range(learned - 1)])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, lw=0.6)
    change = "drop in" if run.objective.higher_is_better else "rise of"
    axes.set_xlabel(f"{change} {run.objective.score_words}   (right of 0: forgotten, left: improved)")
    for place, pair in enumerate(zip(best, final, strict=True)):
        text = " → ".join(shown(run.objective.sign * value, run.objective) for value in pair)
        axes.annotate(text, (1.03, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.annotate(
        "best → end",
        (1.03, 1.0),
        (0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=7.5,
        color=GREY,
    )
    return figure


def accuracy_matrix(run: Run, panel: Panel) -> Figure:
    """The mean over replicates as a heat map with its numbers; rows not reached stay empty."""
    mean = run.matrix.mean(axis=0)
    num_rows, num_tasks = mean.shape
    cell = float(np.clip(5.2 / num_tasks, 0.34, 0.8))
    size = (cell * num_tasks, min(cell, 0.42) * num_rows)
    right, below = max(1.0, 6.6 - 1.9 - size[0]), 0.16 * run.column_label(0).count("\n")
    figure, axes = page(panel.title, subtitle(run), panel.caption, size, right=right, left=1.9, below=below)
    if run.objective.higher_is_better:
        low = np.nanmin(mean) if run.chance is None else min(run.chance, float(np.nanmin(mean)))
        colours, low, high = "cividis", float(np.floor(low * 10) / 10), 1.0
    else:
        colours, low, high = "cividis_r", 0.0, float(np.nanmax(mean)) or 1.0
    image = axes.imshow(mean, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    fontsize = float(np.clip(cell * 18, 6.2, 9.0))
    for (row, task), value in np.ndenumerate(mean):
        if np.isfinite(value):
            text = f"{value:.2f}".removeprefix("0")
            axes.text(task, row, text, ha="center", va="center", fontsize=fontsize, color=ink_on(image.to_rgba(value)))
    for task in range(run.rows_reached - 1):
        frame = Rectangle((task - 0.5, task + 0.5), 1, 1, fill=False, ec=VERMILLION, lw=1.6, zorder=3, clip_on=False)
        axes.add_patch(frame)
    axes.set_facecolor(SHADE)
    if run.rows_reached < num_rows:
        middle = (run.rows_reached + num_rows - 1) / 2
        axes.text((num_tasks - 1) / 2, middle, "not reached", ha="center", va="center", fontsize=9, color=GREY)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(range(num_tasks), [run.column_label(task) for task in range(num_tasks)])
    axes.set_yticks(range(num_rows), ["before learning", *(f"after {run.task_label(task, 18)}" for task in range(num_tasks))])
    axes.tick_params(length=0)
    axes.set_xlabel(f"{run.objective.score_words} on {run.columns}")
    width, height = figure.get_size_inches()
    beside = figure.add_axes(((1.9 + size[0] + 0.18) / width, axes.get_position().y0, 0.14 / width, size[1] / height))
    bar = figure.colorbar(image, cax=beside)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=2)
    return figure
