"""What the rows of a section cost to train: a table, and the score beside each measure of cost. What replay costs is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.comparison.configurations import Configuration
from metacl_run.comparison.drawn_rows import Look, algorithm_colours, drawn_rows, drawn_words, looks, short_label
from metacl_run.comparison.section_scores import SectionScores
from metacl_run.layout.canvas import Canvas, paper_panels, sheet_panels
from metacl_run.layout.cost_words import BESIDE_SCORES, MEASURES, about_costs, cost_text
from metacl_run.layout.grid import Cell, Grid
from metacl_run.layout.log_axis import log_axis
from metacl_run.layout.style import PAPER_RC, RC, accuracy_axis, error_axis, label_points
from metacl_run.scoring.intervals import FEWEST
from metacl_run.scoring.scores import SCORES
from metacl_run.storage.run_cost import RunCost


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
    headings = ["algorithm", *(MEASURES[name] for name in known)]
    return Grid(f"{scores.section.title}: costs of training", headings, rows, [about_costs(known, rows)])


class CostFigure(NamedTuple):
    """The score of each row beside what it cost, a panel for each measure."""

    scores: SectionScores
    rows: dict[str, Look]
    """Those that are drawn."""
    measures: list[str]
    name: str = "cost"

    @property
    def title(self) -> str:
        return f"{SCORES[self.scores.section.score].score_words.capitalize()} and what it cost"

    @property
    def explanation(self) -> str:
        return "Costs are on logarithmic axes. The table of costs says what is counted."

    @property
    def _legend_words(self) -> str:
        """What stands below the figure on a screen."""
        score = SCORES[self.scores.section.score].score_name
        with_interval = [label for label in self.rows if self.scores.statistics[score][label].num >= FEWEST]
        bars = (
            "Bars: the 95% interval over seeds." if with_interval else f"Fewer than {FEWEST} seeds in every row: no interval."
        )
        return f"{bars} {drawn_words(len(self.rows), len(self.scores.labels))}".strip()

    def draw(self) -> Figure:
        """Returns it for a screen, with title and caption."""
        with matplotlib.rc_context(RC):
            longest = max(map(len, self.rows))
            canvas = self._canvas._replace(right=max(1.4, 0.5 + 0.076 * longest))
            figure, panels = sheet_panels(canvas, self.title, self.scores.section.title, self._legend_words)
            self.draw_in(panels)
        return figure

    def draw_for_paper(self) -> Figure:
        """Returns it in the width of two columns, without title and caption."""
        with matplotlib.rc_context(PAPER_RC):
            figure, panels = paper_panels(self._canvas)
            self.draw_in(panels, short=True)
        return figure

    @property
    def _canvas(self) -> Canvas:
        count = len(self.measures)
        return Canvas(size=(2.6 * count, 2.8), mosaic=(tuple(range(count)),), gap=(0.35, 0.0), columns=2)

    def draw_in(self, panels: Sequence[Axes], *, short: bool = False) -> None:
        """Draws it in its panels, under the rcParams in effect; with `short` names of rows that are shorter."""
        score = SCORES[self.scores.section.score]
        statistics = [self.scores.statistics[score.score_name][label] for label in self.rows]
        means = np.array([row.mean for row in statistics])
        bounds = np.array([[row.low, row.high] for row in statistics])
        for axes, measure in zip(panels, self.measures, strict=True):
            for place, (label, look) in enumerate(self.rows.items()):
                cost = cost_of_row(self.scores.section.configurations[label], measure) or 0.0
                name = short_label(label) if short else label
                axes.plot(cost, means[place], look.marker, color=look.colour, ms=5, label=name, zorder=3)
                if np.isfinite(bounds[place]).all():
                    axes.vlines(cost, *bounds[place], color=look.colour, lw=1.2, zorder=2)
            log_axis(axes, "x")
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


def cost_figure(scores: SectionScores, colours: Mapping[str, str] | None = None) -> CostFigure | None:
    """The figure of a section; None where fewer than two rows have a score and a cost.

    Args:
        scores: of the section.
        colours: by algorithm; None: as if the section were alone on its page.
    """
    score = SCORES[scores.section.score].score_name
    if score not in scores.statistics:
        return None
    labels = drawn_rows(scores, [label for label in scores.labels if np.isfinite(scores.statistics[score][label].mean)])
    rows = scores.section.configurations
    measures = [
        name
        for name in BESIDE_SCORES
        if all((cost := cost_of_row(rows[label], name)) is not None and cost > 0 for label in labels)
    ]
    if len(labels) < 2 or not measures:
        return None
    return CostFigure(scores, looks(scores, labels, colours or algorithm_colours([scores])), measures)
