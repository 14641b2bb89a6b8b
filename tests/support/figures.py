"""The figures of a stored run, by name."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metacl_run.reporting.figures import figures_of
from metacl_run.reporting.figures.run_figure import FigureText
from metacl_run.storage.stored_run import StoredRun


def text_of(run: StoredRun, name: str) -> FigureText:
    return next(figure.text for figure in figures_of(run) if figure.name == name)


def drawn(run: StoredRun, name: str) -> Figure:
    return next(figure for figure in figures_of(run) if figure.name == name).draw()


def axes_of(run: StoredRun, name: str) -> list[Axes]:
    return drawn(run, name).axes
