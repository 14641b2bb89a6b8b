"""Draws what meta-training learns from under `meta_continual`.

Shapes: R replicates, E trajectories, W concepts of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metacl_run.algorithms.meta_continual.trajectory_learner import TrajectoryLearner
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Trajectory
from metacl_run.data.streams.base import ConceptPool


def draw(
    algo: TrajectoryLearner,
    pool: ConceptPool,
    seeds: Sequence[int],
    unit: int,
    *,
    concepts: int,
    examples: int,
    width: int,
    places: int | None,
    dtype: torch.dtype,
) -> Trajectory:
    """The trajectories [R, E, ...] of one meta-update; a replicate's depend on its own seed and the unit alone.

    Args:
        algo: whose trajectories.
        pool: where the examples lie.
        seeds: [R].
        unit: number of the meta-update.
        concepts, examples: meta-train concepts, and examples of each, that may be drawn.
        width: random numbers for each concept's new weights.
        places: None: concepts are classes, known by their number; else functions, of which each is known by one of so many
            places, drawn anew for every trajectory: what is learned when must not be told by the place.
        dtype: of the inputs.
    """
    shape = len(seeds), algo.meta_batch_size
    steps, queries = algo.class_steps * algo.step_examples, algo.query_examples
    chosen = np.empty((*shape, algo.classes), np.int64)
    order = np.empty((*shape, algo.classes, examples), np.int64)
    recalled = np.empty((2, *shape, algo.remember), np.int64)
    fresh = np.empty((*shape, algo.classes, width))
    named = chosen if places is None else np.empty_like(chosen)
    half = concepts // 2 if algo.halves else 0
    for replicate, seed in enumerate(seeds):
        rng = generator(Purpose.TRAJECTORIES, seed, unit)
        for episode in range(algo.meta_batch_size):
            chosen[replicate, episode] = half + rng.permutation(concepts - half)[: algo.classes]
            rng.permuted(np.tile(np.arange(examples), (algo.classes, 1)), axis=1, out=order[replicate, episode])
        recalled[0, replicate] = rng.integers(half or concepts, size=recalled.shape[2:])
        recalled[1, replicate] = rng.integers(examples, size=recalled.shape[2:])
        rng.standard_normal(out=fresh[replicate])
        if places is not None:
            for episode in range(algo.meta_batch_size):
                named[replicate, episode] = rng.permutation(places)[: algo.classes]

    def gathered(some: np.ndarray, axes: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """[R, E, *axes, ...] of some examples [R, E, W, any] of every concept, in the order of the concepts."""
        each = np.broadcast_arrays(chosen[..., None], some, named[..., None])
        x, y = pool.gather("meta_train", *(part.reshape(*shape, *axes) for part in each))
        return x.to(dtype), y.to(dtype) if y.is_floating_point() else y

    x, y = gathered(order[..., :steps], (algo.classes * algo.class_steps, algo.step_examples))
    asked = order[..., :steps] if queries is None else order[..., steps : steps + queries]
    query_x, query_y = (part.flatten(2, 3) for part in gathered(asked, (algo.classes, asked.shape[-1])))
    if algo.remember:
        also_x, also_y = pool.gather("meta_train", recalled[0], recalled[1], recalled[0])
        query_x, query_y = torch.cat([query_x, also_x.to(dtype)], 2), torch.cat([query_y, also_y], 2)
    return Trajectory(x, y, query_x, query_y, torch.from_numpy(chosen), torch.from_numpy(fresh).to(dtype))
