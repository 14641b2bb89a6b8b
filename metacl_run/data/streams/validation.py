"""Data as seen by a run that is judged on validation: the test half is out of reach, part of the training half stands for it.

Every stream of samples and every pool of concepts can be seen so, whatever its source; each holds out one in `ONE_IN`:

 - `ValidationSamples`, protocol `online`: of each task's training samples, drawn by the replicate's seed. Where tasks show
   the same images, each in a way of its own, images are drawn and not samples: no task learns from what another is judged on.
 - `ValidationConcepts`, protocol `meta_continual`: of the meta-train concepts, the last ones, as the last of all are for
   meta-test; no fewer than the longest sequence takes. They are the same for all replicates.

Protocol `continual_meta` has a split of its own, see `FewShotStream.sample`.
Shapes: R replicates, T tasks, N training samples of a task, H of them held out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.errors import DataError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.types import Samples
from metacl_run.data.streams.base import ConceptData, ConceptPool, Half, SampleData, SampleStream
from metacl_run.scoring.objectives import Objective

ONE_IN = 5
"""One training sample, or meta-train concept, in so many is held out; at least one."""


def held_out(count: int) -> int:
    """How many of so many."""
    return max(1, count // ONE_IN)


# ------------------------------------------------------------------------------------------------- protocol `online`


@dataclass(frozen=True, kw_only=True)
class ValidationSamples(SampleData):
    """A stream whose tasks are shorter by what is held out."""

    inner: SampleData

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inner.input_shape

    def count_tasks(self) -> int:
        return self.inner.count_tasks()

    def count_outputs(self) -> int:
        return self.inner.count_outputs()

    @property
    def new_outputs(self) -> bool:
        return self.inner.new_outputs

    def count_samples(self) -> int:
        """Of every task, what is left to learn from; 0 where there is one sample."""
        return self.inner.count_samples() - held_out(self.inner.count_samples())

    def check_samples(self) -> None:
        self.inner.check_samples()

    def load_samples(self, seeds: Sequence[int]) -> ValidationStream:
        stream = self.inner.load_samples(seeds)
        divided = [_divided(stream, replicate, seed) for replicate, seed in enumerate(seeds)]
        learned, judged_on = (list(part) for part in zip(*divided, strict=True))
        return ValidationStream(inner=stream, learned=learned, judged_on=judged_on)


@dataclass(frozen=True, kw_only=True)
class ValidationStream(SampleStream):
    """Both parts are training samples of the stream inside, and keep their order, shift and task."""

    inner: SampleStream
    learned: list[np.ndarray]
    """[R][T, N - H] numbers of the samples that are learned from."""
    judged_on: list[list[np.ndarray]]
    """[R][T][at most H] numbers of those that stand for test samples, in random order."""

    @property
    def task_names(self) -> list[list[str]]:  # type: ignore[override]
        return self.inner.task_names

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        return self.inner.notes

    @property
    def samples_per_task(self) -> int:  # type: ignore[override]
        return self.learned[0].shape[1]

    @property
    def masks(self) -> Tensor | None:  # type: ignore[override]
        return self.inner.masks

    def to(self, device: torch.device) -> ValidationStream:
        return dataclasses.replace(self, inner=self.inner.to(device))

    def images(self, replicate: int) -> np.ndarray:
        return self.inner.images(replicate)[self.learned[replicate].reshape(-1)]

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        return self.inner.gather(replicate, self.learned[replicate].reshape(-1)[index])

    def test(self, task: int, limit: int | None) -> list[Samples]:
        return [self.inner.gather(replicate, tasks[task][:limit]) for replicate, tasks in enumerate(self.judged_on)]


def _divided(stream: SampleStream, replicate: int, seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """[T, N - H] and [T][at most H] numbers of the samples to learn from and to judge by.

    All images are put in one random order, and each task holds out its first ones. Where tasks share images, they so hold
    out nearly the same ones; those few that another task does learn from are dropped from both.
    """
    per_task, tasks = stream.samples_per_task, len(stream.task_names[replicate])
    _, image = np.unique(stream.images(replicate), return_inverse=True)
    rank = generator(Purpose.VALIDATION, seed).permutation(image.max() + 1)[image].reshape(tasks, per_task)
    order, first = rank.argsort(1), np.arange(tasks)[:, None] * per_task
    held, left = np.split(first + order, [held_out(per_task)], axis=1)
    learned = np.sort(left, axis=1)
    judged_on = [each[~np.isin(image[each], image[learned])] for each in held]
    for task, each in enumerate(judged_on):
        if not len(each):
            raise DataError(
                f"protocol.eval_split=validation: with seed {seed} every image held out of task {task + 1} is learned from in "
                "another task. Take more training samples of a task, or protocol.eval_split=test."
            )
    return learned, judged_on


# ------------------------------------------------------------------------------------------ protocol `meta_continual`


@dataclass(frozen=True, kw_only=True)
class ValidationConcepts(ConceptData):
    """Concepts whose meta-test half is held out of the meta-train half."""

    inner: ConceptData
    least: int
    """Concepts that are held out at least."""

    @property
    def objective(self) -> Objective:
        return self.inner.objective

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inner.input_shape

    def count_concepts(self, half: Half) -> int:
        """What is left to meta-train on may be less than none: `least` is asked for all the same."""
        total = self.inner.count_concepts("meta_train")
        held = max(held_out(total), self.least)
        return held if half == "meta_test" else total - held

    def count_examples(self) -> tuple[int, int]:
        return self.inner.count_examples()

    def outputs_for(self, most: int) -> int:
        return self.inner.outputs_for(most)

    def check_concepts(self, together: int) -> None:
        self.inner.check_concepts(together)

    def load_concepts(self) -> ValidationPool:
        return ValidationPool(inner=self.inner.load_concepts(), meta_train=self.count_concepts("meta_train"))


@dataclass(frozen=True, kw_only=True)
class ValidationPool(ConceptPool):
    """The meta-train half of the pool inside, cut in two."""

    inner: ConceptPool
    meta_train: int
    """How many of its concepts, from the first, are left for meta-training."""

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        return self.inner.notes

    @property
    def place_matters(self) -> bool:  # type: ignore[override]
        return self.inner.place_matters

    def to(self, device: torch.device) -> ValidationPool:
        return dataclasses.replace(self, inner=self.inner.to(device))

    def gather(self, half: Half, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        assert half == "meta_test" or (np.asarray(concepts) < self.meta_train).all(), "a held-out concept in meta-training"
        first = 0 if half == "meta_train" else self.meta_train
        return self.inner.gather("meta_train", first + concepts, examples, places)
