"""The interface of a figure of a run: when it applies, its texts and its drawing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.layout.style import page
from metacl_run.reporting.phrases import subtitle
from metacl_run.storage.sequence_records import MetaTestScores
from metacl_run.storage.stored_run import StoredRun

SIZE = (6.0, 3.2)


class FigureText(NamedTuple):
    title: str
    caption: str
    """One line, drawn under the axes."""
    explanation: str
    """How to read the figure; for the report."""


@dataclass(frozen=True, kw_only=True)
class RunFigure:
    """One figure.

    Attributes:
        name: of its files, without suffix.
        applies: whether the run's files support it.
        text: what is written about it.
        draw: draws it, with its title and caption.
    """

    name: str
    applies: Callable[[StoredRun], bool]
    text: Callable[[StoredRun], FigureText]
    draw: Callable[[StoredRun, FigureText], Figure]


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


def tuned_mark(test: MetaTestScores) -> str:
    """The mark that begins the texts about scores whose learning rate was tuned on what they are measured on."""
    return f"{test.tuned_mark.capitalize()}. " if test.tuned_on_test else ""
