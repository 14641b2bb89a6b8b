"""The vectors by which a learner describes tasks, a point for each episode: how similar it finds the tasks of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import Canvas
from metacl_run.layout.style import GREY, INK, PALE, ink_on, label_points, task_colours
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import task_label
from metacl_run.storage.stored_run import StoredRun

MOST_NAMES = 10
"""Tasks of which every one is named beside its number."""
SIDE = 3.4


@dataclass(frozen=True, kw_only=True)
class TaskVectors:
    """Of the first seed.

    Attributes:
        points: [K, E, 2] of episodes of every task.
        size: numbers in a vector.
        shown: share of their variance that the two directions have; None where it is not finite.
        between: [R] or fewer, the share that is between tasks.
    """

    points: np.ndarray
    size: int
    shown: float | None
    between: list[float]


def data(run: StoredRun) -> TaskVectors | None:
    measured = run.summary.get("task_vectors")
    if measured is None:
        return None
    between = [share for share in measured["between"] if share is not None]
    return TaskVectors(
        points=np.array(measured["points"][0], dtype=float), size=measured["size"], shown=measured["shown"][0], between=between
    )


def text(run: StoredRun, vectors: TaskVectors) -> FigureText:
    seed = f" Seed {run.seeds[0]}." if len(run.seeds) > 1 else ""
    known = vectors.size > 2 and vectors.shown is not None
    plane = f" The two directions shown have {vectors.shown:.0%} of the variance." if known else ""
    share = f" Of the variance, {np.mean(vectors.between):.0%} is between tasks." if vectors.between else ""
    return FigureText(
        "How similar the learner finds the tasks",
        f"Points: the context after adapting to an episode. Circles: means of tasks.{share}{plane}{seed}",
        f"The context vector, of {vectors.size} numbers, is all that this learner changes for a task. Tasks whose circles lie "
        "together are solved in the same way; a task whose points are spread out has episodes that differ. The share of the "
        "variance between tasks is 0% if tasks cannot be told apart, 100% if every task has a single context. Measured at "
        "the end of the run, on evaluation episodes.",
    )


def canvas(run: StoredRun, vectors: TaskVectors) -> Canvas:
    return Canvas((1.5 * SIDE, SIDE), height=2.6)


def draw(run: StoredRun, vectors: TaskVectors, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    tasks, colours = len(vectors.points), task_colours(len(vectors.points))
    for points, colour in zip(vectors.points, colours, strict=True):
        axes.scatter(points[:, 0], points[:, 1], s=9, color=colour, alpha=0.55, lw=0, zorder=2)
    for number, (points, colour) in enumerate(zip(vectors.points, colours, strict=True)):
        if tasks == 1:
            break
        x, y = points.mean(axis=0).tolist()
        name = task_label(run, number) if tasks <= MOST_NAMES else None
        axes.scatter(x, y, s=110, color=colour, edgecolor="white", lw=1.2, zorder=3, label=name)
        axes.text(x, y, str(number + 1), color=ink_on(colour), ha="center", va="center", fontsize=label_points(), zorder=4)
    axes.axhline(0, color=PALE, lw=0.6, zorder=1)
    axes.axvline(0, color=PALE, lw=0.6, zorder=1)
    words = ("principal component 1", "principal component 2") if vectors.size > 2 else ("context 1", "context 2")
    axes.set_xlabel(words[0], color=INK)
    axes.set_ylabel(words[1], color=INK)
    axes.tick_params(colors=GREY)
    axes.set_aspect("equal", adjustable="datalim")
    if 1 < tasks <= MOST_NAMES:
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=label_points(), markerscale=0.6)


FIGURE = RunFigure(name="task_vectors", data=data, text=text, canvas=canvas, draw=draw)
