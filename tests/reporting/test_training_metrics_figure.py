"""The figure of what a method of one's own records beside its loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from metacl_run.reporting.figures import figures_of
from metacl_run.storage.stored_run import StoredRun, Training
from tests.support.figures import axes_of, text_of


def with_metrics(run_dir: Path, **metrics: np.ndarray) -> StoredRun:
    """A run that has recorded metrics [R, N], and its loss."""
    run, (replicates, count) = StoredRun(run_dir), next(iter(metrics.values())).shape
    loss = {"loss": np.ones((replicates, count)), "accuracy": np.ones((replicates, count))}
    vars(run)["training"] = Training(np.arange(1, count + 1), {**loss, **metrics})
    return run


def test_every_metric_has_a_panel_of_its_own_scale(make_run: Callable[..., Path]) -> None:
    far = np.array([[0.0, 100.0, 200.0], [0.0, 300.0, 400.0]])
    run = with_metrics(make_run(tasks=1, replicates=2), distance=far, temperature=np.full((2, 3), 0.5))
    first, second = axes_of(run, "training_metrics")
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["distance", "temperature"]
    mean = next(line for line in first.lines if line.get_linewidth() == 1.7)
    np.testing.assert_allclose(mean.get_ydata(), [0.0, 200.0, 300.0])
    assert first.get_ylim()[1] > 300 > 10 > second.get_ylim()[1]
    assert "more are in metrics.jsonl" not in text_of(run, "training_metrics").explanation


def test_of_many_metrics_the_first_twelve_are_drawn(make_run: Callable[..., Path]) -> None:
    run = with_metrics(make_run(tasks=1), **{f"m{number}": np.ones((1, 3)) for number in range(14)})
    assert len(axes_of(run, "training_metrics")) == 12
    assert text_of(run, "training_metrics").explanation.endswith(" 2 more are in metrics.jsonl.")


def test_methods_without_metrics_of_their_own_have_no_such_figure(make_run: Callable[..., Path]) -> None:
    run = with_metrics(make_run(tasks=1), never=np.full((1, 3), np.nan))
    assert "training_metrics" not in {figure.name for figure in figures_of(run)}
