"""Random draws without replacement, many at once, from uniform numbers."""

from __future__ import annotations

import numpy as np


def draw_distinct(uniforms: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Draws k different integers below `sizes`; all such sequences are equally likely.

    The i-th draw is one of the size - i numbers still free: the r-th free number is r plus the number of taken ones at
    or below it. Takes k rounds whatever the sizes are, and the draw of a row depends on that row alone.

    Args:
        uniforms: [..., k] floats in [0, 1).
        sizes: [...] int, each at least k.

    Returns:
        [..., k] int64.
    """
    drawn = np.empty(uniforms.shape, np.int64)
    for i in range(uniforms.shape[-1]):
        rank = (uniforms[..., i] * (sizes - i)).astype(np.int64)
        if i:
            taken = np.sort(drawn[..., :i], axis=-1)
            rank += (taken - np.arange(i) <= rank[..., None]).sum(-1)
        drawn[..., i] = rank
    return drawn


def draw_batches(rng: np.random.Generator, episodes: int, steps: int, batch: int, support: int) -> np.ndarray:
    """[episodes, steps, batch] int64 indexes into the support, dealt from shuffled packs, one after another.

    A batch may straddle two packs, as in Reptile's code, and then can hold an example twice.
    """
    packs = -(-steps * batch // support)
    order = rng.random((episodes, packs, support)).argsort(-1)
    return order.reshape(episodes, -1)[:, : steps * batch].reshape(episodes, steps, batch)
