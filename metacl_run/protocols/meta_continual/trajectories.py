"""The trajectories that meta-training under `meta_continual` learns from.

Shapes: R replicates, E trajectories, W concepts of each.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Trajectory
from metacl_run.protocols.meta_continual.setup import SequenceSetup


def draw_trajectories(setup: SequenceSetup, unit: int, places: int | None) -> Trajectory:
    """The trajectories [R, E, ...] of one meta-update; a replicate's depend on its own seed and the unit alone.

    Args:
        setup: the learner, and the concepts.
        unit: number of the meta-update.
        places: None: concepts are classes, known by their number; else functions, and each is known by one of so many places,
            drawn anew for every trajectory, so that the place does not reveal the function.
    """
    algo, concepts, examples = setup.algo, setup.counts["meta_train"], setup.examples
    shape = len(setup.seeds), algo.meta_batch_size
    steps, queries = algo.class_steps * algo.step_examples, algo.query_examples
    chosen = np.empty((*shape, algo.classes), np.int64)
    order = np.empty((*shape, algo.classes, examples), np.int64)
    remembered = np.empty((2, *shape, algo.remember), np.int64)
    fresh = np.empty((*shape, algo.classes, setup.fresh_width))
    named = chosen if places is None else np.empty_like(chosen)
    half = concepts // 2 if algo.halves else 0
    for replicate, seed in enumerate(setup.seeds):
        rng = generator(Purpose.TRAJECTORIES, seed, unit)
        for episode in range(algo.meta_batch_size):
            chosen[replicate, episode] = half + rng.permutation(concepts - half)[: algo.classes]
            rng.permuted(np.tile(np.arange(examples), (algo.classes, 1)), axis=1, out=order[replicate, episode])
        remembered[0, replicate] = rng.integers(half or concepts, size=remembered.shape[2:])
        remembered[1, replicate] = rng.integers(examples, size=remembered.shape[2:])
        rng.standard_normal(out=fresh[replicate])
        if places is not None:
            for episode in range(algo.meta_batch_size):
                named[replicate, episode] = rng.permutation(places)[: algo.classes]

    def gathered(which: np.ndarray, axes: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """[R, E, *axes, ...] the examples [R, E, W, any] of every concept, in the order of the concepts."""
        parts = np.broadcast_arrays(chosen[..., None], which, named[..., None])
        x, y = setup.pool.gather("meta_train", *(part.reshape(*shape, *axes) for part in parts))
        return x.to(setup.dtype), y.to(setup.dtype) if y.is_floating_point() else y

    x, y = gathered(order[..., :steps], (algo.classes * algo.class_steps, algo.step_examples))
    query = order[..., :steps] if queries is None else order[..., steps : steps + queries]
    query_x, query_y = (part.flatten(2, 3) for part in gathered(query, (algo.classes, query.shape[-1])))
    if algo.remember:
        further_x, further_y = setup.pool.gather("meta_train", remembered[0], remembered[1], remembered[0])
        query_x, query_y = torch.cat([query_x, further_x.to(setup.dtype)], 2), torch.cat([query_y, further_y], 2)
    trajectories = Trajectory(x, y, query_x, query_y, torch.from_numpy(chosen), torch.from_numpy(fresh).to(setup.dtype))
    return Trajectory(*(part.to(setup.device) for part in trajectories))
