"""Streams that bring new classes with every task: the classes of a source, dealt to tasks.

Split MNIST and split CIFAR are these (Zenke et al. 2017, arXiv 1703.04200; van de Ven and Tolias 2019, arXiv 1904.07734;
La-MAML, Gupta et al. 2020, arXiv 2007.13904). The source's halves stay what they are: a task learns from training images of
its classes and is tested on test images of them.

Differences from the published streams:
 1. Every task has the same number of training samples, at most as many as any seed's smallest task has, taken evenly from its
    classes. It matters for MNIST alone, whose digits differ in number; in the other sources a task's images are all taken.
 2. Pixels are scaled to [0, 1] and that is all. La-MAML crops, flips and brightens at random, and normalises the channels.
 3. La-MAML keeps a tenth of the training images to choose settings by; here all are there to learn from unless
    `train_per_task` says less or the protocol's eval_split=validation holds some out.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from metacl_run.core.bounds import Classes, Count, Side, Tasks
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.sources.catalogue import Catalogue
from metacl_run.data.streams import notes
from metacl_run.data.streams.base import SampleData, Scenario
from metacl_run.data.streams.class_tables import Halves, Outputs, check_sizes, sample_tables
from metacl_run.data.streams.dealing import Dealing
from metacl_run.data.streams.pixel_stream import PixelStream


@dataclass(frozen=True, kw_only=True)
class ClassStream(SampleData, abc.ABC):
    """A source whose classes are dealt to tasks.

    Attributes:
        num_tasks: tasks in the stream; null: as many as the classes fill.
        classes_per_task: classes of each task; null: all classes, as evenly as can be.
        shuffled: whether the seed decides the order of the classes; otherwise it is the source's.
        train_per_task: training samples of each task; null: as many as the smallest task has images, whatever the seed.
        test_per_task: test samples of each task, taken evenly from its classes; null: all.
        scenario: domain, class or task; `class_tables.Outputs` says which outputs the classes have.
        image_size: side of the images in pixels.
    """

    num_tasks: Tasks | None
    classes_per_task: Classes | None
    shuffled: bool
    train_per_task: Count | None
    test_per_task: Count | None
    scenario: Scenario
    image_size: Side

    def __post_init__(self) -> None:
        some = self.num_tasks is not None or self.classes_per_task is not None
        require(some, "num_tasks", self.num_tasks, "must be given where classes_per_task is null")

    @abc.abstractmethod
    def halves(self) -> tuple[Catalogue, Catalogue]:
        """What the source's training half and its test half hold: the same classes."""

    @abc.abstractmethod
    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [N, channels, H, W] uint8 and classes [N] int64 of all images, the training half first. Raises DataError."""

    def count_tasks(self) -> int:
        return self._dealing.count_tasks(self.halves()[0])

    @property
    def new_outputs(self) -> bool:
        return self.scenario == "class"

    def count_outputs(self) -> int:
        return self._outputs().count()

    def count_samples(self) -> int:
        return self._fewest()[0] if self.train_per_task is None else self.train_per_task

    def check_samples(self) -> None:
        classes, _ = self._dealing.bounds(*_ones(self.halves()[0]))
        check_sizes(self.scenario, min(classes))
        for name, most in zip(("train_per_task", "test_per_task"), self._fewest(), strict=True):
            value, least = getattr(self, name), max(classes)
            allowed = f"must be null, or {least} (the classes of a task) to {most} (images of the smallest task of any seed)"
            require(value is None or least <= value <= most, name, value, allowed)

    def load_samples(self, seeds: Sequence[int]) -> PixelStream:
        pixels, labels = self.read()
        rows = [_by_class(labels, half, first) for half, first in zip(self.halves(), self._starts(), strict=True)]

        def halves(index: int, rng: np.random.Generator) -> Halves:
            return rows[0][index], rows[1][index]

        dealt = [self._deal(seed) for seed in seeds]
        train, test = sample_tables(
            dealt,
            seeds=seeds,
            outputs=self._outputs(),
            halves=halves,
            train_per_task=self.count_samples(),
            test_per_task=self.test_per_task,
        )
        names = [[self._task_name(task, number) for number, task in enumerate(tasks)] for tasks in dealt]
        masks = self._outputs().masks()
        said = notes.on_unused_classes(self.halves()[0], self._dealing.count_classes(self.halves()[0]))
        if self.train_per_task is None:
            available = [[self.halves()[0].counts[task].sum() for task in tasks] for tasks in dealt]
            said += notes.on_smallest_task(np.array(available), self.count_samples())
        everything = torch.from_numpy(pixels)
        return PixelStream(task_names=names, masks=masks, pixels=everything, train=train, test_=test, notes=said)

    @property
    def _dealing(self) -> Dealing:
        return Dealing(
            num_tasks=self.num_tasks,
            classes_per_task=self.classes_per_task,
            whole_groups=False,
            shuffled=self.shuffled,
        )

    def _deal(self, seed: int) -> list[np.ndarray]:
        tasks = self._dealing.deal(self.halves()[0], generator(Purpose.DEAL, seed))
        return tasks if self.shuffled else [np.sort(task) for task in tasks]

    def _outputs(self) -> Outputs:
        catalogue = self.halves()[0]
        _, most = self._dealing.bounds(*_ones(catalogue))
        return Outputs(scenario=self.scenario, most=most, total=self._dealing.count_classes(catalogue))

    def _fewest(self) -> tuple[int, int]:
        """The fewest training and test images that a task can get, whatever the seed."""
        train, test = (min(self._dealing.bounds(half, half.counts)[0]) for half in self.halves())
        return train, test

    def _starts(self) -> tuple[int, int]:
        """Where the two halves begin."""
        return 0, int(self.halves()[0].counts.sum())

    def _task_name(self, task: np.ndarray, number: int) -> str:
        """The task's classes where they are few, else its number."""
        names = [self.halves()[0].names[index] for index in task]
        return " + ".join(names) if len(names) <= 2 else f"task {number + 1}"


def _ones(catalogue: Catalogue) -> tuple[Catalogue, np.ndarray]:
    return catalogue, np.ones(len(catalogue.names), np.int64)


def _by_class(labels: np.ndarray, half: Catalogue, first: int) -> list[np.ndarray]:
    """[C] the rows of each class in the half that begins at row `first`."""
    part = labels[first : first + half.counts.sum()]
    assert np.bincount(part, minlength=len(half.names)).tolist() == half.counts.tolist()
    return np.split(first + np.argsort(part, kind="stable"), np.cumsum(half.counts)[:-1])
