"""The content of a replay buffer along the stream, and the draws from it: functions of the seed alone.

Neither depends on what is learned, so neither needs a checkpoint: the content before observation u is computed again from the
seed, and where the buffer goes by class from the labels. A schedule works on numbers of samples (see
`data.streams.stream.SamplePool`); a learner receives the samples themselves.
Shapes: M places of the buffer, B samples of an observation, T tasks, N samples of all tasks, G draws of K samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metacl_run.algorithms.online.stream_learner import ReplaySpec
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.data.streams.sampling import draw_distinct
from metacl_run.protocols.online import buffer_places


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
        samples: of each task, a multiple of B.
        batch_size: B.
        epochs: passes over each task before the next. Samples enter the buffer in the first pass.
        labels: [N] the label of every sample; needed where `spec.by_class`.
        labels_recur: every task has the labels anew, for samples of its own: a ring keeps the tasks apart. So it does, whatever
            the labels, for a method that draws from past tasks alone: with blurred borders a class comes with several tasks.
    """

    def __init__(
        self,
        spec: ReplaySpec,
        seed: int,
        *,
        samples: TaskLengths,
        batch_size: int,
        epochs: int = 1,
        labels: np.ndarray | None = None,
        labels_recur: bool = True,
    ) -> None:
        self.spec, self.seed = spec, seed
        self.samples, self.batch_size, self.epochs = samples, batch_size, epochs
        self._units = TaskLengths.of([length // batch_size * epochs for length in samples.lengths])
        self._last = samples.at_most(spec.capacity // len(samples.lengths))
        """The last samples of each task, which a buffer of them keeps."""
        self._buffer = np.full(spec.capacity, -1)
        self._filled_to = 0
        self._writes = self._places(labels, labels_recur)
        ends = np.where(self._writes < spec.capacity, self._writes + 1, 0)
        self._in_use = np.maximum.accumulate(np.concatenate([[0], ends]))
        """[N + 1] places in use when so many samples have come."""

    def draw_from(self, unit: int, exemplars: np.ndarray) -> ReplayDraws:
        """The draws for one observation from exemplars [M]: numbers of samples, negative where a place has none."""
        orders, uniforms = self._uniforms(unit, 1)
        in_use = np.flatnonzero(exemplars >= 0)
        slot = self._slots(uniforms, np.full(uniforms.shape[:2], len(in_use)))
        weight = np.zeros(slot.shape, np.float32)
        weight[..., : len(in_use)] = 1
        slot = np.where(weight > 0, in_use[slot] if len(in_use) else 0, 0)
        number = np.where(weight > 0, exemplars[slot], 0)
        nowhere = np.full((1, self.batch_size), self.spec.capacity)
        return ReplayDraws(orders.argsort(-1), number, weight, slot, nowhere)

    def draw(self, first: int, count: int) -> ReplayDraws:
        """The draws for observations `first` .. `first + count` - 1; going back is allowed."""
        spec = self.spec
        orders, uniforms = self._uniforms(first, count)
        so_far = self._come_before(first + np.arange(count))[:, None]  # [U, 1]
        finished = self._units.tasks_at(first + np.arange(count))[:, None]  # [U, 1] tasks that are over
        sizes = np.broadcast_to(self._sizes(so_far, finished), uniforms.shape[:2])
        slot = self._slots(uniforms, sizes)
        weight = (np.arange(spec.size) < np.minimum(sizes, spec.size)[..., None]).astype(np.float32)
        if spec.by_task:
            number = slot + (self.samples.ends - self._last.lengths)[:, None]
            slot = slot + self._last.starts[:, None]
        else:
            number = self._numbers(so_far[:, 0], slot)
        write = self._written(first + np.arange(count), so_far)
        number[weight == 0] = slot[weight == 0] = 0
        return ReplayDraws(orders.argsort(-1), number, weight, slot, write)

    def _uniforms(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """[U, G, B] and [U, G, K] uniform numbers, for the orders and the draws of some observations."""
        orders, uniforms = (np.empty((count, self.spec.draws, size)) for size in (self.batch_size, self.spec.size))
        for i in range(count):
            rng = generator(Purpose.REPLAY, self.seed, first + i)
            rng.random(out=orders[i])
            rng.random(out=uniforms[i])
        return orders, uniforms

    def _slots(self, uniforms: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """[U, G, K] distinct places below `sizes` [U, G], drawn by uniform numbers [U, G, K]."""
        size = self.spec.size
        slot = np.zeros(uniforms.shape, np.int64)
        if self.spec.by_task and size >= self._last.longest:  # nothing to choose: everything, in its order
            slot[:] = np.arange(size)
            return slot
        fitting = np.minimum(sizes, size)
        for length in np.unique(fitting[fitting > 0]):
            where = fitting == length
            places = slot[where]
            places[:, :length] = draw_distinct(uniforms[where][:, :length], sizes[where])
            slot[where] = places
        return slot

    def _come_before(self, units: np.ndarray) -> np.ndarray:
        """[U] samples of the stream that have come before an observation; each counts once."""
        task, unit = self._units.within(units)
        return np.asarray(self.samples.starts[task] + np.minimum(unit * self.batch_size, np.array(self.samples.lengths)[task]))

    def _written(self, units: np.ndarray, so_far: np.ndarray) -> np.ndarray:
        """[U, B] the places that the batches go to, when `so_far` [U, 1] samples came before; in the first pass alone."""
        task, unit = self._units.within(units)
        again = unit * self.batch_size >= np.array(self.samples.lengths)[task]
        numbers = np.where(again[:, None], 0, so_far + np.arange(self.batch_size))
        return np.asarray(np.where(again[:, None], self.spec.capacity, self._writes[numbers]))

    def _sizes(self, so_far: np.ndarray, finished: np.ndarray) -> np.ndarray:
        """[U, G] or [U, 1] the number of samples to draw from, when `so_far` [U, 1] have come and `finished` tasks are over."""
        keep = self.spec.keep
        if self.spec.by_task:  # a draw is of a task; nothing of those that are not over
            return np.where(np.arange(len(self._last.lengths)) < finished, self._last.lengths, 0)
        if self.spec.has_places:
            return np.asarray(self._in_use[self.samples.starts[finished] if self.spec.past else so_far])
        if keep == "last":
            return np.asarray(self._last.starts[finished])
        return np.full_like(finished, self.samples.total) if keep == "all" else self.samples.ends[finished]

    def _numbers(self, so_far: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """The numbers of the samples at places [U, G, K], when `so_far` [U] samples have come."""
        if self.spec.has_places:
            contents = (self._content(int(until)) for until in so_far)
            return np.stack(
                [
                    content[places] if len(content) else np.zeros_like(places)
                    for content, places in zip(contents, slot, strict=True)
                ]
            )
        number: np.ndarray = slot.copy()  # where everything is kept, the place is the number
        if self.spec.keep == "last":
            task, place = self._last.within(slot)
            number = (self.samples.ends - self._last.lengths)[task] + place
        return number

    def _places(self, labels: np.ndarray | None, labels_recur: bool) -> np.ndarray:
        """[N] the place that each sample goes to when it comes; the capacity for nowhere."""
        keep, capacity, total = self.spec.keep, self.spec.capacity, self.samples.total
        if keep == "reservoir":
            return buffer_places.reservoir(capacity, total, self.seed)
        if not self.spec.by_class:
            return np.full(total, capacity)
        assert labels is not None
        if keep == "balanced":
            return buffer_places.balanced(capacity, labels, self.seed)
        apart = labels_recur or self.spec.past
        groups = labels + apart * self.samples.tasks_at(np.arange(total)) * (labels.max() + 1)
        return buffer_places.ring(capacity, np.unique(groups, return_inverse=True)[1])

    def _content(self, until: int) -> np.ndarray:
        """[places in use] the samples in the buffer when so many have come; a copy."""
        if until < self._filled_to:
            self._buffer[:], self._filled_to = -1, 0
        for number in range(self._filled_to, until):
            if self._writes[number] < self.spec.capacity:
                self._buffer[self._writes[number]] = number
        self._filled_to = until
        content: np.ndarray = self._buffer[: self._in_use[until]].copy()
        return content
