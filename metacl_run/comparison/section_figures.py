"""Draws the figures of a section: a line for each configuration, with its spread over seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from metacl_run.comparison.drawn_rows import Look, algorithm_colours, drawn_rows, drawn_words, looks, short_label
from metacl_run.comparison.section_costs import CostFigure, cost_figure
from metacl_run.comparison.section_curves import Curve, CurveFigure, curve, curve_figures
from metacl_run.comparison.section_scores import SectionScores
from metacl_run.core.errors import StorageError
from metacl_run.layout.canvas import Canvas, paper_panels
from metacl_run.layout.end_labels import height_of_labels, legend_height
from metacl_run.layout.image_files import PAPER_SUFFIXES, save
from metacl_run.layout.seed_lines import SeedLine, extent, labelled_lines
from metacl_run.layout.style import (
    GREY,
    PALE,
    PAPER_RC,
    RC,
    accuracy_axis,
    error_axis,
    integer_ticks,
    page,
)
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.run_files import PAPER

MOST_POINTS = 25
"""Most points of a curve that are marked."""
SIZE = (6.0, 3.2)
WIDEST_LABEL = 36
"""Characters of a label on one line."""
POINT_SHARE = 0.75
"""Size of a curve's points, as a share of the markers of the style."""


class DrawnFigure(NamedTuple):
    """A figure of the report."""

    name: str
    """Of its files, without suffix."""
    title: str
    explanation: str
    """Of what it shows; the image has the title, and says what lines and bars are."""


def draw(
    scores: SectionScores, colours: Mapping[str, str], folder: Path, stem: str, *, for_paper: bool = False
) -> tuple[list[DrawnFigure], list[str]]:
    """Writes <stem>_<name>.png and .svg for every figure that the section supports.

    Args:
        scores: of the section.
        colours: by algorithm.
        folder: where the files go.
        stem: the beginning of their names.
        for_paper: also write paper/<stem>_<name>.pdf and .svg.

    Returns:
        the figures, and a message for each run that could not be drawn.
    """
    figures, problems = section_figures(scores, colours)
    costs = cost_figure(scores, colours)
    every: list[SectionFigure | CostFigure] = [*figures, *([] if costs is None else [costs])]
    written = []
    for figure in every:
        name = f"{stem}_{figure.name}"
        with matplotlib.rc_context(RC):
            save(figure.draw(), folder / name)
        if for_paper:
            (folder / PAPER).mkdir(exist_ok=True)
            save(figure.draw_for_paper(), folder / PAPER / name, PAPER_SUFFIXES)
        written.append(DrawnFigure(name, f"{figure.title}, {scores.section.title}", figure.explanation))
    return written, problems


class SectionFigure(NamedTuple):
    """A figure of a section, not yet drawn."""

    scores: SectionScores
    about: CurveFigure
    curves: dict[str, Curve]
    """By row."""
    looks: dict[str, Look]
    """By row."""

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def title(self) -> str:
        return self.about.title

    @property
    def explanation(self) -> str:
        return self.about.explanation

    def draw(self) -> Figure:
        """Returns it for a screen, with title and caption."""
        with matplotlib.rc_context(RC):
            names = [line.name for line in self._lines()]
            longest = max(len(part) for name in names for part in name.split("\n"))
            right = max(1.2, 0.45 + 0.076 * longest)
            about = _about_lines(self.scores, list(self.curves))
            size = (SIZE[0], max(SIZE[1], height_of_labels(names)))
            sheet, axes = page(self.title, self.scores.section.title, about, size, right=right)
            self.draw_in([axes])
        return sheet

    def draw_for_paper(self) -> Figure:
        """Returns it in the width of a column, without title and caption."""
        with matplotlib.rc_context(PAPER_RC):
            figure, panels = paper_panels(Canvas())
            self.draw_in(panels, short=True)
            figure.set_figheight(figure.get_figheight() + legend_height(panels[0]))
        return figure

    def draw_in(self, panels: Sequence[Axes], *, short: bool = False) -> None:
        """Draws it in one panel, under the rcParams in effect; with `short` names of rows that are shorter."""
        (axes,) = panels
        lines, score = self._lines(short=short), SCORES[self.scores.section.score]
        widest = score.largest - score.least
        possible = (-widest, widest) if self.about.is_difference else (score.least, score.largest)
        start, stop = min(line.x.min() for line in lines), max(line.x.max() for line in lines)
        axes.set_xlim(start - (0.5 if start == stop else 0), stop + (0.5 if start == stop else 0))
        whole = np.concatenate([extent(line.values, possible) for line in lines])
        if self.about.is_difference:
            _difference_axis(axes, whole)
        elif score.higher_is_better:
            accuracy_axis(axes, whole, None)
        else:
            error_axis(axes, np.concatenate([line.values.mean(axis=0) for line in lines]), whole)
        axes.set_xlabel(self.about.x_label)
        axes.set_ylabel(self.about.y_label)
        integer_ticks(axes.xaxis, 10)
        size = matplotlib.rcParams["lines.markersize"] * POINT_SHARE
        labelled_lines(axes, lines, possible, point_size=size if max(len(line.x) for line in lines) <= MOST_POINTS else 0)

    def _lines(self, *, short: bool = False) -> list[SeedLine]:
        names = {label: short_label(label) if short else label for label in self.curves}
        wrapped = {
            label: name if short else "\n".join(textwrap.wrap(name, WIDEST_LABEL, break_long_words=True))
            for label, name in names.items()
        }
        return [
            SeedLine(wrapped[label], *curve, self.looks[label].colour, self.looks[label].style)
            for label, curve in self.curves.items()
        ]


def section_figures(scores: SectionScores, colours: Mapping[str, str] | None = None) -> tuple[list[SectionFigure], list[str]]:
    """Returns the figures that a section supports, and a message for each run that is in none.

    Args:
        scores: of the section.
        colours: by algorithm; None: as if the section were alone on its page.
    """
    labels = drawn_rows(scores)
    look_of = looks(scores, labels, colours or algorithm_colours([scores]))
    figures: list[SectionFigure] = []
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
        if curves:
            figures.append(SectionFigure(scores, figure, curves, look_of))
    return figures, list(problems)


def _about_lines(scores: SectionScores, labels: list[str]) -> str:
    """Explains the lines and bands, and says how many configurations are left out."""
    counts = {min(FEWEST, len(scores.section.configurations[label].seeds)) for label in labels}
    words = {
        FEWEST: f"Mean over seeds with its 95% interval (Student t){'' if counts == {FEWEST} else f' of {FEWEST} or more'}.",
        2: "Two seeds: their mean, and thin lines for single seeds.",
        1: "One seed in every row, so no interval." if counts == {1} else "One seed: the line alone.",
    }
    text = " ".join(words[count] for count in sorted(counts, reverse=True))
    return f"{text} {drawn_words(len(labels), len(scores.labels))}".strip()


def _difference_axis(axes: Axes, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    low, high = min(0.0, float(finite.min())), max(0.0, float(finite.max()))
    margin = 0.06 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    axes.axhline(0, color=GREY, lw=0.8, zorder=1.5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.grid(axis="y", color=PALE, lw=0.6)
