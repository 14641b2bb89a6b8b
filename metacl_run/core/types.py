"""The few shapes of data that modules hand to each other.

Axes, outermost first: R replicates, E episodes, then one of S support or Q query examples, then the example itself.
Under protocol `online`: R replicates, G draws, then B samples of the stream or K replayed ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Parameters of a network by name."""

Pytree: TypeAlias = Any
"""Nested dicts, tuples and named tuples of tensors."""


class Episode(NamedTuple):
    """A few-shot problem; a batch of them has leading axes [E, ...] or [R, E, ...].

    Labels are positions 0..ways-1; the targets of a regression are real.
    """

    support_x: Tensor
    """[S, ...] float inputs, S = ways * shots."""
    support_y: Tensor
    """[S] int64 labels, or [S, dimensions] float targets."""
    query_x: Tensor
    """[Q, ...], Q = ways * queries."""
    query_y: Tensor
    """[Q] int64, or [Q, dimensions] float."""
    batches: Tensor
    """[inner steps, batch] int64 indexes into the support, or of shape [0, 0]: every inner step takes all the support."""


class Trajectory(NamedTuple):
    """A problem to meta-learn continual learning on: what is learned, step after step, and what that is judged by.

    A batch of them has leading axes [E, ...] or [R, E, ...].
    """

    x: Tensor
    """[S, B, ...] float inputs: S steps on B examples each."""
    y: Tensor
    """[S, B] int64 outputs, or [S, B, dimensions] float targets."""
    query_x: Tensor
    """[Q, ...]; where the trajectory is asked about itself, it comes first and in its own order."""
    query_y: Tensor
    """[Q] or [Q, dimensions]."""
    classes: Tensor
    """[W] int64, the outputs of the classes that are learned."""
    fresh: Tensor
    """[W, width] standard normal numbers, for new weights of these outputs; [W, 0] where none are drawn."""


class Samples(NamedTuple):
    """Labelled examples of a stream, each with the task it belongs to."""

    x: Tensor
    """[..., *input shape] float."""
    y: Tensor
    """[...] int64 outputs."""
    task: Tensor
    """[...] int64."""


class Observation(NamedTuple):
    """What one replicate is shown at once: a batch of the stream, and what was drawn from its memory for it.

    All that is random about a replicate is in here: the order of the batch and the draws from memory.
    """

    batch: Samples
    """[B]."""
    order: Tensor
    """[G, B] int64: for each draw, a random order of the batch."""
    replay: Samples
    """[G, K]: G independent draws from the memory as it was before this batch."""
    weight: Tensor
    """[G, K] float: 1, or 0 where the memory held less than K."""
    slot: Tensor
    """[G, K] int64: the place in memory a replayed sample came from."""
    write: Tensor
    """[B] int64: the place in memory each sample of the batch goes to afterwards; the size of the memory: nowhere."""
