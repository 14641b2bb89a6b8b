"""Many tensors as one, so that an operation on all of them is one launch on a card.

On the CPU a launch costs next to nothing and the copies are not worth it: callers keep to single tensors there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from metacl_run.core.types import Pytree


def flatly(function: Callable[[Tensor], Tensor], leaves: Sequence[Tensor], keep: int = 0) -> list[Tensor]:
    """Applies a function to all tensors at once, laid side by side, once for every dtype.

    Args:
        function: of [*kept, N], returns [N] of any dtype; treats the places of the last axis alike.
        leaves: tensors of any shapes, with `keep` leading axes in common.
        keep: 0 or 1, the leading axes that are passed on and reduced by `function`.

    Returns:
        for every tensor the part of the result that belongs to it, without the kept axes.
    """
    results: list[Tensor | None] = [None] * len(leaves)
    for dtype in dict.fromkeys(leaf.dtype for leaf in leaves):
        places = [place for place, leaf in enumerate(leaves) if leaf.dtype == dtype]
        flat = function(torch.cat([leaves[place].reshape(*leaves[place].shape[:keep], -1) for place in places], -1))
        sizes = [leaves[place].shape[keep:].numel() for place in places]
        for place, part in zip(places, flat.split(sizes), strict=True):
            results[place] = part.view(leaves[place].shape[keep:])
    return [result for result in results if result is not None]


Update: TypeAlias = Callable[[Pytree, Pytree, Pytree], tuple[Pytree, Pytree]]
"""(gradient, state, params) -> (params, state), for trees of any shape."""


def update_with_few_launches(update: Update, gradient: Pytree, state: Pytree, params: Pytree) -> tuple[Pytree, Pytree]:
    """Calls an update, on a card with all parameters as one tensor; see `update_side_by_side`."""
    leaves = tree_leaves(params)
    one = leaves[0].is_cuda and len({leaf.dtype for leaf in leaves}) == 1
    return update_side_by_side(update, gradient, state, params) if one else update(gradient, state, params)


def update_side_by_side(update: Update, gradient: Pytree, state: Pytree, params: Pytree) -> tuple[Pytree, Pytree]:
    """Calls an update with all parameters, of one dtype, side by side in one tensor.

    Args:
        update: an optimiser's, or another that treats all numbers alike.
        gradient, params: trees of the same shape.
        state: what else the update needs and changes: by name a dict of the parameters' shape, or a tensor.

    Returns:
        the new parameters and state, in the shapes of the old ones.
    """
    leaves, spec = tree_flatten(params)

    def flat(tree: Pytree) -> Pytree:
        return {"all": torch.cat([leaf.flatten() for leaf in tree_leaves(tree)])}

    def shaped(tree: Pytree) -> Pytree:
        parts = tree["all"].split([leaf.numel() for leaf in leaves])
        return tree_unflatten([part.view(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)], spec)

    flat_state = {name: flat(entry) if isinstance(entry, dict) else entry for name, entry in state.items()}
    moved, new = update(flat(gradient), flat_state, flat(params))
    return shaped(moved), {name: shaped(entry) if isinstance(entry, dict) else entry for name, entry in new.items()}
