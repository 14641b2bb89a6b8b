"""The content of a replay buffer along the stream, and the draws from it: functions of the seed alone.

Neither depends on what is learned, so neither needs a checkpoint: the content before observation u is computed again from the
seed. A schedule works on numbers of samples (see `data.streams.stream.SamplePool`); a learner receives the samples themselves.
Shapes: M places of the buffer, B samples of an observation, T tasks, N samples of a task, G draws of K samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.streams.sampling import draw_distinct


class ReplayDraws(NamedTuple):
    """The draws of one replicate for U observations in a row."""

    order: np.ndarray
    """[U, G, B] random orders of the batch."""
    number: np.ndarray
    """[U, G, K] numbers of samples; 0 where `weight` is."""
    weight: np.ndarray
    """[U, G, K] float32: 1, or 0 where there was nothing to draw."""
    slot: np.ndarray
    """[U, G, K] places in the buffer."""
    write: np.ndarray
    """[U, B] places that the batch's samples go to; M: nowhere."""

    def of_tasks(self, draws: slice) -> ReplayDraws:
        """The same with some of the G draws only; orders are of all."""
        return self._replace(number=self.number[:, draws], weight=self.weight[:, draws], slot=self.slot[:, draws])


class ReplaySchedule:
    """One replicate's replay buffer along its stream.

    Args:
        spec: what to keep and draw.
        seed: the replicate's.
        num_tasks, samples_per_task, batch_size: T, N, B; N is a multiple of B here.
    """

    def __init__(self, spec: ReplaySpec, seed: int, *, num_tasks: int, samples_per_task: int, batch_size: int) -> None:
        self.spec, self.seed = spec, seed
        self.num_tasks, self.per_task, self.batch_size = num_tasks, samples_per_task, batch_size
        self._buffer = np.full(spec.capacity, -1)
        self._filled_to = 0
        total = num_tasks * samples_per_task
        self._writes = self._reservoir_writes(total) if spec.keep == "reservoir" else np.full(total, spec.capacity)

    def draw(self, first: int, count: int) -> ReplayDraws:
        """The draws for observations `first` .. `first + count` - 1; going back is allowed."""
        spec, batch = self.spec, self.batch_size
        orders, uniforms = (np.empty((count, spec.draws, size)) for size in (batch, spec.size))
        for i in range(count):
            rng = generator(Purpose.REPLAY, self.seed, first + i)
            rng.random(out=orders[i])
            rng.random(out=uniforms[i])
        finished = (first + np.arange(count))[:, None] * batch // self.per_task  # [U, 1] tasks that are over
        sizes = np.broadcast_to(self._sizes(first, finished), uniforms.shape[:2])
        slot = self._slots(uniforms, sizes)
        weight = (np.arange(spec.size) < np.minimum(sizes, spec.size)[..., None]).astype(np.float32)
        if spec.by_task:
            number = slot + ((np.arange(self.num_tasks) + 1) * self.per_task - self._per_task_kept)[:, None]
            slot = slot + (np.arange(self.num_tasks) * self._per_task_kept)[:, None]
        else:
            number = self._numbers(first, slot)
        write = self._writes[first * batch : (first + count) * batch].reshape(count, batch)
        number[weight == 0] = slot[weight == 0] = 0
        return ReplayDraws(orders.argsort(-1), number, weight, slot, write)

    def _slots(self, uniforms: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """[U, G, K] distinct places below `sizes` [U, G], drawn by uniform numbers [U, G, K]."""
        size = self.spec.size
        slot = np.zeros(uniforms.shape, np.int64)
        if self.spec.by_task and size >= self._per_task_kept:  # nothing to choose: everything, in its order
            slot[:] = np.arange(size)
            return slot
        fitting = np.minimum(sizes, size)
        for length in np.unique(fitting[fitting > 0]):
            where = fitting == length
            places = slot[where]
            places[:, :length] = draw_distinct(uniforms[where][:, :length], sizes[where])
            slot[where] = places
        return slot

    def _sizes(self, first: int, finished: np.ndarray) -> np.ndarray:
        """[U, G] or [U, 1] the number of samples to draw from, when `finished` [U, 1] tasks are over."""
        keep = self.spec.keep
        if self.spec.by_task:  # a draw is of a task; nothing of those that are not over
            return np.where(np.arange(self.num_tasks) < finished, self._per_task_kept, 0)
        if keep == "reservoir":
            so_far = (first + np.arange(len(finished)))[:, None] * self.batch_size
            return np.minimum(so_far, self.spec.capacity)
        if keep == "ring":
            return finished * self._per_task_kept
        return np.full_like(finished, self.num_tasks * self.per_task) if keep == "all" else (finished + 1) * self.per_task

    def _numbers(self, first: int, slot: np.ndarray) -> np.ndarray:
        """The numbers of the samples at places [U, G, K], of observation `first` and those after it."""
        if self.spec.keep == "reservoir":
            contents = (self._reservoir_content(first + i) for i in range(len(slot)))
            return np.stack(
                [
                    content[places] if len(content) else np.zeros_like(places)
                    for content, places in zip(contents, slot, strict=True)
                ]
            )
        number: np.ndarray = slot.copy()  # where everything is kept, the place is the number
        if self.spec.keep == "ring":
            task, place = np.divmod(slot, max(1, self._per_task_kept))
            number = (task + 1) * self.per_task - self._per_task_kept + place
        return number

    @property
    def _per_task_kept(self) -> int:
        """Samples of each task in a ring."""
        return min(self.spec.capacity // self.num_tasks, self.per_task)

    def _reservoir_writes(self, total: int) -> np.ndarray:
        """[total] the place each sample goes to when it comes; the capacity for nowhere (Vitter 1985, algorithm R)."""
        number = np.arange(total)
        place = (generator(Purpose.RESERVOIR, self.seed).random(total) * (number + 1)).astype(np.int64)
        return np.minimum(np.where(number < self.spec.capacity, number, place), self.spec.capacity)

    def _reservoir_content(self, unit: int) -> np.ndarray:
        """[min(samples so far, M)] the samples in the buffer before an observation; a copy."""
        until = unit * self.batch_size
        if until < self._filled_to:
            self._buffer[:], self._filled_to = -1, 0
        for number in range(self._filled_to, until):
            if self._writes[number] < self.spec.capacity:
                self._buffer[self._writes[number]] = number
        self._filled_to = until
        content: np.ndarray = self._buffer[: min(until, self.spec.capacity)].copy()
        return content
