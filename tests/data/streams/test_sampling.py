"""Draws without replacement: equally likely, and the same as from a shrinking list."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np

from metacl_run.data.streams.sampling import draw_batches, draw_distinct


def test_draws_are_those_of_a_shrinking_list() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(6, 40, (7, 5))
    uniforms = rng.random((7, 5, 6))
    draws = draw_distinct(uniforms, sizes)
    for place in np.ndindex(7, 5):
        free = list(range(sizes[place]))
        expected = [free.pop(int(u * len(free))) for u in uniforms[place]]
        assert draws[place].tolist() == expected


def test_every_order_is_equally_likely() -> None:
    draws = draw_distinct(np.random.default_rng(0).random((24000, 3)), np.full(24000, 4))
    counts = Counter(map(tuple, draws.tolist()))
    assert set(counts) == set(permutations(range(4), 3))
    assert max(abs(count - 1000) for count in counts.values()) < 150  # five standard deviations


def test_batches_use_up_a_pack_before_the_next() -> None:
    batches = draw_batches(np.random.default_rng(0), episodes=8, steps=5, batch=4, support=10)
    assert batches.shape == (8, 5, 4)
    for episode in batches.reshape(8, 20):
        assert sorted(episode[:10]) == sorted(episode[10:]) == list(range(10))
    assert len(np.unique(batches.reshape(8, -1)[:, :10], axis=0)) == 8
