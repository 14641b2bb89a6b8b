"""Many tensors as one, so that an operation on all of them is one launch on a card.

On the CPU a launch costs next to nothing and the copies are not worth it: callers keep to single tensors there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


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
