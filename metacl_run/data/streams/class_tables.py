"""From classes dealt to tasks to the samples of a stream: which outputs the classes have, which images are shown, and when.

Shapes: R replicates, T tasks, N training samples of a task, M most test samples of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.errors import SettingError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.streams.base import Scenario
from metacl_run.data.streams.pixel_stream import Table

Halves: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Rows of the pixels: one class's training images and its test images."""
Drawn: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Rows of the pixels and their labels."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs of a stream of classes, the same for every seed, since all replicates share one network and its masks.

    domain: a class has the output of its place within its task. class: one output for each class, task after task, however
    the sizes of the tasks fall out. task: every task has outputs of its own, as many as it can get classes under any seed.
    Outputs that a smaller task leaves over are never a label.
    """

    scenario: Scenario
    most: list[int]
    """[T] the most classes that each task can get, whatever the seed."""
    total: int
    """Classes of all tasks together."""

    def count(self) -> int:
        return {"domain": max(self.most), "class": self.total, "task": sum(self.most)}[self.scenario]

    def first(self, sizes: Sequence[int]) -> np.ndarray:
        """[T] the output of each task's first class, from the sizes of one replicate's tasks."""
        blocks = {"domain": [0] * len(sizes), "class": sizes, "task": self.most}[self.scenario]
        return np.cumsum([0, *blocks[:-1]])

    def masks(self) -> Tensor | None:
        """[T, outputs] for a task-incremental stream, as `SampleStream.masks`."""
        if self.scenario != "task":
            return None
        owner = torch.arange(len(self.most)).repeat_interleave(torch.tensor(self.most))
        return owner == torch.arange(len(self.most))[:, None]


def check_sizes(scenario: Scenario, smallest: int) -> None:
    """Refuses tasks whose smallest one has a single class, where the only output of the task is always right."""
    if scenario != "class" and smallest < 2:
        raise SettingError(
            "scenario", scenario, "must be class where a task may have one class: its one output is always right"
        )


def sample_tables(
    dealt: Sequence[Sequence[np.ndarray]],
    *,
    seeds: Sequence[int],
    outputs: Outputs,
    halves: Callable[[int, np.random.Generator], Halves],
    train_per_task: int,
    test_per_task: int | None,
) -> tuple[Table, Table]:
    """The training and the test samples of every task, both in random order.

    Args:
        dealt: [R][T] arrays of classes, in the order of their outputs.
        seeds: [R].
        outputs: whose outputs are the labels.
        halves: the images of a class in their two halves, where they are cut at random by the generator given.
        train_per_task, test_per_task: samples of each task, taken as evenly from its classes as they have images; None: all.
    """
    drawn: tuple[list[Drawn], list[Drawn]] = ([], [])
    for seed, tasks in zip(seeds, dealt, strict=True):
        first = outputs.first([len(classes) for classes in tasks])
        for task, classes in enumerate(tasks):
            rng = generator(Purpose.SAMPLES, seed, task)
            pools = [halves(int(each), rng) for each in classes]
            for half, count in enumerate((train_per_task, test_per_task)):
                rows, place = draw_evenly([pool[half] for pool in pools], count, rng)
                drawn[half].append((rows, first[task] + place))
    train, test = (_table(samples, len(seeds)) for samples in drawn)
    return train, test


def draw_evenly(pools: Sequence[np.ndarray], count: int | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` rows drawn from the pools in turn, passing over those that are used up, and the pool of each; in random order.

    Who comes first is random in every round, so the rows of two pools that are not used up differ in number by at most 1.
    """
    sizes = [len(pool) for pool in pools]
    rows = np.concatenate([rng.permutation(pool) for pool in pools])
    origin, turn = np.repeat(np.arange(len(pools)), sizes), np.concatenate([np.arange(size) for size in sizes])
    taken = rng.permutation(np.lexsort((rng.random(len(rows)), turn))[:count])
    return rows[taken], origin[taken]


def _table(samples: list[Drawn], replicates: int) -> Table:
    sizes = np.array([len(rows) for rows, _ in samples])
    table = np.zeros((2, len(samples), sizes.max()), np.int64)
    for index, each in enumerate(samples):
        table[:, index, : sizes[index]] = each
    rows, labels = table.reshape(2, replicates, -1, table.shape[2])
    return Table(rows=rows, labels=labels, sizes=sizes.reshape(replicates, -1))
