"""The vectors of tasks in a plane, and how much of their variance is between tasks."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.experiment import run
from metacl_run.protocols.continual_meta.task_similarity import EPISODES, between_tasks, plane


def test_a_plane_in_five_dimensions_is_recovered_and_keeps_its_distances() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(3, 10, 2)) * [4.0, 1.0]
    directions, _ = np.linalg.qr(rng.normal(size=(5, 2)))
    points, share = plane(flat @ directions.T + rng.normal(size=5))
    assert share == pytest.approx(1)
    apart, expected = (np.linalg.norm(x.reshape(-1, 1, 2) - x.reshape(1, -1, 2), axis=-1) for x in (points, flat))
    np.testing.assert_allclose(apart, expected)
    assert points[..., 0].var() > points[..., 1].var()
    np.testing.assert_array_equal(plane(flat)[0], flat)
    np.testing.assert_array_equal(plane(flat[..., :1])[0][..., 1], 0)


def test_the_share_between_tasks_is_that_of_an_analysis_of_variance() -> None:
    vectors = np.random.default_rng(1).normal(size=(4, 6, 3)) + np.arange(4)[:, None, None]
    within = sum(((task - task.mean(0)) ** 2).sum() for task in vectors)
    total = ((vectors - vectors.mean((0, 1))) ** 2).sum()
    assert between_tasks(vectors) == pytest.approx(1 - within / total)
    assert between_tasks(np.repeat(vectors[:, :1], 6, 1)) == pytest.approx(1)
    assert between_tasks(vectors[:1]) is None
    assert between_tasks(np.zeros((2, 3, 4))) is None


def test_a_run_of_cavia_says_them_for_every_seed(experiment: Callable[..., Experiment]) -> None:
    settings = ["data.num_tasks=2", "protocol.updates_per_task=2", "protocol.eval_episodes=2", "protocol.eval_every=0"]
    built = experiment(
        "algo=cavia", "data=sinusoid", "seeds=[0,1]", "algo.meta_batch_size=2", "figures.style=screen", tiny=settings
    )
    assert run(built) == 0
    measured = json.loads((built.directory / "summary.json").read_text())["task_vectors"]
    assert np.shape(measured["points"]) == (2, 2, EPISODES, 2)
    assert measured["size"] == 5
    assert all(0 <= share <= 1 for share in [*measured["shown"], *measured["between"]])
    assert (built.directory / "figures" / "task_vectors.svg").is_file()
