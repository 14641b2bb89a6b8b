"""The last steps of a stream whose tasks recur, one by one: predictions, true switches and detected ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.style import GREY, INK, PALE, VERMILLION, integer_ticks, label_points, series_colours
from metacl_run.reporting.axes import values_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import shortened
from metacl_run.storage.stored_run import StoredRun
from metacl_run.storage.stream_file import StreamSteps

SHOWN = 150
"""Steps, the last ones."""
MOST_DOMAINS = 6
"""Of more, domains have no colours."""


def data(run: StoredRun) -> StreamSteps | None:
    return run.stream_steps


def text(run: StoredRun, steps: StreamSteps) -> FigureText:
    length = min(SHOWN, steps.score.shape[1])
    detects = bool(steps.detected.any())
    marks = (
        "Triangles: switches that the learner detected, black where they are true, else vermillion."
        if detects
        else "It detects no switches."
    )
    seed = f" Seed {run.seeds[0]}." if len(run.seeds) > 1 else ""
    worse = "drop" if run.score.higher_is_better else "jump"
    return FigureText(
        "Step by step: predictions and task switches",
        f"The last {length} steps. Grey lines: the task changes. {marks}{seed}",
        f"A {worse} at a grey line is the cost of not knowing the switch; how fast the line recovers shows how fast the "
        "learner adapts. A triangle without a grey line is a false alarm, a grey line without a triangle is a missed switch.",
    )


def draw(run: StoredRun, steps: StreamSteps, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    total = steps.score.shape[1]
    first = max(0, total - SHOWN)
    moments, names = np.arange(first, total), list(run.summary["task_names"][0])
    score, detected, is_switch, domain = (part[0, first:] for part in steps)
    values_axis(axes, run, score.astype(float))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))  # room for the triangles
    frame = axes.get_xaxis_transform()
    for moment in moments[is_switch]:
        axes.axvline(moment, color=PALE, lw=1.2, zorder=1)
    axes.plot(moments, score, color=GREY, lw=0.8, zorder=2)
    coloured = 1 < len(names) <= MOST_DOMAINS
    colours = series_colours(len(names)) if coloured else [INK] * len(names)
    for place, name in enumerate(names):
        there = domain == place
        label = shortened(name, 20) if coloured else None
        axes.plot(moments[there], score[there], ".", color=colours[place], ms=4, zorder=3, label=label)
    for true, colour in ((True, INK), (False, VERMILLION)):
        marked = moments[detected & (is_switch == true)]
        axes.plot(marked, np.full(len(marked), 0.95), "v", color=colour, ms=4, transform=frame, zorder=4)
    axes.set_xlim(first - 1, total)
    integer_ticks(axes.xaxis, 8)
    axes.set_xlabel("step of the stream")
    if coloured:
        legend = axes.legend(frameon=False, fontsize=label_points(), handletextpad=0.2, borderaxespad=0.2)
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1.0, 1.0))


FIGURE = RunFigure(name="switches", data=data, text=text, draw=draw)
