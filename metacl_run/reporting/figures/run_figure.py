"""The interface of a figure of a run: its data, which say whether it applies, its text, its canvas and its drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.canvas import Canvas, paper_panels, sheet_panels
from metacl_run.layout.style import PAPER_RC, RC
from metacl_run.reporting.phrases import subtitle
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun

D = TypeVar("D")
FEWEST_EVALUATIONS = 2
"""Of which a line can be drawn."""


class FigureText(NamedTuple):
    title: str
    caption: str
    """One line, drawn under the axes."""
    explanation: str
    """How to read the figure; for the report."""


class PreparedFigure(NamedTuple):
    """A figure of one run, not yet drawn."""

    name: str
    text: FigureText
    subtitle: str
    canvas: Canvas
    draw_in: Callable[[Sequence[Axes]], None]
    """Draws in panels that `canvas` describes, under the rcParams in effect."""

    def draw(self) -> Figure:
        """Returns it for a screen, with title and caption."""
        with matplotlib.rc_context(RC):
            figure, panels = sheet_panels(self.canvas, self.text.title, self.subtitle, self.text.caption)
            self.draw_in(panels)
        return figure

    def draw_for_paper(self) -> Figure:
        """Returns it in a column's width for a paper, without title and caption."""
        with matplotlib.rc_context(PAPER_RC):
            figure, panels = paper_panels(self.canvas)
            self.draw_in(panels)
        return figure


@dataclass(frozen=True, kw_only=True)
class RunFigure(Generic[D]):
    """One figure.

    Attributes:
        name: of its files, without suffix.
        data: returns what is drawn of a run; None where its files do not support the figure.
        text: what is written about it.
        canvas: its panels and their size.
        draw: draws in the panels of its canvas. Sizes of letters and lines are those of the rcParams in effect.
    """

    name: str
    data: Callable[[StoredRun], D | None]
    text: Callable[[StoredRun, D], FigureText]
    canvas: Callable[[StoredRun, D], Canvas] = lambda run, data: Canvas()
    draw: Callable[[StoredRun, D, Sequence[Axes]], None]

    def of_run(self, run: StoredRun) -> PreparedFigure | None:
        """Returns the figure of a run, not yet drawn; None where the run does not support it."""
        data = self.data(run)
        if data is None:
            return None
        text, canvas = self.text(run, data), self.canvas(run, data)
        return PreparedFigure(self.name, text, subtitle(run), canvas, lambda panels: self.draw(run, data, panels))


def has_several_tasks(run: StoredRun) -> bool:
    """Whether tasks were learned one after another, each evaluated after each."""
    return run.learns_task_by_task and run.num_tasks > 1


def mark_sentence(test: MetaTestScores) -> str:
    """The mark that begins the texts about scores whose learning rate was tuned on what they are measured on."""
    return f"{test.tuned_mark.capitalize()}. " if test.tuned_on_test else ""
