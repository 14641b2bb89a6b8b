"""Figures against work done: mean score, training loss, what a switch of tasks does. Shapes as in collect.py."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from metacl_run.layout.seed_lines import extent, running_mean, seeds_line, smoothing
from metacl_run.layout.style import (
    BLUE,
    GREY,
    INK,
    PALE,
    VERMILLION,
    accuracy_axis,
    end_labels,
    error_axis,
    page,
    task_colours,
)
from metacl_run.reporting.panel import Panel, spread_words, subtitle
from metacl_run.reporting.sentences import shown
from metacl_run.reporting.work_axis import MOST_PATCHES, work_axis
from metacl_run.storage.read_run import Run

SIZE = (6.0, 3.2)
MAX_POINTS = 1000
MOST_SWITCHES = 8
"""Of more switches of tasks only the mean and the middle of them are drawn."""


def learning_curve(run: Run, panel: Panel) -> Figure:
    """Of a single task: the score on held-out problems beside that in training."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    work_axis(axes, run, strip=False)
    axes.set_ylabel(run.objective.score_words)
    held_out = run.eval_scores[:, :, 0]
    lines = [("held out", run.eval_units, held_out, BLUE)]
    if run.objective.score_name in run.train:
        units, values = thinned(run.train_units, run.train[run.objective.score_name])
        lines.append(("in training", units, np.stack([running_mean(each) for each in values]), GREY))
    score_axis(axes, run, held_out)
    for _, units, values, colour in lines:
        seeds_line(axes, units, values, colour, run.possible)
    ended = [(name, float(values.mean(axis=0)[-1]), colour) for name, _, values, colour in lines]
    known = [each for each in ended if math.isfinite(each[1])]
    texts = [f"{name} {shown(end, run.objective)}" for name, end, _ in known]
    end_labels(axes, run.eval_units[-1], [end for _, end, _ in known], texts, [colour for _, _, colour in known], 8.5)
    return figure


def mean_accuracy(run: Run, panel: Panel) -> Figure:
    """The mean over tasks seen so far and, where those to come were evaluated, over all T tasks."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9)
    work_axis(axes, run, strip=True)
    lines = [("tasks seen so far", mean_seen(run, run.eval_scores), BLUE)]
    if run.future_is_evaluated:
        lines.append(("all tasks", run.eval_scores.mean(axis=2), VERMILLION))
    score_axis(axes, run, np.stack([values for _, values, _ in lines], -1))
    axes.set_ylabel("mean accuracy" if run.objective.higher_is_better else run.objective.score_words)
    for _, values, colour in lines:
        seeds_line(axes, run.eval_units, values, colour, run.possible)
    known = [np.flatnonzero(np.isfinite(values).all(axis=0)) for _, values, _ in lines]
    if all(map(len, known)):
        ends = [float(values.mean(axis=0)[places[-1]]) for (_, values, _), places in zip(lines, known, strict=True)]
        texts = [f"{name} {shown(end, run.objective)}" for (name, _, _), end in zip(lines, ends, strict=True)]
        end_labels(axes, run.eval_units[known[0][-1]], ends, texts, [colour for _, _, colour in lines], 8.5)
    return figure


def mean_seen(run: Run, scores: np.ndarray) -> np.ndarray:
    """[R, P] over the tasks seen so far, of [R, P, T]; NaN where not all of them were evaluated."""
    seen = [scores[:, p, : number or None].mean(axis=1) for p, number in enumerate(run.eval_seen)]
    return np.stack(seen, axis=1)


def stability_gap(run: Run, panel: Panel) -> Figure:
    """The score on the earlier tasks from one switch of tasks to the next, against what it was before the switch."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=1.9, left=0.9)
    switches = after_switches(run)
    colours = task_colours(run.num_tasks)
    longest = max((units for units, _ in switches.values()), key=len)
    complete = np.stack([change for _, change in switches.values() if change.shape[1] == len(longest)])  # [S, R, P]
    few = len(switches) <= MOST_SWITCHES
    if few:
        for task, (units, change) in switches.items():
            axes.plot(units, change.mean(axis=0), color=colours[task], lw=0.9, alpha=0.8)
    else:
        low, high = np.quantile(complete.mean(axis=1), [0.1, 0.9], axis=0)
        axes.fill_between(longest, low, high, color=GREY, alpha=0.2, lw=0)
    seeds_line(axes, longest, complete.mean(axis=0), INK)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
    axes.set_xlim(0, run.units_per_task)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_xlabel(f"{run.unit_name}s since the switch to a new task")
    axes.set_ylabel(f"change of {run.objective.score_words} on earlier tasks")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:+.3f}" if np.ptp(axes.get_ylim()) < 0.05 else "{x:+.2f}")
    named = list(switches) if few else []
    ends = [float(switches[task][1].mean(axis=0)[-1]) for task in named]
    texts = [*(f"learning {run.task_label(task, 16)}" for task in named), f"mean of {len(complete)} switches"]
    end_labels(axes, longest[-1], [*ends, float(complete[:, :, -1].mean())], texts, [*(colours[t] for t in named), INK], 8.5)
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
        values = run.probe_scores[:, chosen, :task].mean(axis=2)
        there = np.isfinite(values).all(axis=0)
        if there[:1].all() and there.sum() > 1:
            values = values[:, there]
            found[task] = (run.eval_units[chosen][there] - task * length, values - values[:, :1])
    return found


