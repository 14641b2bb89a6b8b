"""Streams for a run that is evaluated on validation: test data are out of reach, a part of the training data stands for them.

Any stream of samples or concepts can be wrapped in these classes, whatever its source. One in `ONE_IN` is held out:

 - `ValidationSamples`, protocol `online`: of each task's training samples, drawn by the seed. Where several tasks show the same
   example, each under its own shift, an example is held out in all of them: no task learns what another is evaluated on.
   A learner that is scored by acting then acts from placements that no test uses.
 - `ValidationConcepts`, protocol `meta_continual`: of the meta-train concepts, the last ones, as many as the longest
   sequence needs at least. They are the same for all seeds.

Protocol `continual_meta` has a split of its own, see `EpisodePool.sample`.
Shapes: R seeds (replicates), T tasks, N training samples of a task, H of them held out.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metacl_run.core.errors import DataError
from metacl_run.core.randomness import Purpose, generator
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.core.types import Samples
from metacl_run.data.streams.acting import Acting
from metacl_run.data.streams.augmentation import Augmentation
from metacl_run.data.streams.concept_stream import ConceptPool, ConceptStream, MetaSplit
from metacl_run.data.streams.input_scale import InputScale
from metacl_run.data.streams.output_classes import OutputClasses
from metacl_run.data.streams.stream import SamplePool, SampleStream
from metacl_run.scoring.objectives import Objective
from metacl_run.scoring.scores import Score

ONE_IN = 5
"""One training sample, or meta-train concept, in so many is held out; at least one."""


def count_held_out(count: int) -> int:
    """How many of `count` samples or concepts are held out."""
    return max(1, count // ONE_IN)


# ------------------------------------------------------------------------------------------------- protocol `online`


@dataclass(frozen=True, kw_only=True)
class ValidationSamples(SampleStream):
    """A stream whose tasks are shorter by what is held out."""

    inner: SampleStream

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inner.input_shape

    @property
    def objective(self) -> Objective:
        return self.inner.objective

    @property
    def score(self) -> Score:
        return self.inner.score

    def count_tasks(self) -> int:
        return self.inner.count_tasks()

    def count_outputs(self) -> int:
        return self.inner.count_outputs()

    @property
    def new_outputs(self) -> bool:
        return self.inner.new_outputs

    @property
    def task_is_known(self) -> bool:
        return self.inner.task_is_known

    def input_scale(self) -> InputScale | None:
        return self.inner.input_scale()

    def count_samples(self) -> int:
        """Of every task, what is left to learn from; 0 where there is one sample."""
        return self.sample_lengths().shortest

    def sample_lengths(self) -> TaskLengths:
        return TaskLengths.of([length - count_held_out(length) for length in self.inner.sample_lengths().lengths])

    def check(self) -> None:
        self.inner.check()

    def load(self, seeds: Sequence[int]) -> ValidationSamplePool:
        pool = self.inner.load(seeds)
        parts = [_divided(pool, replicate, seed) for replicate, seed in enumerate(seeds)]
        learned, evaluated = (list(part) for part in zip(*parts, strict=True))
        acting = None if pool.acting is None else pool.acting.validation()
        return ValidationSamplePool(inner=pool, learned=learned, evaluated=evaluated, acting=acting)


@dataclass(frozen=True, kw_only=True)
class ValidationSamplePool(SamplePool):
    """Both parts are training samples of the stream inside, and keep their order, shift and task."""

    inner: SamplePool
    learned: list[list[np.ndarray]]
    """[R][T][N - H] numbers of the samples that are learned from."""
    evaluated: list[list[np.ndarray]]
    """[R][T][at most H] numbers of the samples that are used in place of test samples, in random order."""
    acting: Acting | None = None

    @property
    def task_names(self) -> list[list[str]]:  # type: ignore[override]
        return self.inner.task_names

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        return self.inner.notes

    @property
    def samples_per_task(self) -> int:  # type: ignore[override]
        return self.lengths.longest

    @functools.cached_property
    def lengths(self) -> TaskLengths:
        return TaskLengths.of([len(own) for own in self.learned[0]])

    @functools.cached_property
    def _numbers(self) -> list[np.ndarray]:
        """[R] the samples that are learned from, task after task."""
        return [np.concatenate(own) for own in self.learned]

    @property
    def masks(self) -> Tensor | None:  # type: ignore[override]
        return self.inner.masks

    @property
    def classes(self) -> OutputClasses | None:  # type: ignore[override]
        return self.inner.classes

    @property
    def augmentation(self) -> Augmentation | None:  # type: ignore[override]
        return self.inner.augmentation

    def to(self, device: torch.device) -> ValidationSamplePool:
        acting = None if self.acting is None else self.acting.to(device)
        return dataclasses.replace(self, inner=self.inner.to(device), acting=acting)

    def origins(self, replicate: int) -> np.ndarray:
        origins: np.ndarray = self.inner.origins(replicate)[self._numbers[replicate]]
        return origins

    def gather(self, replicate: int, index: np.ndarray) -> Samples:
        return self.inner.gather(replicate, self._numbers[replicate][index])

    def labels(self, replicate: int, index: np.ndarray) -> np.ndarray:
        return self.inner.labels(replicate, self._numbers[replicate][index])

    def test(self, task: int, limit: int | None) -> list[Samples]:
        return [self.inner.gather(replicate, tasks[task][:limit]) for replicate, tasks in enumerate(self.evaluated)]

    def count_test(self) -> np.ndarray:
        return np.array([[len(own) for own in tasks] for tasks in self.evaluated])

    def quote(self, replicate: int, index: np.ndarray) -> list[str] | None:
        return self.inner.quote(replicate, self._numbers[replicate][index])

    def quote_test(self, replicate: int, task: int, places: np.ndarray) -> list[str] | None:
        return self.inner.quote(replicate, self.evaluated[replicate][task][places])


def _divided(pool: SamplePool, replicate: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """[T][N - H] and [T][at most H] numbers of the samples to learn from and to evaluate on.

    All examples are put in one random order, and every task holds out its first ones. Tasks that share examples so hold out
    nearly the same ones; the few that another task learns from are neither learned nor evaluated in this task.
    """
    _, example = np.unique(pool.origins(replicate), return_inverse=True)
    ranks = generator(Purpose.VALIDATION, seed).permutation(np.max(example) + 1)[example]
    first_ones, learned = [], []
    for start, length in zip(pool.lengths.starts, pool.lengths.lengths, strict=True):
        order = start + ranks[start : start + length].argsort()
        first_ones.append(order[: count_held_out(length)])
        learned.append(np.sort(order[count_held_out(length) :]))
    examples_learned = example[np.concatenate(learned)]
    evaluated = [own[~np.isin(example[own], examples_learned)] for own in first_ones]
    for task, own in enumerate(evaluated):
        if not len(own):
            raise DataError(
                f"protocol.eval_split=validation: with seed {seed} every example held out of task {task + 1} is learned from "
                "in another task. Take more training samples of a task, or protocol.eval_split=test."
            )
    return learned, evaluated


# ------------------------------------------------------------------------------------------ protocol `meta_continual`


@dataclass(frozen=True, kw_only=True)
class ValidationConcepts(ConceptStream):
    """Concepts whose meta-test part is held out of the meta-train part."""

    inner: ConceptStream
    least: int
    """Concepts that are held out at least."""

    @property
    def objective(self) -> Objective:
        return self.inner.objective

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inner.input_shape

    def count_concepts(self, split: MetaSplit) -> int:
        """Counts the concepts of a split; negative for meta-training where `least` exceeds what there is."""
        total = self.inner.count_concepts("meta_train")
        fewer = max(count_held_out(total), self.least)
        return fewer if split == "meta_test" else total - fewer

    def count_examples(self) -> tuple[int, int]:
        return self.inner.count_examples()

    def outputs_for(self, most: int) -> int:
        return self.inner.outputs_for(most)

    def check(self, together: int) -> None:
        self.inner.check(together)

    def load(self, seeds: Sequence[int]) -> ValidationConceptPool:
        return ValidationConceptPool(inner=self.inner.load(seeds), meta_train=self.count_concepts("meta_train"))


@dataclass(frozen=True, kw_only=True)
class ValidationConceptPool(ConceptPool):
    """The meta-train part of the pool inside, cut in two."""

    inner: ConceptPool
    meta_train: int
    """How many of its concepts, from the first, are left for meta-training."""

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        return self.inner.notes

    @property
    def place_matters(self) -> bool:  # type: ignore[override]
        return self.inner.place_matters

    def to(self, device: torch.device) -> ValidationConceptPool:
        return dataclasses.replace(self, inner=self.inner.to(device))

    def gather(self, split: MetaSplit, concepts: np.ndarray, examples: np.ndarray, places: np.ndarray) -> tuple[Tensor, Tensor]:
        assert split == "meta_test" or (np.asarray(concepts) < self.meta_train).all(), "a held-out concept in meta-training"
        first = 0 if split == "meta_train" else self.meta_train
        return self.inner.gather("meta_train", first + concepts, examples, places)
