"""The few shapes of data that modules hand to each other.

Axes, outermost first: R replicates, E episodes, then one of S support or Q query examples, then the example itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Parameters of a network by name."""

Pytree: TypeAlias = Any
"""Nested dicts, tuples and named tuples of tensors."""


class Episode(NamedTuple):
    """A few-shot problem; a batch of them has leading axes [E, ...] or [R, E, ...]. Labels are positions 0..ways-1."""

    support_x: Tensor
    """[S, ...] float inputs, S = ways * shots."""
    support_y: Tensor
    """[S] int64."""
    query_x: Tensor
    """[Q, ...], Q = ways * queries."""
    query_y: Tensor
    """[Q] int64."""
    batches: Tensor
    """[inner steps, batch] int64 indexes into the support, or of shape [0, 0]: every inner step takes all the support."""
