"""The interface of a figure of a run: its data, which say whether it applies, its text and its drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.style import page
from metacl_run.reporting.phrases import subtitle
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun

SIZE = (6.0, 3.2)
D = TypeVar("D")


class FigureText(NamedTuple):
    title: str
    caption: str
    """One line, drawn under the axes."""
    explanation: str
    """How to read the figure; for the report."""


class PreparedFigure(NamedTuple):
    """A figure of one run."""

    name: str
    text: FigureText
    draw: Callable[[], Figure]


@dataclass(frozen=True, kw_only=True)
class RunFigure(Generic[D]):
    """One figure.

    Attributes:
        name: of its files, without suffix.
        data: returns what is drawn of a run; None where its files do not support the figure.
        text: what is written about it.
        draw: draws it, with its title and caption.
    """

    name: str
    data: Callable[[StoredRun], D | None]
    text: Callable[[StoredRun, D], FigureText]
    draw: Callable[[StoredRun, D, FigureText], Figure]

    def of_run(self, run: StoredRun) -> PreparedFigure | None:
        """Returns the figure of a run, not yet drawn; None where the run does not support it."""
        data = self.data(run)
        if data is None:
            return None
        text = self.text(run, data)
        return PreparedFigure(self.name, text, lambda: self.draw(run, data, text))


def sheet(
    run: StoredRun,
    text: FigureText,
    size: tuple[float, float] = SIZE,
    *,
    right: float = 1.9,
    left: float = 0.75,
    below: float = 0.0,
) -> tuple[Figure, Axes]:
    """Returns a figure with its texts and axes of `size` inches; see `layout.style.page`."""
    return page(text.title, subtitle(run), text.caption, size, right=right, left=left, below=below)


def has_several_tasks(run: StoredRun) -> bool:
    """Whether tasks were learned one after another, each evaluated after each."""
    return run.sequences is None and run.num_tasks > 1


def meta_test_of(run: StoredRun) -> MetaTestScores | None:
    """Returns the meta-test of a run under `meta_continual`; None under other protocols, or if the run did not get that far."""
    return run.sequences.meta_test if run.sequences is not None else None


def mark_sentence(test: MetaTestScores) -> str:
    """The mark that begins the texts about scores whose learning rate was tuned on what they are measured on."""
    return f"{test.tuned_mark.capitalize()}. " if test.tuned_on_test else ""
