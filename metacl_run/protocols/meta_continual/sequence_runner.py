"""Learning long sequences of concepts, never going back: all orders and all rates as one computation.

Shapes: O orders, L rates, B = O * L sequences, N concepts of each, P points of testing, numbers of concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Pytree, cast_floats
from metacl_run.inner.several_updates import SeveralUpdates
from metacl_run.protocols.meta_continual.prepared_sequences import PreparedSequences
from metacl_run.protocols.meta_continual.setup import SequenceSetup

OUTPUTS_AT_ONCE = 2**24
"""Numbers that the outputs of one part of a test may hold."""
COPIES = 3
"""Copies of a sequence's state in memory while it learns: before, after and a gradient."""


class SequenceScores(NamedTuple):
    """Mean over the examples of each concept, NaN in `memory` for what is not learned yet; on the CPU."""

    held_out: Tensor
    """[O, L, P, N]."""
    memory: Tensor
    """[O, L, P, N]."""


class SequenceRunner:
    """Learns prepared sequences and tests the learner along them. Orders are shared out among the ranks of the run."""

    def __init__(self, setup: SequenceSetup) -> None:
        self._setup = setup

    def orders_at_once(self, meta: Pytree, rates: int, budget: int) -> int:
        """How many orders can be learned together, at so many rates, within `budget` bytes."""
        setup = self._setup
        fresh = torch.zeros(setup.network.ways, setup.fresh_width, device=setup.device)
        x, _ = setup.pool.gather("meta_test", *np.zeros((3, 1), np.int64))
        with torch.no_grad():
            features = setup.sequence_learner.prepare(setup.network, meta, cast_floats(x, setup.dtype))
            fast = setup.sequence_learner.begin(setup.network, meta, fresh, features)
        copies = COPIES + (setup.test_engine.kind == "cuda_graph")  # a graph has a state of its own
        working = setup.sequence_learner.working_numbers * torch.empty((), dtype=setup.dtype).element_size()
        order_bytes = rates * (copies * sum(int(leaf.nbytes) for leaf in tree_leaves(fast)) + working)
        return max(1, budget // max(order_bytes, 1))

    def learn(
        self, sequences: PreparedSequences, orders: Sequence[int], rates: Sequence[float], points: Sequence[int]
    ) -> SequenceScores:
        """Learns the concepts of some orders at every rate, and tests after each number of concepts in `points`, increasing."""
        scores: SequenceScores = self._shared_out(orders, lambda own: self._learn(sequences, own, self._rates(rates), points))
        return scores

    def learn_shuffled(
        self, sequences: PreparedSequences, orders: Sequence[int], length: int, rate: float, epochs: int
    ) -> Tensor:
        """Learns the first `length` concepts, examples shuffled, and returns the held-out score [O] after some epochs: an
        upper bound for a learner that never goes back."""
        scores: Tensor = self._shared_out(orders, lambda own: self._learn_shuffled(sequences, own, length, rate, epochs))
        return scores

    def _shared_out(self, orders: Sequence[int], compute: Callable[[Sequence[int]], Pytree]) -> Pytree:
        """`compute` of this rank's orders, together with the other ranks' results."""
        shards = self._setup.shards.of(len(orders))
        return shards.joined(compute(orders[shards.own(len(orders))]), len(orders))

    # -------------------------------------------------------------------------------------------------------- learning

    def _rates(self, rates: Sequence[float]) -> Tensor:
        return torch.tensor(rates, dtype=self._setup.dtype, device=self._setup.device)

    def _learn(
        self, sequences: PreparedSequences, orders: Sequence[int], rates: Tensor, points: Sequence[int]
    ) -> SequenceScores:
        fast, steps = self._begin(sequences, orders, len(rates)), self._steps(sequences.meta)
        learned = np.arange(self._setup.learned)
        scores: list[SequenceScores] = []
        done = 0
        for point in points:
            while done < point:
                places = np.arange(done, min(done + steps.at_once, point))[:, None, None]
                inputs = _for_rates(sequences.pick(orders, places, learned), len(rates), 1)
                fast, _ = steps(fast, None, (*inputs, rates.repeat(len(places), len(orders))))
                done += len(places)
            scores.append(self._test(sequences, fast, orders, len(rates), point))
        held_out, memory = (torch.stack(parts, 2) for parts in zip(*scores, strict=True))
        return SequenceScores(held_out, memory)

    def _learn_shuffled(
        self, sequences: PreparedSequences, orders: Sequence[int], length: int, rate: float, epochs: int
    ) -> Tensor:
        learned = self._setup.learned
        fast, steps = self._begin(sequences, orders, 1), self._steps(sequences.meta)
        shuffled = []
        for order in orders:
            rng = generator(Purpose.SHUFFLE, sequences.seed, order, length)
            shuffled.append(np.concatenate([rng.permutation(length * learned) for _ in range(epochs)]))
        numbers = np.stack(shuffled).reshape(len(orders), -1, learned).swapaxes(0, 1)
        rates = self._rates([rate] * len(orders))
        for first in range(0, len(numbers), steps.at_once):
            block = numbers[first : first + steps.at_once]
            inputs = sequences.pick(orders, block // learned, block % learned)
            fast, _ = steps(fast, None, (*inputs, rates.expand(len(block), -1)))
        return self._score(sequences, fast, orders, 1, range(length), slice(learned, None)).mean(-1).flatten()

    def _begin(self, sequences: PreparedSequences, orders: Sequence[int], rates: int) -> Pytree:
        """[B, ...] the states before the sequences."""
        learner, network = self._setup.sequence_learner, self._setup.network
        begin = self._setup.test_engine.over_replicates(
            lambda fresh: learner.begin(network, sequences.meta, fresh, sequences.one_concept)
        )
        with torch.no_grad():
            return _for_rates(begin(sequences.fresh(orders)), rates)

    def _steps(self, meta: Pytree) -> SeveralUpdates:
        """Steps of a state `fast` [B, ...] on inputs (features, targets, rates) [U, B, ...], for one set of sequences."""
        engine, learner, network = self._setup.test_engine, self._setup.sequence_learner, self._setup.network

        def one(fast: Pytree, inputs: tuple[Pytree, Tensor, Tensor]) -> tuple[Pytree, dict[str, Tensor]]:
            return learner.learn(network, meta, fast, *inputs), {}

        return SeveralUpdates(engine, engine.over_replicates(one))

    # --------------------------------------------------------------------------------------------------------- testing

    def _test(
        self, sequences: PreparedSequences, fast: Pytree, orders: Sequence[int], rates: int, point: int
    ) -> SequenceScores:
        """[O, L, N] after `point` concepts."""
        learned = self._setup.learned
        held_out = self._score(sequences, fast, orders, rates, range(sequences.length), slice(learned, None))
        memory = torch.full_like(held_out, torch.nan)
        if point:
            memory[..., :point] = self._score(sequences, fast, orders, rates, range(point), slice(0, learned))
        return SequenceScores(held_out, memory)

    def _score(
        self, sequences: PreparedSequences, fast: Pytree, orders: Sequence[int], rates: int, places: range, examples: slice
    ) -> Tensor:
        """Mean score of every concept, [O, L, places]."""
        learner, network = self._setup.sequence_learner, self._setup.network
        concept_outputs = len(orders) * rates * len(range(self._setup.examples)[examples]) * network.ways
        at_once = max(1, OUTPUTS_AT_ONCE // concept_outputs)

        def one(fast: Pytree, features: Pytree, y: Tensor) -> Tensor:
            return network.objective.scores(learner.predict(network, sequences.meta, fast, features), y)

        test, parts = self._setup.test_engine.over_replicates(one), []
        with torch.no_grad():
            for first in range(0, len(places), at_once):
                tested = list(places[first : first + at_once])
                features, y = sequences.take(orders, tested, examples)
                scores = test(fast, *_for_rates((features, y), rates)).double()
                parts.append(scores.reshape(len(scores), len(tested), -1).mean(-1))
        return torch.cat(parts, 1).reshape(len(orders), rates, -1).cpu()


def _for_rates(tree: Pytree, rates: int, axis: int = 0) -> Pytree:
    """[..., O, ...] -> [..., B, ...] with the orders at this axis."""
    return tree if rates == 1 else tree_map(lambda leaf: leaf.repeat_interleave(rates, axis), tree)
