"""The score on earlier tasks from one switch of tasks to the next, compared with what it was before the switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.end_labels import EndLabel, end_labels, room
from metacl_run.layout.seed_lines import seeds_line
from metacl_run.layout.style import GREY, INK, PALE, task_colours
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, has_several_tasks
from metacl_run.reporting.phrases import phrases, spread_words, task_label
from metacl_run.scoring.metric_table import worst_name
from metacl_run.storage.stored_run import StoredRun

Changes: TypeAlias = dict[int, tuple[np.ndarray, np.ndarray]]
"""By task learned, from the second on: units since the switch to it [P], and by how much the mean score on the tasks before it
differs from its value before the switch [R, P]. The first point is the switch itself."""
MOST_SWITCHES = 8
"""Most switches of tasks of which every one is drawn; of more, the mean and the middle 80% are."""


def text(run: StoredRun, switches: Changes) -> FigureText:
    words = phrases(run.score)
    middle = "Grey: the middle 80% of them. " if len(switches) > MOST_SWITCHES else ""
    samples = run.probe_samples
    same = f" All points are on the {samples} {run.eval_split} samples of a task that probes use." if samples else ""
    return FigureText(
        "What a new task does to the earlier ones while it is learned",
        f"{words.mean.capitalize()} on earlier tasks, minus its value before the switch. Black: mean over switches. "
        f"{middle}{spread_words(run)}",
        f"A {words.dip} right after the switch that recovers is the stability gap (De Lange et al. 2023): forgetting that "
        f"evaluations at the end of a task miss. {worst_name(run.score)} and worst_case_{run.score.score_name} use its "
        f"{words.extreme} points.{same}",
    )


def after_switches(run: StoredRun) -> Changes | None:
    """Returns the change after every switch of tasks; None where there are no probes to show it."""
    if not has_several_tasks(run) or not (run.probe_units > run.units.ends[0]).any():
        return None
    (units, _, _, scores), lengths = run.evaluations, run.units
    changes = {}
    for task in range(1, run.num_tasks):
        during = (units >= lengths.starts[task]) & (units <= lengths.ends[task])
        values = scores[:, during, :task].mean(axis=2)
        known = np.isfinite(values).all(axis=0)
        if known[:1].all() and known.sum() > 1:
            values = values[:, known]
            changes[task] = (units[during][known] - lengths.starts[task], values - values[:, :1])
    return changes or None


def canvas(run: StoredRun, switches: Changes) -> Canvas:
    return Canvas(left=0.9)


def draw(run: StoredRun, switches: Changes, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    colours = task_colours(run.num_tasks)
    longest = max((units for units, _ in switches.values()), key=len)
    complete = np.stack([change for _, change in switches.values() if change.shape[1] == len(longest)])  # [S, R, P]
    labels = []
    if len(switches) <= MOST_SWITCHES:
        for task, (units, change) in switches.items():
            mean = change.mean(axis=0)
            axes.plot(units, mean, color=colours[task], lw=0.9, alpha=0.8)
            labels.append(
                EndLabel(float(mean[-1]), f"learning {task_label(run, task, min(16, room(axes) - 9))}", colours[task])
            )
    else:
        low, high = np.quantile(complete.mean(axis=1), [0.1, 0.9], axis=0)
        axes.fill_between(longest, low, high, color=GREY, alpha=0.2, lw=0)
    labels.append(EndLabel(float(complete[:, :, -1].mean()), f"mean of {len(complete)} switches", INK))
    seeds_line(axes, longest, complete.mean(axis=0), INK)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
    axes.set_xlim(0, run.units_per_task)
    axes.grid(axis="y", color=PALE, lw=0.6)
    axes.set_xlabel(f"{run.unit_name}s since the switch to a new task")
    axes.set_ylabel(f"change of {run.score.score_words} on earlier tasks")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:+.3f}" if np.ptp(axes.get_ylim()) < 0.05 else "{x:+.2f}")
    end_labels(axes, longest[-1], labels)


FIGURE = RunFigure(name="stability_gap", data=after_switches, text=text, canvas=canvas, draw=draw)
