"""What a few-shot data stream is, seen from the protocol: the contract every file in this folder fulfils."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from metacl_run.types import Episode

Split = Literal["train", "validation", "test"]


class FewShotStream(abc.ABC):
    """The loaded stream of R replicates and T tasks, its pixels on one device. Drawing is an index gather."""

    task_names: list[list[str]]
    """[R][T]; the names differ between replicates where the seed decides what a task is."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> FewShotStream:
        """The same stream with its tensors on `device`."""

    @abc.abstractmethod
    def num_classes(self, replicate: int, task: int, split: Split) -> int:
        """How many classes a task holds in a split."""

    @abc.abstractmethod
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
        """Draws episodes.

        Args:
            tasks: [R, E] int, the task each episode comes from.
            split: which of the task's classes.
            shots, queries: examples per class in the support and the query set (queries may be 0), all different.
            rngs: one generator a replicate; a replicate's episodes depend on its own generator only.
            classes: [R, E] int, how many leading classes of the task may be drawn (a bounded replay memory); None: all.
            batches: (inner steps, batch size): fill `Episode.batches` with draws without replacement from the support,
                reshuffled when exhausted; None: leave it empty.

        Returns:
            An Episode with leading axes [R, E], float32 inputs in [0, 1], on the stream's device. Support and query lie
            class by class: labels 0, 0, .., 1, 1, ..
        """


class FewShotData(abc.ABC):
    """A data component: settings only. `load` gives the stream."""

    ways: int
    shots: int
    queries: int

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, as the model sees it."""

    @abc.abstractmethod
    def count_tasks(self) -> int:
        """Number of tasks in the stream; may look at file names, reads no pixels."""

    @abc.abstractmethod
    def check(self, *, images_per_class: int, replay_classes: int | None, split: Split) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Args:
            images_per_class: most images of one class that an episode will ask for (support and query together).
            replay_classes: classes of replay memory each earlier task keeps, or None.
            split: the split that will be evaluated.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load(self, seeds: Sequence[int]) -> FewShotStream:
        """Reads the pixels and deals out the tasks; seed i decides replicate i's tasks, splits and shifts.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """
