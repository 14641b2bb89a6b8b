"""The trajectories of meta-training under `meta_continual`.

Shapes: R replicates, E trajectories, W concepts of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Trajectory, cast_floats
from metacl_run.protocols.meta_continual.setup import SequenceSetup


def draw_trajectories(setup: SequenceSetup, unit: int, places: int | None) -> Trajectory:
    """The trajectories [R, E, ...] of one meta-update; a replicate's depend on its own seed and the unit alone.

    Args:
        setup: the learner, and the concepts.
        unit: number of the meta-update.
        places: None: concepts are classes, and a class is known by its number; else they are functions, and a function is known
            by one of so many places, drawn anew for every trajectory, so that the place does not reveal the function.
    """
    algo, numbers = setup.algo, _draw_numbers(setup, unit, places)
    shape = numbers.classes.shape[:2]

    def gathered(examples: np.ndarray, axes: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """[R, E, *axes, ...] the examples [R, E, W, any] of every concept, in the order of the concepts."""
        parts = np.broadcast_arrays(numbers.classes[..., None], examples, numbers.places[..., None])
        x, y = setup.pool.gather("meta_train", *(part.reshape(*shape, *axes) for part in parts))
        return cast_floats(x, setup.dtype), cast_floats(y, setup.dtype)

    steps, queries = algo.class_steps * algo.step_examples, algo.query_examples
    x, y = gathered(numbers.examples[..., :steps], (algo.classes * algo.class_steps, algo.step_examples))
    query = numbers.examples[..., :steps] if queries is None else numbers.examples[..., steps : steps + queries]
    query_x, query_y = (part.flatten(2, 3) for part in gathered(query, (algo.classes, query.shape[-1])))
    if algo.remember:
        known, examples = numbers.to_remember
        further_x, further_y = setup.pool.gather("meta_train", known, examples, known)
        query_x, query_y = torch.cat([query_x, cast_floats(further_x, setup.dtype)], 2), torch.cat([query_y, further_y], 2)
    classes, fresh = upload([numbers.classes, numbers.fresh], setup.device)
    return Trajectory(x, y, query_x, query_y, classes, fresh.to(setup.dtype))


class _Numbers(NamedTuple):
    """The random numbers of one meta-update."""

    classes: np.ndarray
    """[R, E, W] concepts of a trajectory."""
    places: np.ndarray
    """[R, E, W] the places that they are known by."""
    examples: np.ndarray
    """[R, E, W, examples] a random order of each concept's examples."""
    to_remember: np.ndarray
    """[2, R, E, remember] concepts, and an example of each."""
    fresh: np.ndarray
    """[R, E, W, width] standard normal."""


def _draw_numbers(setup: SequenceSetup, unit: int, num_places: int | None) -> _Numbers:
    algo, concepts, num_examples = setup.algo, setup.counts["meta_train"], setup.examples
    shape = len(setup.seeds), algo.meta_batch_size
    classes = np.empty((*shape, algo.classes), np.int64)
    places = classes if num_places is None else np.empty_like(classes)
    examples = np.empty((*shape, algo.classes, num_examples), np.int64)
    to_remember = np.empty((2, *shape, algo.remember), np.int64)
    fresh = np.empty((*shape, algo.classes, setup.fresh_width))
    half = concepts // 2 if algo.halves else 0
    for replicate, seed in enumerate(setup.seeds):
        rng = generator(Purpose.TRAJECTORIES, seed, unit)
        for episode in range(algo.meta_batch_size):
            classes[replicate, episode] = half + rng.permutation(concepts - half)[: algo.classes]
            rng.permuted(np.tile(np.arange(num_examples), (algo.classes, 1)), axis=1, out=examples[replicate, episode])
        to_remember[0, replicate] = rng.integers(half or concepts, size=to_remember.shape[2:])
        to_remember[1, replicate] = rng.integers(num_examples, size=to_remember.shape[2:])
        rng.standard_normal(out=fresh[replicate])
        if num_places is not None:
            for episode in range(algo.meta_batch_size):
                places[replicate, episode] = rng.permutation(num_places)[: algo.classes]
    return _Numbers(classes, places, examples, to_remember, fresh)
