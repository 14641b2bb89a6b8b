"""Draws the figures of a section: a line for each configuration, with its spread over seeds."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metacl_run.comparison.section_curves import Curve, CurveFigure, curve, curve_figures
from metacl_run.comparison.section_scores import SectionScores
from metacl_run.core.errors import StorageError
from metacl_run.layout.image_files import save
from metacl_run.layout.seed_lines import SeedLine, extent, labelled_lines
from metacl_run.layout.style import (
    GREY,
    INK,
    PALE,
    RC,
    accuracy_axis,
    error_axis,
    integer_ticks,
    page,
    series_colours,
)
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import SCORES

MOST_LINES = 8
MOST_POINTS = 25
"""Most points of a curve that are marked."""
SIZE = (6.0, 3.2)
WIDEST_LABEL = 36
"""Characters of a label on one line."""


class DrawnFigure(NamedTuple):
    """A figure of the report."""

    name: str
    """Of its files, without suffix."""
    title: str
    caption: str


def draw(scores: SectionScores, folder: Path, stem: str) -> tuple[list[DrawnFigure], list[str]]:
    """Writes <stem>_<name>.png and .svg for every figure that the section supports. Returns them, and a message for each
    run that could not be drawn."""
    labels = scores.labels[:MOST_LINES]
    drawn: list[DrawnFigure] = []
    problems: dict[str, None] = {}
    try:
        supported = curve_figures(scores.section.configurations[labels[0]])
    except StorageError as error:
        return [], [str(error)]
    for figure in supported:
        curves = {}
        for label in labels:
            try:
                curves[label] = curve(scores.section.configurations[label], figure)
            except StorageError as error:
                problems[str(error)] = None
        curves = {label: line for label, line in curves.items() if np.isfinite(line.values).all(axis=0).any()}
        if not curves:
            continue
        name, about = f"{stem}_{figure.name}", _about_lines(scores, list(curves))
        with matplotlib.rc_context(RC):
            save(_figure(scores, figure, curves, about), folder / name)
        drawn.append(DrawnFigure(name, f"{figure.title}, {scores.section.title}", f"{figure.explanation} {about}"))
    return drawn, list(problems)


def _about_lines(scores: SectionScores, labels: list[str]) -> str:
    """Explains the lines and bands, and says how many configurations are left out."""
    counts = {min(FEWEST, len(scores.section.configurations[label].seeds)) for label in labels}
    words = {
        FEWEST: f"Mean over seeds with its 95% interval (Student t){'' if counts == {FEWEST} else f' of {FEWEST} or more'}.",
        2: "Two seeds: their mean, and thin lines for single seeds.",
        1: "One seed in every row, so no interval." if counts == {1} else "One seed: the line alone.",
    }
    text = " ".join(words[count] for count in sorted(counts, reverse=True))
    if len(labels) < len(scores.labels):
        text += f" Drawn: the first {len(labels)} of {len(scores.labels)} rows that have values."
    return text


def _figure(scores: SectionScores, figure: CurveFigure, curves: dict[str, Curve], caption: str) -> Figure:
    colours = [*series_colours(min(6, len(curves))), INK, GREY]
    lines = [
        SeedLine("\n".join(textwrap.wrap(label, WIDEST_LABEL, break_long_words=True)), *curve, colour)
        for (label, curve), colour in zip(curves.items(), colours, strict=False)
    ]
    longest = max(len(part) for line in lines for part in line.name.split("\n"))
    sheet, axes = page(figure.title, scores.section.title, caption, SIZE, right=max(1.2, 0.45 + 0.076 * longest))
    score = SCORES[scores.section.score]
    widest = score.largest - score.least
    possible = (-widest, widest) if figure.is_difference else (score.least, score.largest)
    start, stop = min(line.x.min() for line in lines), max(line.x.max() for line in lines)
    axes.set_xlim(start - (0.5 if start == stop else 0), stop + (0.5 if start == stop else 0))
    whole = np.concatenate([extent(line.values, possible) for line in lines])
    if figure.is_difference:
        _difference_axis(axes, whole)
    elif score.higher_is_better:
        accuracy_axis(axes, whole, None)
    else:
        error_axis(axes, np.concatenate([line.values.mean(axis=0) for line in lines]), whole)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    integer_ticks(axes.xaxis, 10)
    labelled_lines(axes, lines, possible, point_size=4.5 if max(len(line.x) for line in lines) <= MOST_POINTS else 0)
    return sheet


def _difference_axis(axes: matplotlib.axes.Axes, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    margin = 0.06 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=PALE, lw=0.6)
