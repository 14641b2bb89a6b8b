"""What the rows of a section cost to train: a table, and the score beside each measure of cost. What replay costs is here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.comparison.configurations import Configuration
from metacl_run.comparison.section_scores import SectionScores
from metacl_run.layout.canvas import Canvas, paper_panels, sheet_panels
from metacl_run.layout.cost_words import ABOUT_COST, MEASURES, cost_text
from metacl_run.layout.grid import Cell, Grid
from metacl_run.layout.style import GREY, INK, PAPER_RC, RC, accuracy_axis, error_axis, label_points, series_colours
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.run_cost import RunCost

MOST_POINTS = 8
"""Most rows of a figure, the first ones."""


def cost_of_row(configuration: Configuration, measure: str) -> float | None:
    """The median over the runs of a row; None where a run does not say."""
    values = [getattr(entry.cost, measure) for entry in configuration.entries]
    return None if None in values else float(np.median(values))


def costs_grid(scores: SectionScores) -> Grid | None:
    """A row for each configuration, a column for each measure that any of them has; None where none has any."""
    rows_of = scores.section.configurations
    costs = {name: [cost_of_row(rows_of[label], name) for label in scores.labels] for name in RunCost._fields}
    known = {name: values for name, values in costs.items() if any(value is not None for value in values)}
    if not known or len(scores.labels) < 2:
        return None
    rows = [
        [Cell(label), *(Cell(cost_text(name, values[place])) for name, values in known.items())]
        for place, label in enumerate(scores.labels)
    ]
    return Grid(
        f"{scores.section.title}: costs of training", ["algorithm", *(MEASURES[name] for name in known)], rows, [ABOUT_COST]
    )


class CostFigure(NamedTuple):
    """The score of each row beside what it cost, a panel for each measure."""

    scores: SectionScores
    labels: list[str]
    """The rows that are drawn."""
    measures: list[str]
    name: str = "cost"

    @property
    def title(self) -> str:
        return f"{SCORES[self.scores.section.score].score_words.capitalize()} and what it cost"

    @property
    def caption(self) -> str:
        left_out = len(self.scores.labels) - len(self.labels)
        return f"{ABOUT_COST} Bars: the 95% interval over seeds.{f' {left_out} rows are left out.' if left_out else ''}"

    def draw(self) -> Figure:
        """Returns it for a screen, with title and caption."""
        with matplotlib.rc_context(RC):
            longest = max(map(len, self.labels))
            canvas = self._canvas._replace(right=max(1.4, 0.5 + 0.076 * longest))
            figure, panels = sheet_panels(canvas, self.title, self.scores.section.title, self.caption)
            self.draw_in(panels)
        return figure

    def draw_for_paper(self) -> Figure:
        """Returns it in the width of two columns, without title and caption."""
        with matplotlib.rc_context(PAPER_RC):
            figure, panels = paper_panels(self._canvas)
            self.draw_in(panels)
        return figure

    @property
    def _canvas(self) -> Canvas:
        count = len(self.measures)
        return Canvas(size=(2.6 * count, 2.8), mosaic=(tuple(range(count)),), gap=(0.35, 0.0), columns=2)

    def draw_in(self, panels: Sequence[Axes]) -> None:
        """Draws it in its panels, under the rcParams in effect."""
        score = SCORES[self.scores.section.score]
        statistics = [self.scores.statistics[score.score_name][label] for label in self.labels]
        means = np.array([row.mean for row in statistics])
        bounds = np.array([[row.low, row.high] for row in statistics])
        colours = [*series_colours(min(6, len(self.labels))), INK, GREY]
        for axes, measure in zip(panels, self.measures, strict=True):
            for place, label in enumerate(self.labels):
                cost = cost_of_row(self.scores.section.configurations[label], measure) or 0.0
                axes.plot(cost, means[place], "o", color=colours[place], ms=5, label=label, zorder=3)
                if np.isfinite(bounds[place]).all():
                    axes.vlines(cost, *bounds[place], color=colours[place], lw=1.2, zorder=2)
            axes.set_xscale("log")
            axes.set_xlabel(MEASURES[measure])
            whole = np.concatenate([means, bounds.ravel()])
            if score.higher_is_better:
                accuracy_axis(axes, whole, None)
            else:
                error_axis(axes, means, whole)
        panels[0].set_ylabel(score.score_words)
        for axes in panels[1:]:
            axes.tick_params(labelleft=False)
        legend = panels[-1].legend(frameon=False, fontsize=label_points(), handletextpad=0.2, borderaxespad=0.2)
        legend.set_loc("upper left")
        legend.set_bbox_to_anchor((1.0, 1.0))


def cost_figure(scores: SectionScores) -> CostFigure | None:
    """The figure of a section; None where fewer than two rows have a score and a cost."""
    score = SCORES[scores.section.score].score_name
    if score not in scores.statistics:
        return None
    labels = [label for label in scores.labels if np.isfinite(scores.statistics[score][label].mean)][:MOST_POINTS]
    rows = scores.section.configurations
    measures = [
        name
        for name in ("examples", "flops", "seconds")
        if all((cost := cost_of_row(rows[label], name)) is not None and cost > 0 for label in labels)
    ]
    return CostFigure(scores, labels, measures) if len(labels) > 1 and measures else None
