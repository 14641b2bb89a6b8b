"""The small meta-tests that are repeated during meta-training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from metacl_run.layout.seed_lines import SeedLine, labelled_lines
from metacl_run.layout.style import BLUE, ORANGE
from metacl_run.reporting.axes import score_axis, work_axis
from metacl_run.reporting.figures.run_figure import FigureText, RunFigure
from metacl_run.reporting.phrases import spread_words
from metacl_run.reporting.sentences import kept_words
from metacl_run.storage.sequence_records import SequenceResults
from metacl_run.storage.stored_run import StoredRun


def data(run: StoredRun) -> SequenceResults | None:
    return run.sequences if run.sequences is not None and len(run.sequences.probe_units) else None


def text(run: StoredRun, sequences: SequenceResults) -> FigureText:
    concepts = f"{sequences.probe_length} {run.score.concepts}"
    where = "" if run.summary["kept"] is None else " that are held out for validation"
    return FigureText(
        "Learning in sequence while the learner is meta-trained",
        f"A meta-test of {concepts}{where}, repeated during meta-training. {spread_words(run)}",
        f"At every point, the current learner learns {concepts} one after another. If the curves are flat, more "
        "meta-updates will hardly help. If held out gets worse while memory gets better, meta-training has begun to overfit. "
        "Probes are small: they show the trend, not the result." + (f" {remark}" if (remark := kept_words(run)) else ""),
    )


def draw(run: StoredRun, sequences: SequenceResults, panels: Sequence[Axes]) -> None:
    (axes,) = panels
    work_axis(axes, run, strip=False)
    lines = [
        SeedLine("held out", sequences.probe_units, sequences.probe_held_out, BLUE),
        SeedLine("memory", sequences.probe_units, sequences.probe_memory, ORANGE),
    ]
    chance = 1 / sequences.probe_length if run.score.higher_is_better else None
    score_axis(axes, run, np.stack([line.values for line in lines], -1), chance)
    axes.set_ylabel(f"{run.score.score_words} on {sequences.probe_length} {run.score.concepts}")
    labelled_lines(axes, lines, run.possible, run.score, point_size=4)


FIGURE = RunFigure(name="probes", data=data, text=text, draw=draw)
