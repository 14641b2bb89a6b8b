"""Shards: the leading axis of a batch, shared out among the ranks of a run (see `runtime/ranks.py`), and the results combined.

Every rank has the whole batch and computes neighbouring items of it. Every rank gets the same combined result: sums over ranks
travel as one flat tensor for each dtype, whatever the number of leaves.

The collective is an operator of torch's with a rule for `torch.vmap`, since a mean over episodes is taken inside the map over
replicates: there it becomes one collective for all replicates. Gradients do not go through it; they are taken inside the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from metacl_run.core.types import Pytree


@torch.library.custom_op("metacl_run::sum_over_ranks", mutates_args=())
def sum_over_ranks(own: Tensor) -> Tensor:
    """Returns the sum of a tensor over all ranks of torch's default group. Raises RuntimeError when another rank is gone."""
    summed = own.clone()
    dist.all_reduce(summed)
    return summed


@sum_over_ranks.register_fake
def _shape_of_sum(own: Tensor) -> Tensor:
    return torch.empty_like(own)


def _sum_of_mapped(info: Any, in_dims: tuple[int | None], own: Tensor) -> tuple[Tensor, int | None]:
    return sum_over_ranks(own), in_dims[0]


torch.library.register_vmap(sum_over_ranks, _sum_of_mapped)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The part of every batch that one rank computes.

    Attributes:
        rank: from 0.
        count: number of ranks.
    """

    rank: int
    count: int

    def of(self, size: int) -> Shards:
        """Returns these shards, or `WHOLE` for a batch of fewer items than ranks: every rank then computes it all."""
        return self if size >= self.count else WHOLE

    def own(self, size: int) -> slice:
        """Returns this rank's part of `size` items; sizes of shards differ by at most one."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def largest(self, size: int) -> int:
        """Number of items in the largest shard."""
        return -(-size // self.of(size).count)

    def take(self, batched: Pytree) -> Pytree:
        """Returns this rank's part of the leading axis of every tensor."""
        if self.count == 1:
            return batched
        own = self.own(tree_leaves(batched)[0].shape[0])
        return tree_map(lambda leaf: leaf[own], batched)

    def sum(self, tree: Pytree) -> Pytree:
        """Sums every tensor over ranks; all tensors are on one device."""
        if self.count == 1:
            return tree
        leaves, spec = tree_flatten(tree)
        for dtype in {leaf.dtype: None for leaf in leaves}:  # a set has no order, which ranks must share
            which = [index for index, leaf in enumerate(leaves) if leaf.dtype == dtype]
            summed = sum_over_ranks(torch.cat([leaves[index].flatten() for index in which]))
            parts = torch.split(summed, [leaves[index].numel() for index in which])
            for index, part in zip(which, parts, strict=True):
                leaves[index] = part.reshape(leaves[index].shape)
        return tree_unflatten(leaves, spec)

    def joined(self, tree: Pytree, size: int) -> Pytree:
        """Combines the parts [own size, ...] of all ranks into [size, ...], exactly: every part is added to zeros."""
        if self.count == 1:
            return tree
        own = self.own(size)

        def placed(leaf: Tensor) -> Tensor:
            before, after = (leaf.new_zeros(length, *leaf.shape[1:]) for length in (own.start, size - own.stop))
            return torch.cat([before, leaf, after])

        return self.sum(tree_map(placed, tree))


WHOLE = Shards(rank=0, count=1)
"""A process that computes everything itself."""
