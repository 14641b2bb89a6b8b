"""The shapes of data that rooms of the package exchange.

Axes, outermost first:
    R  replicates: the seeds of a run, computed side by side; users see them as `seeds`
    E  episodes or trajectories of a meta-update
    S  support examples, or steps of a trajectory;  Q  query examples;  B  examples of a batch
    G  draws from a replay buffer;  K  samples of a draw
and then the axes of one example. Algorithms never see R.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Parameters of a network by name."""

Pytree: TypeAlias = Any
"""Nested dicts, tuples and named tuples of tensors."""


def cast_floats(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Casts real numbers to `dtype`; whole numbers (labels, token numbers) stay what they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


Metrics: TypeAlias = dict[str, Tensor]
"""Scalars of one unit of work by name; "loss" is always among them."""


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

    @classmethod
    def divided(cls, x: Tensor, y: Tensor, shots: int, batches: Tensor) -> Episode:
        """Episodes of examples x, y [R, E, S + Q, ...] in a row: the first `shots` are the support set, the rest queries."""
        return cls(x[:, :, :shots], y[:, :, :shots], x[:, :, shots:], y[:, :, shots:], batches)

    @classmethod
    def of_sets(cls, support: tuple[Tensor, Tensor], query: tuple[Tensor, Tensor]) -> Episode:
        """One episode of a support and a query set, (x, y) each, whose inner steps take all the support."""
        return cls(*support, *query, torch.empty(0, 0, dtype=torch.int64, device=support[0].device))

    def inner_batches(self, steps: int) -> list[tuple[Tensor, Tensor]]:
        """Returns the (x, y) of every inner step: its mini-batch if the episode has any, else the whole support."""
        if self.batches.numel() == 0:
            return [(self.support_x, self.support_y)] * steps
        return [(self.support_x[index], self.support_y[index]) for index in self.batches.unbind(0)]


class Trajectory(NamedTuple):
    """A problem to meta-learn continual learning on: the examples of every step, and queries for the outer loss.

    A batch of them has leading axes [E, ...] or [R, E, ...].
    """

    x: Tensor
    """[S, B, ...] float inputs: S steps, each on B examples."""
    y: Tensor
    """[S, B] int64 outputs, or [S, B, dimensions] float targets."""
    query_x: Tensor
    """[Q, ...]; where the trajectory is its own query set, it comes first and in its own order."""
    query_y: Tensor
    """[Q] or [Q, dimensions]."""
    classes: Tensor
    """[W] int64, the outputs of the classes that are learned."""
    fresh: Tensor
    """[W, width] standard normal numbers for each of these classes: new weights of its output, or noise; [W, 0] where none are
    drawn."""

    @property
    def num_learned(self) -> int:
        """S * B, the examples of all steps."""
        return self.x.shape[0] * self.x.shape[1]

    def steps(self) -> list[tuple[Tensor, Tensor]]:
        """Returns the (x [B, ...], y [B, ...]) of every step, in order."""
        return list(zip(self.x.unbind(0), self.y.unbind(0), strict=True))

    def all_x(self) -> Tensor:
        """Returns the inputs of all steps and then the queries, [S * B + Q, ...]."""
        return torch.cat([self.x.flatten(0, 1), self.query_x])

    def split(self, leaf: Tensor) -> tuple[Tensor, Tensor]:
        """Splits a function of `all_x`, [S * B + Q, ...], into its parts for the steps, [S * B, ...], and for the queries."""
        learned, queries = torch.split(leaf, [self.num_learned, len(leaf) - self.num_learned])
        return learned, queries


class Samples(NamedTuple):
    """Examples of a stream, every one with its target and the task it belongs to. Methods work on the leading axes [...]."""

    x: Tensor
    """[..., *input shape] float."""
    y: Tensor
    """[...] int64 outputs, or [..., dimensions] float targets."""
    task: Tensor
    """[...] int64."""

    def map(self, change: Callable[[Tensor], Tensor]) -> Samples:
        """Applies `change`, which must leave the axes of an example alone, to inputs, targets and tasks."""
        return Samples(change(self.x), change(self.y), change(self.task))

    def at(self, index: int | slice | Tensor) -> Samples:
        """Returns the samples at one place (without the axis), a slice, or int64 places of the first axis."""
        return self.map(lambda part: part[index])

    def repeat(self, times: int) -> Samples:
        """[...] -> [times, ...]: the same samples, not copied."""
        return self.map(lambda part: part.expand(times, *part.shape))

    def unsqueeze(self, axis: int) -> Samples:
        """Adds an axis of size 1; `axis` counts from the front."""
        return self.map(lambda part: part.unsqueeze(axis))

    def chunks(self, size: int) -> list[Samples]:
        """[N] -> N / size times [size], in order; the last may be smaller."""
        return [Samples(*parts) for parts in zip(*(torch.split(part, size) for part in self), strict=True)]

    def joined(self, others: Samples, axis: int = 0) -> Samples:
        """Returns these samples and then `others`, along one axis."""
        return Samples(*(torch.cat(parts, axis) for parts in zip(self, others, strict=True)))

    def cast(self, dtype: torch.dtype) -> Samples:
        """Returns the samples with inputs and targets of this floating-point type; whole numbers stay what they are."""
        return self.map(lambda part: cast_floats(part, dtype))


class WeightedSamples(NamedTuple):
    """Samples that count in a loss by their weights; a weight of 0 marks a place without a sample."""

    samples: Samples
    """[...]."""
    weight: Tensor
    """[...] float."""

    def at(self, index: int | slice | Tensor) -> WeightedSamples:
        """As `Samples.at`."""
        return WeightedSamples(self.samples.at(index), self.weight[index])

    def unsqueeze(self, axis: int) -> WeightedSamples:
        """As `Samples.unsqueeze`."""
        return WeightedSamples(self.samples.unsqueeze(axis), self.weight.unsqueeze(axis))

    def after(self, batch: Samples, axis: int = 0) -> WeightedSamples:
        """Returns `batch`, whose samples all have weight 1, and then these, along one axis."""
        ones = self.weight.new_ones(batch.task.shape)
        return WeightedSamples(batch.joined(self.samples, axis), torch.cat([ones, self.weight], axis))


NONE = torch.empty(0)
"""In place of numbers that are not needed."""


class Observation(NamedTuple):
    """One unit of work under protocol `online`, of one replicate: a batch of the stream, and draws from its replay buffer.

    All that is random about a replicate is in here: the order of the batch and the draws.
    """

    batch: Samples
    """[B]."""
    order: Tensor
    """[G, B] int64: for each draw, a random order of the batch."""
    replay: Samples
    """[G, K]: G independent draws from the buffer as it was before this batch."""
    weight: Tensor
    """[G, K] float: 1, or 0 where the buffer had fewer than K samples."""
    slot: Tensor
    """[G, K] int64: the place in the buffer that a replayed sample came from."""
    write: Tensor
    """[B] int64: the place in the buffer that each sample of the batch goes to afterwards; the buffer's size: nowhere."""
    number: Tensor = NONE
    """[B] int64: the numbers of the samples of the batch, for a learner that chooses its exemplars; else [0]."""
    uniform: Tensor = NONE
    """[B, ReplaySpec.uniforms] float32 in [0, 1), for a learner that asks for random numbers; else [0]."""
    share: Tensor = NONE
    """[] float64 in [0, 1): the share of the task's observations, of all passes, that came before this one, for a learner whose
    `needs_share` is true; else [0]."""

    def filled(self) -> Observation:
        """The same with samples of the batch, which still have no weight, in the places of the draws that have no sample: what
        normalises by a batch then sees nothing that was not observed."""
        places = torch.arange(self.weight.shape[1], device=self.weight.device) % len(self.write)

        def fill(drawn: Tensor, batch: Tensor) -> Tensor:
            is_drawn = (self.weight > 0).view(*self.weight.shape, *[1] * (drawn.ndim - 2))
            return torch.where(is_drawn, drawn, batch[places])

        return self._replace(replay=Samples(*(fill(*parts) for parts in zip(self.replay, self.batch, strict=True))))

    def draws(self) -> WeightedSamples:
        """Returns all draws, [G, K]."""
        return WeightedSamples(self.replay, self.weight)

    def draw(self, number: int) -> WeightedSamples:
        """Returns one draw, [K]."""
        return self.draws().at(number)

    def batch_with_draws(self) -> WeightedSamples:
        """Returns the batch followed by every one of the draws, [G, B + K]."""
        return self.draws().after(self.batch.repeat(len(self.weight)), axis=1)

    def shuffled_batch(self, number: int) -> Samples:
        """Returns the batch [B] in the random order that belongs to draw `number`."""
        return self.batch.at(self.order[number])
