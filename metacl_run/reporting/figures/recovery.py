"""How a learner recovers after a switch of dynamics: the error of what comes next, adapted to what was seen last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.end_labels import EndLabel, end_labels
from metacl_run.layout.seed_lines import seeds_line
from metacl_run.layout.style import BLUE, VERMILLION, integer_ticks
from metacl_run.reporting.axes import score_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import spread_words
from metacl_run.scoring.metric_table import BEFORE
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> np.ndarray | None:
    """[R, M + 1] the score after 0 to M transitions of new dynamics."""
    measured = run.summary.get("recovery")
    return None if measured is None else np.array(measured["curve"], dtype=float)


def text(run: StoredRun, curve: np.ndarray) -> FigureText:
    score, window = run.score.score_words, curve.shape[1] - 1
    return FigureText(
        "Recovery after a switch of dynamics",
        f"{score.capitalize()} of the next transition, adapted to the last {window}. Dashed: without adapting. "
        f"{spread_words(run)}",
        f"At 0 the dynamics have just changed to others of the same family, and all {window} transitions that the learner "
        f"adapts to are old; at {window} all are new. If the line starts above the dashed one, adapting to the past did "
        f"harm. "
        f"Measured at the end of the run, mean over tasks.",
    )


def draw(run: StoredRun, curve: np.ndarray, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    moments = np.arange(curve.shape[1])
    before = np.array(run.summary["metrics"][f"{BEFORE}{run.score.score_name}"]["values"], dtype=float)
    score_axis(axes, run, np.concatenate([curve, before[:, None]], 1), None)
    axes.axhline(before.mean(), color=VERMILLION, lw=1.0, ls="--", zorder=1.5)
    seeds_line(axes, moments, curve, BLUE)
    axes.set_xlim(0, moments[-1])
    integer_ticks(axes.xaxis, 8)
    axes.set_xlabel("transitions since the switch")
    ends = [EndLabel(float(curve[:, -1].mean()), "adapting", BLUE), EndLabel(float(before.mean()), "not adapting", VERMILLION)]
    end_labels(axes, moments[-1], ends)


FIGURE = RunFigure(name="recovery", data=data, text=text, draw=draw)
