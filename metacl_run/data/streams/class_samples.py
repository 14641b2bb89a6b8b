"""Streams in which every task brings new classes: the streams of labelled examples for protocol `online`.

Split MNIST and split CIFAR are `SplitClassSamples` (Zenke et al. 2017, arXiv 1703.04200; van de Ven and Tolias 2019, arXiv
1904.07734; La-MAML, Gupta et al. 2020, arXiv 2007.13904): a task learns from training examples of its classes and is tested on
test examples of them. For a source without a test part, `HeldOutClassSamples` keeps some examples of each class for test.

Differences from the published streams:
 1. By default every task has the same number of training samples, at most as many as the smallest task of any seed has, taken
    evenly from its classes. This only matters for MNIST, whose digits differ in number; with the other sources all examples of
    a task are used. With balance=none, all examples are used for every source.
 2. By default pixels are only scaled to [0, 1]. La-MAML crops, flips and brightens at random, and normalises the channels;
    images have augment=crop_flip and normalize=channels (`data/images/image_samples.py`).
 3. By default each seed assigns the classes in an order of its own, so that an interval covers orders, too. Papers on
    class-incremental CIFAR-100 have one order for all seeds: that of iCaRL's authors (Rebuffi et al. 2017, arXiv 1611.07725;
    data=split_cifar100_icarl), or that of numpy's generator with seed 1993 (order_seed=1993). Some have a first task of 50
    classes (first_task_classes=50; LUCIR, Hou et al. 2019).
 4. La-MAML keeps a tenth of the training images for choosing settings; here all are learned, unless `train_per_task` is smaller
    or eval_split=validation of the protocol holds some out.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Lt, MinLen

from metacl_run.core.bounds import Classes, Count, CountFromZero, Examples, NoEffectWith, Seed, added_setting
from metacl_run.core.errors import Check, DataError, require, require_all
from metacl_run.core.task_lengths import TaskLengths
from metacl_run.data.sources.source import Catalogue, Raw, SplitSource, inputs_of
from metacl_run.data.streams import notes
from metacl_run.data.streams.blurred_borders import blurred, count_moved
from metacl_run.data.streams.class_tasks import ClassTasks, check_shift
from metacl_run.data.streams.sample_pool import TableSamplePool
from metacl_run.data.streams.sample_tables import ClassRows, Outputs, check_sizes, sample_tables
from metacl_run.data.streams.shifted_pool import shifted_pool
from metacl_run.data.streams.stream import SampleStream, Scenario
from metacl_run.data.streams.task_assignment import TaskAssignment, task_names

Balance = Literal["tasks", "none"]
Blur = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class ClassSamples(ClassTasks, SampleStream):
    """Tasks of labelled examples, one after another."""

    scenario: Scenario
    """Which outputs the classes have, see `sample_tables.Outputs`."""
    shift: str
    """A transformation of its own for each task but the first, one of the source's."""
    balance: Balance
    """"tasks": all tasks have as many training samples as the smallest; "none": each has all of its own."""
    blur: Blur
    """Share of each task's training samples that comes from other tasks (`blurred_borders.py`)."""
    order_seed: Annotated[Seed | None, NoEffectWith("shuffled", (False,))] = field(
        metadata=added_setting("has_order_seed", off=None)
    )
    """With `shuffled`, all seeds assign the classes in one order, that of numpy.random.RandomState(order_seed).permutation;
    null: each seed has an order of its own."""
    class_order: Annotated[Annotated[list[CountFromZero], MinLen(1)] | None, NoEffectWith("shuffled", (True,))] = field(
        metadata=added_setting("class_order", off=None)
    )
    """Without `shuffled`, the numbers of the classes, from 0, in the order in which tasks take them; classes that it does not
    list are left out. null: the order of the source."""
    first_task_classes: Classes | None = field(metadata=added_setting("first_task_classes", off=None))
    """Classes of the first task (as LUCIR's 50 of CIFAR-100, Hou et al. 2019); null: as for the others."""

    def __post_init__(self) -> None:
        check_shift(self.shift, self.source)
        cut = "must be null with balance=tasks, which would cut the first task to as many samples as the others have"
        fits = self.first_task_classes is None or self.balance == "none"
        require_all(*_blur_fits(self), (fits, "first_task_classes", self.first_task_classes, cut))

    @property
    def output_settings(self) -> Mapping[str, Any]:
        of_tasks = ("scenario", "num_tasks", "tasks_from", "classes_per_task", "first_task_classes")
        return {name: getattr(self, name) for name in (*of_tasks, "shuffled", "order_seed", "class_order")}

    @property
    def has_order_seed(self) -> bool:
        return self.order_seed is not None

    @property
    def is_assigned_by_seed(self) -> bool:
        return self.shuffled and not self.has_order_seed

    def assignment(self, catalogue: Catalogue) -> TaskAssignment:
        assignment, order = super().assignment(catalogue), None if self.shuffled else self.class_order
        whole = f"must be null with tasks_from={self.tasks_from}: a task takes them whole"
        for name in ("first_task_classes", "class_order"):
            require(not assignment.whole_groups or getattr(self, name) is None, name, getattr(self, name), whole)
        if order is not None:
            _check_order(order, len(catalogue.names))
        return dataclasses.replace(
            assignment,
            order_seed=self.order_seed,
            class_order=None if order is None else tuple(order),
            first_task_classes=self.first_task_classes,
        )

    @property
    def new_outputs(self) -> bool:
        return self.scenario == "class"

    @property
    def task_is_known(self) -> bool:
        return self.scenario == "task"

    @property
    def has_blurred_borders(self) -> bool:
        return self.blur > 0

    def count_outputs(self) -> int:
        return self._outputs(self._divided_catalogue()).count()

    def count_samples(self) -> int:
        return self.sample_lengths().shortest

    def _count_assigned(self, catalogue: Catalogue) -> int:
        """The classes that tasks may take: all, or those of `class_order`."""
        order = self.assignment(catalogue).class_order
        return len(catalogue.names if order is None else order)

    @abc.abstractmethod
    def _divided_catalogue(self) -> Catalogue:
        """The classes that are assigned to tasks, with the examples to learn from."""

    def _outputs(self, catalogue: Catalogue) -> Outputs:
        assignment = self.assignment(catalogue)
        _, most = assignment.bounds(catalogue, np.ones(len(catalogue.names), np.int64))
        return Outputs(scenario=self.scenario, most=most, total=assignment.count_classes(catalogue))

    def _moved(self, pool: TableSamplePool, raw: Raw | None, seeds: Sequence[int]) -> TableSamplePool:
        """The pool with the shift of each task, and with samples that come with another task."""
        shift = self.source.task_shift(self.shift, seeds=seeds, num_tasks=len(pool.task_names[0]))
        pool = shifted_pool(pool, shift, raw)
        return dataclasses.replace(pool, train=blurred(pool.train, self.blur, seeds)) if self.blur else pool


