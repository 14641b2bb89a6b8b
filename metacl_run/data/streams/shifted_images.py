"""Domain-incremental streams: the same classes in every task, each task under a shift of its own.

Rotated, permuted and inverted MNIST are these (Lopez-Paz and Ranzato 2017, arXiv 1706.08840; Riemer et al. 2019, arXiv
1810.11910). Every task takes training images of its own from the source's training half, and is tested on the same images of
its test half.

Differences from the published streams:
 1. Angles lie evenly over [0, 180) degrees, task t at 180 * t / T; GEM draws one at random from each of T equal slots, and the
    files that MER distributes hold one such draw. Training images and permutations are drawn anew for every seed, where those
    files give all seeds the same.
 2. The first task is shown as it is: not permuted, not inverted. To an MLP with exchangeable inputs it is all the same.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

from metacl_run.core.bounds import Count, Side, Tasks
from metacl_run.core.errors import require
from metacl_run.core.randomness import Purpose, generator
from metacl_run.data.streams.base import SampleData
from metacl_run.data.streams.pixel_stream import PixelStream, Table
from metacl_run.data.streams.shifted_stream import shifted_stream


class LabelledImages(NamedTuple):
    """Images of a source in its two halves."""

    train_x: np.ndarray
    """[N, channels, H, W] uint8."""
    train_y: np.ndarray
    """[N] int64 classes."""
    test_x: np.ndarray
    test_y: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ShiftedImages(SampleData, abc.ABC):
    """A source whose images every task shows in its own way.

    Attributes:
        num_tasks: tasks in the stream.
        train_per_task: training samples of each task.
        test_per_task: test samples of each task; null: all of the source's test half.
        shift: what differs between tasks: rotate, permute, invert or background.
        image_size: side of the images in pixels.
    """

    num_tasks: Tasks
    train_per_task: Count
    test_per_task: Count | None
    shift: Literal["rotate", "permute", "invert", "background"]
    image_size: Side

    @abc.abstractmethod
    def sizes(self) -> tuple[int, int]:
        """Images in the source's training and test half."""

    @abc.abstractmethod
    def read(self) -> LabelledImages:
        """Reads the source. Raises DataError."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return 1, self.image_size, self.image_size

    def count_tasks(self) -> int:
        return self.num_tasks

    def count_outputs(self) -> int:
        return 10

    def count_samples(self) -> int:
        return self.train_per_task

    def check_samples(self) -> None:
        train, test = self.sizes()
        for name, value, most in (("train_per_task", self.train_per_task, train), ("test_per_task", self.test_per_task, test)):
            require(value is None or value <= most, name, value, f"must be at most the {most} images that half has")

    def load_samples(self, seeds: Sequence[int]) -> PixelStream:
        images = self.read()
        chosen = [self._choose(images, seed) for seed in seeds]
        train, test = (np.stack(part) for part in zip(*chosen, strict=True))
        pixels = torch.from_numpy(np.concatenate([images.train_x, images.test_x]))
        labels = np.concatenate([images.train_y, images.test_y])
        names = [[self._task_name(task) for task in range(self.num_tasks)] for _ in seeds]
        return shifted_stream(
            self.shift,
            seeds=seeds,
            task_names=names,
            masks=None,
            pixels=pixels,
            train=_table(train, labels),
            test=_table(test + len(images.train_x), labels),
        )

    def _choose(self, images: LabelledImages, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """[T, N] training images of each task, in the order they come, and [T, M] test images, the same for every task."""
        train = [
            generator(Purpose.SAMPLES, seed, task).choice(len(images.train_x), self.train_per_task, replace=False)
            for task in range(self.num_tasks)
        ]
        count = len(images.test_x) if self.test_per_task is None else self.test_per_task
        order = generator(Purpose.SAMPLES, 0, self.num_tasks).permutation(len(images.test_x))  # the same for every seed
        return np.stack(train), np.tile(order[:count], (self.num_tasks, 1))

    def _task_name(self, task: int) -> str:
        return f"{180 * task / self.num_tasks:g} degrees" if self.shift == "rotate" else f"{self.shift} {task + 1}"


def _table(rows: np.ndarray, labels: np.ndarray) -> Table:
    return Table(rows=rows, labels=labels[rows].astype(np.int64), sizes=np.full(rows.shape[:2], rows.shape[2]))
