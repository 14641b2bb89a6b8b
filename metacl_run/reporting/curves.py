"""Figures against work done: score of every task, mean score, training loss. Shapes as in collect.py."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from metacl_run.intervals import half_width95
from metacl_run.reporting.captions import Panel, subtitle
from metacl_run.reporting.collect import Run
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    SHADE,
    VERMILLION,
    accuracy_axis,
    end_labels,
    error_axis,
    ink_on,
    page,
    task_colours,
)

SIZE = (6.0, 3.2)
MAX_LABELS = 12
MAX_POINTS = 1000


def accuracy_by_task(run: Run, panel: Panel) -> Figure:
    """One line a task with its band; of one task, its learning curve beside the score in training."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    work_axis(axes, run, strip=run.num_tasks > 1)
    axes.set_ylabel(run.objective.score_words)
    mean, half = run.probe_scores.mean(axis=0), half_width95(run.probe_scores)  # [P, T]
    _score_axis(axes, run, mean, half)
    colours = task_colours(run.num_tasks)
    for task, colour in enumerate(colours):
        begin, end = task * run.units_per_task, (task + 1) * run.units_per_task
        after = run.eval_units >= begin
        before = run.eval_units <= (run.eval_units[after][0] if after.any() else run.eval_units[-1])
        axes.plot(run.eval_units[before], mean[before, task], color=colour, lw=0.8, alpha=0.5)
        mean_line(axes, run.eval_units[after], mean[after, task], half[after, task], colour)
        for index in np.flatnonzero(run.eval_units == end):
            axes.plot(end, mean[index, task], "o", color=colour, ms=5, mec="white", mew=0.8, zorder=4, clip_on=False)
    shown = [task for task in range(0, run.num_tasks, math.ceil(run.num_tasks / MAX_LABELS)) if np.isfinite(mean[-1, task])]
    ends = [float(mean[-1, task]) for task in shown]
    texts = [run.task_label(task) for task in shown] if run.num_tasks > 1 else ["held out"] * len(shown)
    inks = [colours[task] for task in shown]
    score = run.objective.score_name
    if run.num_tasks == 1 and score in run.train:
        units, values = _thinned(run.train_units, run.train[score])
        training = running_mean(values.mean(axis=0))
        axes.plot(units, training, color=GREY, lw=1.1, zorder=1.8)
        if np.isfinite(training[-1]):
            ends, texts, inks = [*ends, float(training[-1])], [*texts, "in training"], [*inks, GREY]
    end_labels(axes, run.eval_units[-1], ends, texts, inks, 8.5)
    return figure


def mean_accuracy(run: Run, panel: Panel) -> Figure:
    """The mean over tasks seen so far, and over all T tasks."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    work_axis(axes, run, strip=True)
    names, colours = ("tasks seen so far", "all tasks"), (BLUE, VERMILLION)
    lines, whole = _means(run, run.probe_scores), _means(run, run.eval_scores)  # two of [R, P] each
    _score_axis(axes, run, np.stack(lines).mean(axis=1), np.stack([half_width95(values) for values in lines]))
    axes.set_ylabel("mean accuracy" if run.objective.higher_is_better else run.objective.score_words)
    ends = run.eval_units % run.units_per_task == 0
    for values, all_of_it, colour in zip(lines, whole, colours, strict=True):
        mean_line(axes, run.eval_units, values.mean(axis=0), half_width95(values), colour)
        if run.probes_look_at_less:
            dots = all_of_it.mean(axis=0)[ends]
            axes.plot(run.eval_units[ends], dots, "o", color=colour, ms=4, mec="white", mew=0.6, zorder=4, clip_on=False)
    last = [float(values.mean(axis=0)[-1]) for values in whole]
    if np.isfinite(last).all():
        texts = [f"{name} {shown(end, run.objective)}" for name, end in zip(names, last, strict=True)]
        end_labels(axes, run.eval_units[-1], last, texts, colours, 8.5)
    return figure


def _means(run: Run, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[R, P] over the tasks seen so far and over all, of [R, P, T]."""
    seen = [scores[:, p, : number or None].mean(axis=1) for p, number in enumerate(run.eval_seen)]
    return np.stack(seen, axis=1), scores.mean(axis=2)


def stability_gap(run: Run, panel: Panel) -> Figure:
    """The score on the earlier tasks from one switch of tasks to the next, against what it was before the switch."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9, left=0.9)
    switches = after_switches(run)
    colours = task_colours(run.num_tasks)
    for task, (units, change) in switches.items():
        axes.plot(units, change.mean(axis=0), color=colours[task], lw=0.9, alpha=0.8)
    longest = max((units for units, _ in switches.values()), key=len)
    whole = np.stack([change for _, change in switches.values() if change.shape[1] == len(longest)]).mean(axis=0)  # [R, P]
    mean_line(axes, longest, whole.mean(axis=0), half_width95(whole), INK)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
    axes.set_xlim(0, run.units_per_task)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_xlabel(f"{run.unit_name}s since the switch to a new task")
    axes.set_ylabel(f"change of {run.objective.score_words} on earlier tasks")
    axes.yaxis.set_major_formatter("{x:+.2f}")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    shown = list(switches)[:: math.ceil(len(switches) / 6)]
    ends = [float(switches[task][1].mean(axis=0)[-1]) for task in shown]
    texts = [*(f"learning {run.task_label(task, 16)}" for task in shown), f"mean of {len(switches)} switches"]
    end_labels(axes, longest[-1], [*ends, float(whole.mean(axis=0)[-1])], texts, [*(colours[t] for t in shown), INK], 8.5)
    return figure


def after_switches(run: Run) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By task learned, from the second on: units since the switch to it [P], and by how much the mean score on the tasks
    before it differed from what it was before the switch [R, P].

    The first point is the switch itself.
    """
    length = run.units_per_task
    found = {}
    for task in range(1, run.num_tasks):
        chosen = (run.eval_units >= task * length) & (run.eval_units <= (task + 1) * length)
        if chosen.sum() > 1:
            values = run.probe_scores[:, chosen, :task].mean(axis=2)
            found[task] = (run.eval_units[chosen] - task * length, values - values[:, :1])
    return found


