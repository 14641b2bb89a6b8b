"""When a search ends a trial early: pure functions of the scores that trials had on their way.

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
"""A trial's score by how far it was, in thousandths of its run."""
WHOLE = 1000
WARM_UP = WHOLE // 2
"""Before this, no trial is ended."""
FEWEST_OTHERS = 5
"""Trials that a median is taken of; with fewer, none is ended."""


def share_done(unit: int, total: int) -> int:
    """How far a run is, in thousandths: the same place of the stream whatever a unit of work is."""
    return WHOLE * unit // total


def falls_behind(curve: Curve, others: Sequence[Curve], *, higher_is_better: bool) -> bool:
    """Whether a trial is, where it is now, worse than the median of those that have come as far.

    Args:
        curve: the trial's own.
        others: those of trials that have ended. What counts of each is its last value at or before the same share.
        higher_is_better: which way the score is good.
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
