"""Which samples of the stream a memory holds at any time, and what is drawn from it: decided by the seed alone.

Neither depends on what is learned, so nothing of it needs a checkpoint: the content before observation u is worked out again
from the seed. A memory holds numbers of samples (see `data.streams.base.SamplePool`), a learner is handed the
samples themselves.
Shapes: M places, B samples of an observation, T tasks, N samples of a task, G draws of K samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.streams.sampling import draw_distinct


class Drawn(NamedTuple):
    """What one replicate draws for U observations in a row."""

    order: np.ndarray
    """[U, G, B] random orders of the batch."""
    number: np.ndarray
    """[U, G, K] numbers of samples; 0 where `weight` is."""
    weight: np.ndarray
    """[U, G, K] float32: 1, or 0 where there was nothing to draw."""
    slot: np.ndarray
    """[U, G, K] places in memory."""
    write: np.ndarray
    """[U, B] places that the batch's samples go to; M: nowhere."""


class Memory:
    """One replicate's memory along its stream.

    Args:
        recall: what to keep and draw.
        seed: the replicate's.
        num_tasks, samples_per_task, batch_size: T, N, B; N is a multiple of B here.
    """

    def __init__(self, recall: ReplaySpec, seed: int, *, num_tasks: int, samples_per_task: int, batch_size: int) -> None:
        self.recall, self.seed = recall, seed
        self.num_tasks, self.per_task, self.batch_size = num_tasks, samples_per_task, batch_size
        self._places = np.full(recall.capacity, -1)
        self._filled_to = 0
        total = num_tasks * samples_per_task
        self._writes = self._reservoir(total) if recall.keep == "reservoir" else np.full(total, recall.capacity)

    def draw(self, first: int, count: int) -> Drawn:
        """Draws for observations `first` .. `first + count` - 1; going back is allowed."""
        recall, batch = self.recall, self.batch_size
        orders, uniforms = (np.empty((count, recall.draws, size)) for size in (batch, recall.size))
        for i in range(count):
            rng = generator(Purpose.REPLAY, self.seed, first + i)
            rng.random(out=orders[i])
            rng.random(out=uniforms[i])
        tasks = (first + np.arange(count))[:, None] * batch // self.per_task  # [U, 1] those that are over
        sizes = np.broadcast_to(self._sizes(first, tasks), uniforms.shape[:2])
        slot = np.zeros(uniforms.shape, np.int64)
        fitting = np.minimum(sizes, recall.size)
        whole = recall.by_task and recall.size >= self._kept_of_a_task  # nothing to choose: all that is kept, as it lies
        if whole:
            slot[:] = np.arange(recall.size)
        for size in np.unique(fitting[fitting > 0]) if not whole else ():
            where = fitting == size
            taken = slot[where]
            taken[:, :size] = draw_distinct(uniforms[where][:, :size], sizes[where])
            slot[where] = taken
        weight = (np.arange(recall.size) < fitting[..., None]).astype(np.float32)
        if recall.by_task:
            kept = self._kept_of_a_task
            index = slot + ((np.arange(self.num_tasks) + 1) * self.per_task - kept)[:, None]
            slot = slot + (np.arange(self.num_tasks) * kept)[:, None]
        else:
            index = self._numbers(first, slot)
        write = self._writes[first * batch : (first + count) * batch].reshape(count, batch)
        empty = weight == 0
        index[empty] = slot[empty] = 0
        return Drawn(orders.argsort(-1), index, weight, slot, write)

    def _sizes(self, first: int, tasks: np.ndarray) -> np.ndarray:
        """[U, G] or [U, 1] how much may be drawn from for each draw; [U, 1] `tasks` are over."""
        keep, kept = self.recall.keep, self._kept_of_a_task
        if self.recall.by_task:  # a draw is of a task; nothing of those that are not over
            return np.where(np.arange(self.num_tasks) < tasks, kept, 0)
        if keep == "reservoir":
            so_far = (first + np.arange(len(tasks)))[:, None] * self.batch_size
            return np.minimum(so_far, self.recall.capacity)
        if keep == "ring":
            return tasks * kept
        return np.full_like(tasks, self.num_tasks * self.per_task) if keep == "all" else (tasks + 1) * self.per_task

    def _numbers(self, first: int, slot: np.ndarray) -> np.ndarray:
        """The numbers of the samples at places [U, G, K], of observation `first` and those after it."""
        if self.recall.keep == "reservoir":
            held = (self._reservoir_content(first + i) for i in range(len(slot)))
            return np.stack([each[at] if len(each) else np.zeros_like(at) for each, at in zip(held, slot, strict=True)])
        if self.recall.keep == "ring":
            task, within = np.divmod(slot, max(1, self._kept_of_a_task))
            return (task + 1) * self.per_task - self._kept_of_a_task + within
        return slot.copy()  # of what is kept whole, the place is the number

    @property
    def _kept_of_a_task(self) -> int:
        return min(self.recall.capacity // self.num_tasks, self.per_task)

    def _reservoir(self, total: int) -> np.ndarray:
        """[total] the place each sample goes to when it comes; the capacity for nowhere (Vitter 1985, algorithm R)."""
        number = np.arange(total)
        drawn = (generator(Purpose.RESERVOIR, self.seed).random(total) * (number + 1)).astype(np.int64)
        place = np.where(number < self.recall.capacity, number, drawn)
        return np.minimum(place, self.recall.capacity)

    def _reservoir_content(self, unit: int) -> np.ndarray:
        """[min(samples so far, M)] the samples in memory before an observation; a copy."""
        until = unit * self.batch_size
        if until < self._filled_to:
            self._places[:], self._filled_to = -1, 0
        for number in range(self._filled_to, until):
            if self._writes[number] < self.recall.capacity:
                self._places[self._writes[number]] = number
        self._filled_to = until
        return self._places[: min(until, self.recall.capacity)].copy()
