"""The score on every task while the tasks are learned in turn, in the form that suits their number. Shapes as in collect.py."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metacl_run.layout.seed_lines import seeds_line, spread
from metacl_run.layout.style import BLUE, GREY, INK, ORANGE, VERMILLION, end_labels, page, parts, task_colours
from metacl_run.reporting.curves import SIZE, mean_seen, score_axis
from metacl_run.reporting.panel import Panel, spread_words, subtitle
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.words import words
from metacl_run.reporting.work_axis import units_axis, work_axis
from metacl_run.scoring.metric_table import worst_name
from metacl_run.storage.read_run import Run

MOST_LINES, MOST_SMALL = 6, 25
"""Tasks whose lines share one plot, and tasks that get a small plot each; of more, the mean and the ends are drawn."""
COLUMNS = 4
NAMED = 2
"""Worst and best tasks, so many of each, that stand out of many."""


def panel(run: Run) -> Panel:
    """What is said about the figure."""
    said = words(run.objective)
    forgotten = f"A line that {said.worsens} after its circle is a task being forgotten"
    helped = f"; one that {said.improves} before its task begins is helped by the tasks before it"
    helped = helped if run.future_is_evaluated else ""
    if run.num_tasks <= MOST_LINES:
        before = "Thin: before the task was learned. " if helped else ""
        caption = f"{before}Circle: when its training ended. {spread_words(run)}"
        reading = f"The strip on top shows which task is being trained. {forgotten}{helped}."
    elif run.num_tasks <= MOST_SMALL:
        guess = f"Dashed: chance, {run.chance:.2f}. " if run.chance is not None else ""
        caption = (
            f"Shaded: while the task was learned, up to the circle. Numbers: then, and at the end. {guess}{spread_words(run)}"
        )
        reading = f"One plot for each task, all on the same axes. {forgotten}{helped}."
    else:
        caption = (
            f"Black: mean over the tasks seen so far. Grey: the middle 80% of them. Coloured: the {NAMED} best and the {NAMED} "
            f"worst of those learned, at the end. {spread_words(run)}"
        )
        reading = (
            f"With {run.num_tasks} tasks a line for each would hide all others. Lines of single tasks begin where their "
            "training ended; all scores are in accuracy_matrix.npy."
        )
    title = f"{said.score.capitalize()} on every task while the tasks are learned in turn"
    if run.num_tasks > MOST_SMALL:
        title = f"{said.score.capitalize()} on the tasks seen so far, and on the best and worst of them"
    return Panel("accuracy_by_task", title, caption, f"{reading} {_probed(run)}")


def _probed(run: Run) -> str:
    """How much the lines between two task ends can be trusted."""
    said, worst = words(run.objective), worst_name(run.objective)
    if not len(run.probe_units):
        dip = f"{said.score.capitalize()} was measured when tasks ended only: a {said.dip} in between is not seen here"
        every = (run.config.get("protocol") or {}).get("eval_every")
        if every:
            return f"{dip}. protocol.eval_every={every} is no less than the {run.units_per_task} {run.unit_name}s of a task."
        return f"{dip}, nor by {worst}. protocol.eval_every=N probes it every N {run.unit_name}s."
    every = int(np.diff(np.unique([0, *run.probe_units])).min())
    text = f"Between task ends {said.score} was probed every {every} {run.unit_name}s"
    if not run.probes_look_at_less:
        return f"{text}."
    return (
        f"{text}, on the first {run.probe_samples} {run.eval_split} samples of a task, as for {worst}; at task ends all are "
        "evaluated, so that small steps there are due to the sample."
    )


def draw(run: Run, panel: Panel) -> Figure:
    if run.num_tasks <= MOST_LINES:
        return _together(run, panel)
    return _small(run, panel) if run.num_tasks <= MOST_SMALL else _extremes(run, panel)


def _line(axes: Axes, run: Run, task: int, colour: str, band: bool = True) -> None:
    """One task: thin until it begins, then with its seeds; a circle where its training ended."""
    begin, end = task * run.units_per_task, (task + 1) * run.units_per_task
    values, units = run.eval_scores[:, :, task], run.eval_units
    there = np.isfinite(values).all(axis=0)
    values, units = values[:, there], units[there]
    if not len(units):
        return
    after = units >= begin
    before = units <= (units[after][0] if after.any() else units[-1])
    mean = values.mean(axis=0)
    axes.plot(units[before], mean[before], color=colour, lw=0.8, alpha=0.5)
    if band:
        seeds_line(axes, units[after], values[:, after], colour, run.possible)
    else:
        axes.plot(units[after], mean[after], color=colour, lw=1.4, zorder=3)
    for index in np.flatnonzero(units == end):
        axes.plot(end, mean[index], "o", color=colour, ms=5, mec="white", mew=0.8, zorder=4, clip_on=False)


def _end(run: Run, task: int) -> float | None:
    """The mean score of a task at its last evaluation; None where it was never evaluated."""
    mean = run.eval_scores[:, :, task].mean(axis=0)
    known = mean[np.isfinite(mean)]
    return float(known[-1]) if len(known) else None


def _together(run: Run, panel: Panel) -> Figure:
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=2.3)
    work_axis(axes, run, strip=True)
    axes.set_ylabel(run.objective.score_words)
    score_axis(axes, run, run.eval_scores)
    colours = task_colours(run.num_tasks)
    for task, colour in enumerate(colours):
        _line(axes, run, task, colour)
    ends = {task: end for task in range(run.num_tasks) if (end := _end(run, task)) is not None}
    texts = [f"{run.task_label(task)}  {shown(end, run.objective)}" for task, end in ends.items()]
    end_labels(axes, run.eval_units[-1], list(ends.values()), texts, [colours[task] for task in ends], 8.5)
    return figure


def _small(run: Run, panel: Panel) -> Figure:
    rows = math.ceil(run.num_tasks / COLUMNS)
    figure, whole = page(panel.title, subtitle(run), panel.caption, (7.6, 1.45 * rows - 0.45), right=0.3)
    for task, axes in enumerate(parts(figure, whole, rows, COLUMNS, 0.25, 0.45)):
        if task >= run.num_tasks:
            axes.remove()
            continue
        units_axis(axes, run, bins=3)
        score_axis(axes, run, run.eval_scores, named_chance=False)
        axes.axvspan(task * run.units_per_task, (task + 1) * run.units_per_task, color=ORANGE, alpha=0.15, lw=0, zorder=0)
        _line(axes, run, task, BLUE)
        axes.set_title(run.task_label(task, 18), fontsize=8, loc="left", pad=4)
        axes.set_title(_then_and_now(run, task), fontsize=7.5, loc="right", pad=4, color=GREY)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        axes.tick_params(labelsize=7.5, labelleft=task % COLUMNS == 0, labelbottom=task + COLUMNS >= run.num_tasks)
        axes.set_ylabel(run.objective.score_words if task % COLUMNS == 0 and run.objective.higher_is_better else "")
        axes.set_xlabel(f"{run.unit_name}s" if task + COLUMNS >= run.num_tasks else "")
    return figure


def _then_and_now(run: Run, task: int) -> str:
    learned, end = float(run.matrix[:, task + 1, task].mean()), _end(run, task)
    if not math.isfinite(learned) or end is None:
        return ""
    return f"{shown(learned, run.objective)} → {shown(end, run.objective)}"


def _extremes(run: Run, panel: Panel) -> Figure:
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=2.3)
    work_axis(axes, run, strip=True)
    axes.set_ylabel(run.objective.score_words)
    means = mean_seen(run, run.eval_scores)  # [R, P]
    places = np.flatnonzero(np.isfinite(means).all(axis=0) & (run.eval_seen > 0))
    low, high = np.full((2, len(places)), np.nan)
    for i, place in enumerate(places):
        low[i], high[i] = np.quantile(run.eval_scores[:, place, : run.eval_seen[place]].mean(axis=0), [0.1, 0.9])
    last = run.eval_scores[:, places[-1]].mean(axis=0) if len(places) else np.full(run.num_tasks, np.nan)
    learned = np.arange(run.eval_seen[places[-1]]) if len(places) else np.arange(0)
    order = learned[np.argsort(-run.objective.sign * last[learned], kind="stable")]
    chosen = dict.fromkeys([*order[:NAMED].tolist(), *order[len(order) - NAMED :].tolist()])
    inks = dict(zip(chosen, [BLUE, "#56B4E9", ORANGE, VERMILLION], strict=False))
    drawn = np.concatenate([means[:, places].ravel(), low, high, *(_after(run, task)[1].ravel() for task in chosen)])
    score_axis(axes, run, drawn[None])
    axes.fill_between(run.eval_units[places], low, high, color=GREY, alpha=0.2, lw=0, zorder=1)
    for task, ink in inks.items():
        units, values = _after(run, task)
        axes.plot(units, values, color=ink, lw=1.1, zorder=2.5)
        axes.plot(units[:1], values[:1], "o", color=ink, ms=4.5, mec="white", mew=0.7, zorder=4, clip_on=False)
    axes.plot(run.eval_units[places], means[:, places].mean(axis=0), color=INK, lw=1.7, zorder=3)
    spread(axes, run.eval_units[places], means[:, places], INK, run.possible)
    if len(places):
        ends = [float(last[task]) for task in inks] + [float(means[:, places[-1]].mean())]
        texts = [f"{run.task_label(task)}  {shown(float(last[task]), run.objective)}" for task in inks]
        texts.append(f"mean of {len(learned)}  {shown(ends[-1], run.objective)}")
        end_labels(axes, run.eval_units[places[-1]], ends, texts, [*inks.values(), INK], 8.5)
    return figure


def _after(run: Run, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Units and mean scores of a task from the end of its training on."""
    mean = run.eval_scores[:, :, task].mean(axis=0)
    there = np.isfinite(mean) & (run.eval_units >= (task + 1) * run.units_per_task)
    return run.eval_units[there], mean[there]
