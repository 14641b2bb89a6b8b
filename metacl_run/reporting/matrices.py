"""Figures of the matrix of scores: what became of each task, and the matrix itself. Shapes as in collect.py."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from metacl_run.layout.seed_lines import running_mean
from metacl_run.layout.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    SHADE,
    VERMILLION,
    end_labels,
    ink_on,
    integer_ticks,
    label_width,
    page,
)
from metacl_run.reporting.curves import SIZE, score_axis
from metacl_run.reporting.panel import Panel, mean_words, spread_words, subtitle
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.words import words
from metacl_run.reporting.work_axis import round_step
from metacl_run.scoring.intervals import half_width95
from metacl_run.scoring.matrix_metrics import forgetting_per_task
from metacl_run.storage.read_run import Run

MOST_CELLS = 25
"""Tasks of which each gets a bar, and cells with their numbers; of more, figures keep their size and have no text a task."""
MOST_NAMED_ROWS = 12
MOST_SHARP = 100
"""Rows that are drawn with sharp edges; of more, neighbours are averaged."""
WIDEST_NAME = 44
"""Characters of a task's name beside a row."""


# --------------------------------------------------------------------------------------------------------------- forgetting


def forgetting_panel(run: Run) -> Panel:
    """What is said about the figure of what became of each task."""
    last = run.whole_rows[-1]
    when = "the end" if last == run.num_tasks else f"the end of task {last}, the last one reached"
    score = run.objective.score_words
    if not _as_bars(run):
        return Panel(
            "forgetting",
            f"What became of each task: its {score} when learned and at {when}",
            f"A point a task; lines: running mean over neighbours. {mean_words(run)}{_forgotten_words(run)}",
            f"Where the vermillion line is {words(run.objective).beyond} the blue one, tasks were forgotten.",
        )
    if run.objective.higher_is_better:
        title = "Forgetting: how far each earlier task fell from its best"
        bar = f"best {score} before the last task, minus {score} at {when}. Diamond: drop since learned"
        right, best = f"{score} was lost", f"the best {score} and the {score} at the end"
    else:
        title = "Forgetting: how far the error on each earlier task rose from its best"
        bar = f"{score} at {when}, minus the lowest before the last task. Diamond: rise since learned"
        right, best = "the error has grown", f"the lowest {score} and the one at the end"
    spread = spread_words(run).replace("thin lines", "small dots")
    return Panel(
        "forgetting",
        title,
        f"Bar: {bar}. {spread}",
        f"To the right of zero, {right}; to the left, the last task still improved an earlier one. The "
        f"figures at the edge are {best}. A diamond left of its bar's end: the "
        "task went on improving after its own training. The mean of the bars is the metric forgetting.",
    )


def _as_bars(run: Run) -> bool:
    return run.whole_rows[-1] <= MOST_CELLS and run.whole_rows == list(range(run.whole_rows[-1] + 1))


def _then(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """[R, k] scores of the learned tasks when learned, and after the last of them."""
    learned = run.whole_rows[-1]
    return np.diagonal(run.matrix[:, 1:], axis1=1, axis2=2)[:, :learned], run.matrix[:, learned, :learned]


def _most_forgotten(run: Run) -> list[int]:
    """Up to three tasks that changed most for the worse, most first."""
    then, now = _then(run)
    worse = run.objective.sign * (then - now).mean(axis=0)
    return [int(task) for task in np.argsort(-worse, kind="stable")[:3] if worse[task] > 0]


def _forgotten_words(run: Run) -> str:
    then, now = (values.mean(axis=0) for values in _then(run))
    tasks = _most_forgotten(run)
    if not tasks:
        return ""
    named = (
        f"{run.task_label(task, WIDEST_NAME)} ({shown(then[task], run.objective)} → {shown(now[task], run.objective)})"
        for task in tasks
    )
    return f" Rings: forgotten most, {', '.join(named)}."


def forgetting(run: Run, panel: Panel) -> Figure:
    """A bar a task, from the rows reached: of k learned tasks, the first k - 1; of many tasks, when learned and at the end."""
    return _bars(run, panel) if _as_bars(run) else _then_and_now(run, panel)


def _bars(run: Run, panel: Panel) -> Figure:
    learned = run.whole_rows[-1]
    rows = run.matrix[:, : learned + 1, :learned]  # [R, k + 1, k]
    rows = run.objective.sign * rows  # higher is better
    drops = np.stack([forgetting_per_task(replicate) for replicate in rows])  # [R, k - 1]
    final = rows[:, -1, :-1].mean(axis=0)
    best = drops.mean(axis=0) + final
    since = np.diagonal(rows[:, 1:], axis1=1, axis2=2).mean(axis=0)[:-1] - final
    mean, half = drops.mean(axis=0), half_width95(drops)
    pitch = 0.34 if learned <= 12 else 0.26
    height = max(0.9, pitch * (learned - 1) + 0.1)
    labels = [run.task_label(task, WIDEST_NAME) for task in range(learned - 1)]
    left = label_width(labels)
    figure, axes = page(panel.title, subtitle(run), panel.caption, (4.6, height), right=1.45, left=left)
    places = np.arange(learned - 1)
    colours = [VERMILLION if drop > 0 else BLUE for drop in mean]
    axes.barh(places, mean, height=0.62, color=colours, alpha=0.85, zorder=2)
    seen = np.stack([mean, since])
    if np.isfinite(half).all():
        axes.errorbar(mean, places, xerr=half, fmt="none", ecolor=INK, elinewidth=1.0, capsize=2.5, zorder=3)
        seen = np.concatenate([seen, [mean - half, mean + half]])
    elif run.num_replicates > 1:
        for seed in drops:
            axes.plot(seed, places, "o", ms=2.6, color=INK, zorder=3.5)
        seen = np.concatenate([seen, drops])
    axes.plot(since, places, "D", ms=4.2, mfc="white", mec=INK, mew=0.9, zorder=4)
    axes.axvline(0, color=INK, lw=1.0, zorder=3)
    reach, low = max(0.05, float(np.abs(seen).max())), min(0.0, float(seen.min()))
    axes.set_xlim(low - 0.08 * reach if low < 0 else -0.04 * reach, reach * 1.08)
    axes.set_ylim((learned - 2 + height / pitch) / 2, (learned - 2 - height / pitch) / 2)
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, lw=0.6)
    change = "drop in" if run.objective.higher_is_better else "rise of"
    axes.set_xlabel(f"{change} {run.objective.score_words}   (right of 0: forgotten, left: improved)")
    for place, pair in enumerate(zip(best, final, strict=True)):
        text = " → ".join(shown(run.objective.sign * value, run.objective) for value in pair)
        axes.annotate(text, (1.03, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    heading: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 7.5, "color": GREY}
    axes.annotate("best → end", (1.03, 1.0), (0, 4), **heading)
    return figure


def _then_and_now(run: Run, panel: Panel) -> Figure:
    """Every learned task as a point of two lines, the score when learned and at the end."""
    learned = run.whole_rows[-1]
    numbers = np.arange(1, learned + 1)
    then, now = _then(run)
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    axes.set_xlim(0.5, learned + 0.5)
    score_axis(axes, run, np.stack([then.mean(axis=0), now.mean(axis=0)])[None])
    lines = (("when learned", then, BLUE), ("at the end", now, VERMILLION))
    for _, values, colour in lines:
        mean = values.mean(axis=0)
        axes.plot(numbers, mean, ".", color=colour, ms=3, alpha=0.4, zorder=2)
        axes.plot(numbers, running_mean(mean), color=colour, lw=1.7, zorder=3)
    for task in _most_forgotten(run):
        axes.plot(numbers[task], now[:, task].mean(), "o", mfc="none", mec=INK, ms=6, mew=1.1, zorder=4, clip_on=False)
    axes.set_xlabel("task")
    axes.set_ylabel(run.objective.score_words)
    integer_ticks(axes.xaxis)
    ends = [float(running_mean(values.mean(axis=0))[-1]) for _, values, _ in lines]
    means = [shown(float(values.mean()), run.objective) for _, values, _ in lines]
    texts = [f"{name}, mean {mean}" for (name, _, _), mean in zip(lines, means, strict=True)]
    end_labels(axes, learned + 0.5, ends, texts, [colour for _, _, colour in lines], 8.5)
    return figure


# --------------------------------------------------------------------------------------------------------------- the matrix


def matrix_panel(run: Run) -> Panel:
    """What is said about the figure of the matrix."""
    few = run.num_tasks <= MOST_CELLS
    frame, above = ("Framed: right after the task itself was learned.", "frame") if few else ("Line: learned so far.", "line")
    left_out = len(run.whole_rows) < run.rows_reached
    rows = f" Rows: after {len(run.whole_rows) - 1} of {run.rows_reached - 1} tasks." if left_out else ""
    beforehand = f"above its {above} what they gave it beforehand, " if run.future_is_evaluated else ""
    return Panel(
        "accuracy_matrix",
        f"{run.objective.score_words.capitalize()} on every task after each stage of learning",
        f"{frame}{rows} {mean_words(run)}",
        f"Read down a column to see one task over time: {beforehand}below its {above} what other tasks did to it.",
    )


def accuracy_matrix(run: Run, panel: Panel) -> Figure:
    """The mean over replicates as a heat map, with its numbers where there is room; rows not reached stay empty."""
    rows = run.whole_rows
    unreached = list(range(run.rows_reached, run.num_tasks + 1)) if len(rows) == run.rows_reached else []
    mean = run.matrix[:, rows + unreached].mean(axis=0)
    num_rows, num_tasks = mean.shape
    few = num_tasks <= MOST_CELLS
    step = round_step(num_tasks, MOST_NAMED_ROWS)
    named = range(num_rows)
    if not few and num_rows > MOST_NAMED_ROWS:
        named = range(0, num_rows, step if num_rows == num_tasks + 1 else -(-num_rows // MOST_NAMED_ROWS))
    numbers = [*rows, *unreached]
    labels = ["before learning" if not numbers[p] else f"after {run.task_label(numbers[p] - 1, WIDEST_NAME)}" for p in named]
    left = label_width(labels)
    cell = float(np.clip(5.2 / num_tasks, 0.31, 0.8))
    size = (cell * num_tasks, min(cell, 0.42) * num_rows) if few else (5.6, float(np.clip(0.3 * num_rows, 1.2, 5.0)))
    right, below = max(1.0, 6.6 - left - size[0]), 0.16 * run.column_label(0).count("\n")
    figure, axes = page(panel.title, subtitle(run), panel.caption, size, right=right, left=left, below=below)
    image = axes.imshow(
        mean, aspect="auto", interpolation="auto" if num_rows > MOST_SHARP else "nearest", **_colours(run, mean)
    )
    axes.set_facecolor(SHADE)
    if few:
        _numbers(axes, image, mean, cell)
        for place, row in enumerate(rows):
            if row:
                frame = Rectangle((row - 1.5, place - 0.5), 1, 1, fill=False, ec=VERMILLION, lw=1.6, zorder=3, clip_on=False)
                axes.add_patch(frame)
    else:
        edges = np.repeat([row - 0.5 for row in rows], 2)
        axes.plot(edges, np.repeat(np.arange(len(rows) + 1) - 0.5, 2)[1:-1], color=VERMILLION, lw=1.2, zorder=3)
        axes.set_xlim(-0.5, num_tasks - 0.5)
    if unreached:
        middle = (len(rows) + num_rows - 1) / 2
        axes.text((num_tasks - 1) / 2, middle, "not reached", ha="center", va="center", fontsize=9, color=GREY)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if few:
        axes.set_xticks(range(num_tasks), [run.column_label(task) for task in range(num_tasks)])
    else:
        ticks = [0, *range(step - 1, num_tasks, step)]
        axes.set_xticks(ticks, [run.column_label(task) for task in ticks])
    axes.set_yticks(list(named), labels)
    axes.tick_params(length=0)
    axes.set_xlabel(f"{run.objective.score_words} on {run.columns}")
    width, height = figure.get_size_inches()
    beside = figure.add_axes(((left + size[0] + 0.18) / width, axes.get_position().y0, 0.14 / width, size[1] / height))
    bar: Any = figure.colorbar(image, cax=beside)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=2)
    return figure


def _colours(run: Run, mean: np.ndarray) -> dict[str, Any]:
    """From the worst score that there is to the best, in tenths of an accuracy, so that what differs looks different."""
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    if run.objective.higher_is_better:
        low, high = np.floor(low * 10) / 10, np.ceil(high * 10) / 10
        return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 0.1}
    return {"cmap": "viridis_r", "vmin": 0.0, "vmax": high or 1.0}


def _numbers(axes: Axes, image: matplotlib.image.AxesImage, values: np.ndarray, cell: float) -> None:
    fontsize = float(np.clip(cell * 20, 6.5, 9.0))
    for (row, task), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:.2f}".removeprefix("0")
            axes.text(task, row, text, ha="center", va="center", fontsize=fontsize, color=ink_on(image.to_rgba(value)))