def training_loss(run: Run, panel: Panel) -> Figure:
    """The recorded loss and its running mean; logarithmic where it spans more than a factor of fifty."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=0.4)
    work_axis(axes, run, strip=run.num_phases > 1)
    units, values = _thinned(run.train_units, run.train["loss"])
    mean = values.mean(axis=0)
    task_of = np.minimum((units - 1) // run.units_per_task, run.num_phases - 1)
    for task in np.unique(task_of):  # apart, so that the running mean does not smear the jump between two tasks
        part = task_of == task
        smooth = np.stack([running_mean(replicate) for replicate in values[:, part]])
        axes.plot(units[part], mean[part], color=BLUE, lw=0.6, alpha=0.35)
        mean_line(axes, units[part], smooth.mean(axis=0), half_width95(smooth), BLUE)
    finite = mean[np.isfinite(mean)]
    if len(finite) and finite.min() > 0 and finite.max() > 50 * finite.min():
        axes.set_yscale("log")
    elif len(finite) and finite.min() >= 0:
        axes.set_ylim(0, finite.max() * 1.05 or 1.0)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_ylabel("loss")
    return figure


def mean_line(axes: Axes, units: np.ndarray, mean: np.ndarray, half: np.ndarray, colour: str) -> None:
    """A mean with its band, [points]; a dash where there is one point only."""
    axes.plot(units, mean, color=colour, lw=1.7, marker="_" if len(units) == 1 else "", ms=7, zorder=3)
    if np.isfinite(half).any():
        axes.fill_between(units, mean - half, mean + half, color=colour, alpha=0.14, lw=0, zorder=2)


def _score_axis(axes: Axes, run: Run, mean: np.ndarray, half: np.ndarray) -> None:
    """A y axis for lines [...] with bands of half that width, or none where it is NaN."""
    half = np.nan_to_num(half)
    band = np.stack([mean - half, mean + half])
    if run.objective.higher_is_better:
        accuracy_axis(axes, np.clip(band, 0, 1), run.chance)  # kept within what an accuracy can be
    else:
        error_axis(axes, mean, band)


def work_axis(axes: Axes, run: Run, strip: bool, bins: int = 8) -> None:
    """x from 0 to the whole run, task segments told apart, the point marked where an unfinished run ended."""
    total = run.num_phases * run.units_per_task
    reached = max([0, *run.eval_units[-1:], *run.train_units[-1:]])
    axes.set_xlim(0, max(total, reached))
    axes.set_xlabel(f"{run.unit_name}s")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=bins, integer=True))
    for task in range(1, run.num_phases, 2):
        axes.axvspan(task * run.units_per_task, (task + 1) * run.units_per_task, color=SHADE, lw=0, zorder=0)
    if strip:
        _task_strip(axes, run)
    if reached < total and run.summary["status"] != "completed":
        axes.axvline(reached, color=VERMILLION, lw=1.2, ls=":")
        frame = axes.get_xaxis_transform()
        ended = axes.text(reached, 1.085 if strip else 1.02, run.summary["status"], transform=frame)
        ended.set(ha="center", va="bottom", fontsize=8, color=VERMILLION)


def _task_strip(axes: Axes, run: Run) -> None:
    """A numbered bar over the axes in the colour of the task being learned."""
    frame = axes.get_xaxis_transform()
    width = run.units_per_task
    for task, colour in enumerate(task_colours(run.num_tasks)):
        begin = task * width
        axes.add_patch(Rectangle((begin, 1.015), width, 0.05, transform=frame, color=colour, lw=0, clip_on=False))
        if task % math.ceil(run.num_tasks / 25) == 0:
            number = axes.text(begin + width / 2, 1.04, str(task + 1), transform=frame)
            number.set(ha="center", va="center_baseline", fontsize=7.5, color=ink_on(colour))
    label = axes.text(-0.012, 1.04, "learning task", transform=axes.transAxes)
    label.set(ha="right", va="center", fontsize=6.5, color=GREY)


def running_mean(values: np.ndarray) -> np.ndarray:
    """[N] mean over a centred window of a twentieth of the points, finite values only; NaN stays NaN."""
    window = max(1, len(values) // 20)
    finite = np.isfinite(values)
    kernel = np.ones(window)
    counts = np.convolve(finite, kernel, mode="same")
    sums = np.convolve(np.where(finite, values, 0.0), kernel, mode="same")
    return np.where(finite, sums / np.maximum(counts, 1), np.nan)


def _thinned(units: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] and [R, N] as at most MAX_POINTS means of neighbours, for a file that stays small."""
    if len(units) <= MAX_POINTS:
        return units.astype(float), values
    edges = np.linspace(0, len(units), MAX_POINTS + 1).astype(int)[:-1]
    counts = np.diff(edges, append=len(units))
    return np.add.reduceat(units, edges) / counts, np.add.reduceat(values, edges, axis=1) / counts
