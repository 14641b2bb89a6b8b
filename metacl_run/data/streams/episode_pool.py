"""The loaded classes of protocol `continual_meta`: one tensor of examples shared by all seeds, and tables of tasks' classes.

Shapes: R seeds (replicates), T tasks, E episodes, W ways, K examples of a class in an episode, N examples.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.transfer import upload
from metacl_run.core.types import Episode
from metacl_run.data.sources.source import inputs_of
from metacl_run.data.sources.task_shift import TaskShift
from metacl_run.data.streams.sampling import draw_distinct, inner_batches
from metacl_run.data.streams.stream import EpisodePool, Split


class ClassVariants(abc.ABC):
    """Ways to vary the examples of a class so that they count as another class."""

    count: int
    """Variants of a class, itself included."""

    @abc.abstractmethod
    def apply(self, examples: Tensor, variant: Tensor) -> Tensor:
        """Varies stored examples [B, ...], each by its number [B] from 0 to `count` - 1; may change `examples` in place."""


@dataclass(frozen=True, kw_only=True)
class Members:
    """The classes of every task in one split."""

    table: np.ndarray
    """[R, T, most classes of a task] int64 class indexes; a row's tail is unused."""
    sizes: np.ndarray
    """[R, T] int64, the used length of each row."""

    @classmethod
    def of(cls, classes: Sequence[Sequence[np.ndarray]]) -> Members:
        """From [R][T] arrays of class indexes."""
        sizes = np.array([[len(task_classes) for task_classes in tasks] for tasks in classes])
        table = np.zeros((*sizes.shape, sizes.max()), np.int64)
        for replicate, tasks in enumerate(classes):
            for task, task_classes in enumerate(tasks):
                table[replicate, task, : len(task_classes)] = task_classes
        return cls(table=table, sizes=sizes)


@dataclass(frozen=True, kw_only=True)
class ClassEpisodePool(EpisodePool):
    """Draws episodes by index from examples in memory."""

    task_names: list[list[str]]
    ways: int
    examples: Tensor
    """[N, ...] class by class, as the source stores them."""
    counts: np.ndarray
    """[classes] examples of each class."""
    members: Mapping[Split, Members]
    variants: Mapping[Split, ClassVariants | None]
    shift: TaskShift
    notes: Sequence[str] = ()

    def to(self, device: torch.device) -> ClassEpisodePool:
        return dataclasses.replace(self, examples=self.examples.to(device), shift=self.shift.to(device))

    def with_ways(self, ways: int) -> ClassEpisodePool:
        return dataclasses.replace(self, ways=ways)

    def sample(
        self,
        tasks: np.ndarray,
        split: Split,
        *,
        shots: int,
        queries: int,
        rngs: Sequence[np.random.Generator],
        classes: np.ndarray | None = None,
        batches: tuple[int, int] | None = None,
    ) -> Episode:
        num_replicates, num_episodes = tasks.shape
        members, variants = self.members[split], self.variants[split]
        slots = np.empty((num_replicates, num_episodes, self.ways))
        takes = np.empty((*slots.shape, shots + queries))
        variant = np.zeros(slots.shape, np.int64)
        for replicate, rng in enumerate(rngs):
            rng.random(out=slots[replicate])
            rng.random(out=takes[replicate])
            if variants is not None:
                variant[replicate] = rng.integers(0, variants.count, variant[replicate].shape)
        inner = inner_batches(rngs, num_episodes, batches, support=self.ways * shots)

        replicates = np.arange(num_replicates)[:, None]
        sizes = members.sizes[replicates, tasks]
        sizes = sizes if classes is None else np.minimum(sizes, classes)
        assert (sizes >= self.ways).all(), f"a task has fewer than {self.ways} classes in the {split} split"
        chosen = members.table[replicates[..., None], tasks[..., None], draw_distinct(slots, sizes)]  # [R, E, W]
        counts = self.counts[chosen]
        assert (counts >= shots + queries).all(), f"a class has fewer than {shots + queries} examples"
        starts = np.cumsum(self.counts)[chosen] - counts
        rows = starts[..., None] + draw_distinct(takes, counts)  # [R, E, W, K]

        shift_rows = np.broadcast_to((replicates * members.sizes.shape[1] + tasks)[..., None, None], rows.shape)
        variant = np.broadcast_to(variant[..., None], rows.shape)
        numbers = [part[..., half] for half in (slice(shots), slice(shots, None)) for part in (rows, shift_rows, variant)]
        *parts, batch_index = upload([*numbers, inner], self.examples.device)
        support_x, support_y = self._gather(parts[:3], variants)
        query_x, query_y = self._gather(parts[3:], variants)
        return Episode(support_x, support_y, query_x, query_y, batch_index)

    def _gather(self, numbers: Sequence[Tensor], variants: ClassVariants | None) -> tuple[Tensor, Tensor]:
        """Gathers inputs and labels, class by class.

        Args:
            numbers: three of [R, E, W, K]: rows of the examples, rows of the shift, and which variant an example is.
            variants: None: there are none.

        Returns:
            [R, E, W * K, ...] and [R, E, W * K] int64.
        """
        rows, shift_rows, variant = numbers
        stored = self.examples.index_select(0, rows.flatten())
        if variants is not None:
            stored = variants.apply(stored, variant.flatten())
        inputs = self.shift.apply(inputs_of(stored), shift_rows.flatten())
        labels = torch.arange(rows.shape[2], device=self.examples.device).repeat_interleave(rows.shape[3])
        lead = rows.shape[:2]
        return inputs.view(*lead, -1, *inputs.shape[1:]), labels.expand(*lead, -1).contiguous()
