"""Which tasks the episodes of a meta-batch come from, under `continual_meta`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from metacl_run.config.load import Experiment
from metacl_run.core.errors import ConfigError
from metacl_run.protocols.continual_meta.episodes import episode_tasks

EVERY_CLASS = np.iinfo(np.int64).max


def test_without_replay_every_episode_is_of_the_current_task(experiment: Callable[..., Experiment]) -> None:
    tasks, classes = episode_tasks(experiment().algo, 1, np.random.default_rng(0))
    assert tasks.tolist() == [1, 1, 1]
    assert (classes == EVERY_CLASS).all()


def test_the_replay_buffer_gives_its_share_and_divides_its_classes_evenly(experiment: Callable[..., Experiment]) -> None:
    algo = dataclasses.replace(experiment().algo, replay=20, replay_share=0.25, meta_batch_size=8)
    seen = set()
    for seed in range(40):
        tasks, classes = episode_tasks(algo, 3, np.random.default_rng(seed))
        assert (tasks[:2] < 3).all()
        assert (tasks[2:] == 3).all()
        assert classes[:2].tolist() == [20 // 3] * 2
        assert (classes[2:] == EVERY_CLASS).all()
        seen |= set(tasks[:2].tolist())
    assert seen == {0, 1, 2}


def test_replay_never_takes_the_whole_meta_batch(experiment: Callable[..., Experiment]) -> None:
    algo = dataclasses.replace(experiment().algo, replay=20, replay_share=0.95, meta_batch_size=8)
    tasks, _ = episode_tasks(algo, 3, np.random.default_rng(0))
    assert (tasks == 3).sum() == 1
    with pytest.raises(ConfigError, match=r"algo\.meta_batch_size=1"):
        experiment("algo.replay=6", "algo.meta_batch_size=1")


def test_follow_the_meta_leader_draws_uniformly_from_all_tasks_seen(experiment: Callable[..., Experiment]) -> None:
    algo = dataclasses.replace(experiment("algo=ftml").algo, meta_batch_size=4000)
    tasks, classes = episode_tasks(algo, 3, np.random.default_rng(0))
    assert np.bincount(tasks, minlength=4) == pytest.approx([1000] * 4, rel=0.15)
    assert (classes == EVERY_CLASS).all()
