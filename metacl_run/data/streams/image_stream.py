"""The loaded image stream: one tensor of pixels shared by all replicates, and tables that say which class is whose.

Shapes: R replicates, T tasks, E episodes, W ways, K images of a class in an episode, N images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Episode
from metacl_run.data.streams.base import FewShotStream, Split
from metacl_run.data.streams.sampling import draw_batches, draw_distinct
from metacl_run.data.streams.shift import Shift


@dataclass(frozen=True, kw_only=True)
class Members:
    """Which classes the tasks hold in one split."""

    table: np.ndarray
    """[R, T, most classes of a task] int64 class indexes; a row's tail is unused."""
    sizes: np.ndarray
    """[R, T] int64, used length of each row."""
    turned: bool
    """Whether each class slot of an episode is turned by a random multiple of 90 degrees."""

    @classmethod
    def of(cls, classes: Sequence[Sequence[np.ndarray]], *, turned: bool) -> Members:
        """From [R][T] arrays of class indexes."""
        sizes = np.array([[len(held) for held in tasks] for tasks in classes])
        table = np.zeros((*sizes.shape, sizes.max()), np.int64)
        for replicate, tasks in enumerate(classes):
            for task, held in enumerate(tasks):
                table[replicate, task, : len(held)] = held
        return cls(table=table, sizes=sizes, turned=turned)


@dataclass(frozen=True, kw_only=True)
class ImageStream(FewShotStream):
    """Draws episodes by index from images in memory."""

    task_names: list[list[str]]
    ways: int
    pixels: Tensor
    """[N, channels, side, side] uint8, class by class."""
    counts: np.ndarray
    """Images of each class."""
    members: Mapping[Split, Members]
    shift: Shift
    notes: Sequence[str] = ()

    def to(self, device: torch.device) -> ImageStream:
        return dataclasses.replace(self, pixels=self.pixels.to(device), shift=self.shift.to(device))

    def num_classes(self, replicate: int, task: int, split: Split) -> int:
        return int(self.members[split].sizes[replicate, task])

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
        members, steps = self.members[split], batches or (0, 0)
        slots = np.empty((num_replicates, num_episodes, self.ways))
        takes = np.empty((*slots.shape, shots + queries))
        turns = np.zeros(slots.shape, np.int64)
        inner = np.empty((num_replicates, num_episodes, *steps), np.int64)
        for replicate, rng in enumerate(rngs):
            rng.random(out=slots[replicate])
            rng.random(out=takes[replicate])
            if members.turned:
                turns[replicate] = rng.integers(0, 4, turns[replicate].shape)
            if batches:
                inner[replicate] = draw_batches(rng, num_episodes, *batches, support=self.ways * shots)

        replicates = np.arange(num_replicates)[:, None]
        sizes = members.sizes[replicates, tasks]
        sizes = sizes if classes is None else np.minimum(sizes, classes)
        assert (sizes >= self.ways).all(), f"a task has fewer than {self.ways} classes in the {split} split"
        chosen = members.table[replicates[..., None], tasks[..., None], draw_distinct(slots, sizes)]  # [R, E, W]
        counts = self.counts[chosen]
        assert (counts >= shots + queries).all(), f"a class has fewer than {shots + queries} images"
        starts = np.cumsum(self.counts)[chosen] - counts
        images = starts[..., None] + draw_distinct(takes, counts)  # [R, E, W, K]

        shift_rows = replicates * members.sizes.shape[1] + tasks
        support_x, support_y = self._gather(images[..., :shots], turns, shift_rows)
        query_x, query_y = self._gather(images[..., shots:], turns, shift_rows)
        return Episode(support_x, support_y, query_x, query_y, self._index(inner))

    def _gather(self, images: np.ndarray, turns: np.ndarray, shift_rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Inputs and labels, class by class.

        Args:
            images: [R, E, W, K] indexes.
            turns: [R, E, W] quarter turns, as `torch.rot90` makes them.
            shift_rows: [R, E].

        Returns:
            [R, E, W * K, channels, side, side] float32 and [R, E, W * K] int64.
        """
        pixels = self.pixels.index_select(0, self._index(images.flatten()))
        per_image = np.broadcast_to(turns[..., None], images.shape).flatten()
        for quarter in np.unique(per_image[per_image > 0]):
            where = self._index(np.flatnonzero(per_image == quarter))
            pixels.index_copy_(0, where, pixels.index_select(0, where).rot90(int(quarter), (2, 3)))
        rows = self._index(np.broadcast_to(shift_rows[..., None, None], images.shape).flatten())
        inputs = self.shift.apply(pixels.float().div_(255), rows)
        labels = torch.arange(images.shape[2], device=self.pixels.device).repeat_interleave(images.shape[3])
        lead = images.shape[:2]
        return inputs.view(*lead, -1, *inputs.shape[1:]), labels.expand(*lead, -1).contiguous()

    def _index(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.pixels.device)
