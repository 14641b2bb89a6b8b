"""Where a learner that acts goes: the same episodes of every task, right after it was learned and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.canvas import EMPTY, Canvas, Mosaic
from metacl_run.layout.style import BLUE, GREY, INK, PALE, VERMILLION, label_points
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import task_label
from metacl_run.storage.rollout_file import Episodes, Rollouts, TaskRollouts
from metacl_run.storage.stored_run import StoredRun

MOST_TASKS = 10
"""Of more, as many, spread evenly."""
COLUMNS = 5
FEWEST_COLUMNS = 4
"""Below that the title would be cut off: with fewer tasks the other places stay empty."""
MARGIN = 0.06
"""Around all paths, as a share of their extent."""
PALENESS = 0.25
"""Opacity of what came after a success."""
STILL = 1e-6
"""A thing that never moves further than this marks a goal."""


def data(run: StoredRun) -> list[TaskRollouts] | None:
    """The tasks that are drawn."""
    read = run.rollouts
    if read is None or not read.tasks:
        return None
    places = np.linspace(0, len(read.tasks) - 1, min(len(read.tasks), MOST_TASKS)).round().astype(int)
    return [read.tasks[place] for place in places]


def text(run: StoredRun, tasks: list[TaskRollouts]) -> FigureText:
    acts = tasks[0].things[0]
    moving: list[str] = []
    still: list[str] = []
    for task in tasks:
        for thing, stays in list(zip(task.things, _never_moves(task), strict=True))[1:]:
            (still if stays else moving).append(thing)
    others = [
        f"Black dot: where the {acts} starts.",
        f"Grey: {_listed(moving)}, with a square where the {acts}'s path ends." if moving else "",
        f"Ring: {_listed(still)}." if still else "",
        "Pale: what came after the goal was reached."
        if any(_goes_on(episodes) for task in tasks for episodes in _moments(task))
        else "",
    ]
    left_out = "" if len(tasks) == run.num_tasks else f"{len(tasks)} of {run.num_tasks} tasks, spread evenly."
    seed = f"Seed {_rollouts(run).seed}." if len(run.seeds) > 1 else ""
    reaches = f"Blue: the {acts} in an episode that reaches its goal; vermillion: in one that does not."
    return FigureText(
        f"Where the {acts} goes, right after a task was learned and at the end",
        " ".join(part for part in (reaches, *others, seed, left_out) if part),
        f"{len(tasks[0].at_the_end.successes)} episodes of every task, from the same placements in both rows, seen from above. "
        "The numbers say how many reach the goal at any time. If blue paths of the upper row are vermillion in the lower "
        "row, the task was forgotten, and they show what the learner does instead.",
    )


def canvas(run: StoredRun, tasks: list[TaskRollouts]) -> Canvas:
    mosaic = _mosaic(len(tasks))
    columns, rows = len(mosaic[0]), len(mosaic)
    side = 1.5
    return Canvas(
        (columns * (side + 0.15) - 0.15, rows * (side + 0.3) - 0.3),
        right=0.3,
        mosaic=mosaic,
        gap=(0.15, 0.3),
        columns=2,
        height=0.2 + 1.35 * rows,
    )


def draw(run: StoredRun, tasks: list[TaskRollouts], panels: Sequence[Axes]) -> None:
    everything = np.concatenate([episodes.points.reshape(-1, 2) for task in tasks for episodes in _moments(task)])
    known = everything[np.isfinite(everything).all(axis=1)]
    (low, high), names = (known.min(axis=0), known.max(axis=0)), ("right after", "at the end")
    room = MARGIN * float((high - low).max())
    for place, task in enumerate(tasks):
        still = _never_moves(task)
        for moment, episodes in enumerate(_moments(task)):
            axes = panels[2 * place + moment]
            _draw_episodes(axes, episodes, still)
            axes.set_xlim(low[0] - room, high[0] + room)
            axes.set_ylim(low[1] - room, high[1] + room)
            axes.set_aspect("equal", adjustable="box")
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set(visible=True, color=PALE)
            successes = f"{int(episodes.successes.sum())}/{len(episodes.successes)}"
            title = task_label(run, task.task, 15) if moment == 0 else ""
            axes.set_title(title, fontsize=label_points(), loc="left", pad=3)
            axes.set_title(successes, fontsize="small", loc="right", pad=3, color=GREY)
            if place % COLUMNS == 0:
                axes.set_ylabel(names[moment])


def _draw_episodes(axes: Axes, episodes: Episodes, still: np.ndarray) -> None:
    """The paths of everything that moves; the one that acts on top of the others."""
    for points, reaches, end in zip(episodes.points, episodes.successes, episodes.ends.tolist(), strict=True):
        colour = BLUE if reaches else VERMILLION
        until, after = points[: end + 1], points[end:]
        for thing in range(1, points.shape[1]):
            if still[thing]:
                axes.plot(*points[0, thing], "o", ms=5, mfc="none", mec=GREY, mew=0.9, zorder=2)
            else:
                axes.plot(*until[:, thing].T, color=GREY, lw=2.2, alpha=0.55, zorder=1.5)
                if len(after) > 1:
                    axes.plot(*after[:, thing].T, color=GREY, lw=2.2, alpha=0.55 * PALENESS, zorder=1.4)
                axes.plot(*until[-1, thing], "s", ms=3.5, color=GREY, zorder=2)
        axes.plot(*until[:, 0].T, color=colour, lw=1.1, zorder=3)
        if len(after) > 1:
            axes.plot(*after[:, 0].T, color=colour, lw=1.1, alpha=PALENESS, zorder=2.9)
        axes.plot(*points[0, 0], "o", ms=2.5, color=INK, zorder=3.5)


def _goes_on(episodes: Episodes) -> bool:
    """Whether anything is drawn that came after a success."""
    return bool((episodes.ends < episodes.points.shape[1] - 1).any())


def _mosaic(count: int) -> Mosaic:
    """Pairs of rows, the upper one for right after learning; panel 2 k is that of task k, 2 k + 1 the one below it."""
    rows: list[tuple[int, ...]] = []
    columns = min(max(count, FEWEST_COLUMNS), COLUMNS)
    for first in range(0, count, columns):
        places = range(first, first + columns)
        rows += [tuple(2 * place + moment if place < count else EMPTY for place in places) for moment in (0, 1)]
    return tuple(rows)


def _never_moves(task: TaskRollouts) -> np.ndarray:
    """[N] whether a thing stays where it is in all episodes."""
    extents = [np.nanmax(np.ptp(episodes.points, axis=1), axis=(0, 2)) for episodes in _moments(task)]
    return np.asarray(np.max(extents, axis=0) < STILL)


def _moments(task: TaskRollouts) -> tuple[Episodes, Episodes]:
    return task.right_after_learning, task.at_the_end


def _rollouts(run: StoredRun) -> Rollouts:
    read: Any = run.rollouts
    assert isinstance(read, Rollouts)
    return read


def _listed(things: Sequence[str]) -> str:
    *others, last = dict.fromkeys(things)
    return f"{', '.join(others)} or {last}" if others else last


FIGURE = RunFigure(name="rollouts", data=data, text=text, canvas=canvas, draw=draw)
