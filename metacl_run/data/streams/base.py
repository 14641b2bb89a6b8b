"""What a data stream is, seen from the protocols: the contracts that the files in this folder fulfil, one or both."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.types import Episode, Samples
from metacl_run.scoring.objectives import CLASSIFICATION, Objective

Split = Literal["train", "validation", "test"]


def seen_by(*contracts: type) -> Any:
    """A field that matters only to protocols that use the data by one of these contracts. Under another it is refused when
    given, and does not enter the run's id."""
    return field(metadata={"seen_by": contracts})


# ------------------------------------------------------------------------------------------ protocol `continual_meta`


class FewShotStream(abc.ABC):
    """The loaded stream of R replicates and T tasks, on one device. Drawing images is an index gather."""

    task_names: list[list[str]]
    """[R][T]; the names differ between replicates where the seed decides what a task is."""
    notes: Sequence[str] = ()
    """What the user should know about what was read and what was left out; a run says each once, with its warnings."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> FewShotStream:
        """The same stream with its tensors on `device`."""

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
            split: which of the task's classes; of functions that are drawn afresh each time, which draws.
            shots, queries: examples per class in the support and the query set (queries may be 0), all different.
            rngs: one generator a replicate; a replicate's episodes depend on its own generator only.
            classes: [R, E] int, how many leading classes of the task may be drawn (a bounded replay memory); None: all.
            batches: (inner steps, batch size): fill `Episode.batches` with draws without replacement from the support,
                reshuffled when exhausted; None: leave it empty.

        Returns:
            An Episode with leading axes [R, E] on the stream's device. Images are float32 in [0, 1], support and query lie
            class by class: labels 0, 0, .., 1, 1, .. Targets of a regression are float32.
        """


class FewShotData(abc.ABC):
    """A data component: settings only. `load` gives the stream."""

    ways: int
    """Outputs of a network: the classes of an episode; 1 where an episode is a function of one real value."""
    shots: int
    """Support examples of each of them."""
    queries: int
    """Query examples of each of them."""

    @property
    def objective(self) -> Objective:
        """What outputs are judged by; it names the score of a run."""
        return CLASSIFICATION

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
            replay_classes: classes of replay memory each earlier task keeps, or None; always None for a regression.
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


# ------------------------------------------------------------------------------------------------- protocol `online`

Scenario = Literal["domain", "class", "task"]
"""What changes from task to task and what is known (van de Ven and Tolias 2019, arXiv 1904.07734): domain-incremental, the
inputs change and the outputs stay; class-incremental, new outputs come; task-incremental, new outputs come and the task is
known, so that the outputs of other tasks are masked in training and at test."""


class SampleStream(abc.ABC):
    """The loaded stream of R replicates and T tasks: N training samples a task, in the order in which they come.

    A replicate's training samples are numbered 0 .. T * N - 1 in that order; sample i belongs to task i // N.
    """

    task_names: list[list[str]]
    """[R][T]."""
    samples_per_task: int
    """N."""
    masks: Tensor | None
    """[T, outputs] bool, the outputs of each task where they are known (task-incremental); None: all outputs always."""
    notes: Sequence[str] = ()
    """What the user should know about what was read and what was left out; a run says each once, with its warnings."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> SampleStream:
        """The same stream with its tensors on `device`."""

    @abc.abstractmethod
    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        """Training samples of one replicate by number, with the axes of `index`; float32 inputs in [0, 1]."""

    def images(self, replicate: int) -> np.ndarray:
        """[T * N] int, which image each training sample shows: equal where tasks show one image, each in its own way.
        Default: all differ."""
        return np.arange(len(self.task_names[replicate]) * self.samples_per_task)

    @abc.abstractmethod
    def test(self, task: int, limit: int | None) -> list[Samples]:
        """[R] the test samples of a task, or their first `limit`, in an order that is random within the task.

        Replicates whose test samples are the same share one object.
        """


class SampleData(abc.ABC):
    """A data component for protocol `online`: settings only. `load_samples` gives the stream."""

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, as the model sees it."""

    @abc.abstractmethod
    def count_tasks(self) -> int:
        """Number of tasks in the stream; may look at file names, reads no pixels."""

    @abc.abstractmethod
    def count_outputs(self) -> int:
        """Outputs the network needs for all tasks together."""

    @property
    def new_outputs(self) -> bool:
        """Whether every task brings outputs of its own that are not told apart by the task (class-incremental): before it is
        learned, its score then says nothing, since its outputs are untrained. Default: the tasks share their outputs."""
        return False

    @abc.abstractmethod
    def count_samples(self) -> int:
        """Training samples of every task."""

    @abc.abstractmethod
    def check_samples(self) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load_samples(self, seeds: Sequence[int]) -> SampleStream:
        """Reads the pixels; seed i decides replicate i's tasks, samples, their order and shifts.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """


# ------------------------------------------------------------------------------------------ protocol `meta_continual`

Half = Literal["meta_train", "meta_test"]


class ConceptPool(abc.ABC):
    """The loaded concepts, classes or functions, that are learned one after another; the same for all replicates."""

    place_matters = False
    """Whether inputs and targets of a concept depend on its place; if not, the place is the target."""
    notes: Sequence[str] = ()
    """What the user should know about what was read and what was left out; a run says each once, with its warnings."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> ConceptPool:
        """The same pool with its tensors on `device`."""

    @abc.abstractmethod
    def gather(self, half: Half, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        """Examples of concepts by number.

        Args:
            half: meta-train or meta-test.
            concepts: [...] int, numbered from 0 in each half.
            examples: [...] int, numbered from 0 in each concept, in the order in which a file or generator gives them.
            places: [...] int, what each concept goes by: the output of a class, the place of a function among those learned
                together.

        Returns:
            float32 inputs [..., *input shape] and targets: the places themselves [...] int64 for classes, real values
            [..., dimensions] for functions.
        """


class ConceptData(abc.ABC):
    """A data component for protocol `meta_continual`: settings only. `load_concepts` gives the pool."""

    @property
    def objective(self) -> Objective:
        """What is learned about a concept."""
        return CLASSIFICATION

    @property
    @abc.abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example, as the model sees it."""

    @abc.abstractmethod
    def count_concepts(self, half: Half) -> int:
        """How many there are; may look at file names, reads no pixels."""

    @abc.abstractmethod
    def count_examples(self) -> tuple[int, int]:
        """Examples of each concept: (to learn from at meta-test, held out). In meta-training all of them may be used."""

    @abc.abstractmethod
    def outputs_for(self, most: int) -> int:
        """Outputs the network needs where places go up to `most` - 1."""

    @abc.abstractmethod
    def check_concepts(self, together: int) -> None:
        """Refuses, before anything is loaded, what the data cannot give.

        Args:
            together: most concepts that will be learned together.

        Raises:
            SettingError: naming the field, its value and what is possible.
            DataError: files are missing or not what they should be.
        """

    @abc.abstractmethod
    def load_concepts(self) -> ConceptPool:
        """Reads them.

        Raises:
            DataError: what was looked for, where, why it failed, and what works without it.
        """