@dataclass(frozen=True, kw_only=True)
class HeldOutClassSamples(ClassSamples):
    """All classes of every task; all examples are for training, except those kept for test.

    Every task has as many training examples, evenly from its classes, as the smallest task of any seed.
    """

    test_examples: Examples
    """Examples of each class kept for test, drawn by the seed."""

    def sample_lengths(self) -> TaskLengths:
        catalogue = self.source.catalogue()
        return _lengths(self.assignment(catalogue).bounds(catalogue, catalogue.counts - self.test_examples)[0], self.balance)

    def check(self) -> None:
        catalogue = self.source.catalogue()
        check_test_examples(self.test_examples, catalogue)
        check_sizes(self.scenario, self.assignment(catalogue).smallest_task(catalogue))
        left, most = self.count_samples(), max(self._outputs(catalogue).most)
        enough = f"leaves {left} examples to learn from to the smallest task, hence to every task; one may have {most} classes"
        require(left >= most, "test_examples", self.test_examples, enough)
        _check_moved(self.blur, left)

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        examples = self.source.read()
        catalogue = examples.catalogue
        ends = np.cumsum(catalogue.counts)

        def rows_of(index: int, rng: np.random.Generator) -> ClassRows:
            rows = rng.permutation(np.arange(ends[index] - catalogue.counts[index], ends[index]))
            return ClassRows(train=rows[self.test_examples :], test=rows[: self.test_examples])

        tasks, outputs = [self.assign(catalogue, seed) for seed in seeds], self._outputs(catalogue)
        train, test = sample_tables(
            tasks,
            seeds=seeds,
            outputs=outputs,
            rows_of=rows_of,
            train_lengths=self.sample_lengths(),
            test_per_task=None,
        )
        available = [[(catalogue.counts[classes] - self.test_examples).sum() for classes in of_seed] for of_seed in tasks]
        used = self.assignment(catalogue).count_classes(catalogue)
        pool = TableSamplePool(
            task_names=[task_names(catalogue, of_seed, shuffled=self.is_assigned_by_seed) for of_seed in tasks],
            masks=outputs.masks(),
            examples=torch.from_numpy(examples.x),
            train=train,
            test_=test,
            classes=outputs.classes(catalogue.names, tasks),
            texts=examples.texts,
            notes=[
                *examples.notes,
                *notes.on_unused_classes(self._count_assigned(catalogue), used),
                *_notes_on_sizes(np.array(available), self.sample_lengths()),
            ],
        )
        return self._moved(pool, examples.raw, seeds)

    def _divided_catalogue(self) -> Catalogue:
        return self.source.catalogue()


