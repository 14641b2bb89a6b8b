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


class SideBySide:
    """The layout of a tree of tensors of one dtype that lie side by side in one tensor, a tree with the one leaf "all"."""

    def __init__(self, tree: Pytree) -> None:
        leaves, self._spec = tree_flatten(tree)
        self._shapes = [leaf.shape for leaf in leaves]

    def flat(self, tree: Pytree) -> Pytree:
        """A tree of this shape as one tensor."""
        return {"all": torch.cat([leaf.flatten() for leaf in tree_leaves(tree)])}

    def shaped(self, flat: Pytree) -> Pytree:
        """The tree again; its leaves are views."""
        parts = flat["all"].split([shape.numel() for shape in self._shapes])
        return tree_unflatten([part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)], self._spec)

    def flat_state(self, state: Pytree) -> Pytree:
        """The state of an optimiser of such a tree: by name a dict of the tree's shape, a tensor, or a dict of these."""
        if not isinstance(state, dict):
            return state
        if tree_flatten(state)[1] == self._spec:
            return self.flat(state)
        return {name: self.flat_state(entry) for name, entry in state.items()}

    def shaped_state(self, state: Pytree) -> Pytree:
        if not isinstance(state, dict):
            return state
        if state.keys() == {"all"}:
            return self.shaped(state)
        return {name: self.shaped_state(entry) for name, entry in state.items()}


def belongs_side_by_side(tree: Pytree) -> bool:
    """Whether a tree's tensors are better computed as one: they are on a card, and of one dtype."""
    leaves = tree_leaves(tree)
    return leaves[0].is_cuda and len({leaf.dtype for leaf in leaves}) == 1


def update_with_few_launches(update: Update, gradient: Pytree, state: Pytree, params: Pytree) -> tuple[Pytree, Pytree]:
    """Calls an update, on a card with all parameters as one tensor; see `update_side_by_side`."""
    one = belongs_side_by_side(params)
    return update_side_by_side(update, gradient, state, params) if one else update(gradient, state, params)


def update_side_by_side(update: Update, gradient: Pytree, state: Pytree, params: Pytree) -> tuple[Pytree, Pytree]:
    """Calls an update with all parameters, of one dtype, side by side in one tensor.

    Args:
        update: an optimiser's, or another that treats all numbers alike.
        gradient, params: trees of the same shape.
        state: what else the update needs and changes: by name a dict of the parameters' shape, a tensor, or a dict of these.

    Returns:
        the new parameters and state, in the shapes of the old ones.
    """
    layout = SideBySide(params)
    moved, new = update(layout.flat(gradient), layout.flat_state(state), layout.flat(params))
    return layout.shaped(moved), layout.shaped_state(new)
