"""How the learning rate of meta-test was chosen: the score of every candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.end_labels import EndLabel, end_labels
from metacl_run.layout.style import VERMILLION, shades
from metacl_run.reporting.axes import values_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure, mark_sentence
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun

MOST_LABELS, MOST_TICKS = 12, 8


def data(run: StoredRun) -> MetaTestScores | None:
    test = run.meta_test
    return test if test is not None and test.selection is not None and len(test.rates) > 1 else None


def text(run: StoredRun, test: MetaTestScores) -> FigureText:
    concepts = run.score.concepts
    where = f"the meta-test {concepts} themselves" if test.tuned_on_test else f"meta-train {concepts}"
    size = "; the larger, the more seeds chose it" if len(test.held_out) > 1 else ""
    basis = f"The choice did not use any {concepts} of the meta-test."
    if test.tuned_on_test:
        basis = (
            f"The rate was chosen on the {concepts} that the run is evaluated on, so its scores are too good: compare them "
            "only with scores that were tuned in the same way."
        )
    return FigureText(
        "How the learning rate of meta-test was chosen",
        f"{mark_sentence(test)}{run.score.score_words.capitalize()} of every candidate on {where}. Ring: the rate chosen for "
        f"that number{size}.",
        f"{mark_sentence(test)}Where the top of a line is flat, the choice hardly matters; where it is narrow, the results "
        f"depend on it. {basis}{_edge_words(test)}",
    )


def _edge_words(test: MetaTestScores) -> str:
    """A hint where the smallest or the largest candidate was chosen: a better one may lie outside."""
    if test.chosen is None or not np.isin(test.chosen, [test.rates.min(), test.rates.max()]).any():
        return ""
    return " A ring is at an edge of the range: a rate beyond it might be better."


def draw(run: StoredRun, test: MetaTestScores, panels: Sequence[Axes]) -> None:
    """A line for each length, from the shortest (dark) to the longest (light); a ring at the choice of each seed."""
    assert test.selection is not None
    (axes,) = panels
    order = np.argsort(test.rates)
    places, mean = np.log10(test.rates[order]), test.selection.mean(axis=0)[:, order]  # [L], [S, L]
    values_axis(axes, run, mean)
    labels = []
    for row, (values, colour) in enumerate(zip(mean, shades(len(test.lengths)), strict=True)):
        axes.plot(places, values, color=colour, marker=".", ms=5)
        for rate, share in chosen_rates(test, row):
            place = int(np.argmin(np.abs(places - math.log10(rate))))
            axes.plot(places[place], values[place], "o", ms=5 + 5 * share, mfc="none", mec=VERMILLION, mew=1.4, zorder=4)
        if row % math.ceil(len(test.lengths) / MOST_LABELS) == 0 and np.isfinite(values[-1]):
            labels.append(EndLabel(float(values[-1]), f"{test.lengths[row]} {run.score.concepts}", colour))
    # A linear axis of logarithms, so that labels beside the lines can be placed in data units.
    margin = 0.04 * (places[-1] - places[0])
    axes.set_xlim(places[0] - margin, places[-1] + margin)
    every = math.ceil(len(places) / MOST_TICKS)
    axes.set_xticks(places[::every], [f"{rate:.2g}" for rate in test.rates[order][::every]])
    axes.set_xlabel("learning rate of meta-test (logarithmic)")
    end_labels(axes, places[-1], labels)


def chosen_rates(test: MetaTestScores, row: int) -> list[tuple[float, float]]:
    """Returns every rate that some seed chose for this length, with the share of seeds that chose it."""
    if test.chosen is None:
        return []
    rates, counts = np.unique(test.chosen[:, row], return_counts=True)
    return [(float(rate), float(count) / len(test.chosen)) for rate, count in zip(rates, counts, strict=True)]


FIGURE = RunFigure(name="choice_of_rate", data=data, text=text, draw=draw)
