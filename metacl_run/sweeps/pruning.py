"""Decides when a search ends a trial early: pure functions of the scores that trials had along the way.

A continual learner's mean score on the tasks seen falls along the stream. Optuna's median pruner goes by the best value so
far, so it would judge every trial for ever by its first task, where only plasticity shows. Here trials are compared by their
current values at the same share of the stream, and only once half of it is done, since a stable learner overtakes a forgetful
one late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

Curve: TypeAlias = Mapping[int, float]
"""A trial's score by progress, in thousandths of its run."""
WHOLE = 1000
WARM_UP = WHOLE // 2
"""No trial is ended before this."""
FEWEST_OTHERS = 5
"""Other trials that a median needs; with fewer, no trial is ended."""


def share_done(unit: int, total: int) -> int:
    """Returns the progress of a run in thousandths: the same place of the stream whatever a unit of work is."""
    return WHOLE * unit // total


def falls_behind(curve: Curve, others: Sequence[Curve], *, higher_is_better: bool) -> bool:
    """Whether a trial's current score is worse than the median of the other trials at the same progress.

    Args:
        curve: the trial's own curve.
        others: curves of trials that have ended. Their last values at or before the same progress count.
        higher_is_better: whether a higher score is better.
    """
    if not curve or (now := max(curve)) < WARM_UP:
        return False
    values = [
        other[max(share for share in other if share <= now)] for other in others if other and min(other) <= now <= max(other)
    ]
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < FEWEST_OTHERS:
        return False
    median = float(np.median(finite))
    return curve[now] < median if higher_is_better else curve[now] > median
