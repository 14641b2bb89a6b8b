"""Domain-incremental streams for protocol `online`: the same classes in every task, each task with its own shift.

Rotated, permuted and inverted MNIST are these (Lopez-Paz and Ranzato 2017, arXiv 1706.08840; Riemer et al. 2019, arXiv
1810.11910). Every task takes different training examples from the training part of the source; all tasks are tested on the same
examples of the test part.

Differences from the published streams:
 1. Angles are spread evenly over [0, 180) degrees, task t at 180 * t / T; GEM draws one at random from each of T equal slots,
    and the files of MER hold one such draw. Training images and permutations are drawn anew for every seed; with those files
    they are the same for all seeds.
 2. The first task is not permuted or inverted. For an MLP, whose inputs are exchangeable, this makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from metacl_run.core.bounds import Count, Tasks
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.source import SplitExamples, SplitSource, inputs_of
from metacl_run.data.streams.class_tasks import check_shift
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.data.streams.sample_pool import SampleTable, TableSamplePool
from metacl_run.data.streams.shifted_pool import shifted_pool
from metacl_run.data.streams.stream import SampleStream


@dataclass(frozen=True, kw_only=True)
class ShiftedSamples(SampleStream):
    """A source whose examples every task shows under its own shift."""

    source: SplitSource
    num_tasks: Tasks
    """Tasks in the stream."""
    train_per_task: Count
    """Training samples of each task."""
    test_per_task: Count | None
    """Test samples of each task; null: all of the source's test part."""
    shift: str
    """What differs between tasks: one of the shifts of the source, not none."""

    def __post_init__(self) -> None:
        check_shift(self.shift, self.source)
        require(self.shift != "none", "shift", self.shift, "must not be none: all tasks would be the same")

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    @property
    def test_origin(self) -> str:
        return self.source.test_origin

    def count_tasks(self) -> int:
        return self.num_tasks

    def count_outputs(self) -> int:
        return len(self.source.parts()[0].names)

    def count_samples(self) -> int:
        return self.train_per_task

    def check(self) -> None:
        for part, catalogue in zip(("train", "test"), self.source.parts(), strict=True):
            name, most = f"{part}_per_task", int(catalogue.counts.sum())
            value, has = getattr(self, name), f"must be at most the {most} {part} examples of the source"
            require(value is None or value <= most, name, value, has)

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        examples = self.source.read_parts()
        rows = [self._draw_rows(examples, seed) for seed in seeds]
        train, test = (np.stack(part) for part in zip(*rows, strict=True))
        names = self.source.parts()[0].names
        of_output = np.broadcast_to(np.arange(len(names)), (len(seeds), self.num_tasks, len(names)))
        shift = self.source.task_shift(self.shift, seeds=seeds, num_tasks=self.num_tasks)
        pool = TableSamplePool(
            task_names=[list(shift.task_names) for _ in seeds],
            masks=None,
            examples=torch.from_numpy(examples.x),
            train=_table(train, examples.y),
            test_=_table(test, examples.y),
            classes=OutputClasses(names=names, of_output=of_output),
            texts=examples.texts,
            out_of_scope=None if examples.out_of_scope is None else inputs_of(torch.from_numpy(examples.out_of_scope)),
            notes=examples.notes,
        )
        return shifted_pool(pool, shift, examples.raw)

    def _draw_rows(self, examples: SplitExamples, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """[T, N] training rows of each task, in the order they come, and [T, M] test rows, the same for every task."""
        num_train, num_test = examples.num_train, len(examples.y) - examples.num_train
        train = [
            generator(Purpose.SAMPLES, seed, task).choice(num_train, self.train_per_task, replace=False)
            for task in range(self.num_tasks)
        ]
        count = num_test if self.test_per_task is None else self.test_per_task
        order = generator(Purpose.SAMPLES, 0, self.num_tasks).permutation(num_test)  # the same for every seed
        return np.stack(train), num_train + np.tile(order[:count], (self.num_tasks, 1))


def _table(rows: np.ndarray, labels: np.ndarray) -> SampleTable:
    return SampleTable(rows=rows, labels=labels[rows].astype(np.int64), sizes=np.full(rows.shape[:2], rows.shape[2]))
