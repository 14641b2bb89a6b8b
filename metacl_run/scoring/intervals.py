"""The one interval of this program: Student's t, 95%, for the mean of independent values, which are seeds.

Orders, episodes and test samples of one seed share what that seed has learned. Pooled with seeds as if independent, they would
make an interval far too narrow: with 5 seeds of 50 orders and equal spreads, it covers the mean in 27% of cases instead of 95%.
So they are averaged within a seed first. An interval over the orders of a single seed is possible, and is labelled as such.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

FEWEST = 3
"""Values that an interval needs. The t interval of two reaches 12.7 standard errors to each side, far outside what an accuracy
can be, so two values are shown as they are."""
CONFIDENCE = 0.95
Bounds = tuple[float, float]
ANY: Bounds = (-math.inf, math.inf)


class Estimate(NamedTuple):
    """A mean of independent values."""

    mean: float
    std: float | None
    """Sample standard deviation, over `num` - 1; None where it is not known."""
    num: int


def half_width_within_seed(variance: Any, num: Any) -> Any:
    """Returns the 95% half-width of a mean over many episodes or samples of one seed, by the normal approximation.

    It says how well an evaluation measured this learner, and nothing about another seed.

    Args:
        variance, num: of the episodes or samples; floats, arrays or tensors.
    """
    return 1.96 * (variance / num) ** 0.5


@functools.lru_cache(maxsize=1024)
def student_t(dof: float, confidence: float = CONFIDENCE) -> float:
    """Returns t such that a Student variable with `dof` degrees of freedom lies in [-t, t] with probability `confidence`."""
    from scipy.special import stdtrit  # here, since most commands never need it

    return float(stdtrit(dof, (1 + confidence) / 2))


def half_width95(values: np.ndarray) -> np.ndarray:
    """Returns half of the mean's 95% interval over the first axis, [R, ...] -> [...]; NaN where R is below `FEWEST`."""
    values = np.asarray(values, dtype=float)
    num = len(values)
    if num < FEWEST:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(student_t(num - 1) * np.std(values, axis=0, ddof=1) / math.sqrt(num))


def interval95(values: np.ndarray, possible: Bounds = ANY) -> np.ndarray:
    """Returns the mean's 95% interval over the first axis, cut to possible values, [R, ...] -> [..., 2]; NaN below `FEWEST`."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return np.full((*values.shape[1:], 2), np.nan)
    half, mean = half_width95(values), values.mean(axis=0)
    return np.asarray(np.clip(np.stack([mean - half, mean + half], axis=-1), *possible))


def spread(values: np.ndarray, possible: Bounds = ANY) -> dict[str, Any]:
    """Returns mean, sample standard deviation, 95% interval and values of [R], ready for JSON; None where undefined.

    Where some values are not finite there is no mean: a mean over the others would mislead.
    """
    values = np.asarray(values, dtype=float)
    listed = [float(value) if np.isfinite(value) else None for value in values]
    if None in listed or not listed:
        return {"mean": None, "std": None, "ci95": [None, None], "values": listed}
    ends = interval95(values, possible).tolist()
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else None,
        "ci95": [None if math.isnan(end) else end for end in ends],
        "values": listed,
    }


def difference_interval(one: Estimate, other: Estimate, confidence: float = CONFIDENCE) -> Bounds:
    """Returns the interval of the difference of two independent means, `one` minus `other`.

    With two known spreads it is Welch's (1947). Where one spread is not known, the other is used for both sides, with the
    degrees of freedom of the known side only.

    Returns:
        (low, high); the difference itself, twice, where neither side has any spread.
    """
    difference = one.mean - other.mean
    known = [side for side in (one, other) if side.std is not None]
    assert known, "neither spread is known"
    parts = [(side.std if side.std is not None else known[0].std or 0.0) ** 2 / side.num for side in (one, other)]
    total = sum(parts)
    if total == 0:
        return difference, difference
    if len(known) == 1:
        dof = float(known[0].num - 1)
    else:  # Welch-Satterthwaite
        dof = 1 / sum((part / total) ** 2 / (side.num - 1) for part, side in zip(parts, (one, other), strict=True))
    half = student_t(dof, confidence) * math.sqrt(total)
    return difference - half, difference + half
