"""Forgetting of every task: a bar for each of a few tasks, two lines for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.end_labels import EndLabel, end_labels, room
from metacl_run.layout.numbers import score_text
from metacl_run.layout.seed_lines import running_mean
from metacl_run.layout.style import BLUE, GREY, INK, PALE, VERMILLION, integer_ticks, label_width
from metacl_run.reporting.axes import score_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, has_several_tasks
from metacl_run.reporting.phrases import MOST_CELLS, WIDEST_NAME, mean_words, phrases, spread_words, task_label
from metacl_run.scoring.intervals import half_width95
from metacl_run.scoring.matrix_metrics import forgetting_per_task
from metacl_run.storage.stored_run import StoredRun


class Forgetting(NamedTuple):
    """The learned tasks, k of them."""

    num: int
    then: np.ndarray
    """[R, k] scores when learned."""
    now: np.ndarray
    """[R, k] scores after the last of them."""
    bars: bool
    """Whether every task has a bar: there are few, and every row up to the last was evaluated."""


def data(run: StoredRun) -> Forgetting | None:
    rows = run.whole_rows if has_several_tasks(run) else []
    if not rows or rows[-1] < 2:
        return None
    num = rows[-1]
    then = np.diagonal(run.matrix[:, 1:], axis1=1, axis2=2)[:, :num]
    return Forgetting(num, then, run.matrix[:, num, :num], num <= MOST_CELLS and rows == list(range(num + 1)))


def text(run: StoredRun, tasks: Forgetting) -> FigureText:
    when = "the end" if tasks.num == run.num_tasks else f"the end of task {tasks.num}, the last one reached"
    score = run.score.score_words
    if not tasks.bars:
        return FigureText(
            f"Each task's {score} when learned and at {when}",
            f"Points: single tasks; lines: running mean over neighbours. {mean_words(run)}{_most_forgotten_words(run, tasks)}",
            f"Where the vermillion line is {phrases(run.score).worse_side} the blue one, tasks were forgotten.",
        )
    if run.score.higher_is_better:
        title = "Forgetting: how far each earlier task fell from its best"
        bar = f"best {score} before the last task, minus {score} at {when}. Diamond: drop since learned"
        right, best = f"{score} was lost", f"the best {score} and the {score} at the end"
    else:
        title = "Forgetting: how far the error on each earlier task rose from its best"
        bar = f"{score} at {when}, minus the lowest before the last task. Diamond: rise since learned"
        right, best = "the error has grown", f"the lowest {score} and the one at the end"
    spread = spread_words(run).replace("thin lines", "small dots")
    return FigureText(
        title,
        f"Bar: {bar}. {spread}",
        f"To the right of zero, {right}; to the left, the last task still improved an earlier one. The numbers at the edge are "
        f"{best}. A diamond left of the end of its bar: the task still improved after its own training. The mean "
        "of the bars is the metric forgetting.",
    )


def _most_forgotten(run: StoredRun, tasks: Forgetting) -> list[int]:
    """Returns up to three tasks that changed most for the worse, most first."""
    worse = run.score.sign * (tasks.then - tasks.now).mean(axis=0)
    return [int(task) for task in np.argsort(-worse, kind="stable")[:3] if worse[task] > 0]


def _most_forgotten_words(run: StoredRun, tasks: Forgetting) -> str:
    then, now = tasks.then.mean(axis=0), tasks.now.mean(axis=0)
    changes = [
        f"{task_label(run, task, WIDEST_NAME)} ({score_text(then[task], run.score)} → {score_text(now[task], run.score)})"
        for task in _most_forgotten(run, tasks)
    ]
    return f" Rings: most forgotten, {', '.join(changes)}." if changes else ""


def canvas(run: StoredRun, tasks: Forgetting) -> Canvas:
    if not tasks.bars:
        return Canvas()
    labels = [task_label(run, task, WIDEST_NAME) for task in range(tasks.num - 1)]
    size = (4.6, max(0.9, _pitch(tasks) * (tasks.num - 1) + 0.1))
    return Canvas(size, right=1.45, left=label_width(labels), height=0.75 + 0.17 * (tasks.num - 1))


def _pitch(tasks: Forgetting) -> float:
    """The distance of two bars, in inches."""
    return 0.34 if tasks.num <= 12 else 0.26


def draw(run: StoredRun, tasks: Forgetting, panels: Sequence[Axes]) -> None:
    (_draw_bars if tasks.bars else _draw_lines)(run, tasks, panels[0])


def _draw_bars(run: StoredRun, tasks: Forgetting, axes: Axes) -> None:
    """A bar for each of the first k - 1 of k learned tasks."""
    learned = tasks.num
    rows = run.score.sign * run.matrix[:, : learned + 1, :learned]  # [R, k + 1, k], higher is better
    drops = np.stack([forgetting_per_task(replicate) for replicate in rows])  # [R, k - 1]
    final = rows[:, -1, :-1].mean(axis=0)
    since = np.diagonal(rows[:, 1:], axis1=1, axis2=2).mean(axis=0)[:-1] - final
    mean, half = drops.mean(axis=0), half_width95(drops)
    labels = [task_label(run, task, min(WIDEST_NAME, room(axes))) for task in range(learned - 1)]
    places = np.arange(learned - 1)
    axes.barh(places, mean, height=0.62, color=[VERMILLION if drop > 0 else BLUE for drop in mean], alpha=0.85, zorder=2)
    extremes = np.stack([mean, since])
    if np.isfinite(half).all():
        axes.errorbar(mean, places, xerr=half, fmt="none", ecolor=INK, elinewidth=1.0, capsize=2.5, zorder=3)
        extremes = np.concatenate([extremes, [mean - half, mean + half]])
    elif len(run.seeds) > 1:
        for seed in drops:
            axes.plot(seed, places, "o", ms=2.6, color=INK, zorder=3.5)
        extremes = np.concatenate([extremes, drops])
    axes.plot(since, places, "D", ms=4.2, mfc="white", mec=INK, mew=0.9, zorder=4)
    axes.axvline(0, color=INK, lw=1.0, zorder=3)
    reach, low = max(0.05, float(np.max(np.abs(extremes)))), min(0.0, float(np.min(extremes)))
    axes.set_xlim(low - 0.08 * reach if low < 0 else -0.04 * reach, reach * 1.08)
    axes.set_ylim(learned - 1.35, -0.65)
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, lw=0.6)
    change = "drop in" if run.score.higher_is_better else "rise of"
    hint = "   (right of 0: forgotten, left: improved)" if room(axes) > 30 else ""
    axes.set_xlabel(f"{change} {run.score.score_words}{hint}")
    for place, pair in enumerate(zip(mean + final, final, strict=True)):
        numbers = " → ".join(score_text(run.score.sign * value, run.score) for value in pair)
        axes.annotate(numbers, (1.03, place), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    heading: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": "small", "color": GREY}
    axes.annotate("best → end", (1.03, 1.0), (0, 4), **heading)


def _draw_lines(run: StoredRun, tasks: Forgetting, axes: Axes) -> None:
    """Every learned task as a point of two lines, the score when learned and at the end."""
    learned = tasks.num
    numbers = np.arange(1, learned + 1)
    then, now = tasks.then.mean(axis=0), tasks.now.mean(axis=0)
    axes.set_xlim(0.5, learned + 0.5)
    score_axis(axes, run, np.stack([then, now])[None], run.chance)
    labels = []
    for name, mean, colour in (("when learned", then, BLUE), ("at the end", now, VERMILLION)):
        smooth = running_mean(mean)
        axes.plot(numbers, mean, ".", color=colour, ms=3, alpha=0.4, zorder=2)
        axes.plot(numbers, smooth, color=colour, zorder=3)
        labels.append(EndLabel(float(smooth[-1]), f"{name}, mean {score_text(float(mean.mean()), run.score)}", colour))
    for task in _most_forgotten(run, tasks):
        axes.plot(numbers[task], now[task], "o", mfc="none", mec=INK, ms=6, mew=1.1, zorder=4, clip_on=False)
    axes.set_xlabel("task")
    integer_ticks(axes.xaxis)
    end_labels(axes, learned + 0.5, labels)


FIGURE = RunFigure(name="forgetting", data=data, text=text, canvas=canvas, draw=draw)
