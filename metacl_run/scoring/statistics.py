"""Comparing few runs carefully: interquartile mean, paired test by flipping signs, correction for many tests. NumPy alone.

The interval of a mean, also of paired differences, is in intervals.py.
"""

from __future__ import annotations

import functools

import numpy as np

EXACT_UP_TO = 15
"""Most pairs for which every assignment of signs is gone through, 2^15; for more, as many are drawn at random."""
DRAWN = 2**EXACT_UP_TO - 1
LEVEL = 0.05
_CHUNK = 2**23  # numbers held at once


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half over the last axis, [..., N] -> [...]; NaN where a value is.

    A quarter of the values, rounded down, goes at either end, as in Agarwal et al. 2021 (arXiv 2108.13264, section 4.3) and the
    code released with it; so with fewer than 4 values it is the mean. They pool runs and tasks; here the values are seeds.
    """
    values = np.sort(np.asarray(values, dtype=float), axis=-1)  # NaN comes last
    cut = values.shape[-1] // 4
    middle = values[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return np.where(np.isnan(values).any(axis=-1), np.nan, middle)


def smallest_p(num: int) -> float:
    """The least p that `sign_flip_p` can give for `num` differences: of the 2^num assignments of signs, what was seen and its
    opposite are always at least as extreme as what was seen. .0625 for 5, .03125 for 6."""
    return 2.0 ** (1 - num) if num <= EXACT_UP_TO else 1 / (DRAWN + 1)


def fewest_for(level: float = LEVEL) -> int:
    """The least number of differences whose p can be below `level`."""
    return next(num for num in range(1, EXACT_UP_TO + 1) if smallest_p(num) < level)


def sign_flip_p(differences: np.ndarray) -> np.ndarray:
    """Two-sided p of paired differences, [..., N] -> [...]: were both sides alike, each difference might as well have the other
    sign (Fisher 1935, The Design of Experiments, section 21). p is the share of assignments of signs whose mean is at least as
    far from 0 as the mean seen.

    Exact for N up to `EXACT_UP_TO`. Beyond, `DRAWN` assignments are drawn by a generator of its own with a fixed seed and what
    was seen is counted as one more (Phipson and Smyth 2010), so that p is never 0 and the same numbers have the same p.
    """
    differences = np.asarray(differences, dtype=float)
    num = differences.shape[-1]
    signs = _signs(num)
    rows = differences.reshape(-1, num)
    found = np.empty(len(rows))
    step = max(1, _CHUNK // len(signs))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        seen = np.abs(some.sum(axis=1))
        slack = 1e-12 * np.abs(some).sum(axis=1)  # sums that are equal but for rounding count as equal
        extreme = (np.abs(signs @ some.T) >= seen - slack).sum(axis=0)
        found[start : start + step] = extreme / len(signs) if num <= EXACT_UP_TO else (extreme + 1) / (len(signs) + 1)
    return np.where(np.isfinite(rows).all(axis=1), found, np.nan).reshape(differences.shape[:-1])


@functools.lru_cache(maxsize=4)
def _signs(num: int) -> np.ndarray:
    """[assignments, num] of -1 and 1. Exact: half of all, the first sign being 1, since the others are their opposites."""
    if num > EXACT_UP_TO:
        return np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWN, num))
    half = np.arange(2 ** (num - 1))[:, None] >> np.arange(num - 1) & 1
    return np.concatenate([np.ones((len(half), 1)), 1.0 - 2.0 * half], axis=1)


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for being several, [M] -> [M] (Holm 1979): the chance of one false finding or more among those below a
    level is at most that level. NaN stays NaN and is not counted."""
    p = np.asarray(p, dtype=float)
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = p[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected
