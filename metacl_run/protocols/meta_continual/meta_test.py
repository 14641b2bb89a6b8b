"""Learning long sequences of concepts, never going back: all orders and all rates as one computation.

Shapes: O orders, L rates, B = O * L sequences, N concepts of the longest, K examples learned of each, H held out, P points:
numbers of concepts after which is tested, 0 first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metacl_run.algorithms.meta_continual.sequence_learner import SequenceLearner
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Pytree
from metacl_run.data.streams.base import ConceptPool, MetaSplit
from metacl_run.inner.engine import Engine
from metacl_run.models.base import Network

IMAGES_AT_ONCE = 256
"""Examples that pass the frozen part together."""
OUTPUTS_AT_ONCE = 2**26
"""Numbers that the outputs of one part of a test may hold."""
COPIES = 3
"""How many times the state of a sequence is held while it learns: before, after and a gradient."""


class Scores(NamedTuple):
    """Mean over the examples of each concept, NaN for what is not learned yet in `memory`."""

    held_out: Tensor
    """[O, L, P, N]."""
    memory: Tensor
    """[O, L, P, N]."""


class Sequences(NamedTuple):
    """What the sequences of some orders are made of."""

    concepts: np.ndarray
    """[O, N]."""
    fresh: Tensor
    """[O, outputs, width]."""


class MetaTest:
    """One learner's sequences.

    Args:
        algo, network: of all replicates.
        pool: the concepts.
        engine: how sequences are mapped.
        learned, held_out: examples of each concept: K and H.
        outputs: of the network.
        device, dtype: of what is computed.
    """

    def __init__(
        self,
        algo: SequenceLearner,
        network: Network,
        pool: ConceptPool,
        engine: Engine,
        *,
        counts: dict[MetaSplit, int],
        learned: int,
        held_out: int,
        outputs: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.algo, self.network, self.pool, self.engine = algo, network, pool, engine
        self.counts, self.learned, self.held_out, self.outputs = counts, learned, held_out, outputs
        self.device, self.dtype = device, dtype
        self._kept: tuple[Any, _Table] | None = None

    def orders_at_once(self, meta: Pytree, rates: int, budget: int) -> int:
        """How many orders are learned together within `budget` bytes."""
        fresh = torch.zeros(self.outputs, self.algo.fresh_width(self.network, meta["params"]), device=self.device)
        x, _ = self.pool.gather("meta_test", *np.zeros((3, 1), np.int64))
        with torch.no_grad():
            fast = self.algo.begin(self.network, meta, fresh, self.algo.prepare(self.network, meta, x.to(self.dtype)))
        each = COPIES * rates * sum(leaf.nbytes for leaf in tree_leaves(fast))
        return max(1, budget // max(each, 1))

    def run(
        self,
        meta: Pytree,
        half: MetaSplit,
        seed: int,
        orders: Sequence[int],
        rates: Tensor,
        points: Sequence[int],
        *,
        of: Sequence[int],
        key: Any,
    ) -> Scores:
        """Learns the concepts of every order at every rate, and tests after each number of concepts in `points`.

        Args:
            meta: what one replicate has meta-learned.
            half: whose concepts.
            seed: of the replicate.
            orders: numbers of the orders, of those in `of` that `key` names together: what is frozen is computed once for all.
            rates: [L].
            points: increasing.
        """
        longest = points[-1]
        table = self._table(meta, half, seed, of, longest, key)
        rows = np.array([list(of).index(order) for order in orders])
        fast = self._begin(meta, table.sequences.fresh[torch.from_numpy(rows)], table, len(rates))
        repeated = rates.repeat(len(orders))
        step = self._learner(meta)
        scores: list[Scores] = []
        done = 0
        for point in points:
            for place in range(done, point):
                given, y = table.take(rows, [place], slice(0, self.learned))
                fast = step(fast, *self._for_rates((given, y), len(rates)), repeated)
            done = point
            scores.append(self._test(meta, fast, table, rows, len(rates), longest, point))
        held_out, memory = (torch.stack(parts, 2) for parts in zip(*scores, strict=True))
        return Scores(held_out, memory)

    def joint(
        self, meta: Pytree, seed: int, orders: Sequence[int], length: int, rate: float, epochs: int, *, longest: int, key: Any
    ) -> Tensor:
        """Held-out score [O] after learning the first `length` meta-test concepts of each order shuffled, `epochs` times over:
        what a learner that may go back reaches."""
        table = self._table(meta, "meta_test", seed, orders, longest, key)
        rows = np.arange(len(orders))
        fast, step = self._begin(meta, table.sequences.fresh, table, 1), self._learner(meta)
        shuffled = []
        for order in orders:
            rng = generator(Purpose.SHUFFLE, seed, order, length)
            shuffled.append(np.concatenate([rng.permutation(length * self.learned) for _ in range(epochs)]))
        numbers = np.stack(shuffled).reshape(len(orders), -1, self.learned)
        rates = torch.full((len(orders),), rate, dtype=self.dtype, device=self.device)
        for block in range(numbers.shape[1]):
            given, y = table.pick(rows, numbers[:, block] // self.learned, numbers[:, block] % self.learned)
            fast = step(fast, given, y, rates)
        return self._tested(meta, fast, table, rows, 1, range(length), slice(self.learned, None)).mean(-1).flatten()

    # ----------------------------------------------------------------------------------------------------------- parts

    def draw(self, half: MetaSplit, seed: int, orders: Sequence[int], longest: int, width: int) -> Sequences:
        """The concepts of each order, the first `longest` of a permutation of all, and new weights for it."""
        concepts, fresh = [], []
        for order in orders:
            rng = generator(Purpose.SEQUENCE, seed, int(half == "meta_test"), order)
            concepts.append(rng.permutation(self.counts[half])[:longest])
            fresh.append(torch.from_numpy(rng.standard_normal((self.outputs, width))))
        return Sequences(np.stack(concepts), torch.stack(fresh).to(self.device, self.dtype))

    def _table(self, meta: Pytree, half: MetaSplit, seed: int, orders: Sequence[int], longest: int, key: Any) -> _Table:
        wanted = (key, half, seed, tuple(orders), longest)
        if self._kept is None or self._kept[0] != wanted:
            self._kept = None  # makes room
            width = self.algo.fresh_width(self.network, meta["params"])
            self._kept = wanted, _Table(self, meta, half, self.draw(half, seed, orders, longest, width))
        return self._kept[1]

    def _begin(self, meta: Pytree, fresh: Tensor, table: _Table, rates: int) -> Pytree:
        begin = self.engine.over_replicates(lambda fresh: self.algo.begin(self.network, meta, fresh, table.example))
        with torch.no_grad():
            return self._for_rates(begin(fresh), rates)

    @staticmethod
    def _for_rates(tree: Pytree, rates: int) -> Pytree:
        """[O, ...] -> [B, ...]."""
        return tree if rates == 1 else tree_map(lambda leaf: leaf.repeat_interleave(rates, 0), tree)

    def _learner(self, meta: Pytree) -> Any:
        def one(fast: Pytree, given: Pytree, y: Tensor, rate: Tensor) -> Pytree:
            return self.algo.learn(self.network, meta, fast, given, y, rate)

        return self.engine.over_replicates(one)

    def _test(
        self, meta: Pytree, fast: Pytree, table: _Table, rows: np.ndarray, rates: int, longest: int, point: int
    ) -> Scores:
        held_out = self._tested(meta, fast, table, rows, rates, range(longest), slice(self.learned, None))
        memory = torch.full_like(held_out, torch.nan)
        if point:
            memory[..., :point] = self._tested(meta, fast, table, rows, rates, range(point), slice(0, self.learned))
        return Scores(held_out, memory)

    def _tested(
        self, meta: Pytree, fast: Pytree, table: _Table, rows: np.ndarray, rates: int, places: range, examples: slice
    ) -> Tensor:
        """Mean score of every concept, [O, L, places] on the CPU."""
        sequences, each = len(rows) * rates, len(range(self.learned + self.held_out)[examples])
        at_once = max(1, OUTPUTS_AT_ONCE // (sequences * each * self.outputs))
        objective = self.network.objective

        def one(fast: Pytree, given: Pytree, y: Tensor) -> Tensor:
            return objective.scores(self.algo.predict(self.network, meta, fast, given), y)

        test, parts = self.engine.over_replicates(one), []
        with torch.no_grad():
            for first in range(0, len(places), at_once):
                some = list(places[first : first + at_once])
                given, y = table.take(rows, some, examples)
                scores = test(fast, *self._for_rates((given, y), rates)).double()
                parts.append(scores.unflatten(1, (len(some), -1)).mean(-1))
        return torch.cat(parts, 1).unflatten(0, (len(rows), rates)).cpu()


class _Table:
    """What the frozen part gives for every example of the sequences: once for each concept, or, where a concept looks different
    at different places, once for each order."""

    def __init__(self, test: MetaTest, meta: Pytree, half: MetaSplit, sequences: Sequences) -> None:
        self.sequences, self._test = sequences, test
        pool, examples = test.pool, np.arange(test.learned + test.held_out)
        orders, longest = sequences.concepts.shape
        if pool.place_matters:
            index = np.arange(orders * longest)
            concepts, places = sequences.concepts.flatten(), np.tile(np.arange(longest), orders)
        else:
            concepts, index = np.unique(sequences.concepts, return_inverse=True)
            places = np.zeros_like(concepts)
        self._index = index.reshape(orders, longest)
        each = np.broadcast_arrays(concepts[:, None], examples, places[:, None])
        at_once = max(1, IMAGES_AT_ONCE // len(examples))
        given, targets = [], []
        with torch.no_grad():
            for first in range(0, len(concepts), at_once):
                x, y = pool.gather(half, *(part[first : first + at_once] for part in each))
                size = x.shape[:2]
                prepared = test.algo.prepare(test.network, meta, x.flatten(0, 1).to(test.dtype))
                given.append(tree_map(lambda leaf: leaf.unflatten(0, size), prepared))  # noqa: B023
                targets.append(y.to(test.dtype) if y.is_floating_point() else y)
        self._given: Pytree = tree_map(lambda *leaves: torch.cat(leaves), *given)
        self._targets = torch.cat(targets)

    @property
    def example(self) -> Pytree:
        return tree_map(lambda leaf: leaf[0], self._given)

    def take(self, rows: np.ndarray, places: Sequence[int], examples: slice) -> tuple[Pytree, Tensor]:
        """[O, places * examples, ...] of some orders, and their targets."""
        numbers = np.arange(self._test.learned + self._test.held_out)[examples]
        pair = np.broadcast_arrays(np.array(places)[:, None], numbers)
        where, which = (np.broadcast_to(part.flatten(), (len(rows), part.size)) for part in pair)
        return self.pick(rows, where, which)

    def pick(self, rows: np.ndarray, places: np.ndarray, examples: np.ndarray) -> tuple[Pytree, Tensor]:
        """The examples at `places`, numbered `examples`, both [O, M], of some orders: [O, M, ...] and their targets."""
        device = self._test.device
        concept = torch.from_numpy(self._index[rows[:, None], places]).to(device)
        example = torch.from_numpy(np.array(examples)).to(device)
        given = tree_map(lambda leaf: leaf[concept, example], self._given)
        if self._test.pool.place_matters:
            return given, self._targets[concept, example]
        return given, torch.from_numpy(np.array(places)).to(device)
