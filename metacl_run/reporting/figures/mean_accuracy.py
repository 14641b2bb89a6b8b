"""The mean score over the tasks seen so far and, where tasks to come were evaluated, over all tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, labelled_lines
from metacl_run.layout.style import BLUE, VERMILLION
from metacl_run.reporting.axes import score_axis, work_axis
from metacl_run.reporting.figures.run_figure import FEWEST_EVALUATIONS, FigureText, RunFigure, has_several_tasks
from metacl_run.reporting.phrases import phrases, spread_words
from metacl_run.storage.stored_run import Evaluations, StoredRun


def data(run: StoredRun) -> Evaluations | None:
    return run.evaluations if has_several_tasks(run) and len(run.evaluations.units) >= FEWEST_EVALUATIONS else None


def text(run: StoredRun, evaluations: Evaluations) -> FigureText:
    words = phrases(run.score)
    title = f"{words.mean.capitalize()} over the tasks seen so far"
    caption = f"Seen so far includes the task being learned. {spread_words(run)}"
    if not run.future_is_evaluated:
        return FigureText(
            title,
            caption,
            f"The end point is the {run.score.score_words} reported for the run. Future tasks were not evaluated: "
            "protocol.eval_future=all evaluates them too.",
        )
    meet = (
        f"The two lines meet when the last task begins; their end point is the {run.score.score_words} reported for the run."
        if evaluations.tasks_seen[-1] == run.num_tasks
        else "The two lines would meet when the last task begins, which this run did not reach."
    )
    return FigureText(
        f"{title}, and over all tasks",
        caption,
        f"{meet} If the {words.seen_line} line has a {words.dip} at a task switch, the new task is not learned yet and "
        "interferes with the earlier ones.",
    )


def draw(run: StoredRun, evaluations: Evaluations, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    work_axis(axes, run, strip=True)
    lines = [SeedLine("tasks seen so far", evaluations.units, mean_of_seen(evaluations), BLUE)]
    if run.future_is_evaluated:
        lines.append(SeedLine("all tasks", evaluations.units, evaluations.scores.mean(axis=2), VERMILLION, "--"))
    score_axis(axes, run, np.stack([line.values for line in lines], -1), run.chance)
    axes.set_ylabel(phrases(run.score).mean)
    labelled_lines(axes, lines, run.possible, run.score)


def mean_of_seen(evaluations: Evaluations) -> np.ndarray:
    """Returns [R, P] the mean over the tasks seen so far; NaN where not all of them were evaluated."""
    means = [evaluations.scores[:, p, : number or None].mean(axis=1) for p, number in enumerate(evaluations.tasks_seen)]
    return np.stack(means, axis=1)


FIGURE = RunFigure(name="mean_accuracy", data=data, text=text, draw=draw)
