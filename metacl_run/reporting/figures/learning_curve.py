"""The score on held-out data of a single task, beside the score in training."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, labelled_lines, running_means, thinned
from metacl_run.layout.style import BLUE, GREY
from metacl_run.reporting.axes import score_axis, work_axis
from metacl_run.reporting.figures.run_figure import FEWEST_EVALUATIONS, FigureText, RunFigure
from metacl_run.reporting.phrases import phrases, spread_words
from metacl_run.storage.stored_run import Evaluations, StoredRun


def data(run: StoredRun) -> Evaluations | None:
    alone = run.learns_task_by_task and run.num_tasks == 1
    return run.evaluations if alone and len(run.evaluations.units) >= FEWEST_EVALUATIONS else None


def text(run: StoredRun, evaluations: Evaluations) -> FigureText:
    return FigureText(
        "Learning curve",
        f"{run.score.score_words.capitalize()} on held-out data during training. {spread_words(run)}",
        f"If the held-out line stays {phrases(run.score).worse_side} the training line, part of what is learned does not "
        "carry over to unseen data.",
    )


def draw(run: StoredRun, evaluations: Evaluations, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    work_axis(axes, run, strip=False)
    held_out = evaluations.scores[:, :, 0]
    lines = [SeedLine("held out", evaluations.units, held_out, BLUE)]
    if run.score.score_name in run.training.curves:
        units, values = thinned(run.training.units, run.training.curves[run.score.score_name])
        lines.append(SeedLine("in training", units, running_means(values), GREY))
    score_axis(axes, run, held_out, run.chance)
    labelled_lines(axes, lines, run.possible, run.score)


FIGURE = RunFigure(name="accuracy_by_task", data=data, text=text, draw=draw)