@dataclass(frozen=True, kw_only=True)
class SplitClassSamples(ClassSamples):
    """A source with a training part and a test part, whose classes are assigned to tasks."""

    source: SplitSource
    train_per_task: Count | None
    """Training samples of each task (with balance=none, the largest number); null: as many as the smallest task of any seed
    has."""
    test_per_task: Count | None
    """Test samples of each task, taken evenly from its classes; null: all."""

    @property
    def test_origin(self) -> str:
        return self.source.test_origin

    def sample_lengths(self) -> TaskLengths:
        lengths = _lengths(self._fewest()[0], self.balance)
        return lengths if self.train_per_task is None else lengths.at_most(self.train_per_task)

    def check(self) -> None:
        train, _ = self.source.parts()
        check_sizes(self.scenario, self.assignment(train).smallest_task(train))
        for name, lengths in zip(("train_per_task", "test_per_task"), self._fewest(), strict=True):
            value, least = getattr(self, name), max(self._outputs(train).most)
            most = max(lengths) if name == "train_per_task" and self.balance == "none" else min(lengths)
            allowed = f"must be null, or {least} (the classes of a task) to {most} (examples of the smallest task of any seed)"
            require(value is None or least <= value <= most, name, value, allowed)
        _check_moved(self.blur, self.count_samples())

    def load(self, seeds: Sequence[int]) -> TableSamplePool:
        examples = self.source.read_parts()
        train_part, test_part = self.source.parts()
        train_rows = _rows_by_class(examples.y[: examples.num_train], train_part, "training", first=0)
        test_rows = _rows_by_class(examples.y[examples.num_train :], test_part, "test", first=examples.num_train)
        tasks, outputs = [self.assign(train_part, seed) for seed in seeds], self._outputs(train_part)
        if not self.is_assigned_by_seed:
            tasks = [[np.sort(classes) for classes in of_seed] for of_seed in tasks]
        train, test = sample_tables(
            tasks,
            seeds=seeds,
            outputs=outputs,
            rows_of=lambda index, _: ClassRows(train=train_rows[index], test=test_rows[index]),
            train_lengths=self.sample_lengths(),
            test_per_task=self.test_per_task,
        )
        messages = [
            *examples.notes,
            *notes.on_unused_classes(self._count_assigned(train_part), self.assignment(train_part).count_classes(train_part)),
        ]
        if self.train_per_task is None:
            available = [[train_part.counts[classes].sum() for classes in of_seed] for of_seed in tasks]
            messages += _notes_on_sizes(np.array(available), self.sample_lengths())
        elif self.first_task_classes is not None:
            per_class = [length / len(classes) for length, classes in zip(self.sample_lengths().lengths, tasks[0], strict=True)]
            messages += notes.on_cut_first_task(self.train_per_task, per_class)
        pool = TableSamplePool(
            task_names=[_task_names(train_part, of_seed, shuffled=self.is_assigned_by_seed) for of_seed in tasks],
            masks=outputs.masks(),
            examples=torch.from_numpy(examples.x),
            train=train,
            test_=test,
            classes=outputs.classes(train_part.names, tasks),
            texts=examples.texts,
            out_of_scope=None if examples.out_of_scope is None else inputs_of(torch.from_numpy(examples.out_of_scope)),
            notes=messages,
        )
        return self._moved(pool, examples.raw, seeds)

    def _divided_catalogue(self) -> Catalogue:
        return self.source.parts()[0]

    def _fewest(self) -> tuple[list[int], list[int]]:
        """[T] the fewest training and test examples that each task can get, whatever the seed."""
        train, test = (self.assignment(part).bounds(part, part.counts)[0] for part in self.source.parts())
        return train, test


