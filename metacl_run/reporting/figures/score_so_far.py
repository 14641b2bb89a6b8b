"""The score of predictions made before learning, along a stream whose tasks recur, domain by domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, labelled_lines, mean_line
from metacl_run.layout.style import INK, series_colours
from metacl_run.reporting.axes import score_axis, steps_of, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import shortened, spread_words
from metacl_run.storage.stored_run import Evaluations, StoredRun

MOST_DOMAINS = 6
"""Of more, the line over all of them is drawn alone."""


def data(run: StoredRun) -> Evaluations | None:
    return run.evaluations if run.kind == "osaka" and len(run.evaluations.units) else None


def text(run: StoredRun, evaluations: Evaluations) -> FigureText:
    words, pretraining = run.score.score_words, run.pretraining
    before = f" Before step 0 it was pre-trained on {_names(run)[0]}: {pretraining:,} {run.unit_name}s." if pretraining else ""
    late = np.isfinite(evaluations.scores)
    partial = (
        " A domain that some seeds meet later: mean of those that have met it." if (late.any(0) & ~late.all(0)).any() else ""
    )
    return FigureText(
        f"{words.capitalize()} so far, by domain",
        f"Mean over the steps so far, predictions made before learning. {spread_words(run)}{partial}",
        f"Every batch is predicted before it is learned, and the learner does not know task or domain.{before} If a line "
        f"still {'rises' if run.score.higher_is_better else 'falls'} at the end, the learner is still improving.",
    )


def draw(run: StoredRun, evaluations: Evaluations, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    work_axis(axes, run, strip=False)
    names, scores = _names(run), evaluations.scores
    steps = steps_of(run, evaluations.units)
    lines = [SeedLine("all", steps, run.scores_so_far, INK)]
    if 1 < len(names) <= MOST_DOMAINS:
        for domain, colour in enumerate(series_colours(len(names))):
            lines.append(SeedLine(shortened(names[domain], 20), steps, scores[:, :, domain], colour, is_partial=True))
    means = np.concatenate([mean_line(line.values, line.is_partial) for line in lines])
    score_axis(
        axes, run, np.concatenate([*(line.values for line in lines), np.tile(means, (len(run.seeds), 1))], 1), run.chance
    )
    labelled_lines(axes, lines, run.possible, run.score)


def _names(run: StoredRun) -> list[str]:
    return list(run.summary["task_names"][0])


FIGURE = RunFigure(name="score_so_far", data=data, text=text, draw=draw)