def training_loss_panel(run: Run, title: str, explanation: str) -> Panel:
    """Of any protocol: whether what is drawn is smoothed depends on how much was recorded."""
    units, _ = thinned(run.train_units, run.train["loss"])
    smoothed = any(smoothing(int(part.sum())) > 1 for part in loss_parts(run, units))
    kept = (
        "every record" if len(units) == len(run.train_units) else f"means of {-(-len(run.train_units) // len(units))} records"
    )
    drawn = f"Running mean; pale: {kept}." if smoothed else f"{kept.capitalize()}."
    return Panel("training_loss", title, f"{drawn} {spread_words(run)}", explanation)


def training_loss(run: Run, panel: Panel) -> Figure:
    """The recorded loss and its running mean; logarithmic where it spans more than a factor of fifty."""
    figure, axes = page(panel.title, subtitle(run), panel.caption, SIZE, right=0.4)
    work_axis(axes, run, strip=run.num_phases > 1)
    units, values = thinned(run.train_units, run.train["loss"])
    mean = values.mean(axis=0)
    for part in loss_parts(run, units):
        smooth = np.stack([running_mean(replicate) for replicate in values[:, part]])
        if smoothing(len(units[part])) > 1:
            axes.plot(units[part], mean[part], color=BLUE, lw=0.6, alpha=0.35)
        seeds_line(axes, units[part], smooth, BLUE, (0.0, math.inf))
    finite = mean[np.isfinite(mean)]
    if len(finite) and finite.min() > 0 and finite.max() > 50 * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # as text: powers of ten would need mathematics, which names do not get
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif len(finite) and finite.min() >= 0:
        axes.set_ylim(0, finite.max() * 1.05 or 1.0)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_ylabel("loss")
    return figure


def loss_parts(run: Run, units: np.ndarray) -> list[np.ndarray]:
    """[N] masks of what is smoothed together: apart by task, so that the running mean does not smear the jump between two,
    unless there are too many to be told apart."""
    if run.num_phases > MOST_PATCHES:
        return [np.ones(len(units), dtype=bool)]
    task_of = np.minimum((units - 1) // run.units_per_task, run.num_phases - 1)
    return [task_of == task for task in np.unique(task_of)]


def score_axis(axes: Axes, run: Run, values: np.ndarray, named_chance: bool = True) -> None:
    """A y axis for [R, ...] with what their seeds spread over, as suits the score."""
    if run.objective.higher_is_better:
        accuracy_axis(axes, extent(values, run.possible), run.chance, named_chance)
    else:
        error_axis(axes, values.mean(axis=0), extent(values, run.possible))


def thinned(units: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N] and [R, N] as at most MAX_POINTS means of neighbours, for a file that stays small."""
    if len(units) <= MAX_POINTS:
        return units.astype(float), values
    edges = np.linspace(0, len(units), MAX_POINTS + 1).astype(int)[:-1]
    counts = np.diff(edges, append=len(units))
    return np.add.reduceat(units, edges) / counts, np.add.reduceat(values, edges, axis=1) / counts
