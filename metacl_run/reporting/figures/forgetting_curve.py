"""The score on a class by its age: how many classes were learned after it, in the longest sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, extent, labelled_lines, running_means, smoothing
from metacl_run.layout.style import BLUE, ORANGE, integer_ticks
from metacl_run.reporting.axes import values_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, mark_sentence
from metacl_run.reporting.phrases import phrases, spread_words
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> MetaTestScores | None:
    return run.meta_test


def text(run: StoredRun, test: MetaTestScores) -> FigureText:
    concepts = run.score.concepts
    span = smoothing(test.longest)
    smoothed = f"Running mean over {span} neighbours; pale: every place. " if span > 1 else ""
    recognised = "a class is recognised" if run.score.higher_is_better else "a function is known"
    return FigureText(
        f"How well {recognised}, by how many were learned after it",
        f"{mark_sentence(test)}After {test.longest} {concepts}. {smoothed}{spread_words(run)}",
        f"{mark_sentence(test)}Left: the {concepts} learned last; right: those learned first. A line that "
        f"{phrases(run.score).worsens} to the right is forgetting; where the line is flat, something else limits the score "
        f"than later learning. Every point is a mean over orders: it is about a place in the sequence, not single {concepts}.",
    )


def draw(run: StoredRun, test: MetaTestScores, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    ages = np.arange(test.longest)
    raw = [values[:, ::-1] for values in (test.place_held_out, test.place_memory)]  # [R, N], youngest first
    lines = [
        SeedLine(name, ages, running_means(values), colour)
        for name, values, colour in zip(("held out", "memory"), raw, (BLUE, ORANGE), strict=True)
    ]
    edges = [*(values.mean(axis=0) for values in raw), *(extent(line.values, run.possible) for line in lines)]
    values_axis(axes, run, np.concatenate(edges))
    if smoothing(test.longest) > 1:
        for line, values in zip(lines, raw, strict=True):
            axes.plot(ages, values.mean(axis=0), color=line.colour, lw=0.6, alpha=0.35)
    axes.set_xlim(0, max(1, test.longest - 1))
    axes.set_xlabel(f"{run.score.concepts} learned after it")
    integer_ticks(axes.xaxis)
    labelled_lines(axes, lines, run.possible, run.score)


FIGURE = RunFigure(name="forgetting_curve", data=data, text=text, draw=draw)
