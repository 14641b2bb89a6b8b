"""From classes assigned to tasks to the samples of a stream: which outputs the classes have, which examples come, and when.

Shapes: R seeds (replicates), T tasks, N training samples of a task, M most test samples of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.errors import SettingError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.data.streams.sample_pool import SampleTable
from metacl_run.data.streams.stream import Scenario


class ClassRows(NamedTuple):
    """The rows of one class among the stored examples."""

    train: np.ndarray
    test: np.ndarray


class _TaskSamples(NamedTuple):
    """The samples of one task in one part, training or test."""

    rows: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs of a stream of classes, the same for every seed, since all seeds share one network and its masks.

    domain: a class has the output of its place within its task. class: one output for each class, task after task, whatever
    the sizes of the tasks are. task: every task has outputs of its own, as many as it can get classes under any seed.
    Outputs that a smaller task does not use are never a label.
    """

    scenario: Scenario
    most: list[int]
    """[T] the most classes that each task can get, whatever the seed."""
    total: int
    """Classes of all tasks together."""

    def count(self) -> int:
        return {"domain": max(self.most), "class": self.total, "task": sum(self.most)}[self.scenario]

    def first(self, sizes: Sequence[int]) -> np.ndarray:
        """[T] the output of each task's first class, from the sizes of one seed's tasks."""
        blocks = {"domain": [0] * len(sizes), "class": sizes, "task": self.most}[self.scenario]
        return np.cumsum([0, *blocks[:-1]])

    def masks(self) -> Tensor | None:
        """[T, outputs] for a task-incremental stream, as `SamplePool.masks`."""
        if self.scenario != "task":
            return None
        owner = torch.arange(len(self.most)).repeat_interleave(torch.tensor(self.most))
        return owner == torch.arange(len(self.most))[:, None]

    def classes(self, names: Sequence[str], tasks: Sequence[Sequence[np.ndarray]]) -> OutputClasses:
        """The class of every output, from the names of all classes and [R][T] arrays of classes, in the order of outputs."""
        own_of_task = self.scenario == "domain"
        of_output = np.full((len(tasks), len(self.most) if own_of_task else 1, self.count()), -1)
        for replicate, of_seed in enumerate(tasks):
            firsts = self.first([len(classes) for classes in of_seed])
            for task, (first, classes) in enumerate(zip(firsts, of_seed, strict=True)):
                of_output[replicate, task if own_of_task else 0, first : first + len(classes)] = classes
        shape = len(tasks), len(self.most), self.count()
        return OutputClasses(names=names, of_output=np.broadcast_to(of_output, shape))  # where tasks agree, stored once


def check_sizes(scenario: Scenario, smallest: int) -> None:
    """Refuses a stream in which a task may have a single class: its only output would always be right."""
    if scenario != "class" and smallest < 2:
        raise SettingError(
            "scenario", scenario, "must be class where a task may have one class: its one output is always right"
        )


def sample_tables(
    tasks: Sequence[Sequence[np.ndarray]],
    *,
    seeds: Sequence[int],
    outputs: Outputs,
    rows_of: Callable[[int, np.random.Generator], ClassRows],
    train_lengths: TaskLengths,
    test_per_task: int | None,
) -> tuple[SampleTable, SampleTable]:
    """The training and the test samples of every task, both in random order.

    Args:
        tasks: [R][T] arrays of classes, in the order of their outputs.
        seeds: [R].
        outputs: whose outputs are the labels.
        rows_of: gives the rows of a class; the generator divides them at random where the source does not.
        train_lengths, test_per_task: samples of each task, taken from its classes as evenly as they have examples; None: all.
    """
    train: list[_TaskSamples] = []
    test: list[_TaskSamples] = []
    for seed, of_seed in zip(seeds, tasks, strict=True):
        first = outputs.first([len(classes) for classes in of_seed])
        for task, classes in enumerate(of_seed):
            rng = generator(Purpose.SAMPLES, seed, task)
            rows = [rows_of(int(index), rng) for index in classes]
            for samples, part, count in ((train, 0, train_lengths.lengths[task]), (test, 1, test_per_task)):
                task_rows, place = draw_evenly([class_rows[part] for class_rows in rows], count, rng)
                samples.append(_TaskSamples(task_rows, first[task] + place))
    return _table(train, len(seeds)), _table(test, len(seeds))


def draw_evenly(pools: Sequence[np.ndarray], count: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` rows from the pools in turn, skipping empty pools; returns rows and the pool of each row, in random order.

    The order of the pools is random in every round, so the rows of two pools that are not used up differ in number by at
    most 1.
    """
    sizes = [len(pool) for pool in pools]
    rows = np.concatenate([rng.permutation(pool) for pool in pools])
    origin, turn = np.repeat(np.arange(len(pools)), sizes), np.concatenate([np.arange(size) for size in sizes])
    order = rng.permutation(np.lexsort((rng.random(len(rows)), turn))[:count])
    return rows[order], origin[order]


def _table(samples: Sequence[_TaskSamples], replicates: int) -> SampleTable:
    sizes = np.array([len(task.rows) for task in samples])
    table = np.zeros((2, len(samples), sizes.max()), np.int64)
    for index, task in enumerate(samples):
        table[:, index, : sizes[index]] = task
    rows, labels = table.reshape(2, replicates, -1, table.shape[2])
    return SampleTable(rows=rows, labels=labels, sizes=sizes.reshape(replicates, -1))
