"""What the models of token numbers share."""

from __future__ import annotations

from torch import Tensor


def mean_over_words(features: Tensor, x: Tensor) -> Tensor:
    """The mean [N, width] of features [N, L, width] over the places where token numbers [N, L] are not 0; 0 where all are."""
    inside = (x != 0).to(features.dtype).unsqueeze(-1)
    return (features * inside).sum(-2) / inside.sum(-2).clamp(min=1)
