"""Few-shot episodes of classes, task after task: the stream of labelled examples for protocol `continual_meta`."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias, get_args

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from metacl_run.core.bounds import AT_EVALUATION, Classes, Examples, NonNegative
from metacl_run.core.errors import SettingError, require, require_all
from metacl_run.data.sources.source import Catalogue, LabelledExamples, LabelledSource
from metacl_run.data.sources.task_shift import NO_SHIFT, TaskShift
from metacl_run.data.streams import notes
from metacl_run.data.streams.class_tasks import ClassTasks, check_shift
from metacl_run.data.streams.episode_pool import ClassEpisodePool, ClassVariants, Members
from metacl_run.data.streams.stream import EpisodeStream, Split
from metacl_run.data.streams.task_assignment import split_sizes, task_names

TaskClasses: TypeAlias = dict[Split, np.ndarray]
"""The classes of one task by split, as places in the catalogue, each in random order."""


@dataclass(frozen=True, kw_only=True)
class ClassEpisodeStream(EpisodeStream):
    """Episodes of classes; leaves differ in which classes a split has, and in how a class can be varied to count as another."""

    source: LabelledSource
    ways: Annotated[Classes, Ge(2), AT_EVALUATION]
    """Classes in an episode."""
    shots: Annotated[Examples, AT_EVALUATION]
    """Support examples of each class."""
    queries: Annotated[Examples, AT_EVALUATION]
    """Query examples of each class."""
    shift: Annotated[str, AT_EVALUATION]
    """A different transformation of each task but the first: one of the kinds of the source."""

    @abc.abstractmethod
    def variants(self, split: Split) -> ClassVariants | None:
        """The ways in which a class may be varied in episodes of a split; None: it is taken as it is."""

    @abc.abstractmethod
    def check_splits(self, catalogue: Catalogue, split: Split) -> list[dict[Split, int]]:
        """The classes in each split of the tasks that any seed may make.

        Raises:
            SettingError: none is left to train on, or for `split`, which is evaluated.
        """

    @abc.abstractmethod
    def deal(self, catalogue: Catalogue, seed: int) -> list[TaskClasses]:
        """[T] the classes of each task for one seed."""

    @property
    def is_assigned_by_seed(self) -> bool:
        """Whether the seed decides which classes a task has."""
        return False

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.source.example_shape

    def __post_init__(self) -> None:
        check_shift(self.shift, self.source)

    def check(self, *, examples_per_class: int, replay_classes: int | None, split: Split) -> None:
        catalogue = self.source.catalogue()
        every = self.check_splits(catalogue, split)
        for part in dict.fromkeys(("train", split)):
            sizes = _fewest_in(part, every)
            of_task = f"{_size_words(sizes, every)}, {sizes[part]} of them for {part}"
            most = f"must be at most {sizes[part]}: {of_task}"
            if sizes[part] < 2:
                most = (
                    f"no value works: {of_task}, but an episode has at least 2. Use fewer tasks, or other shares of the classes"
                )
            require(self.ways <= sizes[part], "ways", self.ways, most)
        if replay_classes is not None:
            most = f"must be at most the {replay_classes} classes of each earlier task in the replay buffer"
            require(self.ways <= replay_classes, "ways", self.ways, most)
        fewest = int(np.argmin(catalogue.counts))
        has = f"class {catalogue.names[fewest]} has {catalogue.counts[fewest]}"
        most = f"with queries={self.queries} an episode takes up to {examples_per_class} examples of a class, but {has}"
        require(examples_per_class <= catalogue.counts[fewest], "shots", self.shots, most)

    def load(self, seeds: Sequence[int]) -> ClassEpisodePool:
        examples = self.source.read()
        catalogue = examples.catalogue
        tasks = [self.deal(catalogue, seed) for seed in seeds]
        used = sum(len(_all_of(task)) for task in tasks[0])
        shift = self.source.task_shift(self.shift, seeds=seeds, num_tasks=len(tasks[0]))
        x, counts, members = torch.from_numpy(examples.x), catalogue.counts, tasks
        if shift.rewrites:
            x, counts, members = _rewritten(examples, tasks, shift)
            shift = NO_SHIFT
        return ClassEpisodePool(
            notes=[*examples.notes, *notes.on_unused_classes(len(catalogue.names), used)],
            task_names=[
                task_names(catalogue, [_all_of(task) for task in of_seed], shuffled=self.is_assigned_by_seed)
                for of_seed in tasks
            ],
            ways=self.ways,
            examples=x,
            counts=counts,
            members={
                split: Members.of([[task[split] for task in of_seed] for of_seed in members]) for split in get_args(Split)
            },
            variants={split: self.variants(split) for split in get_args(Split)},
            shift=shift,
        )


def _fewest_in(split: Split, every: list[dict[Split, int]]) -> dict[Split, int]:
    """Of tasks, that with the fewest classes in a split: by rounded shares it need not be the smallest."""
    return min(every, key=lambda sizes: (sizes[split], sum(sizes.values())))


def _size_words(sizes: dict[Split, int], every: list[dict[Split, int]]) -> str:
    size = sum(sizes.values())
    is_smallest = size == min(sum(task.values()) for task in every)
    return f"{'the smallest task of any seed has' if is_smallest else 'a task can have'} {size} classes"


def _all_of(task: TaskClasses) -> np.ndarray:
    return np.concatenate(list(task.values()))


def _rewritten(
    examples: LabelledExamples, tasks: list[list[TaskClasses]], shift: TaskShift
) -> tuple[Tensor, np.ndarray, list[list[TaskClasses]]]:
    """A class in a task is a class of its own, whose examples are made anew as the task has them.

    Returns:
        the examples, class by class, the number of examples of each class, and the classes of every task.
    """
    counts, raw = examples.catalogue.counts, examples.raw
    assert raw is not None
    starts = np.cumsum(counts) - counts
    rows = [[shift.row(replicate, task, len(seed)) for task in range(len(seed))] for replicate, seed in enumerate(tasks)]
    placed = [pair for seed, of_seed in zip(tasks, rows, strict=True) for pair in zip(seed, of_seed, strict=True)]
    pairs = sorted({(int(index), row) for splits, row in placed for index in _all_of(splits)})
    parts = [shift.rewritten(raw[starts[index] : starts[index] + counts[index]], row) for index, row in pairs]
    number = {pair: place for place, pair in enumerate(pairs)}
    renamed = [
        [
            {split: np.array([number[int(index), row] for index in of_split], np.int64) for split, of_split in splits.items()}
            for splits, row in zip(seed, of_seed, strict=True)
        ]
        for seed, of_seed in zip(tasks, rows, strict=True)
    ]
    return torch.cat(parts), counts[[index for index, _ in pairs]], renamed


@dataclass(frozen=True, kw_only=True)
class DividedClassStream(ClassTasks, ClassEpisodeStream):
    """Every task has classes of its own, which the seed divides into splits."""

    validation_classes: NonNegative
    """Classes of each task kept for validation: a number, or a fraction when below 1."""
    test_classes: NonNegative
    """Classes of each task kept for test: a number, or a fraction when below 1."""

    @property
    def is_assigned_by_seed(self) -> bool:
        return self.shuffled

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = {name: getattr(self, name) for name in ("validation_classes", "test_classes")}
        allowed = "must be a number of classes, or a fraction of at least 0 and below 1"
        require_all(*((share < 1 or share == int(share), name, share, allowed) for name, share in shares.items()))

    def check_splits(self, catalogue: Catalogue, split: Split) -> list[dict[Split, int]]:
        every = [
            split_sizes(size, validation=self.validation_classes, test=self.test_classes)
            for size in self.assignment(catalogue).task_sizes(catalogue)
        ]
        learned, evaluated = _fewest_in("train", every), _fewest_in(split, every)
        if learned["train"] < 1:
            validation = f"and validation_classes={self.validation_classes:g}"
            allowed = f"leaves no class to train on: {_size_words(learned, every)}, {validation}"
            raise SettingError("test_classes", f"{self.test_classes:g}", allowed)
        if split != "train" and evaluated[split] == 0:
            why = f"{_size_words(evaluated, every)}, and the {split} split is evaluated; 0.2 takes a fifth of them"
            value = f"{getattr(self, f'{split}_classes'):g}"
            raise SettingError(f"{split}_classes", value, f"leaves no class to evaluate on: {why}")
        return every

    def deal(self, catalogue: Catalogue, seed: int) -> list[TaskClasses]:
        return [self._splits(classes) for classes in self.assign(catalogue, seed)]

    def _splits(self, classes: np.ndarray) -> TaskClasses:
        """Cuts a task's classes, which are in random order, into its splits."""
        sizes = split_sizes(len(classes), validation=self.validation_classes, test=self.test_classes)
        train, rest = np.split(classes, [sizes["train"]])
        validation, test = np.split(rest, [sizes["validation"]])
        return {"train": train, "validation": validation, "test": test}


@dataclass(frozen=True, kw_only=True)
class ClassEpisodes(DividedClassStream):
    """Episodes of any labelled examples."""

    def variants(self, split: Split) -> None:
        return None
