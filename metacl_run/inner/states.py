"""Two states of a learner made into one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metacl_run.core.types import Pytree


def chosen(condition: Tensor, first: Pytree, second: Pytree) -> Pytree:
    """The first tree where a scalar condition holds, else the second."""
    return tree_map(lambda a, b: torch.where(condition, a, b), first, second)


def part_of_the_way(start: Pytree, end: Pytree, share: float) -> Pytree:
    """start + share * (end - start), as Reptile steps."""
    return tree_map(lambda a, b: a + share * (b - a), start, end)
