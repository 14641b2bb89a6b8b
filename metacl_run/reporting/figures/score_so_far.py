"""The score of predictions made before learning, along a stream whose tasks recur, domain by domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, labelled_lines
from metacl_run.layout.style import GREY, INK, series_colours
from metacl_run.reporting.axes import score_axis, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import shortened, spread_words
from metacl_run.storage.stored_run import Evaluations, StoredRun

MOST_DOMAINS = 6
"""Of more, the line over all of them is drawn alone."""


def data(run: StoredRun) -> Evaluations | None:
    return run.evaluations if run.kind == "osaka" and len(run.evaluations.units) else None


def text(run: StoredRun, evaluations: Evaluations) -> FigureText:
    words, pretraining = run.score.score_words, run.summary.get("pretraining", 0)
    before = f" Left of the dotted line the learner is pre-trained on {_names(run)[0]}." if pretraining else ""
    return FigureText(
        f"{words.capitalize()} so far, by domain",
        f"Mean over the steps so far, predictions made before learning. {spread_words(run)}",
        f"Every batch is predicted before it is learned, and the learner does not know task or domain.{before} If a line "
        f"still {'rises' if run.score.higher_is_better else 'falls'} at the end, the learner is still improving.",
    )


def draw(run: StoredRun, evaluations: Evaluations, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    work_axis(axes, run, strip=False)
    names, scores = _names(run), evaluations.scores
    lines = [SeedLine("all", evaluations.units, run.scores_so_far, INK)]
    if 1 < len(names) <= MOST_DOMAINS:
        for domain, colour in enumerate(series_colours(len(names))):
            lines.append(SeedLine(shortened(names[domain], 20), evaluations.units, scores[:, :, domain], colour))
    score_axis(axes, run, np.concatenate([line.values for line in lines], 1), run.chance)
    if pretraining := run.summary.get("pretraining", 0):
        axes.axvline(pretraining, color=GREY, lw=1.0, ls=":")
    labelled_lines(axes, lines, run.possible, run.score)


def _names(run: StoredRun) -> list[str]:
    return list(run.summary["task_names"][0])


FIGURE = RunFigure(name="score_so_far", data=data, text=text, draw=draw)
