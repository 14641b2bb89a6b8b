"""How similar a learner finds tasks that it describes by a vector (`TaskDescriber`): the vectors of evaluation episodes.

Vectors of more than two numbers are projected on the two directions in which those of one seed vary most (principal
components).
Shapes: R replicates, K tasks, E episodes, D numbers of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from metacl_run.algorithms.continual_meta.episode_learner import TaskDescriber
from metacl_run.algorithms.meta_learner import MetaState
from metacl_run.core.types import Episode
from metacl_run.inner.engine import Engine
from metacl_run.protocols.continual_meta.scorer import FewShotScorer, of_every_episode
from metacl_run.protocols.continual_meta.setup import FewShotSetup

EPISODES = 40
"""Of every task."""


def task_vectors(setup: FewShotSetup, engine: Engine, learner: MetaState, num_tasks: int) -> dict[str, Any]:
    """What summary.json has of them: `size` D, `points` [R, K, E, 2], and for every seed `shown`, the share of the variance in
    the two directions, and `between`, its share between the means of tasks."""
    vectors = FewShotScorer(setup, engine, EPISODES, vectors_of_episodes).of_episodes(learner, range(num_tasks)).cpu().numpy()
    points, shown = zip(*(plane(of_seed) for of_seed in vectors), strict=True)
    between = [between_tasks(of_seed) for of_seed in vectors]
    return {"size": vectors.shape[-1], "points": [part.tolist() for part in points], "shown": list(shown), "between": between}


def vectors_of_episodes(setup: FewShotSetup, engine: Engine, learner: MetaState, episodes: Episode) -> Tensor:
    """The vector of every episode, [R, E, D]."""
    algo = setup.algo
    assert isinstance(algo, TaskDescriber)

    def one(state: MetaState, episode: Episode) -> Tensor:
        return algo.task_vector(setup.algo.learn(setup.network, state["meta"], state["carry"], episode))

    return of_every_episode(engine, one, learner, episodes)


def plane(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Points [K, E, 2] for vectors [K, E, D], and the share of the variance that they have. A direction's sign is such that the
    largest number in it is positive."""
    size = vectors.shape[-1]
    if size <= 2:
        return np.pad(vectors, ((0, 0), (0, 0), (0, 2 - size))), 1.0
    centred = vectors.reshape(-1, size) - vectors.mean((0, 1))
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1))
    points = (centred @ (signs * directions)[:2].T).reshape(*vectors.shape[:2], 2)
    total = float((lengths**2).sum())
    return points, float((lengths[:2] ** 2).sum()) / total if total else 1.0


def between_tasks(vectors: np.ndarray) -> float | None:
    """The share of the variance of [K, E, D] that is between the means of tasks: 0 where tasks cannot be told apart, 1 where
    episodes of a task all have one vector. None for one task, and where nothing varies."""
    centred = vectors - vectors.mean((0, 1))
    total = float((centred**2).sum())
    return float((centred.mean(1) ** 2).sum() * vectors.shape[1]) / total if total and len(vectors) > 1 else None
