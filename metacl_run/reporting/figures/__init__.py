"""The figures of a run, one file for each, in the order of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from metacl_run.core.files import storage_errors
from metacl_run.layout.image_files import METADATA, save
from metacl_run.layout.style import RC
from metacl_run.reporting.figures import (
    accuracy_by_task,
    accuracy_matrix,
    choice_of_rate,
    feature_drift,
    forgetting,
    forgetting_curve,
    gate_activity,
    gradient_alignment,
    interference,
    learned_rates,
    learning_curve,
    mean_accuracy,
    probes,
    representation,
    sequence_accuracy,
    stability_gap,
    training_loss,
)
from metacl_run.reporting.figures.run_figure import PreparedFigure, RunFigure
from metacl_run.storage.run_files import FIGURES as FOLDER
from metacl_run.storage.stored_run import StoredRun

FIGURES: tuple[RunFigure[Any], ...] = (
    sequence_accuracy.FIGURE,
    forgetting_curve.FIGURE,
    learning_curve.FIGURE,
    accuracy_by_task.FIGURE,
    mean_accuracy.FIGURE,
    stability_gap.FIGURE,
    forgetting.FIGURE,
    accuracy_matrix.FIGURE,
    choice_of_rate.FIGURE,
    probes.FIGURE,
    training_loss.FIGURE,
    representation.FIGURE,
    gate_activity.FIGURE,
    interference.FIGURE,
    gradient_alignment.FIGURE,
    feature_drift.FIGURE,
    learned_rates.FIGURE,
)


def figures_of(run: StoredRun) -> list[PreparedFigure]:
    """Returns the figures that the run's files support; none of a run that failed before its tasks were known, or of the
    evaluation of a learner that had finished."""
    figures = (figure.of_run(run) for figure in FIGURES if run.num_tasks and not run.is_last_row_alone)
    return [figure for figure in figures if figure is not None]


def draw(run: StoredRun) -> list[Path]:
    """Writes figures/<name>.png and .svg for every figure that the run supports, and removes those it does not."""
    folder = run.directory / FOLDER
    figures = figures_of(run)
    with storage_errors(run.directory):
        folder.mkdir(exist_ok=True)
        for name in {figure.name for figure in FIGURES} - {figure.name for figure in figures}:
            for suffix in METADATA:
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    with matplotlib.rc_context(RC):
        return [path for figure in figures for path in save(figure.draw(), folder / figure.name)]
