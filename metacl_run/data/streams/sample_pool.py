"""The loaded samples of protocol `online`: one tensor of examples shared by all seeds, and tables of every task's samples.

Shapes: R seeds (replicates), T tasks, N training samples of a task, M most test samples of a task.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.transfer import upload
from metacl_run.core.types import Samples
from metacl_run.data.sources.source import inputs_of
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift
from metacl_run.data.streams.augmentation import Augmentation
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.data.streams.stream import SamplePool


@dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Which stored examples are the samples of every task in one part, training or test."""

    rows: np.ndarray
    """[R, T, N or M] int64 rows of the examples; beyond `sizes` unused."""
    labels: np.ndarray
    """[R, T, N or M] int64."""
    sizes: np.ndarray
    """[R, T] int64."""
    origins: np.ndarray | None = None
    """[R, T, N or M] int64, the example of the source that each sample shows; None: the same as `rows`."""
    homes: np.ndarray | None = None
    """[R, T, N or M] int64, the task under whose shift each sample is seen; None: the task that it comes in."""

    def examples(self, replicate: int) -> np.ndarray:
        """[T, N or M] the example of the source that each sample of a replicate shows."""
        examples: np.ndarray = (self.rows if self.origins is None else self.origins)[replicate]
        return examples

    def shifted_as(self, replicate: int, tasks: np.ndarray, places: np.ndarray) -> np.ndarray:
        """[B] the task under whose shift the samples of a replicate at these places of these tasks are seen."""
        return tasks if self.homes is None else np.asarray(self.homes[replicate, tasks, places])


@dataclass(frozen=True, kw_only=True)
class TableSamplePool(SamplePool):
    """Gathers samples by index from examples in memory."""

    task_names: list[list[str]]
    masks: Tensor | None
    examples: Tensor
    """[rows, ...] as the source stores them, shifted already where `shift` is not a gather."""
    train: SampleTable
    test_: SampleTable
    shift: TaskShift = NO_SHIFT
    """Applied whenever samples are gathered."""
    notes: Sequence[str] = ()
    classes: OutputClasses | None = None
    out_of_scope: Tensor | None = None
    texts: Sequence[str] | None = None
    """[examples of the source] the texts that they were made from; None: they are not texts."""
    writing: TaskShift = NO_SHIFT
    """How the texts of each task were rewritten before they became `examples`."""
    scale: InputScale | None = None
    """Of all samples, after the shift."""
    augmentation: Augmentation | None = None

    @property
    def samples_per_task(self) -> int:  # type: ignore[override]
        return int(self.train.rows.shape[2])

    def to(self, device: torch.device) -> TableSamplePool:
        masks, out_of_scope = (None if own is None else own.to(device) for own in (self.masks, self.out_of_scope))
        return dataclasses.replace(
            self,
            examples=self.examples.to(device),
            masks=masks,
            out_of_scope=out_of_scope,
            shift=self.shift.to(device),
            scale=None if self.scale is None else self.scale.to(device),
            augmentation=None if self.augmentation is None else self.augmentation.to(device),
        )

    @functools.cached_property
    def lengths(self) -> TaskLengths:
        return TaskLengths.of(self.train.sizes[0])

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        tasks, places = self.lengths.within(index.reshape(-1))
        own = self.train.rows[replicate, tasks, places], self.train.labels[replicate, tasks, places]
        shifted_as = self.train.shifted_as(replicate, tasks, places)
        rows, y, task, home = upload((*own, tasks, shifted_as), self.examples.device)
        x = self._scaled(self.shift.apply(self._inputs(rows), replicate * self._num_tasks + home))
        return Samples(x.view(*index.shape, *x.shape[1:]), y.view(index.shape), task.view(index.shape))

    def labels(self, replicate: int, index: np.ndarray) -> np.ndarray:
        tasks, places = self.lengths.within(index)
        return np.asarray(self.train.labels[replicate, tasks, places])

    def origins(self, replicate: int) -> np.ndarray:
        examples = self.train.examples(replicate)
        return np.concatenate([own[:size] for own, size in zip(examples, self.lengths.lengths, strict=True)])

    def test(self, task: int, limit: int | None) -> list[Samples]:
        shared: dict[tuple[bytes, bytes, int], Samples] = {}
        samples = []
        for replicate in range(len(self.task_names)):
            size = int(self.test_.sizes[replicate, task])
            size = size if limit is None else min(size, limit)
            rows, labels = self.test_.rows[replicate, task, :size], self.test_.labels[replicate, task, :size]
            key = (rows.tobytes(), labels.tobytes(), replicate if self.shift.changes else -1)
            if key not in shared:
                numbers = rows, labels, np.array([replicate * self._num_tasks + task])
                own_rows, y, of_shift = upload(numbers, self.examples.device)
                x = self._scaled(self.shift.apply(self._inputs(own_rows), of_shift))
                shared[key] = Samples(x, y, torch.full_like(y, task))
            samples.append(shared[key])
        return samples

    def count_test(self) -> np.ndarray:
        return self.test_.sizes

    def quote(self, replicate: int, index: np.ndarray) -> list[str] | None:
        shifted_as = self.train.shifted_as(replicate, *self.lengths.within(index))
        return self._written(self.origins(replicate)[index], shifted_as)

    def quote_test(self, replicate: int, task: int, places: np.ndarray) -> list[str] | None:
        return self._written(self.test_.examples(replicate)[task, places], np.full(len(places), task))

    def _written(self, examples: np.ndarray, tasks: np.ndarray) -> list[str] | None:
        """[N] the texts of some examples as these tasks show them."""
        if self.texts is None:
            return None
        return [self.writing.written(self.texts[row], int(task)) for row, task in zip(examples, tasks, strict=True)]

    @property
    def _num_tasks(self) -> int:
        return len(self.task_names[0])

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale is None else self.scale.apply(x)

    def _inputs(self, rows: Tensor) -> Tensor:
        return inputs_of(self.examples.index_select(0, rows))
