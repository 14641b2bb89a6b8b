"""The sequences of one replicate, prepared for learning: their orders of concepts, and the frozen features of all examples.

Shapes: O orders, N concepts of each, K examples to learn of each, H held out, M examples that are gathered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.transfer import upload
from metacl_run.core.types import Pytree, cast_floats
from metacl_run.data.streams.concept_stream import MetaSplit
from metacl_run.protocols.meta_continual.setup import SequenceSetup

EXAMPLES_AT_ONCE = 256
"""Examples that pass the frozen part together."""


class PreparedSequences:
    """Sequences whose every example has passed the part of the network that does not change while they are learned.

    That happens once for each concept, or once for each order where inputs depend on the place of a concept.

    Args:
        setup: the learner, and the concepts.
        meta: the meta-learned part of one replicate's state.
        half: meta-train or meta-test concepts.
        seed: of the replicate.
        orders: O; order o has the first `length` concepts of a permutation of all, and new weights of its own.
        length: N.
    """

    def __init__(self, setup: SequenceSetup, meta: Pytree, half: MetaSplit, seed: int, *, orders: int, length: int) -> None:
        self.meta, self.seed, self.length = meta, seed, length
        self._setup, self._half = setup, half
        self.concepts = np.stack([self._drawn(order)[0][:length] for order in range(orders)])
        """[O, N]."""
        self._prepare(half)

    def _drawn(self, order: int) -> tuple[np.ndarray, np.random.Generator]:
        """An order of all concepts, and the generator that has drawn it."""
        rng = generator(Purpose.SEQUENCE, self.seed, int(self._half == "meta_test"), order)
        return rng.permutation(self._setup.counts[self._half]), rng

    def fresh(self, orders: Sequence[int]) -> Tensor:
        """[orders, outputs, fresh_width] standard normal numbers; drawn when they are needed, since all would take much
        memory."""
        setup = self._setup
        shape = (setup.network.ways, setup.fresh_width)
        numbers = (torch.from_numpy(self._drawn(order)[1].standard_normal(shape)) for order in orders)
        return torch.stack([own.to(setup.device, setup.dtype) for own in numbers])

    def _prepare(self, half: MetaSplit) -> None:
        setup = self._setup
        orders, length = self.concepts.shape
        if setup.pool.place_matters:
            index = np.arange(orders * length)
            concepts, places = self.concepts.flatten(), np.tile(np.arange(length), orders)
        else:
            concepts, index = np.unique(self.concepts, return_inverse=True)
            places = np.zeros_like(concepts)
        self._index = index.reshape(orders, length)
        all_examples = np.broadcast_arrays(concepts[:, None], np.arange(setup.examples), places[:, None])
        at_once = max(1, EXAMPLES_AT_ONCE // setup.examples)
        features, targets = [], []
        with torch.no_grad():
            for first in range(0, len(concepts), at_once):
                x, y = setup.pool.gather(half, *(part[first : first + at_once] for part in all_examples))
                size = x.shape[:2]
                inputs = cast_floats(x.flatten(0, 1), setup.dtype)
                prepared = setup.sequence_learner.prepare(setup.network, self.meta, inputs)
                features.append(tree_map(lambda leaf: leaf.unflatten(0, size), prepared))  # noqa: B023
                targets.append(cast_floats(y, setup.dtype))
        self._features: Pytree = tree_map(lambda *leaves: torch.cat(leaves), *features)
        self._targets = torch.cat(targets)

    @property
    def one_concept(self) -> Pytree:
        """The features [K + H, ...] of a concept, for their shapes."""
        return tree_map(lambda leaf: leaf[0], self._features)

    def take(self, orders: Sequence[int], places: Sequence[int], examples: slice) -> tuple[Pytree, Tensor]:
        """[O', places * examples, ...] the same examples of the concepts at the same places of some orders, and targets."""
        pairs = np.broadcast_arrays(np.array(places)[:, None], np.arange(self._setup.examples)[examples])
        where, which = (part.flatten() for part in pairs)
        return self.pick(orders, where, which)

    def pick(self, orders: Sequence[int], places: np.ndarray, examples: np.ndarray) -> tuple[Pytree, Tensor]:
        """[..., O', M, ...] the examples at `places`, numbered `examples`, both [..., O', M], of some orders, and targets."""
        places, examples, orders_ = np.broadcast_arrays(places, examples, np.array(orders)[:, None])
        numbers = self._index[orders_, places], examples, places
        concept, example, known_by = upload(numbers, self._setup.device)
        features = tree_map(lambda leaf: leaf[concept, example], self._features)
        if self._setup.pool.place_matters:
            return features, self._targets[concept, example]
        return features, known_by
