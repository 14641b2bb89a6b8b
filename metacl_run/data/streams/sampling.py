"""Random draws without replacement, many at once, from uniform numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def draw_distinct(uniforms: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Draws k different integers below `sizes`; all such sequences are equally likely.

    The i-th draw is one of the size - i numbers still free: the r-th free number is r plus the number of those drawn at
    or below it. Takes k rounds whatever the sizes are, and the draw of a row depends on that row alone.

    Args:
        uniforms: [..., k] floats in [0, 1).
        sizes: [...] int, each at least k.

    Returns:
        [..., k] int64.
    """
    draws = np.empty(uniforms.shape, np.int64)
    for i in range(uniforms.shape[-1]):
        rank = (uniforms[..., i] * (sizes - i)).astype(np.int64)
        if i:
            earlier = np.sort(draws[..., :i], axis=-1)
            rank += (earlier - np.arange(i) <= rank[..., None]).sum(-1)
        draws[..., i] = rank
    return draws


def draw_batches(rng: np.random.Generator, episodes: int, steps: int, batch: int, support: int) -> np.ndarray:
    """[episodes, steps, batch] int64 indexes into the support, taken in turn from shuffled copies of the support.

    A batch may straddle two packs, as in Reptile's code, and then can hold an example twice.
    """
    packs = -(-steps * batch // support)
    order = rng.random((episodes, packs, support)).argsort(-1)
    return order.reshape(episodes, -1)[:, : steps * batch].reshape(episodes, steps, batch)


def inner_batches(
    rngs: Sequence[np.random.Generator], episodes: int, batches: tuple[int, int] | None, support: int
) -> np.ndarray:
    """[R, episodes, steps, batch] int64, `Episode.batches` of R seeds by `draw_batches`; empty without batches.

    Args:
        rngs: [R].
        batches: (inner steps, batch size).
        support: examples of a support set.
    """
    steps, batch = batches or (0, 0)
    if batches is None:
        return np.empty((len(rngs), episodes, steps, batch), np.int64)
    return np.stack([draw_batches(rng, episodes, steps, batch, support) for rng in rngs])


def apart(rngs: Sequence[np.random.Generator]) -> list[np.random.Generator]:
    """Generators that draw other numbers than these, one for each."""
    return [rng.spawn(1)[0] for rng in rngs]
