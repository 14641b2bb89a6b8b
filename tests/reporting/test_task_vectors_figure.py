"""The figure of task vectors: a point for each episode, a numbered circle for each task, and its absence elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from metacl_run.reporting.figures import names
from metacl_run.storage.stored_run import StoredRun
from tests.support.figures import axes_of, text_of
from tests.support.stored_acting import with_task_vectors


def test_points_of_the_first_seed_and_the_means_of_tasks(make_run: Callable[..., Path]) -> None:
    run = with_task_vectors(make_run(tasks=3, replicates=2))
    (axes,) = axes_of(run, "task_vectors")
    points = np.array(run.summary["task_vectors"]["points"][0])
    episodes, means = axes.collections[:3], axes.collections[3:]
    for task, (cloud, middle) in enumerate(zip(episodes, means, strict=True)):
        np.testing.assert_allclose(cloud.get_offsets(), points[task])
        np.testing.assert_allclose(middle.get_offsets()[0], points[task].mean(0))
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]
    assert "25% is between tasks" in text_of(run, "task_vectors").caption
    assert "90% of the variance" in text_of(run, "task_vectors").caption


def test_one_task_has_points_alone(make_run: Callable[..., Path]) -> None:
    run = with_task_vectors(make_run(tasks=1))
    (axes,) = axes_of(run, "task_vectors")
    assert len(axes.collections) == 1
    assert "between tasks" not in text_of(run, "task_vectors").caption


def test_a_run_that_measured_none_has_no_such_figure(make_run: Callable[..., Path]) -> None:
    assert "task_vectors" not in names(StoredRun(make_run()))