def _check_order(order: Sequence[int], classes: int) -> None:
    """Refuses an order of classes that there are not, or that come twice."""
    number = next((number for number in order if number >= classes or order.count(number) > 1), None)
    why = (
        f"has {number} twice"
        if number is not None and number < classes
        else f"has {number}, but the classes are 0 to {classes - 1}"
    )
    require(number is None, "class_order", list(order), why)


def _blur_fits(stream: ClassSamples) -> list[Check]:
    """The checks of blurred borders, for `require_all`."""
    sharp, blur = stream.blur == 0, stream.blur
    return [
        (
            sharp or stream.scenario == "class",
            "blur",
            blur,
            "must be 0 unless scenario=class: an output would mean two classes",
        ),
        (sharp or stream.balance == "tasks", "blur", blur, "must be 0 with balance=none: tasks change places sample by sample"),
        (sharp or stream.num_tasks != 1, "blur", blur, "must be 0 with one task"),
    ]


def _check_moved(share: float, samples: int) -> None:
    moves = share == 0 or count_moved(share, samples) > 0
    require(moves, "blur", share, f"must be 0, or move a sample or more of the {samples} of a task")


def _lengths(fewest: list[int], balance: Balance) -> TaskLengths:
    """The training samples of each task, of those that each can have whatever the seed."""
    return TaskLengths.of(fewest) if balance == "none" else TaskLengths.equal(len(fewest), min(fewest))


def _notes_on_sizes(available: np.ndarray, used: TaskLengths) -> list[str]:
    """Training samples [R, T] that are left out."""
    return notes.on_smallest_task(available, used.shortest) if used.are_equal else notes.on_sizes_by_seed(available, used.total)


def check_test_examples(test_examples: int, catalogue: Catalogue) -> None:
    """Refuses to keep all examples of a class for test."""
    fewest = int(np.argmin(catalogue.counts))
    least = f"must be less than the {catalogue.counts[fewest]} examples of class {catalogue.names[fewest]}"
    require(test_examples < catalogue.counts[fewest], "test_examples", test_examples, least)


def _rows_by_class(labels: np.ndarray, part: Catalogue, name: str, *, first: int) -> list[np.ndarray]:
    """[C] the rows of each class in the part that begins at row `first`. Raises DataError where its catalogue counts others."""
    classes = len(part.names)
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        numbers = f"{labels.min()} to {labels.max()}"
        raise DataError(f"The {name} part has the classes {numbers}, but its catalogue has {classes}, numbered from 0.")
    counts = np.bincount(labels, minlength=classes)
    for index in np.flatnonzero(counts != part.counts)[:1]:
        raise DataError(
            f"The {name} part has {counts[index]} examples of class {part.names[index]}, but its catalogue counts "
            f"{part.counts[index]}."
        )
    return np.split(first + np.argsort(labels, kind="stable"), np.cumsum(part.counts)[:-1])


def _task_names(catalogue: Catalogue, tasks: Sequence[np.ndarray], *, shuffled: bool) -> list[str]:
    """[T] the classes of a task where they are few, else its groups or its number."""
    return [
        " + ".join(catalogue.names[index] for index in classes) if len(classes) <= 2 else name
        for classes, name in zip(tasks, task_names(catalogue, list(tasks), shuffled=shuffled), strict=True)
    ]
