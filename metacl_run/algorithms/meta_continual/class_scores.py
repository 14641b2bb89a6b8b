"""Scores of classes from the sums over their examples (`class_sums.ClassSums`): distances to means, and densities.

Shapes: C classes, D features, N examples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metacl_run.algorithms.meta_continual.class_sums import UNKNOWN, ClassSums
from metacl_run.core.types import Pytree

LARGEST = 2**20
"""Numbers that one table of queries, classes and some of the features may have, unless one feature makes it larger."""
WORKING = 3 * LARGEST
"""Numbers in memory while `log_densities` works: the table, and two steps of its computation."""


def distance_scores(meta: Pytree, sums: ClassSums, features: Tensor) -> Tensor:
    """Minus the squared distance to the mean feature of each class. See `class_sums.Scores`; needs nothing meta-learned beside
    the features."""
    means, exact = sums.total / sums.number.clamp(min=1).unsqueeze(1), features.double()
    distances = exact.square().sum(1, keepdim=True) - 2 * exact @ means.T + means.square().sum(1)
    return torch.where(sums.number > 0, -distances.to(features.dtype), UNKNOWN)


def squared_deviations(sums: ClassSums) -> Tensor:
    """[C, D] float64, of each class's examples from their mean."""
    number = sums.number.clamp(min=1).unsqueeze(1)
    return (sums.squares - number * (sums.total / number).square()).clamp(min=0)


def log_densities(sums: ClassSums, features: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """[N, C] the log predictive densities of features [N, D], summed over D, where those of a class are normal.

    A mean has a prior without weight, a precision the prior Gamma(a, b): Student t's, see `gemcl.py`.

    Args:
        a: a scalar.
        b: a scalar, or [D].
    """
    number = sums.number.clamp(min=1).unsqueeze(1)  # [C, 1]
    mean = (sums.total / number).to(features.dtype)
    shape = a + number / 2  # [C, 1]
    rate = b + squared_deviations(sums).to(features.dtype) / 2
    freedom, scale = 2 * shape, rate * (number + 1) / (shape * number)  # of the t's; [C, D] squared
    half, width = (freedom + 1) / 2, features.shape[1]
    constant = width * (torch.lgamma(half) - torch.lgamma(freedom / 2) - (freedom * math.pi).log() / 2).squeeze(1)
    constant = constant - scale.log().sum(1) / 2
    spread, logs = freedom * scale, features.new_zeros(())
    # Some features at a time, of all queries: every table is as large as the next, so that freed memory can be used again.
    at_once = max(1, LARGEST // (len(features) * len(mean)))
    for part, center, own in zip(*(torch.split(table, at_once, 1) for table in (features, mean, spread)), strict=True):
        logs = logs + ((part.unsqueeze(1) - center).square() / own).log1p().sum(-1)
    return torch.where(sums.number > 0, constant - half.squeeze(1) * logs, UNKNOWN)
