"""Statistics for few runs: interquartile mean, paired test by sign flips, correction for many tests. NumPy alone.

The interval of a mean, also of paired differences, is in intervals.py.
"""

from __future__ import annotations

import functools

import numpy as np

EXACT_UP_TO = 15
"""The most pairs for which every assignment of signs is computed, 2^15; for more pairs, as many are drawn at random."""
RANDOM_ASSIGNMENTS = 2**EXACT_UP_TO - 1
LEVEL = 0.05
_CHUNK = 2**23  # numbers in memory at once


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean of the middle half over the last axis, [..., N] -> [...]; NaN where a value is NaN.

    A quarter of the values, rounded down, is cut off at both ends, as in Agarwal et al. 2021 (arXiv 2108.13264, section 4.3)
    and their released code; so with fewer than 4 values it is the mean. They pool runs and tasks; here the values are seeds.
    """
    values = np.sort(np.asarray(values, dtype=float), axis=-1)  # NaN comes last
    cut = values.shape[-1] // 4
    middle = values[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return np.where(np.isnan(values).any(axis=-1), np.nan, middle)


def smallest_p(num: int) -> float:
    """Returns the least p that `sign_flip_p` can give for `num` differences: .0625 for 5, .03125 for 6.

    Of the 2^num assignments of signs, the observed one and its opposite are always at least as extreme as the observed one.
    """
    return 2.0 ** (1 - num) if num <= EXACT_UP_TO else 1 / (RANDOM_ASSIGNMENTS + 1)


def fewest_for(level: float = LEVEL) -> int:
    """Returns the least number of differences whose p can be below `level`."""
    return next(num for num in range(1, EXACT_UP_TO + 1) if smallest_p(num) < level)


def sign_flip_p(differences: np.ndarray) -> np.ndarray:
    """Returns the two-sided p of paired differences, [..., N] -> [...], by sign flips.

    If both sides were alike, every difference could have either sign (Fisher 1935, The Design of Experiments, section 21). p is
    the share of assignments of signs whose mean is at least as far from 0 as the observed mean.

    Exact for N up to `EXACT_UP_TO`. Beyond, `RANDOM_ASSIGNMENTS` assignments are drawn by a generator with a fixed seed and the
    observed one is added (Phipson and Smyth 2010), so that p is never 0 and the same numbers have the same p.
    """
    differences = np.asarray(differences, dtype=float)
    num = differences.shape[-1]
    signs = _signs(num)
    rows = differences.reshape(-1, num)
    p = np.empty(len(rows))
    step = max(1, _CHUNK // len(signs))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        observed = np.abs(some.sum(axis=1))
        slack = 1e-12 * np.abs(some).sum(axis=1)  # sums that are equal but for rounding count as equal
        extreme = (np.abs(signs @ some.T) >= observed - slack).sum(axis=0)
        p[start : start + step] = extreme / len(signs) if num <= EXACT_UP_TO else (extreme + 1) / (len(signs) + 1)
    return np.where(np.isfinite(rows).all(axis=1), p, np.nan).reshape(differences.shape[:-1])


@functools.lru_cache(maxsize=4)
def _signs(num: int) -> np.ndarray:
    """Returns [assignments, num] of -1 and 1. If exact, only those that begin with 1; the others are their opposites."""
    if num > EXACT_UP_TO:
        return np.random.default_rng(0).choice([-1.0, 1.0], size=(RANDOM_ASSIGNMENTS, num))
    half = np.arange(2 ** (num - 1))[:, None] >> np.arange(num - 1) & 1
    return np.concatenate([np.ones((len(half), 1)), 1.0 - 2.0 * half], axis=1)


def holm(p: np.ndarray) -> np.ndarray:
    """Corrects p values for their number, [M] -> [M] (Holm 1979): the chance of a false finding among those below a level is at
    most that level. NaN stays NaN and is not counted."""
    p = np.asarray(p, dtype=float)
    corrected = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = p[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected
